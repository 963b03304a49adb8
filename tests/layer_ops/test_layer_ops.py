"""``codesign/LayerOps-v0``: problems from options, bounds that are exact, optima that are found, and wrong options."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layer_ops_samples import cell_files, cells, every_design, layers

import codesign_gym  # noqa: F401  (registers the environments)
from codesign_gym.agents.baselines.integer_program import solve
from codesign_gym.envs.core.construct import ConstructCore
from codesign_gym.envs.core.outlook import Free, Tables
from codesign_gym.envs.core.problem import feasible, score, usage
from codesign_gym.envs.layer_ops.factory import Options, build, layer_ops_problem
from codesign_gym.envs.layer_ops.outlook import Enumerated
from codesign_gym.errors import BadConfig, CodesignError, Infeasible
from codesign_gym.records import parse
from codesign_gym.simulators import operators
from codesign_gym.simulators.replacement import space as replacement_space
from codesign_gym.training.catalogue import describe, listing

SMALL = {"space": "layer_ops_samples:layers", "device": "systolic-edge"}
COUPLED = {"space": "layer_ops_samples:layers", "device": "mesh-16x16", "budget": {"latency": 0.6}}


def core_of(**options: Any) -> ConstructCore:
    core = build(parse(Options, options, "test"))
    assert isinstance(core, ConstructCore)
    return core


@pytest.mark.parametrize("goal", [{"budget": {"latency": 0.5}}, {"floor": 20}, {"objectives": {"latency": 0.5}}])
def test_the_tables_say_what_designs_earn_and_use(goal: dict[str, Any]) -> None:
    """The predicted loss is the score's lack, in its own unit; usages are the metrics'."""
    problem = layer_ops_problem(Options(**SMALL, **goal))
    designs = every_design(layers())
    metrics = problem.evaluate(designs)
    tables = problem.separable
    assert tables is not None
    totals = tables.totals(designs)
    assert totals[:, 1:] == pytest.approx(usage(problem, metrics), rel=1e-9)
    lost = score(problem, metrics).max() - score(problem, metrics)
    slope = np.polyfit(lost, totals[:, 0], 1)
    assert np.polyval(slope, lost) == pytest.approx(totals[:, 0], abs=1e-9)
    assert slope[0] > 0


@settings(derandomize=True, deadline=None, max_examples=10)
@given(st.integers(0, 1000), st.floats(0.3, 0.9))
def test_the_integer_programs_optimum_is_the_best_of_all_designs(seed: int, share: float) -> None:
    problem = layer_ops_problem(Options(**SMALL, seed=seed, budget={"latency": share}))
    designs = every_design(layers())
    metrics = problem.evaluate(designs)
    assert problem.separable is not None
    found = solve(problem.separable)
    best = score(problem, metrics)[feasible(problem, metrics)].max()
    assert score(problem, problem.evaluate(found[None]))[0] == pytest.approx(best, rel=1e-5, abs=1e-5)


def test_a_batch_is_its_designs_one_by_one() -> None:
    problem = layer_ops_problem(Options(**SMALL))
    designs = every_design(layers())
    metrics = problem.evaluate(designs)
    order = np.random.default_rng(0).permutation(len(designs))
    assert np.array_equal(problem.evaluate(designs[order]), metrics[order])
    assert problem.evaluate(designs[5:6]) == pytest.approx(metrics[5:6], rel=1e-12)


def table_options(folder: Path) -> dict[str, Any]:
    accuracy, latency, _ = cell_files(folder)
    return {
        "space": "layer_ops_samples:cells",
        "quality": "table",
        "quality_file": str(accuracy),
        "quality_column": "top1",
        "cost_file": str(latency),
        "cost_column": "phone",
    }


def test_measured_cells_are_looked_up(tmp_path: Path) -> None:
    problem = layer_ops_problem(Options(**table_options(tmp_path)))
    _, _, figures = cell_files(tmp_path)
    metrics = problem.evaluate(every_design(cells()))
    assert metrics[:, 0] == pytest.approx(figures[:, 0] / 100)
    assert metrics[:, 1] == pytest.approx(figures[:, 1] * 1e-3)
    assert [metric.name for metric in problem.metrics] == ["accuracy", "latency_s", "size_bytes"]
    assert problem.separable is None


def test_masks_of_measured_cells_are_exact(tmp_path: Path) -> None:
    """A choice is legal exactly where some completion keeps the budget; and no design within it is lost."""
    core = core_of(**table_options(tmp_path), budget={"latency": "1.5 ms"})
    problem = core.problem
    assert isinstance(problem.outlook, Enumerated)
    designs = every_design(cells())
    kept = designs[feasible(problem, problem.evaluate(designs))]
    assert 0 < len(kept) < len(designs)
    state = core.initial([np.random.default_rng(0)] * len(kept), None)
    for knob, column in enumerate(kept.T):
        for row, mask in enumerate(core.action_mask(state)):
            behind = kept[(kept[:, :knob] == kept[row, :knob]).all(-1), knob]
            assert np.array_equal(np.flatnonzero(mask), np.unique(behind))
        state = core.transition(state, column)
    assert state.corrections.sum() == 0
    assert np.array_equal(state.design, kept)


def test_a_floor_on_measured_accuracies_is_known_by_evaluating_alone(tmp_path: Path) -> None:
    """Masks would tell which cells are good."""
    core = core_of(**table_options(tmp_path), floor=5)
    state = core.initial([np.random.default_rng(0)], None)
    for _ in range(len(core.problem.space)):
        assert core.action_mask(state).all()
        state = core.transition(state, np.zeros(1, dtype=np.int64))


def test_a_budget_and_a_floor_that_no_measured_cell_keeps_together_are_told_at_once(tmp_path: Path) -> None:
    """By brute force: of the cells within each budget the most accurate, on both sides of which a floor is set."""
    options = table_options(tmp_path)
    free = layer_ops_problem(Options(**options))
    accuracy, latency_s, _ = free.evaluate(every_design(cells())).T
    for limit_s in np.quantile(latency_s, [0.05, 0.3, 0.6]):
        lost = 100 * (free.quality.reference - accuracy[latency_s <= limit_s].max())
        budget = {"latency": f"{limit_s} s"}
        layer_ops_problem(Options(**options, budget=budget, floor=lost + 0.01))
        with pytest.raises(Infeasible, match=r"no design keeps latency_s .* and accuracy .* together; the nearest"):
            layer_ops_problem(Options(**options, budget=budget, floor=lost - 0.01))


def test_a_budget_that_no_modelled_design_was_found_to_keep_is_told() -> None:
    options = {"space": "nasbench201", "device": "maeri-256"}
    with pytest.raises(Infeasible, match=r"of \d\d designs tried none keeps latency_s within"):
        layer_ops_problem(Options(**options, budget={"latency": 1e-3}))
    layer_ops_problem(Options(**options, budget={"latency": 0.5}))


def test_a_quality_of_ones_own_is_used_and_claims() -> None:
    problem = layer_ops_problem(Options(**SMALL, quality="layer_ops_samples:noisy", budget={"latency": 0.5}))
    metrics = problem.evaluate(np.array([[1] * 5, [0] * 5]))
    assert metrics[:, 0].tolist() == [0.9, 0.45]
    assert problem.measured
    assert problem.separable is None
    assert isinstance(problem.outlook, Tables)  # what designs cost is known all the same
    assert problem.standard_error(metrics)[0] == pytest.approx(10 * np.sqrt(0.9 * 0.1 / 100))
    assert problem.claim(np.zeros(5, dtype=np.int64)) == {"test_accuracy": 0.5}


def test_a_device_without_sums_costs_whole_designs() -> None:
    problem = layer_ops_problem(Options(**COUPLED))
    assert problem.separable is None
    assert isinstance(problem.outlook, Free)
    designs = every_design(layers())[::50]
    single = np.concatenate([problem.evaluate(design[None]) for design in designs])
    assert problem.evaluate(designs) == pytest.approx(single, rel=1e-12)


def test_fitted_networks_state_their_error(tmp_path: Path) -> None:
    path = tmp_path / "networks.csv"
    codes = np.random.default_rng(0).integers(0, 9, size=(400, 22))
    path.write_text("\n".join(["arch,phone", *(f"{' '.join(map(str, row))},{1 + row.sum()}" for row in codes)]))
    problem = layer_ops_problem(Options(space="fbnet", cost_file=str(path), cost_column="phone"))
    assert set(problem.preparation) == {"latency_mape", "latency_spearman"}


def test_problems_can_be_pickled(tmp_path: Path) -> None:
    for options in (SMALL, table_options(tmp_path)):
        problem = layer_ops_problem(Options(**options))
        again = pickle.loads(pickle.dumps(problem))
        designs = problem.space.sample(np.random.default_rng(0), 5)
        assert np.array_equal(again.evaluate(designs), problem.evaluate(designs))


def test_the_tightest_of_two_budgets_is_named() -> None:
    with pytest.raises(Infeasible, match="no design keeps size_bytes within"):
        build(Options(budget={"latency": 0.09, "size": "10 B"}))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"space": "fbent"}, "did you mean 'fbnet'"),
        ({"space": "nasa-add-all", "device": "pixel-3-cpu"}, "such as nasa-chunked"),
        ({"space": "nasa-add-all", "device": "maeri-128"}, "cannot tell shift and adder layers"),
        ({"quality": "tabluar"}, "did you mean 'tabular'"),
        ({**SMALL, "quality": "layer_ops_samples:every_design"}, "makes a ndarray without metric_name"),
        ({"quality": "table"}, "needs the options quality_file and quality_column"),
        ({"budget": {"latency": "5 kB"}}, "budget 'latency' is '5 kB'; accepted: a share"),
        ({"budget": {"area": 1}}, "unknown budget 'area'"),
        ({"budget": {"energy": 0.5}}, "device 'pixel-3-cpu' has no source for energy_j"),
        ({"floor": 0}, "floor"),
        ({"floor": 1, "minimize": "energy"}, "minimize 'energy': device 'pixel-3-cpu' has no source for energy_j"),
        ({"objectives": {"latency": 0}}, "weight of objective 'latency' is 0.0; accepted: a positive number"),
        ({"objectives": {"latency_S": 1}}, "did you mean 'latency_s'"),
        ({"budget": {"latency": 0.5, "latency_s": 1.0}}, "names latency_s twice"),
        ({"preferences": "sampled"}, "there is one objective"),
        ({"cost_column": "phone"}, "without a cost_file"),
        ({"cost_file": "absent.csv"}, "absent.csv: cannot be read"),
        ({**COUPLED, "reward": "dense"}, "try terminal"),
        ({**COUPLED, "observation": "rich"}, "try 'decisions'"),
        ({"bits": 40}, "field 'bits' is 40; accepted: 8 to 32"),
        ({"mode": "refine", "enforcement": "project"}, "accepted here: mask, price, none"),
        ({"enforcement": "masks"}, "did you mean 'mask'"),
        ({"reward": "sparse"}, "'terminal' or 'dense'"),
    ],
)
def test_a_wrong_option_is_one_clear_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(CodesignError) as caught:
        build(parse(Options, options, "codesign/LayerOps-v0"))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_cost_file_of_many_devices_needs_a_column(tmp_path: Path) -> None:
    options = table_options(tmp_path) | {"cost_column": None}
    with pytest.raises(BadConfig, match=r"needs the option cost_column, one of its columns: .*phone"):
        layer_ops_problem(Options(**options))


@pytest.mark.reference
def test_nas_bench_201_within_a_latency(references: Path) -> None:
    """The best cell within half of the largest one's latency, by looking at all of them."""
    folder = references / "nasbench201"
    env = gym.make(
        "codesign/LayerOps-v0",
        space="nasbench201",
        quality="table",
        quality_file=str(folder / "nb201_accuracy.csv.gz"),
        quality_column="c10_test_200ep",
        cost_file=str(folder / "nb201_latency_devices.csv.gz"),
        cost_column="gold_6240",
        budget={"latency": 0.5},
    )
    problem = env.unwrapped.core.problem  # type: ignore[attr-defined]
    designs = problem.space.enumerate(0, problem.space.size)
    metrics = problem.evaluate(designs)
    kept = feasible(problem, metrics)
    assert len(designs) == 15_625
    assert 0.1 < kept.mean() < 0.99
    assert metrics[:, 0].max() == pytest.approx(0.943733)
    assert metrics[kept, 0].max() < metrics[:, 0].max()


