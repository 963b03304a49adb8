from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from search_samples import Engine, core_of, regret, run

from codesign_gym.agents import interface
from codesign_gym.agents.baselines.annealing import Annealing, _accepted
from codesign_gym.agents.baselines.moves import fresh, keys, let_through, mutated, neighbours, unknown
from codesign_gym.agents.baselines.random import Random
from codesign_gym.envs.core.problem import usage
from codesign_gym.envs.core.space import DesignSpace, Knob
from codesign_gym.errors import BadConfig

PROBLEM = Engine()
MASKED, RAW = core_of(PROBLEM, "mask"), core_of(PROBLEM, "none")


def test_the_file_builds_the_agent_with_its_defaults() -> None:
    assert interface.build(interface.read("annealing")) == Annealing()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"chains": 0}, "annealing: field 'chains' is 0"),
        ({"hot": 0.0}, "field 'hot' is 0.0; accepted: a number from 1e-09"),
        ({"near": 1.5}, "field 'near' is 1.5; accepted: a number from 0 to 1"),
        ({"attempts": 2.5}, "field 'attempts' is 2.5; accepted: a whole number"),
    ],
)
def test_bad_fields_are_refused(fields: dict[str, float], words: str) -> None:
    with pytest.raises(BadConfig, match=words):
        Annealing(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("means", ["mask", "none"])
def test_at_equal_evaluations_it_is_no_worse_than_random(means: str) -> None:
    core = core_of(PROBLEM, means)
    ours, random = (
        [regret(PROBLEM, run(agent, core, 100, seed, proposals=100)) for seed in range(5)]
        for agent in (Annealing(), Random())
    )
    assert np.median(ours) <= np.median(random)


def test_a_cold_chain_takes_no_worse_design_and_a_hot_one_does() -> None:
    good, bad, over = np.array([[0.1, 50.0, 8.0], [0.3, 60.0, 8.0], [0.0, 10.0, 32.0]])[:, None]
    generator = np.random.default_rng(0)

    def share(before: np.ndarray, after: np.ndarray, temperature: float) -> float:
        batch = (np.repeat(rows, 400, axis=0) for rows in (before, after))
        return float(_accepted(PROBLEM, *batch, temperature, generator).mean())

    assert share(bad, good, 1e-6) == 1
    assert share(good, bad, 1e-6) == 0
    assert share(good, bad, 0.3) == pytest.approx(np.exp(-1), abs=0.08)  # it loses .2 + .1
    assert share(over, bad, 1e-6) == 1
    assert share(good, over, 1e6) == 0


@given(seed=st.integers(0, 10**6))
@settings(deadline=None, max_examples=30, derandomize=True)
def test_moves_change_free_knobs_to_allowed_values(seed: int) -> None:
    generator = np.random.default_rng(seed)
    space = PROBLEM.space
    designs = space.sample(generator, 32)
    moved = mutated(space, designs, generator, changes=1.5, near=1.0)
    assert space.allowed[np.arange(len(space)), moved].all()
    assert (moved != designs).any(-1).all()
    ordered = np.array([knob.ordered for knob in space.knobs])
    assert np.abs(moved - designs)[:, ordered].max() <= 1
    far = mutated(space, designs, generator, changes=1e6, near=0.0)
    free = space.allowed.sum(-1) > 1
    assert (far != designs)[:, free].all()
    assert (far == designs)[:, ~free].all()


def test_neighbours_are_the_designs_one_step_away() -> None:
    around = neighbours(PROBLEM.space, np.array([2, 0, 5, 1, 3, 3]))
    expected = {(c, 0, 5, 1, 3, 3) for c in (0, 1, 3, 4)} | {(2, 1, 5, 1, 3, 3), (2, 0, 4, 1, 3, 3)}
    expected |= {(2, 0, 5, 1, r, 3) for r in (2, 4)} | {(2, 0, 5, 1, 3, c) for c in (2, 4)}
    assert {tuple(row) for row in around.tolist()} == expected
    pinned = DesignSpace((Knob("a", (0, 1), pinned=0), Knob("b", (0,))))
    assert len(neighbours(pinned, np.array([0, 0]))) == 0


def test_designs_let_through_are_those_that_keep_the_limits() -> None:
    designs = PROBLEM.space.sample(np.random.default_rng(0), 200)
    kept = (usage(PROBLEM, PROBLEM.evaluate(designs)) <= 1).all(-1)
    assert 0 < kept.sum() < 200
    np.testing.assert_array_equal(let_through(MASKED, designs), kept)
    assert let_through(RAW, designs).all()


def test_fresh_designs_are_new_until_the_space_is_used_up() -> None:
    generator, known = np.random.default_rng(0), set[bytes]()
    for _ in range(10):
        drawn = fresh(MASKED, generator, 20, known)
        assert unknown(drawn, known).all()
        known.update(keys(drawn))
    small = Engine(space=DesignSpace(tuple(Knob(k.name, k.values, pinned=k.pinned or 0) for k in PROBLEM.space.knobs)))
    again = fresh(core_of(small), generator, 3, set())
    assert len(again) == 3
    assert len(np.unique(again, axis=0)) == 1
