"""Several objectives: rewards as a vector, and weights that vary."""

from __future__ import annotations

import pickle
from functools import partial
from typing import Any

import gymnasium as gym
import mo_gymnasium
import numpy as np
import pytest
from exit_samples import OPTIONS as EXITS
from product_samples import Tiles
from test_outlook import tiles_core

from codesign_gym.envs.core.preferences import Preferences
from codesign_gym.envs.core.problem import reference_point, rewards, score
from codesign_gym.envs.core.views import CodesignEnv
from codesign_gym.envs.multi_objective import MultiObjectiveEnv, MultiObjectiveVectorEnv
from codesign_gym.envs.registration import MULTI_OBJECTIVE
from codesign_gym.errors import BadConfig
from codesign_gym.pareto import hypervolume, nondominated


def episode(env, seed: int = 0):
    """The sum of rewards, and the last info, of an episode of lowest choices."""
    env.reset(seed=seed)
    total, done = 0.0, False
    while not done:
        _, reward, terminated, truncated, info = env.step(0)
        total, done = total + reward, terminated or truncated
    return total, info


def test_the_vector_adds_up_to_the_scalar_and_is_the_objectives() -> None:
    core = tiles_core(Tiles())
    vector, info = episode(MultiObjectiveEnv(core))
    np.testing.assert_allclose(vector, rewards(core.problem, info["metrics"][None])[0], rtol=1e-6)
    assert vector.sum() == pytest.approx(episode(CodesignEnv(core))[0], rel=1e-6)


def test_mo_gymnasium_takes_it() -> None:
    env = MultiObjectiveEnv(tiles_core(Tiles()))
    assert env.reward_space.shape == (2,)
    weighted = mo_gymnasium.wrappers.LinearReward(env, weight=np.array([0.25, 0.75]))
    assert episode(weighted)[0] == pytest.approx(episode(env)[0] @ [0.25, 0.75], rel=1e-6)


@pytest.mark.parametrize("mode", ["construct", "refine"])
def test_many_step_together_as_single_ones_do(mode: str) -> None:
    """Bit by bit, against MO-Gymnasium's own vector environment of single views, over several episodes."""
    options = {
        "env": "codesign/Accelerator-v0",
        "mode": mode,
        "enforcement": "mask",
        **({"steps": 4} if mode == "refine" else {}),
    }
    made = [partial(mo_gymnasium.make, MULTI_OBJECTIVE, **options) for _ in range(3)]
    singles, many = mo_gymnasium.wrappers.vector.MOSyncVectorEnv(made), gym.make_vec(MULTI_OBJECTIVE, 3, **options)
    assert many.unwrapped.reward_space == singles.reward_space
    np.testing.assert_array_equal(many.reset(seed=7)[0], singles.reset(seed=7)[0])
    many.action_space.seed(0)
    for _ in range(2 * many.unwrapped.core.horizon + 3):
        actions = many.action_space.sample()
        *found, _ = many.step(actions)
        *expected, _ = singles.step(actions)
        assert found[1].shape == (3, many.unwrapped.reward_dim)
        for ours, theirs in zip(found, expected, strict=True):
            assert ours.dtype == theirs.dtype
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("autoreset", ["NextStep", "SameStep"])
def test_mo_gymnasium_keeps_the_returns_of_many(autoreset: str) -> None:
    core = tiles_core(Tiles())
    many = MultiObjectiveVectorEnv(core, 4, autoreset)
    recorded = mo_gymnasium.wrappers.vector.MORecordEpisodeStatistics(many)
    recorded.reset(seed=0)
    for _ in range(core.horizon):
        *_, infos = recorded.step(np.arange(4) % 3)
    metrics = infos["final_info"]["metrics"] if autoreset == "SameStep" else infos["metrics"]
    np.testing.assert_allclose(infos["episode"]["r"], rewards(core.problem, metrics), rtol=1e-6)
    assert (infos["episode"]["l"] == core.horizon).all()


