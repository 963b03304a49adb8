"""Sums over groups: totals, estimates and lower bounds against plain enumeration."""

from __future__ import annotations

import numpy as np
from env_samples import every_design, plain_total, random_problem
from hypothesis import given
from hypothesis import strategies as st

from codesign_gym.envs.core.separable import Walk

problems = st.builds(
    random_problem,
    seed=st.integers(0, 10_000),
    groups=st.integers(1, 3),
    slots=st.integers(1, 2),
    choices=st.integers(1, 3),
    constraints=st.integers(0, 2),
    rising=st.booleans(),
)


def estimates(walk: Walk, designs: np.ndarray, slots: int, choices: int) -> list[np.ndarray]:
    """The running estimate of every design before and after each decision, each (designs, columns)."""
    running = [np.tile(walk.start, (len(designs), 1))]
    prefix = np.zeros(len(designs), dtype=np.int64)
    for knob, choice in enumerate(designs.T):
        running.append(running[-1] + walk.added(np.full(len(designs), knob), prefix, choice))
        prefix = prefix * choices + choice if (knob + 1) % slots else np.zeros_like(prefix)
    return running


@given(problems)
def test_totals_are_plain_sums(problem) -> None:
    designs = every_design(problem)
    expected = [plain_total(problem, design) for design in designs]
    np.testing.assert_allclose(problem.separable.totals(designs), expected, rtol=1e-12)


@given(problems)
def test_joint_choices_and_knobs_are_inverse(problem) -> None:
    designs, separable = every_design(problem), problem.separable
    np.testing.assert_array_equal(separable.knobs(separable.joint(designs)), designs)


@given(problems)
def test_walks_end_at_the_totals(problem) -> None:
    designs, separable = every_design(problem), problem.separable
    for walk in (separable.least, separable.typical):
        end = estimates(walk, designs, separable.slots, separable.choices)[-1]
        np.testing.assert_allclose(end, separable.totals(designs), rtol=1e-9, atol=1e-12)


@given(problems)
def test_the_bound_is_the_least_of_all_completions(problem) -> None:
    designs, separable = every_design(problem), problem.separable
    totals = separable.totals(designs)
    for decided, bound in enumerate(estimates(separable.least, designs, separable.slots, separable.choices)):
        for row in range(0, len(designs), max(1, len(designs) // 7)):
            alike = (designs[:, :decided] == designs[row, :decided]).all(-1)
            np.testing.assert_allclose(bound[row], totals[alike].min(0), rtol=1e-9, atol=1e-12)


def typical_total(problem, table: np.ndarray, decided: list[int]) -> float:
    """Sum over groups of the median over a group's next knob of the medians over the knobs after it."""
    separable = problem.separable

    def value(group: int, cell: tuple[int, ...]) -> float:
        knob = group * separable.slots + len(cell)
        if len(cell) == separable.slots:
            return float(table[(group, *cell)])
        if knob < len(decided):
            return value(group, (*cell, decided[knob]))
        return float(np.median([value(group, (*cell, int(c))) for c in np.flatnonzero(separable.allowed[knob])]))

    return sum(value(group, ()) for group in range(separable.groups))


@given(problems)
def test_the_estimate_goes_on_with_medians(problem) -> None:
    designs, separable = every_design(problem), problem.separable
    designs = designs[:: max(1, len(designs) // 5)]
    tables = [separable.loss, *separable.usage]
    for decided, estimate in enumerate(estimates(separable.typical, designs, separable.slots, separable.choices)):
        expected = [[typical_total(problem, table, list(row[:decided])) for table in tables] for row in designs]
        np.testing.assert_allclose(estimate, expected, rtol=1e-9, atol=1e-12)


@given(problems)
def test_what_is_not_allowed_costs_infinitely_much(problem) -> None:
    separable = problem.separable
    for walk in (separable.least, separable.typical):
        first_slots = walk.change[:, 0]  # prefix 0 exists for every knob, if its group's earlier slots allow choice 0
        for knob in range(0, len(problem.space), separable.slots):
            assert np.isinf(first_slots[knob][:, ~separable.allowed[knob]]).all()
            assert np.isfinite(first_slots[knob][:, separable.allowed[knob]]).all()


def test_a_space_is_enumerated_once_each() -> None:
    problem = random_problem(3, groups=2, slots=2, choices=3)
    found = problem.space.enumerate(0, problem.space.size)
    assert sorted(map(tuple, found)) == sorted(map(tuple, every_design(problem)))


@given(st.integers(0, 1000))
def test_samples_are_allowed_designs(seed: int) -> None:
    problem = random_problem(seed)
    designs = problem.space.sample(np.random.default_rng(seed), 20)
    assert problem.space.allowed[np.arange(len(problem.space)), designs].all()
