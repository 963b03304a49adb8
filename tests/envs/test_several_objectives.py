"""Bitwidths and early exits with several objectives: what designs earn, what tables predict, and weights that vary."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import gymnasium as gym
import mo_gymnasium
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from codesign_gym.agents.baselines.milp import solve
from codesign_gym.envs.core.construct import ConstructCore
from codesign_gym.envs.core.enforcement import best_uniform
from codesign_gym.envs.core.problem import DesignProblem, feasible, reference_point, rewards, score
from codesign_gym.envs.core.separable import Separable
from codesign_gym.envs.core.views import CodesignEnv
from codesign_gym.envs.early_exit import factory as exits
from codesign_gym.envs.early_exit.problem import EarlyExitProblem
from codesign_gym.envs.early_exit.relaxation import main_effects, predicted
from codesign_gym.envs.mixed_precision import factory as bitwidths
from codesign_gym.envs.registration import MULTI_OBJECTIVE

quick = settings(deadline=None, derandomize=True, max_examples=8)

#: A tabulated loss, two costs that differ in what they charge for.
TABULAR: dict[str, Any] = {"network": "digits-cnn", "device": "bitfusion", "accuracy": "tabular"}
EXITS: dict[str, Any] = {
    "backbones": ("early_exit_samples:first", "early_exit_samples:second"),
    "pixels": None,
    "device": "v100",
    "thresholds": (0.6, 0.8, 0.9, 0.95),
    "floor": 5.0,
    "standard_errors": 0.0,
}
OBJECTIVES = {
    "codesign/MixedPrecision-v0": {"latency": 5, "energy": 4, "size": 2},
    "codesign/EarlyExit-v0": {"latency": 0.5, "accuracy": 10},
}
OPTIONS = {"codesign/MixedPrecision-v0": TABULAR, "codesign/EarlyExit-v0": EXITS}
BUILD = {"codesign/MixedPrecision-v0": bitwidths, "codesign/EarlyExit-v0": exits}


def core_of(name: str, several: bool = True, **options: Any) -> ConstructCore:
    objectives = {"objectives": OBJECTIVES[name]} if several else {}
    factory: Any = BUILD[name]
    core: ConstructCore = factory.build(factory.Options(**{**OPTIONS[name], **objectives, **options}))
    return core


def metrics_of(problem: DesignProblem, designs: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    return dict(zip((metric.name for metric in problem.metrics), problem.evaluate(designs).T, strict=True))


def episode(env: gym.Env[Any, Any], seed: int) -> tuple[Any, dict[str, Any], NDArray[np.float32]]:
    """The return, the last info, and the first observation, of random actions."""
    generator = np.random.default_rng(seed)
    first, info = env.reset(seed=seed)
    total, done = 0.0, False
    while not done:
        _, reward, done, _, info = env.step(int(generator.choice(np.flatnonzero(info["action_mask"]))))
        total = total + reward
    return total, info, first


# What designs earn


@quick
@given(latency=st.floats(0.01, 100), size=st.floats(0.01, 100), seed=st.integers(0, 50))
def test_bitwidths_earn_the_loss_and_the_shares_that_are_saved(latency: float, size: float, seed: int) -> None:
    core = core_of("codesign/MixedPrecision-v0", objectives={"latency": latency, "size_bytes": size})
    problem: Any = core.problem
    designs = np.concatenate([problem.space.sample(np.random.default_rng(seed), 5), problem.uniform(8)])
    found = metrics_of(problem, designs)
    shares = {name: values / values[-1] for name, values in found.items()}
    expected = [
        found["loss"][-1] - found["loss"],
        latency * (1 - shares["latency_s"]),
        size * (1 - shares["size_bytes"]),
    ]
    np.testing.assert_allclose(
        rewards(problem, problem.evaluate(designs)), np.stack(expected, -1), rtol=1e-9, atol=1e-9
    )


@quick
@given(latency=st.floats(0.01, 100), slowest=st.floats(0.01, 100), accuracy=st.floats(0.01, 100))
def test_exits_earn_shares_and_points(latency: float, slowest: float, accuracy: float) -> None:
    weights = {"latency": latency, "worst_latency_s": slowest, "accuracy": accuracy}
    problem: Any = core_of("codesign/EarlyExit-v0", objectives=weights).problem
    full = [0, 0, 0, 0, *(len(knob.values) - 1 for knob in problem.space.knobs[4:])]  # no exits, highest clocks
    designs = np.concatenate([problem.space.sample(np.random.default_rng(0), 20), np.array([full])])
    found = metrics_of(problem, designs)
    expected = [
        1 - found["energy_j"] / found["energy_j"][-1],
        latency * (1 - found["latency_s"] / found["latency_s"][-1]),
        slowest * (1 - found["worst_latency_s"] / found["worst_latency_s"][-1]),
        accuracy * (found["accuracy"] - found["accuracy"][-1]),
    ]
    np.testing.assert_allclose(
        rewards(problem, problem.evaluate(designs)), np.stack(expected, -1), rtol=1e-9, atol=1e-9
    )


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("enforcement", ["mask", "price"])
def test_terms_are_the_objectives_and_the_vector_is_the_scalar_without_the_price(name: str, enforcement: str) -> None:
    options = {**OPTIONS[name], "objectives": OBJECTIVES[name], "enforcement": enforcement}
    plain = gym.make(name, **options)
    vector = mo_gymnasium.make(MULTI_OBJECTIVE, env=name, **options)
    assert vector.unwrapped.reward_dim == 1 + len(OBJECTIVES[name])
    charged = 0.0
    for seed in range(6):
        total, info, _ = episode(plain, seed)
        found, _, _ = episode(vector, seed)
        terms = info["reward_terms"]
        np.testing.assert_allclose(found, [terms[metric] for metric in vector.unwrapped.objectives], rtol=1e-6)
        assert total == pytest.approx(found.sum() + terms["price"], rel=1e-5, abs=1e-6)
        charged += abs(terms["price"])
    assert (charged > 0) == (enforcement == "price" and name == "codesign/EarlyExit-v0")  # the other has no budget


@pytest.mark.parametrize("name", OBJECTIVES)
def test_weights_are_drawn_seen_and_weigh(name: str) -> None:
    core = core_of(name, preferences="sampled", enforcement="mask")
    env, count, seen = CodesignEnv(core), 1 + len(OBJECTIVES[name]), set()
    assert core.observation_space.shape[0] == core_of(name, enforcement="mask").observation_space.shape[0] + count
    for seed in range(6):
        total, info, first = episode(env, seed)
        weights = first[-count:].astype(float)
        assert weights.sum() == pytest.approx(count, rel=1e-6)
        assert total == pytest.approx(rewards(core.problem, info["metrics"][None])[0] @ weights, rel=1e-5)
        seen.add(tuple(weights))
    assert len(seen) == 6


# One objective is what it always was


def test_one_objective_over_bitwidths_is_by_its_definition() -> None:
    """Bit by bit: sensitivities over the best uniform design's, no factor of the objective's between."""
    core = core_of("codesign/MixedPrecision-v0", several=False, budget={"latency": 0.9})
    problem: Any = core.problem
    predicted_ = problem.sensitivities[:, 0, :, None] + problem.sensitivities[:, 1, None, :]
    usage = problem.costs["latency_s"][None] / problem.constraints[0].limit
    unit = best_uniform(Separable(predicted_, usage, problem.space.allowed))
    np.testing.assert_array_equal(problem.separable.loss, predicted_ / unit)
    designs = problem.space.sample(np.random.default_rng(0), 9)
    loss = metrics_of(problem, designs)["loss"]
    np.testing.assert_array_equal(score(problem, problem.evaluate(designs)), -(loss - problem.objectives[0].reference))
    assert core.reward_terms(core.initial([np.random.default_rng(0)], None), first_step(core)).keys() == {
        "objective",
        "price",
    }


def first_step(core: ConstructCore) -> Any:
    return core.transition(core.initial([np.random.default_rng(0)], None), np.array([0]))


def test_one_objective_over_exits_is_by_its_definition() -> None:
    """Bit by bit: main effects of the logarithm of the energy over that of the best feasible design."""
    problem = core_of("codesign/EarlyExit-v0", several=False).problem
    assert isinstance(problem, EarlyExitProblem)
    best, found = problem.optimum()
    energy_j = problem.answers.shares @ problem.costs.energy_j  # (backbones, subsets, thresholds, settings)
    least = np.where(problem.feasible, energy_j, np.inf).min()
    effects = main_effects((1 + np.log(energy_j / least)).reshape(problem.space.sizes))
    for row, effect in zip(problem.separable.loss, effects, strict=True):
        np.testing.assert_array_equal(row[: len(effect)], effect)
    assert found == problem.objectives[0].reward(least)
    assert problem.evaluate(best[None])[0, 2] == pytest.approx(least, rel=1e-12)


# What tables predict


@quick
@given(latency=st.floats(0.01, 100), size=st.floats(0.01, 100), floor=st.booleans())
def test_tables_of_bitwidths_are_the_summed_loss(latency: float, size: float, floor: bool) -> None:
    """Their differences are those of the score, in one unit, where the predicted loss is exact."""
    budget = {"latency": 0.95} if floor else None
    objectives = {"latency": latency, "size": size}
    core = core_of("codesign/MixedPrecision-v0", objectives=objectives, budget=budget)
    problem = core.problem
    designs = problem.space.sample(np.random.default_rng(1), 30)
    earned, lost = score(problem, problem.evaluate(designs)), problem.separable.totals(designs)[:, 0]
    unit = np.ptp(earned) / np.ptp(lost)
    np.testing.assert_allclose(earned - earned[0], unit * (lost[0] - lost), rtol=1e-7, atol=1e-7 * np.ptp(earned))


def test_dense_rewards_add_up_to_the_fall_of_the_summed_loss() -> None:
    core = core_of("codesign/MixedPrecision-v0", reward="dense", enforcement="none")
    generator = np.random.default_rng(0)
    states = [core.initial([generator] * 7, None)]
    for _ in range(core.horizon):
        states.append(core.transition(states[-1], generator.integers(0, 7, 7)))
    paid = np.sum([core.reward_terms(*pair)["loss"] for pair in pairwise(states)], axis=0)
    earned = score(core.problem, states[-1].metrics)
    assert np.corrcoef(paid, earned)[0, 1] == pytest.approx(1.0, abs=1e-9)


def test_the_integer_program_finds_the_best_of_all() -> None:
    """Of 2 bitwidths for everything, where all designs can be scored; the best for either objective alone differs."""
    found = {}
    for weights in ({"latency": 0.05}, {"latency": 3.0}):
        core = core_of("codesign/MixedPrecision-v0", objectives=weights, bits=(2, 3), pinned="none")
        problem = core.problem
        everything = problem.space.enumerate(0, problem.space.size)
        best = score(problem, problem.evaluate(everything)).max()
        design = solve(problem.separable)
        assert score(problem, problem.evaluate(design[None]))[0] == pytest.approx(best, rel=1e-6)
        found[weights["latency"]] = design.tolist()
    assert len({tuple(design) for design in found.values()}) == 2


def test_exits_are_sought_by_the_sum() -> None:
    problem = core_of("codesign/EarlyExit-v0").problem
    assert isinstance(problem, EarlyExitProblem)
    designs = problem.space.enumerate(0, problem.space.size)
    metrics = problem.evaluate(designs)
    kept = feasible(problem, metrics)
    assert 0 < kept.mean() < 1
    best, found = problem.optimum()
    assert found == pytest.approx(score(problem, metrics[kept]).max(), rel=1e-12)
    assert score(problem, problem.evaluate(best[None]))[0] == pytest.approx(found, rel=1e-12)
    alone = core_of("codesign/EarlyExit-v0", several=False).problem
    assert isinstance(alone, EarlyExitProblem)
    assert found > score(problem, problem.evaluate(alone.optimum()[0][None]))[0], "the least energy is not the best"


def test_tables_of_exits_are_main_effects_of_what_is_spent() -> None:
    """A unit of reward is a unit of any objective: shares of full costs and of answers that are wrong."""
    problem = core_of("codesign/EarlyExit-v0").problem
    assert isinstance(problem, EarlyExitProblem)
    designs = problem.space.enumerate(0, problem.space.size)
    found = metrics_of(problem, designs)
    energy, latency = (problem.objectives[at].reference for at in (0, 1))
    spent = found["energy_j"] / energy + 0.5 * found["latency_s"] / latency + 10 * (1 - found["accuracy"])
    best = spent[feasible(problem, problem.evaluate(designs))].min()
    effects = predicted(main_effects((1 + np.log(spent / best)).reshape(problem.space.sizes))).ravel()
    np.testing.assert_allclose(problem.separable.totals(designs)[:, 0], effects, rtol=1e-9)


# Reference points, and what is measured


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_states_its_worst_value(name: str) -> None:
    problem = core_of(name).problem
    point = reference_point(problem)
    designs = problem.space.sample(np.random.default_rng(0), 200)
    earned = rewards(problem, problem.evaluate(designs))
    assert (earned > point).all(-1).any(), "some designs are better in everything"
    alone = core_of(name, several=False).problem
    assert reference_point(alone)[0] == point[0]


def test_limits_say_how_slow_and_wrong_exits_may_be() -> None:
    problem = core_of("codesign/EarlyExit-v0", slack=1.5, deadline_for="mean").problem
    floor, deadline = problem.constraints
    _, latency, accuracy = problem.objectives
    assert (latency.worst, accuracy.worst) == (deadline.limit, floor.limit)
    hurried = core_of("codesign/EarlyExit-v0", slack=0.9, deadline_for="mean").problem.objectives[1]
    assert hurried.worst == hurried.reference > 0.9 * hurried.reference


def test_a_measured_accuracy_beside_costs(cache: Path) -> None:
    options = {"network": "digits-cnn", "device": "bitfusion"}
    one, several = (
        bitwidths.build(bitwidths.Options(**options, objectives=objectives)).problem
        for objectives in ({}, {"latency": 2, "size": 1})
    )
    designs = one.space.sample(np.random.default_rng(0), 3)
    metrics = several.evaluate(designs)
    np.testing.assert_array_equal(several.standard_error(metrics), one.standard_error(metrics))
    assert (several.standard_error(metrics) > 0).all()
    assert several.objectives[0] == one.objectives[0]
    assert reference_point(several).tolist() == [-10 * one.objectives[0].reference, 0.0, 0.0]
    assert several.preparation == one.preparation, "the rate of exchange takes no measurements of its own"
    # The rate by its definition, from the designs with one knob at 2 bits and above.
    quantized = several.scorer.quantized
    finest = np.full((quantized.layers, 2), 8)
    rises, lost = [], []
    for layer, knob, bits in np.ndindex(quantized.layers, 2, 7):
        lowered = finest.copy()
        lowered[layer, knob] = 2 + bits
        rises.append(quantized.loss(lowered) - quantized.loss(finest))
        lost.append(quantized.accuracy(finest) - quantized.accuracy(lowered))
    assert several.score_per_loss == pytest.approx(np.linalg.lstsq(np.array(rises)[:, None], lost)[0][0], rel=1e-9)
    assert 0.05 < several.score_per_loss < 1.5


def test_a_floor_goes_with_further_costs(cache: Path) -> None:
    options: dict[str, Any] = {"network": "digits-cnn", "device": "bitfusion", "floor": 2.0, "samples": 6}
    problem = bitwidths.build(bitwidths.Options(**options, minimize="energy", objectives={"size": 0.5})).problem
    assert [objective.metric for objective in problem.objectives] == ["energy_j", "size_bytes"]
    designs = problem.space.sample(np.random.default_rng(0), 8)
    assert not problem.standard_error(problem.evaluate(designs)).any()
    earned, lost = score(problem, problem.evaluate(designs)), problem.separable.totals(designs)[:, 0]
    assert np.corrcoef(earned, lost)[0, 1] == pytest.approx(-1.0, abs=1e-9)
