from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from codesign_gym.envs.core.problem import feasible, reference_point, rewards, usage
from codesign_gym.errors import UnknownName
from codesign_gym.simulators.accuracy.trained import layer_table
from codesign_gym.simulators.networks.layers import COLUMNS
from codesign_gym.training.studies import three_phase_gp
from codesign_gym.training.studies.three_phase_gp import OURS, RANDOM, SCALES, _front_claims, study
from codesign_gym.training.studies.three_phase_gp.cells import Cell, accuracy, module, stacked, work
from codesign_gym.training.studies.three_phase_gp.problem import ACCURACY, PIXELS, EngineCodesign
from codesign_gym.training.studies.three_phase_gp.searches import (
    Case,
    Found,
    Search,
    determination,
    everything,
    search,
    volume,
)

TINY = Case((2, 8), 1)


@pytest.fixture(scope="module")
def problem(cache) -> EngineCodesign:
    return TINY.problem()


def test_at_scale_small_the_front_is_found_and_random_search_is_far_behind(cache) -> None:
    report = study("small", None, Console(quiet=True))
    verdicts = {claim.text.split(":")[0]: [] for claim in report.claims}
    for claim in report.claims:
        verdicts[claim.text.split(":")[0]].append(claim.passed)
    # Accuracy depends on the processor that trains the networks; which designs lead may depend on that.
    assert verdicts["power"] == verdicts["latency"] == [True], report.claims
    assert verdicts["front"][1] is True, report.claims
    assert all(claim.note for claim in report.claims)
    (table,) = report.tables
    assert {row[0] for row in table.rows} == {OURS, RANDOM, *SCALES["small"].agents}
    assert all(row[1] == 96 for row in table.rows)


def test_an_unknown_agent_is_told_before_anything_is_trained(monkeypatch) -> None:
    monkeypatch.setattr(Case, "problem", lambda case: pytest.fail("trained"))
    with pytest.raises(UnknownName, match="did you mean 'nsga2'"):
        study("small", "nsga22", Console(quiet=True))


def test_both_scales_hold_at_most_20_000_designs_and_several_seeds() -> None:
    for sized in SCALES.values():
        assert len(sized.case.widths) * 6 * 400 <= 20_000
        assert len(sized.seeds) >= 3


def test_networks_are_trained_and_larger_ones_know_more(problem, cache) -> None:
    assert (problem.search > 0.5).all()
    assert problem.search[:6].max() < problem.search[6:].min()  # width 2 against width 8
    cell = Cell(2, 1, 3)
    assert accuracy(cell, 1) == {"search": problem.search[0], "test": problem.test[0]}


@pytest.mark.parametrize("cell", [Cell(4, 1, 3), Cell(6, 3, 5)])
def test_written_down_work_is_that_of_the_traced_network(cell: Cell, cache) -> None:
    traced = layer_table(module(cell, 0), (1, PIXELS, PIXELS), "cell").weighted()
    for name in set(COLUMNS) - {"extra_parameters"}:  # the classifier's biases cost nothing here
        np.testing.assert_array_equal(getattr(traced.layers, name), getattr(work(cell, PIXELS).layers, name))


def test_rows_that_pad_a_network_cost_nothing(problem) -> None:
    short, long = work(Cell(2, 1, 3), PIXELS), work(Cell(2, 3, 3), PIXELS)
    layers = stacked([short, long])
    assert layers.op.shape == (2, len(long))
    alone = problem.engine.cost(short.layers, np.full((len(short), 2), 8)).total()
    beside = problem.engine.cost(layers, np.full((2, len(long), 2), 8)).total()
    assert beside.latency_s[0] == pytest.approx(float(alone.latency_s), rel=1e-12)


@given(seed=st.integers(0, 10**6))
@settings(deadline=None, max_examples=20, derandomize=True)
def test_a_batch_is_its_singles_and_what_masks_know_is_what_is_used(cache, seed: int) -> None:
    problem = TINY.problem()
    designs = problem.space.sample(np.random.default_rng(seed), 16)
    values = problem.evaluate(designs)
    np.testing.assert_allclose(values, np.concatenate([problem.evaluate(row[None]) for row in designs]), rtol=1e-12)
    np.testing.assert_allclose(problem.outlook.usage(designs), usage(problem, values), rtol=1e-12)
    more = np.minimum(designs + 1, problem.space.allowed.sum(-1) - 1)
    assert (problem.outlook.usage(more) >= problem.outlook.usage(designs)).all()
    energy = values[:, 1] * values[:, 2]
    assert (energy > 0).all()


def test_the_reference_point_is_what_is_asked_for(problem) -> None:
    np.testing.assert_allclose(reference_point(problem), 0, atol=1e-12)
    perfect = np.array([[1.0, 0.0, 0.0, 1.0, 1.0]])
    np.testing.assert_allclose(rewards(problem, perfect), 1)
    assert volume(problem, perfect) == pytest.approx(1)
    assert problem.objectives[0].worst == ACCURACY


def test_a_search_of_everything_has_the_whole_volume(problem) -> None:
    designs, values = everything(TINY)
    assert feasible(problem, values).all()
    assert 0 < len(designs) < problem.space.size
    found = search(Search(TINY, "exhaustive", problem.space.size, 0))
    assert found.evaluations == problem.space.size
    assert found.share == pytest.approx(1)
    assert found.claimed == pytest.approx(1)
    assert search(Search(TINY, RANDOM, 40, 0)).share < 1


def test_claims_compare_medians_and_name_the_worst_seed() -> None:
    def of(agent: str, shares: list[float]) -> list[Found]:
        return [Found(Search(TINY, agent, 48, i), 48, share, 3, share) for i, share in enumerate(shares)]

    reached, ahead = _front_claims(of(OURS, [0.99, 0.96, 0.90]) + of(RANDOM, [0.90, 0.95, 0.91]))
    assert (reached.passed, reached.median, reached.worst) == (True, "96.0%", "90.0%")
    assert (ahead.passed, ahead.median, ahead.worst) == (True, "5.0 points", "-1.0 points")
    reached, ahead = _front_claims(of(OURS, [0.94, 0.94, 0.99]) + of(RANDOM, [0.93, 0.93, 0.93]))
    assert reached.passed is ahead.passed is False


def test_determination_is_one_for_the_truth_and_zero_for_the_mean() -> None:
    true = np.array([1.0, 2.0, 4.0])
    assert determination(true, true) == 1
    assert determination(true, np.full(3, true.mean())) == 0


def test_it_is_registered() -> None:
    from codesign_gym.training.studies import STUDIES

    assert STUDIES["three-phase-gp"][1] == f"{three_phase_gp.__name__}:study"
