"""Masks, projection and prices."""

from __future__ import annotations

import numpy as np
import pytest
from env_samples import RandomProblem, core_of, every_design, plain_total, random_problem, walk
from hypothesis import given
from hypothesis import strategies as st

from codesign_gym.envs.core.enforcement import Price, enforcement, legal, project, uniform_designs, within
from codesign_gym.envs.core.views import CodesignEnv, CodesignVectorEnv
from codesign_gym.errors import UnknownName

seeds = st.integers(0, 10_000)
tightnesses = st.floats(0.0, 1.0)


def haq_decrement(problem: RandomProblem, design: np.ndarray) -> np.ndarray:
    """HAQ's repair of one design in plain Python, for one constraint and two knobs a layer (weights, activations).

    While the cost is above the limit and not everything is at its lowest: layers from the last to the
    first, each visit one bit off the activations, a test, one bit off the weights, a test. Pinned knobs
    are put back every time, so they never change.
    """
    strategy = [list(map(int, pair)) for pair in design.reshape(-1, 2)]
    pinned = {i for i, pin in enumerate(problem.pinned) if pin is not None}

    def fits() -> bool:
        return plain_total(problem, np.array(strategy).ravel())[1] <= 1 + 1e-9

    def lowest() -> bool:
        return all(strategy[i // 2][i % 2] == 0 for i in range(len(design)) if i not in pinned)

    while not fits() and not lowest():
        for layer in reversed(range(len(strategy))):
            for slot in (1, 0):
                if strategy[layer][slot] > 0 and 2 * layer + slot not in pinned:
                    strategy[layer][slot] -= 1
                if fits():
                    return np.array(strategy).ravel()
    return np.array(strategy).ravel()


@given(seeds, tightnesses)
def test_projection_is_haqs_backward_decrement(seed: int, tightness: float) -> None:
    problem = random_problem(seed, groups=3, slots=2, choices=4, tightness=tightness)
    designs = problem.space.sample(np.random.default_rng(seed), 12)
    repaired = project(problem.separable, designs)
    for design, found in zip(designs, repaired, strict=True):
        assert found.tolist() == haq_decrement(problem, design).tolist()


@given(seeds, tightnesses, st.integers(1, 2))
def test_projection_keeps_every_limit_and_what_kept_them_already(seed: int, tightness: float, limits: int) -> None:
    problem = random_problem(seed, constraints=limits, tightness=tightness)
    designs = problem.space.sample(np.random.default_rng(seed), 30)
    repaired = project(problem.separable, designs)
    assert within(problem.separable.totals(repaired)[:, 1:]).all()
    fine = within(problem.separable.totals(designs)[:, 1:])
    np.testing.assert_array_equal(repaired[fine], designs[fine])
    assert (repaired <= designs).all()
    pinned = np.array([pin is not None for pin in problem.pinned])
    np.testing.assert_array_equal(repaired[:, pinned], designs[:, pinned])


@given(seeds)
def test_projection_raises_choices_where_that_uses_less(seed: int) -> None:
    """An accuracy floor is used up by low bitwidths."""
    falling = random_problem(seed, tightness=0.5, rising=True)
    flipped = type(falling)(
        type(falling.separable)(
            falling.separable.loss, falling.separable.usage[:, :, ::-1, ::-1], falling.separable.allowed[:, ::-1]
        ),
        tuple(None if pin is None else 0 for pin in falling.pinned),
    )
    designs = flipped.space.sample(np.random.default_rng(seed), 20)
    mirrored = project(falling.separable, falling.separable.choices - 1 - designs)
    np.testing.assert_array_equal(project(flipped.separable, designs), falling.separable.choices - 1 - mirrored)


def test_the_caller_keeps_the_designs() -> None:
    problem = random_problem(0, tightness=0.0)
    designs = problem.space.sample(np.random.default_rng(0), 5)
    before = designs.copy()
    project(problem.separable, designs)
    np.testing.assert_array_equal(designs, before)


@given(seeds, tightnesses, st.booleans())
def test_masks_reach_exactly_the_feasible_designs(seed: int, tightness: float, rising: bool) -> None:
    problem = random_problem(seed, groups=2, choices=3, tightness=tightness, rising=rising)
    core = core_of(problem, "mask")
    designs = every_design(problem)
    states = walk(core, designs)
    legal_all_along = np.ones(len(designs), dtype=bool)
    for state, column in zip(states, designs.T, strict=False):
        assert state.mask.any(-1).all()
        legal_all_along &= state.mask[np.arange(len(designs)), column]
    # Whoever took an illegal choice was moved elsewhere; the others built what they asked for.
    reached = {tuple(row) for row in states[-1].design.tolist()}
    feasible = {tuple(row) for row in designs[within(problem.separable.totals(designs)[:, 1:])].tolist()}
    assert reached == feasible
    assert {tuple(row) for row in designs[legal_all_along].tolist()} == feasible


@given(seeds, st.floats(0.2, 1.0))
def test_following_masks_keeps_a_limit(seed: int, tightness: float) -> None:
    problem = random_problem(seed, groups=4, choices=4, tightness=tightness)
    core = core_of(problem, "mask")
    generator = np.random.default_rng(seed)
    state = core.initial([generator] * 8, None)
    while not core.terminal(state).all():
        state = core.transition(state, (generator.random(state.mask.shape) * state.mask).argmax(-1))
    assert within(problem.separable.totals(state.design.astype(np.int64))[:, 1:]).all()
    assert (state.corrections == 0).all()


def test_a_mask_is_never_empty() -> None:
    """Two limits that exclude each other leave the choice that exceeds them least."""
    allowed = np.array([[True, True, False]])
    change = np.array([[[2.0, 0.0, 0.0], [0.0, 3.0, 0.0]]])  # (batch, constraints, choices)
    np.testing.assert_array_equal(legal(allowed, np.zeros((1, 2)), change), [[True, False, False]])


@given(seeds, st.floats(0.0, 3.0))
def test_a_price_rises_above_the_limit_and_falls_below(seed: int, used: float) -> None:
    problem = random_problem(seed)
    price = Price()
    start = price.start(problem.separable)
    after = price.update(start[None], np.array([[used]]), start)
    assert (start > 0).all()
    assert (np.sign(after - start) == np.sign(used - 1.0)).all()


def test_a_price_stays_within_its_bounds() -> None:
    start = np.array([2.0])
    price = Price(rate=1.0, spread=10.0)
    high = low = start[None]
    for _ in range(50):
        high, low = price.update(high, np.array([[5.0]]), start), price.update(low, np.array([[0.0]]), start)
    assert high == 20.0
    assert low == pytest.approx(0.2)


def test_a_price_survives_autoreset_and_is_forgotten_by_a_seed() -> None:
    problem = random_problem(1, tightness=0.3)
    env = CodesignVectorEnv(core_of(problem, "price"), 2, "SameStep")
    _, info = env.reset(seed=0)
    start = info["price"].copy()
    knobs, most = len(problem.space), problem.space.choices - 1
    for _ in range(knobs):
        _, _, _, _, info = env.step(np.array([most, 0]))  # one exceeds the limit, the other does not
    assert info["price"][0] > start[0]
    assert info["price"][1] < start[1]
    kept = info["price"].copy()
    np.testing.assert_array_equal(env.reset()[1]["price"], kept)
    seeded_one = env.reset(seed=[3, None], options={"reset_mask": np.array([True, True])})[1]["price"]
    np.testing.assert_array_equal(seeded_one, [start[0], kept[1]])
    np.testing.assert_array_equal(env.reset(seed=0)[1]["price"], start)


def test_a_single_environment_keeps_its_price_too() -> None:
    problem = random_problem(1, tightness=0.3)
    env = CodesignEnv(core_of(problem, "price"))
    start = env.reset(seed=0)[1]["price"]
    for _ in range(len(problem.space)):
        info = env.step(problem.space.choices - 1)[-1]
    assert info["price"] > start
    assert env.reset()[1]["price"] == info["price"]
    assert env.reset(seed=0)[1]["price"] == start


def test_uniform_designs_respect_pins() -> None:
    problem = random_problem(5, groups=4)
    designs = uniform_designs(problem.separable)
    for choice, design in enumerate(designs):
        expected = [choice if pin is None else pin for pin in problem.pinned]
        assert design.tolist() == expected


@pytest.mark.parametrize(
    ("name", "mask", "projected", "priced"),
    [("none", 0, 0, 0), ("mask", 1, 0, 0), ("project", 0, 1, 0), ("price+project", 0, 1, 1), ("mask+price", 1, 0, 1)],
)
def test_enforcements_combine(name: str, mask: bool, projected: bool, priced: bool) -> None:
    found = enforcement(name)
    assert (found.mask, found.project, found.price is not None) == (mask, projected, priced)


def test_an_unknown_enforcement_is_named() -> None:
    with pytest.raises(UnknownName, match="'projct'; did you mean 'project'"):
        enforcement("price+projct")
