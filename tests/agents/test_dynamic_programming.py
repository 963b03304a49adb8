import numpy as np
import pytest
from baseline_samples import TableProblem, optimum, run, table_problem
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign_gym.agents.baselines.dynamic_programming import DynamicProgramming, lower_bound, solve
from codesign_gym.agents.baselines.milp import solve as exact
from codesign_gym.agents.interface import build, read
from codesign_gym.envs.core.separable import Separable
from codesign_gym.errors import BadConfig, Infeasible

ONE = np.ones(1)
shapes = st.fixed_dictionaries(
    {"groups": st.integers(1, 4), "slots": st.integers(1, 2), "choices": st.integers(2, 4), "pinned": st.booleans()}
)


def whole_usages(seed: int) -> Separable:
    """Usages that are multiples of a thousandth, with an optimum that uses the limit up."""
    generator = np.random.default_rng(seed)
    usage = generator.integers(0, 300, size=(1, 6, 5)) / 1000
    usage[0, :, 0] = 0.0
    return Separable(generator.random((6, 5)), usage, np.ones((6, 5), dtype=bool))


@given(seed=st.integers(0, 10_000), shape=shapes, resolution=st.integers(1, 3000))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_limits_are_kept_and_the_optimum_lies_between_the_bounds(seed: int, shape: dict, resolution: int) -> None:
    problem = table_problem(seed, constraints=1, **shape)
    design = solve(problem.separable, ONE, resolution)
    loss, used = problem.separable.totals(design)
    assert problem.space.allowed[np.arange(len(design)), design].all()
    assert used <= 1 + 1e-9
    assert lower_bound(problem.separable, ONE, resolution) - 1e-12 <= optimum(problem) <= loss + 1e-12


@given(seed=st.integers(0, 10_000))
@settings(max_examples=20, deadline=None, derandomize=True)
def test_no_design_as_far_below_the_limit_as_the_grid_is_coarse_has_less_loss(seed: int) -> None:
    problem = table_problem(seed, groups=4, slots=1, choices=4, pinned=False)
    separable, resolution = problem.separable, 50
    totals = separable.totals(problem.space.enumerate(0, problem.space.size))
    step = (1 - separable.least.start[1]) / resolution
    clear = totals[totals[:, 1] <= 1 - separable.groups * step, 0]
    assert separable.totals(solve(separable, ONE, resolution))[0] <= clear.min(initial=np.inf) + 1e-12


@pytest.mark.parametrize("seed", range(5))
def test_a_fine_grid_finds_what_the_integer_program_finds(seed: int) -> None:
    separable = table_problem(seed, groups=12, slots=1, choices=6).separable
    loss = separable.totals(solve(separable, ONE, 20_000))[0]
    best = separable.totals(exact(separable))[0]
    assert best - 1e-6 <= loss <= best + 1e-3


@pytest.mark.parametrize("seed", range(5))
def test_usages_on_the_grid_give_the_exact_optimum(seed: int) -> None:
    separable = whole_usages(seed)
    design = solve(separable, ONE, 1000)
    assert separable.totals(design)[0] == pytest.approx(separable.totals(exact(separable))[0], abs=1e-9)


def test_the_tightest_limit_is_met() -> None:
    separable = table_problem(3, groups=5).separable
    least = separable.least.start[1:]
    assert separable.totals(solve(separable, least))[1] == pytest.approx(least[0], abs=1e-9)
    with pytest.raises(Infeasible, match="the least is"):
        solve(separable, least * 0.99)


@pytest.mark.parametrize("bias", [0.8, 1.0, 1.15])
def test_predicted_limits_are_moved_until_measured_ones_are_kept(bias: float) -> None:
    problem = table_problem(5, bias=bias)
    recorder = run(build(read("dynamic-programming")), problem)
    assert recorder.best is not None
    assert recorder.best[1][1] <= 1 + 1e-9
    if bias == 1.0:
        assert recorder.evaluations == 1
        assert recorder.best[1][0] == pytest.approx(optimum(problem), abs=1e-3)


def test_without_a_constraint_every_group_takes_its_best() -> None:
    problem: TableProblem = table_problem(1, constraints=0)
    recorder = run(DynamicProgramming(), problem)
    assert recorder.best is not None
    assert recorder.best[1][0] == pytest.approx(optimum(problem))


def test_several_constraints_are_refused_in_one_line() -> None:
    with pytest.raises(BadConfig, match=r"^dynamic-programming: the problem has 2 constraints \(use0, use1\).*'milp'$"):
        run(DynamicProgramming(), table_problem(3, constraints=2))
    with pytest.raises(BadConfig, match="resolution"):
        DynamicProgramming(resolution=0)