def test_a_pickled_vector_goes_on_bit_by_bit() -> None:
    one = gym.make_vec(MULTI_OBJECTIVE, 2, env="codesign/Accelerator-v0")
    one.reset(seed=1)
    other = pickle.loads(pickle.dumps(one))
    for _ in range(one.unwrapped.core.horizon):
        *found, _ = one.step([0, 1])
        *expected, _ = other.step([0, 1])
        for ours, theirs in zip(found, expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_weighted_rewards_are_no_vector() -> None:
    with pytest.raises(BadConfig, match="a vector of rewards accepts: fixed"):
        gym.make_vec(MULTI_OBJECTIVE, 2, env="codesign/Accelerator-v0", preferences="sampled")


def test_any_registered_environment_that_designs_has_the_view() -> None:
    made = mo_gymnasium.make(
        MULTI_OBJECTIVE, env="codesign/MixedPrecision-v0", accuracy="tabular", network="mobilenetv1"
    )
    _, info = made.reset(seed=0)
    assert made.unwrapped.reward_dim == 1
    _, vector, *_ = made.step(0)
    assert vector.shape == (1,)
    assert "usage" in info


@pytest.mark.parametrize(("several", "missing"), [({}, "objective"), ({"objectives": {"latency": 5}}, "latency_s")])
def test_dense_rewards_are_no_vector(several: dict[str, Any], missing: str) -> None:
    options = {"env": "codesign/MixedPrecision-v0", "network": "mobilenetv1", "accuracy": "tabular", **several}
    with pytest.raises(BadConfig, match=f"terms loss, price and none for {missing}: .*accepted: reward='terminal'$"):
        mo_gymnasium.make(MULTI_OBJECTIVE, **options, reward="dense")


def test_preferences_are_seen_and_weigh_the_reward() -> None:
    plain = tiles_core(Tiles())
    core = type(plain)(plain.problem, plain.observer, plain.reward, plain.enforcement, plain.actions, Preferences(2))
    env = CodesignEnv(core)
    seen = set()
    for seed in range(5):
        observation, _ = env.reset(seed=seed)
        weights = observation[-2:]
        assert env.observation_space.contains(observation)
        assert weights.sum() == pytest.approx(2.0, rel=1e-6)
        seen.add(tuple(weights))
        total, info = 0.0, {}
        for _ in range(len(core.problem.space)):
            _, reward, _, _, info = env.step(0)
            total += reward
        expected = rewards(core.problem, info["metrics"][None])[0] @ weights
        assert total == pytest.approx(expected, rel=1e-6)
    assert len(seen) == 5


def test_hypervolumes_start_at_the_stated_worst_values() -> None:
    problem = Tiles()
    designs = problem.space.enumerate(0, problem.space.size)
    metrics = problem.evaluate(designs)
    vectors = rewards(problem, metrics)
    np.testing.assert_allclose(score(problem, metrics), vectors.sum(-1))
    np.testing.assert_allclose(reference_point(problem), [-1.0, -1.5])
    volume = hypervolume(-vectors, -reference_point(problem))
    front = nondominated(-vectors)
    assert hypervolume(-vectors[front], -reference_point(problem)) == pytest.approx(volume)
    assert volume > hypervolume(-vectors[:5], -reference_point(problem)) > 0
    assert hypervolume(np.array([[0.5, 0.5]]), np.ones(2)) == pytest.approx(0.25)
    assert hypervolume(np.array([[1.5, 0.5]]), np.ones(2)) == 0


# An environment that controls

DVFS: dict[str, Any] = {**EXITS, "arrivals": "bursty", "burst_load": 3.0, "capacity": 3, "horizon": 30, "action": "box"}


def test_a_core_that_controls_hands_out_the_terms_that_have_a_weight() -> None:
    names = {"energy": 1.0, "misses": 2.0, "accuracy": 0.5, "throttling": 0.1}
    for left_out in names:
        made = gym.make(MULTI_OBJECTIVE, env="codesign/Dvfs-v0", **EXITS, **{**names, left_out: 0.0}).unwrapped
        assert made.objectives == [name for name in names if name != left_out]
    with pytest.raises(BadConfig, match="needs an environment with objectives"):
        gym.make(MULTI_OBJECTIVE, env="codesign/Dvfs-v0", **EXITS, **dict.fromkeys(names, 0.0))


def test_controls_many_as_single_ones_and_adds_up_to_the_scalar() -> None:
    """Bit by bit against single views, and up to float32 against the scalar environment, over three episodes."""
    weights = {"accuracy": 0.5, "misses": 2.0}
    options = {"env": "codesign/Dvfs-v0", **DVFS, **weights}
    made = [partial(mo_gymnasium.make, MULTI_OBJECTIVE, **options) for _ in range(3)]
    singles, many = mo_gymnasium.wrappers.vector.MOSyncVectorEnv(made), gym.make_vec(MULTI_OBJECTIVE, 3, **options)
    plain = gym.make_vec("codesign/Dvfs-v0", 3, vectorization_mode="vector_entry_point", **DVFS, **weights)
    for envs in (singles, many, plain):
        envs.reset(seed=3)
    many.action_space.seed(0)
    total = np.zeros(4)
    for _ in range(3 * (DVFS["horizon"] + 1)):
        actions = many.action_space.sample()
        found, expected, scalar = (envs.step(actions) for envs in (many, singles, plain))
        for ours, theirs in zip(found[:4], expected[:4], strict=True):
            np.testing.assert_array_equal(ours, theirs)
        np.testing.assert_allclose(found[1].sum(-1), scalar[1], rtol=1e-5, atol=1e-6)
        total += found[1].sum(0)
    assert (total[:3] < 0).all(), "energy, misses and wrong answers all occurred"
    assert many.unwrapped.objectives == ["energy", "misses", "accuracy", "throttling"]


def test_a_linear_reward_over_a_core_that_controls_is_its_scalar() -> None:
    vector = mo_gymnasium.make(MULTI_OBJECTIVE, env="codesign/Dvfs-v0", **DVFS)
    weighted = mo_gymnasium.wrappers.LinearReward(vector, weight=np.ones(3))
    plain = gym.make("codesign/Dvfs-v0", **DVFS)
    for env in (weighted, plain):
        env.reset(seed=5)
    for _ in range(DVFS["horizon"]):
        action = plain.action_space.sample()
        assert weighted.step(action)[1] == pytest.approx(plain.step(action)[1], rel=1e-5, abs=1e-6)


def test_a_vector_view_is_drawn_as_the_environment_is() -> None:
    """What a picture needs is kept for the view, too."""
    frames = []
    for name, options in ((MULTI_OBJECTIVE, {"env": "codesign/Dvfs-v0"}), ("codesign/Dvfs-v0", {})):
        env = gym.make(name, **options, **DVFS, render_mode="rgb_array")
        env.reset(seed=0)
        for _ in range(5):
            env.step(np.zeros(env.action_space.shape, dtype=np.float32))
        frames.append(env.render())
    np.testing.assert_array_equal(*frames)


def test_a_core_that_names_no_objectives_is_refused() -> None:
    class Nameless:
        def __getattr__(self, name: str):
            if name == "objectives":
                raise AttributeError(name)
            return getattr(tiles_core(Tiles()), name)

    with pytest.raises(BadConfig, match="this one's core names none"):
        MultiObjectiveEnv(Nameless())  # type: ignore[arg-type]