@pytest.mark.parametrize("space", operators.CATALOG.shipped())
def test_every_space_names_a_device_that_costs_it(space: str) -> None:
    problem = layer_ops_problem(Options(space=space))
    assert (problem.evaluate(problem.space.sample(np.random.default_rng(0), 3)) > 0).all()
    assert f"device {operators.read(space).device}" in dict(listing("spaces")["spaces"])[space]


def test_a_teachers_replacements_have_an_id() -> None:
    told = dict(listing("spaces")["spaces"])["lana-digits"]
    assert "digits-cnn-deep" in told
    assert 'quality="measured"' in describe("lana-digits")
    made = operators.CATALOG.locate("lana-digits")
    assert made is replacement_space.digits
    with pytest.raises(BadConfig, match=r"'lana-digits' is a function in Python; accepted: .* YAML file .*fbnet"):
        operators.read("lana-digits")


@pytest.mark.parametrize(("column", "wanted"), [(None, "energy_mJ"), ("phone", "phone_energy")])
def test_a_cost_file_without_energy_says_which_column_it_lacks(tmp_path: Path, column: str | None, wanted: str) -> None:
    names = sorted({entry for layer in operators.load("fbnet").layers for entry in layer.entries})
    path = tmp_path / "mine.csv"
    header = "latency_ms" if column is None else f"{column}_latency"
    path.write_text("\n".join([f"operator,{header}", *(f"{name},1.5" for name in [*names, *fixed_entries()])]))
    options = {"cost_file": str(path), "cost_column": column}
    message = rf"mine\.csv' has no column '{wanted}', which would tell energy_j"
    for asked in ({"budget": {"energy": 0.5}}, {"floor": 1.0, "minimize": "energy"}, {"objectives": {"energy": 1.0}}):
        with pytest.raises(BadConfig, match=message):
            layer_ops_problem(Options(**options, **asked))


def fixed_entries() -> tuple[str, ...]:
    """What FBNet's space does not search, in look-up tables."""
    return operators.load("fbnet").fixed_entries
