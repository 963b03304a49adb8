from __future__ import annotations

from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from codesign_gym.envs.core.problem import feasible, score
from codesign_gym.envs.early_exit.factory import Options, build, early_exit_problem
from codesign_gym.envs.early_exit.problem import EarlyExitProblem
from codesign_gym.envs.early_exit.relaxation import main_effects, predicted
from codesign_gym.envs.registration import takes
from codesign_gym.errors import BadConfig, Infeasible, UnknownName
from codesign_gym.records import parse
from codesign_gym.testing import CHECKS, CORE_CHECKS, check_env

FIRST, SECOND = "early_exit_samples:first", "early_exit_samples:second"
BOTH: dict[str, Any] = {
    "backbones": (FIRST, SECOND),
    "pixels": None,
    "device": "v100",
    "thresholds": (0.6, 0.8, 0.9, 0.95),
}
#: Options under which some designs are feasible and others not.
LOOSE: dict[str, Any] = {**BOTH, "floor": 5.0, "standard_errors": 0.0}

quick = settings(deadline=None, derandomize=True, max_examples=20)


def every_design(problem: EarlyExitProblem) -> NDArray[np.int64]:
    return problem.space.enumerate(0, problem.space.size)


def plain(problem: EarlyExitProblem, design: NDArray[np.int64], split: str) -> list[float]:
    """Accuracy, energy, latency and worst latency, sample by sample, of a problem with two backbones."""
    knobs = dict(zip((knob.name for knob in problem.space.knobs), design.tolist(), strict=True))
    record = getattr(problem.records[knobs["backbone"]], split)
    placed = [bool(knobs.get(name, True)) for name in record.names]
    threshold = problem.thresholds[knobs["threshold"]]
    index = np.array([knobs[f"{name}_hz"] for name in problem.soc.names])
    right, energy, latency = [], [], []

    def cost(exit_: int) -> tuple[float, float]:
        work = record.stages[0] + record.heads[0] if placed[0] else record.stages[0]
        for e in range(1, exit_ + 1):
            work = work + record.stages[e]
            work = work + record.heads[e] if placed[e] else work
        seconds = problem.soc.latency_s(work, index)
        power = problem.soc.power_w(index, problem.soc.activity(work, index), 50.0).sum()
        return float(power * seconds), float(seconds)

    for sample, answers in zip(record.confidence, record.correct, strict=True):
        exit_ = next(e for e in range(record.exits) if placed[e] and (sample[e] >= threshold or e == record.exits - 1))
        joules, seconds = cost(exit_)
        right.append(bool(answers[exit_]))
        energy.append(joules)
        latency.append(seconds)
    return [float(np.mean(right)), float(np.mean(energy)), float(np.mean(latency)), cost(record.exits - 1)[1]]


def test_metrics_are_what_sample_by_sample_gives() -> None:
    problem = early_exit_problem(Options(**LOOSE))
    designs = problem.space.sample(np.random.default_rng(0), 12)
    metrics = problem.evaluate(designs)
    for design, row in zip(designs, metrics, strict=True):
        accuracy, *costs = plain(problem, design, "search")
        assert row[0] == accuracy
        assert np.allclose(row[2:], costs, rtol=1e-12)
        test_accuracy, test_j, test_s, _ = plain(problem, design, "test")
        claims = problem.claim(design)
        assert claims["test_accuracy"] == test_accuracy
        assert np.allclose([claims["test_energy_j"], claims["test_latency_s"]], [test_j, test_s], rtol=1e-12)


def test_the_sure_accuracy_is_less_by_the_standard_error_of_the_change() -> None:
    problem = early_exit_problem(Options(**{**LOOSE, "standard_errors": 2.0}))
    full = np.array([[0, 0, 0, 3, 9, 0]])
    assert problem.evaluate(full)[0, 1] == problem.evaluate(full)[0, 0]  # no exits: no change, and no doubt
    for design in problem.space.sample(np.random.default_rng(1), 5):
        accuracy, sure = problem.evaluate(design[None])[0, :2]
        backbone, subset, threshold, _ = (int(row[0]) for row in problem.rows(design[None]))
        error = problem.answers.error[backbone, subset, threshold]
        assert sure == pytest.approx(accuracy - 2 * error, abs=1e-15)
        assert 0 <= error <= 1 / np.sqrt(len(problem.records[0].search))


