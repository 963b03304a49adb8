import numpy as np
import pytest
from baseline_samples import table_problem

from codesign_gym.agents.recorder import BudgetSpent, Limits, Recorder

PROBLEM = table_problem(0, pinned=False)


def designs(*rows: int) -> np.ndarray:
    return np.concatenate([PROBLEM.space.enumerate(row, row + 1) for row in rows])


def test_only_distinct_designs_count() -> None:
    recorder = Recorder(PROBLEM, Limits.of(10))
    metrics = recorder.evaluate(designs(3, 4, 3))
    assert (recorder.evaluations, recorder.proposals, recorder.remaining) == (2, 3, 8)
    np.testing.assert_array_equal(metrics, PROBLEM.evaluate(designs(3, 4, 3)))
    np.testing.assert_array_equal(recorder.evaluate(designs(4)), metrics[1:2])
    assert (recorder.evaluations, recorder.proposals) == (2, 4)


def test_what_there_is_room_for_is_recorded_before_the_end() -> None:
    told: list[int] = []
    recorder = Recorder(PROBLEM, Limits.of(3), on_new=lambda new, metrics: told.append(len(new)))
    recorder.evaluate(designs(0, 1))
    with pytest.raises(BudgetSpent):
        recorder.evaluate(designs(1, 2, 3))
    assert (recorder.evaluations, recorder.remaining, told) == (3, 0, [2, 1])
    np.testing.assert_array_equal(recorder.designs[-1], designs(2)[0])
    recorder.evaluate(designs(0, 2))  # known ones stay free
    with pytest.raises(BudgetSpent):
        recorder.evaluate(designs(9))
    assert recorder.evaluations == 3


def test_proposals_are_limited_too() -> None:
    recorder = Recorder(PROBLEM, Limits(evaluations=10, proposals=5))
    recorder.evaluate(designs(0, 0, 0))
    with pytest.raises(BudgetSpent):
        recorder.evaluate(designs(0, 1, 2))
    assert (recorder.evaluations, recorder.proposals) == (2, 5)


def test_remembered_designs_count_when_asked_for_and_are_not_told() -> None:
    told: list[int] = []
    recorder = Recorder(PROBLEM, Limits.of(3), on_new=lambda new, metrics: told.append(len(new)))
    recorder.remember(designs(0, 1, 2), -PROBLEM.evaluate(designs(0, 1, 2)))
    assert (recorder.evaluations, recorder.remaining, told) == (0, 3, [])
    metrics = recorder.evaluate(designs(5, 2))
    np.testing.assert_array_equal(metrics[0], PROBLEM.evaluate(designs(5))[0])
    np.testing.assert_array_equal(metrics[1], -PROBLEM.evaluate(designs(2))[0])  # as remembered, not scored again
    assert (recorder.evaluations, told) == (2, [1])
    with pytest.raises(BudgetSpent):
        recorder.evaluate(designs(0, 7))
    assert (recorder.evaluations, told) == (3, [1])


def test_it_goes_on_from_the_first_remembered_designs() -> None:
    recorder = Recorder(PROBLEM, Limits.of(10))
    recorder.remember(designs(4, 1, 2), PROBLEM.evaluate(designs(4, 1, 2)))
    assert not recorder.go_on({"evaluations": 4, "proposals": 9})
    assert (recorder.evaluations, recorder.proposals) == (0, 0)
    assert recorder.go_on({"evaluations": 2, "proposals": 9})
    assert (recorder.evaluations, recorder.proposals) == (2, 9)
    np.testing.assert_array_equal(recorder.designs, designs(4, 1))
    assert Recorder(PROBLEM, Limits.of(10)).go_on({"evaluations": 0, "proposals": 0})


def test_it_stands_in_for_its_problem() -> None:
    recorder = Recorder(PROBLEM, Limits.of(50))
    recorder.evaluate(PROBLEM.space.enumerate(0, 20))
    assert recorder.metrics == PROBLEM.metrics
    assert recorder.known_metrics.shape == (20, 2)
    assert recorder.evaluate(np.empty((0, 8), dtype=np.int64)).shape == (0, 2)


def test_best_is_the_feasible_design_of_least_loss() -> None:
    recorder = Recorder(PROBLEM, Limits.of(PROBLEM.space.size))
    assert recorder.best is None
    metrics = recorder.evaluate(PROBLEM.space.enumerate(0, PROBLEM.space.size))
    kept = metrics[metrics[:, 1] <= 1 + 1e-9]
    assert recorder.best is not None
    assert 0 < len(kept) < len(metrics)
    assert recorder.best[1][0] == kept[:, 0].min()
