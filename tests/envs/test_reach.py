"""Bounds that no design keeps: proved where there are tables, looked for elsewhere."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from env_samples import random_problem
from hypothesis import given, settings
from hypothesis import strategies as st
from product_samples import Tiles

from codesign_gym.envs.core.problem import Constraint
from codesign_gym.envs.core.reach import Looks, check_every, check_feasible, check_reachable
from codesign_gym.errors import Infeasible

quick = settings(max_examples=40, deadline=None, derandomize=True)
seeds = st.integers(0, 10_000)


def every_usage(problem) -> np.ndarray:
    """Of all designs that the space allows, shape (designs, constraints)."""
    designs = problem.space.enumerate(0, problem.space.size)
    return problem.separable.totals(designs)[:, 1:]


@quick
@given(seeds, st.integers(1, 3), st.sampled_from([1, 2]))
def test_no_design_keeps_below_the_joint_bound(seed: int, constraints: int, slots: int) -> None:
    problem = random_problem(seed, groups=3, slots=slots, constraints=constraints, rising=False)
    bound, tightest = problem.separable.joint_bound
    usages = every_usage(problem)
    assert bound <= usages.max(-1).min() + 1e-9
    assert bound >= usages.min(0).max() - 1e-9  # no weaker than what each alone tells
    assert 0 <= tightest < constraints
    if constraints == 1:
        assert bound == pytest.approx(usages.min())


@quick
@given(seeds, st.floats(0.05, 0.5))
def test_what_is_refused_together_cannot_be_kept(seed: int, tightness: float) -> None:
    problem = random_problem(seed, groups=4, slots=1, constraints=2, tightness=tightness, rising=False)
    usages = every_usage(problem)
    kept = (usages <= 1).all(-1).any()
    if kept:
        check_feasible(problem)
        check_every(problem.constraints, usages)
    else:
        with pytest.raises(Infeasible, match="no design keeps"):
            check_every(problem.constraints, usages)


def test_two_that_pull_apart_are_named_together() -> None:
    """Opposite usages: whatever one constraint is spared, the other pays."""
    problem = random_problem(0, groups=4, slots=1, choices=3, constraints=2)
    rising = np.broadcast_to([0.1, 0.3, 0.6], (4, 3))
    tables = replace(problem.separable, usage=np.stack([rising, rising[:, ::-1]]))
    with pytest.raises(Infeasible) as caught:
        check_feasible(replace(problem, tables=tables))
    assert re.fullmatch(
        r"no design keeps \w+ within 1 and \w+ within 1 together; each uses 1\.2 times what one of them grants, "
        r"or more, and the tightest is \w+",
        str(caught.value),
    )


@quick
@given(seeds, st.floats(0.9, 1.1))
def test_looking_finds_what_there_is(seed: int, slack: float) -> None:
    """Against all designs: the bounds are set around the figures of one of them, at random."""
    problem = Tiles()
    designs = problem.space.enumerate(0, problem.space.size)
    metrics = problem.evaluate(designs)
    within = metrics[:, 2] <= problem.limit
    chosen = metrics[within][np.random.default_rng(seed).integers(within.sum())]
    bounds = (Constraint("latency_s", slack * chosen[0]), Constraint("area_mm2", slack * chosen[1]))
    kept = within & (metrics[:, 0] <= bounds[0].limit * (1 + 1e-9)) & (metrics[:, 1] <= bounds[1].limit * (1 + 1e-9))

    def measure(asked: np.ndarray) -> dict[str, np.ndarray]:
        found = problem.evaluate(asked)
        assert (found[:, 2] <= problem.limit).all()
        return {"latency_s": found[:, 0], "area_mm2": found[:, 1]}

    if kept.any():
        check_reachable(problem, bounds, measure)
    else:
        with pytest.raises(Infeasible, match=r"designs tried that keep units within 12 none keeps") as caught:
            check_reachable(problem, bounds, measure)
        assert int(re.search(r"of (\d+) designs", str(caught.value)).group(1)) <= within.sum()


def test_a_short_look_says_how_short_it_was() -> None:
    problem = Tiles()
    with pytest.raises(
        Infeasible, match=r"^of \d+ designs tried .* latency_s within 0\.01; the least of any is 0\.2886"
    ):
        check_reachable(
            problem,
            (Constraint("latency_s", 0.01),),
            lambda designs: {"latency_s": problem.evaluate(designs)[:, 0]},
            Looks(starts=1, passes=1),
        )