@pytest.mark.parametrize("metric", ["worst_latency_s", "latency_s"])
def test_the_optimum_is_the_best_feasible_design_there_is(metric: str) -> None:
    options = {**LOOSE, "deadline_for": "every" if metric == "worst_latency_s" else "mean", "slack": 1.1}
    problem = early_exit_problem(Options(**options))
    designs = every_design(problem)
    metrics = problem.evaluate(designs)
    kept = feasible(problem, metrics)
    assert 0 < kept.mean() < 1
    assert kept.tolist() == problem.feasible.ravel().tolist()
    design, found = problem.optimum()
    assert problem.evaluate(design[None])[0, 2] == pytest.approx(metrics[kept, 2].min(), rel=1e-12)
    assert found == pytest.approx(score(problem, metrics[kept]).max(), rel=1e-12)
    for name in ("accuracy", "energy_j", "latency_s", "worst_latency_s"):
        column = [m.name for m in problem.metrics].index(name)
        everything = np.broadcast_to(problem.everything(name), problem.layout.blocks).ravel()
        assert np.allclose(everything, metrics[:, column], rtol=1e-12)


@quick
@given(
    floor=st.floats(0.5, 30.0),
    slack=st.floats(0.9, 3.0),
    mean=st.booleans(),
    soc=st.sampled_from(["v100", "jetson-tx2"]),
)
def test_masks_never_exclude_a_feasible_design(floor: float, slack: float, mean: bool, soc: str) -> None:
    options = {**LOOSE, "floor": floor, "slack": slack, "deadline_for": "mean" if mean else "every", "device": soc}
    try:
        core = build(Options(**options, enforcement="mask"))
    except Infeasible:
        return
    problem = core.problem
    assert isinstance(problem, EarlyExitProblem)
    flat = np.flatnonzero(problem.feasible.ravel())
    designs = problem.layout.choices(np.random.default_rng(0).choice(flat, size=min(len(flat), 200)))
    state = core.initial([np.random.default_rng(0)] * len(designs), None)
    for choices in designs.T:
        state = core.transition(state, choices)
    assert not state.corrections.any()
    assert (state.design == designs).all()


def test_masks_keep_most_of_what_is_infeasible_out() -> None:
    problem = early_exit_problem(Options(**{**LOOSE, "device": "jetson-agx-xavier"}))
    designs = problem.space.sample(np.random.default_rng(0), 5000)
    bad = ~feasible(problem, problem.evaluate(designs))
    let_through = (problem.separable.totals(designs)[:, 1:] <= 1 + 1e-9).all(-1)
    assert bad.mean() > 0.5
    assert (bad & let_through).sum() < 0.4 * bad.sum()


def test_main_effects_of_a_sum_are_the_sum() -> None:
    generator = np.random.default_rng(0)
    parts = [generator.random(3).reshape(3, 1, 1), generator.random(4).reshape(1, 4, 1), generator.random(2)]
    assert np.allclose(predicted(main_effects(sum(parts))), sum(parts), rtol=1e-12)


@quick
@given(slack=st.floats(1.0, 2.0), more=st.floats(0.0, 1.0), floor=st.floats(0.5, 10.0))
def test_looser_limits_never_cost_energy(slack: float, more: float, floor: float) -> None:
    tight = early_exit_problem(Options(**{**LOOSE, "slack": slack, "floor": floor}))
    loose = early_exit_problem(Options(**{**LOOSE, "slack": slack + more, "floor": floor + more}))
    assert loose.optimum()[1] >= tight.optimum()[1]


def test_rails_add_up_to_the_board() -> None:
    board, *rails = (early_exit_problem(Options(**LOOSE, rail=rail)) for rail in ("board", "gpu", "memory", "rest"))
    assert np.allclose(sum(rail.costs.energy_j for rail in rails), board.costs.energy_j, rtol=1e-12)


