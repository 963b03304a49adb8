"""HAQ's problem: observations, budgets, floors, and every way to get an option wrong."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from codesign_gym.envs.core import goal
from codesign_gym.envs.mixed_precision.factory import Options, build
from codesign_gym.errors import BadConfig, CodesignError, Infeasible
from codesign_gym.simulators import networks

TABULAR: dict[str, Any] = {"network": "mobilenetv2-imagenet100", "device": "haq-cloud", "accuracy": "tabular"}


def make(**options: Any) -> Any:
    return gym.make("codesign/MixedPrecision-v0", **{**TABULAR, **options}).unwrapped


def problem_of(**options: Any) -> Any:
    return build(Options(**{**TABULAR, **options})).problem


# What the agent sees


@pytest.fixture(scope="module")
def seen() -> np.ndarray:
    """Observations of an episode on MobileNetV2 whose choices are 4 bits, then 6, in turn, (106, 10)."""
    env = make()
    observations = [env.reset(seed=0)[0]]
    for step in range(105):
        observation, _, terminated, _, _ = env.step(2 if step % 2 == 0 else 4)
        assert not terminated
        observations.append(observation)
    assert env.step(0)[2], "the 106th decision is the last"
    return np.array(observations)


def test_haqs_observations_are_the_layers_columns(seen: np.ndarray) -> None:
    """53 layers, two decisions each; columns scaled over the layers by their least and greatest value."""
    layers = networks.load("mobilenetv2-imagenet100").weighted()
    assert len(layers) == 53
    rows = layers.layers
    raw = {
        0: rows.depthwise,
        1: rows.in_channels,
        2: rows.out_channels,
        3: rows.stride,
        4: rows.kernel_height,
        5: rows.weights,
        6: rows.in_height * rows.in_width,
        7: np.arange(53),
    }
    for column, values in raw.items():
        values = values.astype(float)
        scaled = (values - values.min()) / (values.max() - values.min())
        np.testing.assert_allclose(seen[:, column], np.repeat(scaled, 2), rtol=1e-6, err_msg=f"column {column}")


def test_haqs_observations_by_hand(seen: np.ndarray) -> None:
    """Layers of Sandler et al. 2018, table 2, worked out by hand."""
    stem, depthwise, classifier = seen[0], seen[2], seen[104]
    # 3 -> 32 channels, 3x3, stride 2, 224x224: the fewest input channels, the most pixels.
    np.testing.assert_allclose(stem[[0, 1, 3, 4, 6, 7, 9]], [0, 0, 1, 1, 1, 0, 0])
    np.testing.assert_allclose(stem[2], (32 - 16) / (1280 - 16), rtol=1e-6)
    # 32 channels, depthwise 3x3, stride 1, 112x112: 288 weights, the fewest of all.
    np.testing.assert_allclose(depthwise[[0, 3, 4, 5]], [1, 0, 1, 0])
    np.testing.assert_allclose(depthwise[1], (32 - 3) / (1280 - 3), rtol=1e-6)
    np.testing.assert_allclose(depthwise[6], (112**2 - 1) / (224**2 - 1), rtol=1e-6)
    # 1280 -> 100 classes on one position.
    np.testing.assert_allclose(classifier[[0, 1, 3, 4, 6, 7]], [0, 1, 0, 0, 0, 1])
    np.testing.assert_allclose(classifier[5], (128_000 - 288) / (320 * 1280 - 288), rtol=1e-6)


def test_the_previous_bitwidth_and_the_kind_of_decision(seen: np.ndarray) -> None:
    np.testing.assert_array_equal(seen[:, 9], np.tile([0.0, 1.0], 53))
    expected = np.where(np.arange(106) % 2 == 1, 4, 6) / 8
    expected[:3] = [0.0, 1.0, 1.0]  # nothing before the first; the first layer is pinned to 8 bits
    expected[105] = 1.0  # the last layer's weights are pinned, too
    np.testing.assert_allclose(seen[:, 8], expected)


def test_rich_observations_tell_what_is_left() -> None:
    env = make(observation="rich", budget={"latency": 0.6, "size": 0.5})
    observation, info = env.reset(seed=0)
    assert observation.shape == (10 + 7 + 2 * (7 + 1),)
    for _ in range(106):
        observation, *_, info = env.step(0)
    assert (info["usage"] < 1).all()
    np.testing.assert_allclose(observation[-2:], 1 - info["usage"], rtol=1e-5)


# Designs and their costs


def test_metrics_are_the_devices_costs() -> None:
    from codesign_gym.simulators.hardware import device as devices

    problem = problem_of(budget={"latency": 0.6})
    designs = problem.space.sample(np.random.default_rng(0), 5)
    device = devices.load("haq-cloud")
    expected = device.cost(problem.network.layers, problem.bits(designs)).total()
    metrics = problem.evaluate(designs)
    assert [metric.name for metric in problem.metrics] == ["loss", "latency_s", "size_bytes"]
    np.testing.assert_allclose(metrics[:, 1], expected.latency_s, rtol=1e-12)
    np.testing.assert_allclose(metrics[:, 2], expected.size_bytes, rtol=1e-12)
    np.testing.assert_allclose(metrics[:, 0], problem.scorer.score(problem.bits(designs)))


def test_the_separable_tables_are_the_metrics() -> None:
    problem = problem_of(budget={"latency": 0.6, "size": 0.5})
    designs = problem.space.sample(np.random.default_rng(0), 20)
    metrics, totals = problem.evaluate(designs), problem.separable.totals(designs)
    for k, bound in enumerate(problem.constraints):
        column = [metric.name for metric in problem.metrics].index(bound.metric)
        np.testing.assert_allclose(totals[:, 1 + k], metrics[:, column] / bound.limit, rtol=1e-12)
    ratio = totals[:, 0] / metrics[:, 0]
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-9)


def test_ends_are_pinned_unless_told_otherwise() -> None:
    for pinned, expected in (("ends", [0, 1, 104, 105]), ("none", [])):
        knobs = problem_of(pinned=pinned).space.knobs
        assert [i for i, knob in enumerate(knobs) if knob.pinned == 6] == expected


@pytest.mark.parametrize("bits", [2, 5, 8])
def test_uniform_designs_keep_the_ends(bits: int) -> None:
    problem = problem_of()
    assert problem.bits(problem.uniform(bits))[0].tolist() == [[8, 8], *[[bits, bits]] * 51, [8, 8]]


# Budgets


def test_budgets_are_shares_or_amounts() -> None:
    full = {"latency_s": 0.2, "size_bytes": 1000.0}
    limits = partial(goal.limits, full=full, source="nothing tells")
    assert limits({"latency": 0.5, "size": 0.25}) == {"latency_s": 0.1, "size_bytes": 250.0}
    assert limits({"latency_s": 0.5, "size_bytes": "2 kB"}) == {"latency_s": 0.5, "size_bytes": 2000.0}
    amounts = {"3.5 ms": 3.5e-3, "3.5ms": 3.5e-3, "12 us": 12e-6, "2e-3 s": 2e-3, "40ns": 40e-9}
    for text, limit in amounts.items():
        assert limits({"latency": text})["latency_s"] == pytest.approx(limit, rel=1e-12)
    for text, limit in {"20 kB": 20e3, "1.5 MiB": 1.5 * 2**20, "7 B": 7.0}.items():
        assert limits({"size": text})["size_bytes"] == limit


def test_a_budget_is_kept_by_projection() -> None:
    env = make(budget={"latency": 0.5, "size": "1.2 MB"})
    env.reset(seed=0)
    for _ in range(106):
        *_, info = env.step(6)
    latency, size = (bound.limit for bound in env.core.problem.constraints)
    assert info["metrics"][1] <= latency * (1 + 1e-9)
    assert info["metrics"][2] <= size * (1 + 1e-9)
    assert size == 1.2e6


def test_an_infeasible_budget_names_the_metric_and_the_least() -> None:
    problem = problem_of()
    least = problem.evaluate(problem.uniform(2))[0, 1]  # both ends pinned, all else at its cheapest
    with pytest.raises(Infeasible) as caught:
        make(budget={"latency": 0.01})
    message = str(caught.value)
    assert message.startswith("no design keeps latency_s within ")
    told = float(re.findall(r"needs is ([\d.e+-]+)", message)[0])
    assert told == pytest.approx(least, rel=1e-5)


# An accuracy floor


def test_with_a_floor_the_cost_is_the_objective(cache: Path) -> None:
    options = Options(network="digits-cnn", device="bismo-edge", floor=2.0, minimize="latency", samples=12)
    problem: Any = build(options).problem
    full = problem.evaluate(problem.uniform(8))[0]
    (floor,) = problem.constraints
    (objective,) = problem.objectives
    assert objective.metric == "latency_s"
    assert floor.metric == "accuracy"
    assert floor.limit == pytest.approx(full[0] - 0.02)
    # Nothing saved, nothing earned; half the latency saved earns a half.
    assert objective.reward(full[1]) == 0
    assert objective.reward(full[1] / 2) == pytest.approx(0.5)
    # The floor is used up as accuracy falls, in the estimate by the predicted loss.
    assert floor.usage(np.array([full[0], floor.limit])).tolist() == pytest.approx([0.0, 1.0])
    used = problem.separable.totals(np.concatenate([problem.uniform(8), problem.uniform(2)]))[:, 1]
    assert used[0] < 1 < used[1]


def test_accuracy_is_worth_a_tenth_a_point(cache: Path) -> None:
    env: Any = gym.make("codesign/MixedPrecision-v0", network="digits-cnn", device="bismo-edge").unwrapped
    env.reset(seed=0)
    reference = env.core.problem.evaluate(env.core.problem.uniform(8))[0, 0]
    reward = 0.0
    for _ in range(len(env.core.problem.space)):
        _, reward, _, _, info = env.step(1)
    points = 100 * (info["metrics"][0] - reference)
    assert points < 0
    assert reward == pytest.approx(0.1 * points)


# Options that are wrong

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"netwrk": "digits-cnn"}, "unknown field 'netwrk'; did you mean 'network'"),
    ({"network": "mobilenetv3"}, "unknown network 'mobilenetv3'; did you mean 'mobilenetv2"),
    ({"network": 7}, "field 'network' is 7"),
    ({"network": "absent.yaml"}, "network file 'absent.yaml' does not exist"),
    ({"device": "haq-clout"}, "unknown device 'haq-clout'; did you mean 'haq-cloud'"),
    ({"accuracy": "table"}, "unknown accuracy 'table'; did you mean 'tabular'"),
    ({"accuracy": "measured"}, "table of shapes, without weights"),
    ({"reward": "dence"}, "unknown reward 'dence'; did you mean 'dense'"),
    ({"observation": "haqq"}, "unknown observation 'haqq'; did you mean 'haq'"),
    ({"action": "boxes"}, "unknown action view 'boxes'; did you mean 'box'"),
    ({"enforcement": "projct"}, "unknown enforcement 'projct'; did you mean 'project'"),
    ({"enforcement": ""}, "unknown enforcement ''"),
    ({"pinned": "end"}, "unknown pinned 'end'; did you mean 'ends'"),
    ({"bits": (8, 2)}, "bits is [8, 2]; accepted: lowest and highest bitwidth between 1 and 8"),
    ({"bits": (0, 8)}, "bits is [0, 8]"),
    ({"bits": (2, 9)}, "bits is [2, 9]"),
    ({"bits": (4,)}, "bits is [4]"),
    ({"bits": "28"}, "field 'bits' is '28'"),
    ({"bits": (2.5, 8)}, "field 'bits.0' is 2.5"),
    ({"budget": 0.6}, "field 'budget' is 0.6"),
    ({"budget": {"latncy": 0.6}}, "unknown budget 'latncy'; did you mean 'latency'"),
    ({"budget": {"energy": 0.6}}, "budget 'energy': device 'haq-cloud' has no source for energy_j"),
    ({"budget": {"latency": -1}}, "budget 'latency' is -1"),
    ({"budget": {"latency": 0}}, "budget 'latency' is 0"),
    ({"budget": {"latency": float("nan")}}, "budget 'latency' is nan"),
    ({"budget": {"latency": True}}, "budget 'latency' is True; accepted: a share"),
    ({"budget": {"latency": "5"}}, "budget 'latency' is '5'; accepted: a share"),
    ({"budget": {"latency": [0.5]}}, "budget 'latency' is [0.5]; accepted: a share"),
    ({"budget": {"latency": float("inf")}}, "budget 'latency' is inf; accepted: a share"),
    ({"seed": True}, "field 'seed' is True"),
    ({"samples": "5"}, "field 'samples' is '5'"),
    ({"budget": {"latency": "5 kg"}}, "budget 'latency' is '5 kg'; accepted: a share"),
    ({"budget": {"size": "5 ms"}}, "accepted: a share of the full cost such as 0.6, or a positive"),
    ({"budget": {"latency": "fast"}}, "budget 'latency' is 'fast'"),
    ({"budget": {"latency": 0.01}}, "no design keeps latency_s within"),
    ({"objectives": {"latncy": 1.0}}, "unknown objective 'latncy'; did you mean 'latency'"),
    ({"objectives": {"energy": 1.0}}, "objective 'energy': device 'haq-cloud' has no source for energy_j"),
    ({"objectives": {"latency": 0.0}}, "weight of objective 'latency' is 0.0; accepted: a positive number"),
    ({"objectives": {"latency": "5"}}, "field 'objectives.latency' is '5'"),
    ({"objectives": {"latency": 1.0, "latency_s": 2.0}}, "'latency_s': latency_s is an objective already"),
    ({"preferences": "sampled"}, "preferences is 'sampled', but there is one objective, loss; accepted: fixed"),
    ({"preferences": "sampled", "objectives": {"latency": 1.0}, "reward": "dense"}, "preferences vary; try terminal"),
    ({"preferences": "drawn"}, "field 'preferences' is 'drawn': Input should be 'fixed' or 'sampled'"),
    ({"minimize": "speed"}, "field 'minimize' is 'speed': Input should be 'latency', 'energy' or 'size'"),
    ({"floor": 1.0}, "accuracy 'tabular' measures nothing that a floor could bound"),
    ({"floor": 1.0, "budget": {"latency": 0.6}}, "give a budget or a floor, not both"),
    ({"fine_tune": -1}, "field 'fine_tune' is -1"),
    ({"samples": 1}, "field 'samples' is 1"),
    ({"seed": -3}, "field 'seed' is -3"),
    ({"seed": "x"}, "field 'seed' is 'x'"),
    ({"render_mode": "human"}, "render_mode is 'human'; accepted"),
]


@pytest.mark.parametrize(("options", "expected"), WRONG, ids=lambda value: str(value)[:40])
def test_a_wrong_option_is_one_clear_line(options: dict[str, Any], expected: str) -> None:
    from codesign_gym.envs.mixed_precision.env import MixedPrecisionEnv

    with pytest.raises(CodesignError) as caught:
        MixedPrecisionEnv(**{**TABULAR, **options})
    message = str(caught.value)
    assert expected in message
    assert "\n" not in message


def test_a_floor_is_in_points(cache: Path) -> None:
    for floor in (0.0, -1.0, 101.0):
        with pytest.raises(BadConfig, match=r"floor is .*; accepted: percentage points in \(0, 100\]"):
            build(Options(network="digits-cnn", floor=floor, samples=2))


def test_the_vector_environment_reads_options_too() -> None:
    with pytest.raises(BadConfig, match="codesign/MixedPrecision-v0: unknown field 'netwrk'"):
        gym.make_vec("codesign/MixedPrecision-v0", 2, vectorization_mode="vector_entry_point", netwrk="digits-cnn")
