"""What environments and problems are asked, and what they tell: designs, budgets with units, masks."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from product_samples import Tiles
from sb3_contrib import MaskablePPO
from sb3_contrib.common.maskable.utils import get_action_masks

from codesign_gym.envs.core import goal
from codesign_gym.errors import BadConfig
from codesign_gym.pareto import hypervolume, nondominated

FULL = {"latency_s": 2.0, "dynamic_energy_j": 1.0, "on_chip_bytes": 1.0, "area_mm2": 50.0, "dsp": 900.0}


@pytest.mark.parametrize(
    ("row", "knob", "value", "message"),
    [
        (1, 0, -1, "designs: knob 'tile0' of row 1 is -1; accepted: the position of a value, 0 to 3"),
        (2, 3, 3, "designs: knob 'dataflow' of row 2 is 3; accepted: the position of a value, 0 to 2"),
        (0, 2, 2**40, "designs: knob 'tile2' of row 0 is 1099511627776"),
    ],
)
def test_a_design_that_is_none_is_named(row: int, knob: int, value: int, message: str) -> None:
    designs = np.zeros((3, 4), dtype=np.int64)
    Tiles().evaluate(designs)
    designs[row, knob] = value
    with pytest.raises(BadConfig) as caught:
        Tiles().evaluate(designs)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("designs", [np.zeros(4, np.int64), np.zeros((2, 3), np.int64), np.zeros((2, 4))])
def test_designs_of_another_shape_or_type_are_refused(designs: np.ndarray) -> None:
    with pytest.raises(BadConfig, match=r"accepted: whole numbers of shape \(batch, 4\)"):
        Tiles().evaluate(designs)


def test_designs_of_narrow_integers_are_designs() -> None:
    designs = Tiles().space.sample(np.random.default_rng(0), 20)
    for kind in (np.int8, np.uint8, np.int32):
        np.testing.assert_array_equal(Tiles().evaluate(designs.astype(kind)), Tiles().evaluate(designs))


@pytest.mark.parametrize("name", ["codesign/Accelerator-v0", "codesign/LayerOps-v0", "codesign/MixedPrecision-v0"])
def test_every_environments_problem_looks_at_designs(name: str) -> None:
    problem = gym.make(name).unwrapped.core.problem
    with pytest.raises(BadConfig, match=r"of row 0 is -1; accepted"):
        problem.evaluate(np.full((1, len(problem.space)), -1))


@pytest.mark.parametrize(
    ("budget", "limit"),
    [
        ({"area": "1 mm2"}, {"area_mm2": 1.0}),
        ({"area": "0.3cm2"}, {"area_mm2": 30.0}),
        ({"area": 0.5}, {"area_mm2": 25.0}),
        ({"area_mm2": 12}, {"area_mm2": 12.0}),
        ({"latency": "5e2 us"}, {"latency_s": 5e-4}),
        ({"dynamic_energy_j": "3 mJ"}, {"dynamic_energy_j": 3e-3}),
        ({"on_chip_bytes": "2 KiB"}, {"on_chip_bytes": 2048.0}),
    ],
)
def test_amounts_have_the_units_of_their_metric(budget: goal.Budget, limit: dict[str, float]) -> None:
    assert goal.limits(budget, FULL, "it has no") == pytest.approx(limit, rel=1e-12)


@pytest.mark.parametrize(
    ("budget", "accepted"),
    [
        ({"area": "1 m2"}, "a positive amount in cm2, mm2, um2, such as '5 mm2'"),
        ({"dynamic_energy_j": "3"}, "a positive number, or a positive amount in J, mJ, uJ, nJ, such as '5 mJ'"),
        ({"latency": "2 mm2"}, "a positive amount in s, ms, us, ns, such as '5 ms'"),
        ({"on_chip_bytes": "-2 kB"}, "a positive amount in B, kB, MB, KiB, MiB"),
        ({"dsp": "200 dsps"}, "is '200 dsps'; accepted: a positive number"),
    ],
)
def test_a_unit_that_is_none_is_answered_with_those_accepted(budget: goal.Budget, accepted: str) -> None:
    with pytest.raises(BadConfig) as caught:
        goal.limits(budget, FULL, "it has no")
    assert accepted in str(caught.value)


@pytest.mark.parametrize("mode", ["construct", "refine"])
@pytest.mark.parametrize("action", ["discrete", "multidiscrete"])
def test_gymnasium_samples_by_the_masks_and_what_it_draws_is_legal(action: str, mode: str) -> None:
    env = gym.make("codesign/Accelerator-v0", template="bismo", network="alexnet", action=action, mode=mode)
    env.action_space.seed(0)
    _, info = env.reset(seed=0)
    for step in range(30):
        mask = env.unwrapped.action_masks() if step % 2 else info["action_mask"]
        drawn = env.action_space.sample(mask if action == "discrete" else (mask,))
        _, _, terminated, truncated, info = env.step(drawn)
        assert info["corrections"] == 0
        if terminated or truncated:
            _, info = env.reset()


@pytest.mark.parametrize("action", ["discrete", "multidiscrete"])
def test_sb3_contrib_learns_by_the_masks(action: str) -> None:
    env = gym.make("codesign/Accelerator-v0", template="bismo", network="alexnet", action=action)
    model = MaskablePPO("MlpPolicy", env, n_steps=8, batch_size=8, n_epochs=1, seed=0, device="cpu").learn(16)
    observation, _ = env.reset(seed=0)
    for _ in range(4):
        chosen, _ = model.predict(observation, action_masks=get_action_masks(env))
        observation, _, _, _, info = env.step(chosen)
    assert info["corrections"] == 0


def test_what_is_no_number_has_no_front() -> None:
    points = np.array([[1.0, 2.0], [3.0, np.nan]])
    for call in (nondominated, lambda found: hypervolume(found, np.array([9.0, 9.0]))):
        with pytest.raises(BadConfig, match="field 'points' has nan in column 1 of row 1"):
            call(points)
    with pytest.raises(BadConfig, match="field 'reference' has nan in column 0"):
        hypervolume(points[:1], np.array([np.nan, 9.0]))