def test_a_single_backbone_is_no_knob() -> None:
    one = early_exit_problem(Options(**{**LOOSE, "backbones": (FIRST,)}))
    both = early_exit_problem(Options(**LOOSE))
    designs = every_design(one)
    assert len(one.space) == len(both.space) - 1
    beside = np.concatenate([np.zeros((len(designs), 1), dtype=np.int64), designs], axis=1)
    assert (one.evaluate(designs) == both.evaluate(beside)).all()
    assert one.separable.totals(designs).shape == (len(designs), 3)


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"deadline_s": 1e-9}, Infeasible, "no design keeps worst_latency_s within 1e-09; the best of any"),
        ({"slack": 0.05, "deadline_for": "mean"}, Infeasible, "beyond the limit"),
        ({"enforcement": "project"}, BadConfig, "field 'enforcement' is 'project': Input should be 'mask', 'price'"),
        ({"reward": "denser"}, UnknownName, "did you mean 'dense'"),
        ({"rail": "gpus"}, UnknownName, "did you mean 'gpu'"),
        ({"thresholds": (0.9, 0.8)}, BadConfig, "accepted: ascending confidences in (0, 1]"),
        ({"thresholds": ()}, BadConfig, "accepted: ascending confidences in (0, 1]"),
        ({"thresholds": (0.01, 0.02)}, BadConfig, "exit2 of 'first' is never reached where all exits are placed"),
        ({"backbones": ("early_exit_samples:blind",)}, BadConfig, "exit1 of 'blind' is never reached"),
        ({"backbones": (FIRST, "early_exit_samples:longer")}, BadConfig, "'longer' has 4 exits"),
        ({"backbones": (FIRST, FIRST)}, BadConfig, "each once"),
        ({"backbones": ()}, BadConfig, "one network with exits or more"),
        ({"objectives": {"size": 1.0}}, BadConfig, "objective 'size': networks with exits do not tell size_bytes"),
        ({"objectives": {"acuracy": 1.0}}, UnknownName, "did you mean 'accuracy'"),
        ({"objectives": {"energy": 1.0}}, BadConfig, "energy_j is an objective already; accepted: each metric once"),
        ({"objectives": {"latency": -1.0}}, BadConfig, "weight of objective 'latency' is -1.0"),
        ({"preferences": "sampled"}, BadConfig, "but there is one objective, energy_j; accepted: fixed"),
        ({"preferences": "sampled", "objectives": {"latency": 1.0}, "reward": "dense"}, BadConfig, "try terminal"),
        ({"device": "jetson-tx3"}, UnknownName, "did you mean 'jetson-tx2'"),
    ],
)
def test_what_cannot_be_built_is_told(options: dict[str, Any], kind: type[Exception], words: str) -> None:
    with pytest.raises(kind) as error:
        build(parse(Options, {**LOOSE, **options}, "codesign/EarlyExit-v0"))
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("enforcement", "reward", "action"),
    [("mask+price", "terminal", "discrete"), ("mask", "dense", "box"), ("none", "dense", "multidiscrete")],
)
def test_the_environment_keeps_every_promise(enforcement: str, reward: str, action: str) -> None:
    options = {**LOOSE, "enforcement": enforcement, "reward": reward, "action": action}
    assert check_env("codesign/EarlyExit-v0", **options) == (*CHECKS, *CORE_CHECKS)


def test_the_environment_of_a_really_trained_network_keeps_every_promise(cache) -> None:
    options = {"backbones": ("digits-exits-tiny",), "device": "jetson-tx2"}
    assert check_env("codesign/EarlyExit-v0", **options) == (*CHECKS, *CORE_CHECKS)


def test_a_finished_episode_earns_the_share_of_energy_saved() -> None:
    core = build(Options(**LOOSE, enforcement="none"))
    designs = every_design(core.problem)[::37]  # type: ignore[arg-type]
    states = [core.initial([np.random.default_rng(0)] * len(designs), None)]
    for choices in designs.T:
        states.append(core.transition(states[-1], choices))
    terms = core.reward_terms(states[-2], states[-1])
    reference = core.problem.objectives[0].reference
    energy_j = core.problem.evaluate(designs)[:, 2]
    assert np.allclose(terms["objective"], 1 - energy_j / reference, rtol=1e-9)
    assert all(not any(core.reward_terms(*pair)["objective"]) for pair in pairwise(states[:-1]))


def test_every_combination_of_clocks_is_a_design() -> None:
    problem = early_exit_problem(Options(**{**LOOSE, "device": "jetson-agx-xavier", "backbones": (FIRST,)}))
    assert problem.soc.steps == (29, 14, 9)
    assert problem.space.size == 2**2 * 4 * 29 * 14 * 9
    settings_ = [
        problem.layout.rows(np.array([[0, 0, 0, 0, *index]]))[3][0] for index in product([0, 28], [0, 13], [8])
    ]
    expected = [
        np.flatnonzero((problem.soc.every_index() == index).all(1))[0] for index in product([0, 28], [0, 13], [8])
    ]
    assert settings_ == expected


def test_agents_ask_only_for_options_that_there_are() -> None:
    env = "codesign/EarlyExit-v0"
    assert takes(env, "reward", "dense", {})
    assert not takes(env, "observation", "rich", {})
    assert not takes(env, "enforcement", "price+project", {})
