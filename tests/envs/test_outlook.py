"""What is known of half-built designs."""

from __future__ import annotations

import numpy as np
import pytest
from env_samples import core_of, random_problem
from hypothesis import given
from hypothesis import strategies as st
from product_samples import Tiles

from codesign_gym.envs.core.actions import view
from codesign_gym.envs.core.construct import ConstructCore, DenseReward, TerminalReward
from codesign_gym.envs.core.enforcement import enforcement
from codesign_gym.envs.core.observers import DecisionObserver, choices_observer
from codesign_gym.envs.core.outlook import Completion, Free, Tables
from codesign_gym.envs.core.sampling import legal_designs
from codesign_gym.errors import BadConfig, Infeasible

seeds = st.integers(0, 10_000)


def tiles_core(problem: Tiles, means: str = "mask") -> ConstructCore:
    actions = view("discrete", (problem.space.choices,))
    return ConstructCore(problem, DecisionObserver(problem), TerminalReward(), enforcement(means), actions)


@given(seeds)
def test_completion_says_what_tables_say_where_both_are_exact(seed: int) -> None:
    problem = random_problem(seed, groups=4, slots=1, constraints=2)
    tables = Tables(problem.separable)
    least = np.where(problem.space.allowed, problem.separable.usage, np.inf).argmin(-1)  # (constraints, knobs)
    completion = Completion(tables.usage, least, problem.space.sizes)
    generator = np.random.default_rng(seed)
    designs = problem.space.sample(generator, 5)
    knob, prefix = generator.integers(0, len(problem.space), 5), np.zeros(5, dtype=np.int64)
    so_far = np.where(np.arange(len(problem.space)) < knob[:, None], designs, 0)
    allowed = np.broadcast_to(problem.space.allowed[knob][:, None], (5, 2, problem.space.choices))
    expected, found = tables.changes(so_far, knob, prefix), completion.changes(so_far, knob, prefix)
    np.testing.assert_allclose(found[allowed], expected[allowed], atol=1e-12)
    bounds = slice(1 + 2, None)
    choice = designs[np.arange(5), knob]
    arguments = (np.where(np.arange(len(problem.space)) <= knob[:, None], designs, 0), knob, prefix, choice)
    np.testing.assert_allclose(completion.added(*arguments)[:, bounds], tables.added(*arguments)[:, bounds], atol=1e-12)
    np.testing.assert_allclose(completion.start()[bounds], tables.start()[bounds], atol=1e-12)


@given(seeds, st.floats(1.0, 60.0))
def test_masks_lead_to_every_feasible_design_and_to_no_other(seed: int, limit: float) -> None:
    problem = Tiles(limit)
    keys = np.random.default_rng(seed).random((32, len(problem.space), problem.space.choices))
    assert (problem.units(legal_designs(problem, keys)) <= limit).all()
    core = tiles_core(problem)
    every = problem.space.enumerate(0, problem.space.size)
    feasible = every[problem.units(every) <= limit]
    state = core.initial([np.random.default_rng(0) for _ in feasible], None)
    for column in feasible.T:
        state = core.transition(state, column)
    np.testing.assert_array_equal(state.design, feasible)
    assert not state.corrections.any()
    np.testing.assert_allclose(state.bound[:, 0], problem.units(feasible) / limit)


def test_a_limit_that_nothing_keeps_is_named() -> None:
    with pytest.raises(Infeasible, match=r"no design keeps units within 0\.5; the least that any design needs is 1, 2"):
        tiles_core(Tiles(0.5))


def test_what_needs_sums_is_refused_without_them() -> None:
    problem = Tiles()
    with pytest.raises(BadConfig, match="enforcement 'project'"):
        tiles_core(problem, "project")
    core = tiles_core(problem)
    with pytest.raises(BadConfig, match="reward 'dense'"):
        ConstructCore(problem, core.observer, DenseReward(), core.enforcement, core.actions)
    with pytest.raises(BadConfig, match="observation 'rich'"):
        choices_observer(problem)


def test_nothing_is_known_by_default() -> None:
    free = Free(2, 3)
    designs = np.zeros((4, 5), dtype=np.int64)
    knob = np.zeros(4, dtype=np.int64)
    np.testing.assert_array_equal(free.start(), np.zeros(5))
    assert free.changes(designs, knob, knob).shape == (4, 2, 3)
    np.testing.assert_array_equal(free.totals(designs, np.ones((4, 2))), np.tile([0.0, 1.0, 1.0], (4, 1)))


def test_the_rich_view_tells_choices_apart_by_loss_and_usage() -> None:
    problem = random_problem(3, groups=3, slots=2, constraints=2)
    observer = choices_observer(problem)
    core = core_of(problem, "mask")
    state = core.initial([np.random.default_rng(0)] * 2, None)
    seen = observer(state)
    assert observer.space.contains(seen[0])
    assert seen.shape == (2, 2 + 3 + 2 * 4)
    loss = problem.separable.typical.change[0, 0, 0]
    assert seen[0, 2:5].argmin() == loss.argmin()
