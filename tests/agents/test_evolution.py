from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from baseline_samples import optimum, table_problem
from baseline_samples import run as run_tables
from search_samples import Engine, core_of, regret, run, volume

from codesign_gym.agents import interface
from codesign_gym.agents.baselines.milp import solve
from codesign_gym.agents.baselines.random import Random
from codesign_gym.agents.evolution.operators import Ground
from codesign_gym.agents.evolution.search import KINDS, Evolution
from codesign_gym.agents.interface import Task
from codesign_gym.agents.recorder import Limits, Recorder
from codesign_gym.envs.core.problem import Objective
from codesign_gym.envs.mixed_precision.factory import Options, build
from codesign_gym.errors import BadConfig, UnknownName

PROBLEM = Engine()
NAMES = tuple(KINDS)


def shipped(name: str) -> Evolution:
    agent = interface.build(interface.read(name))
    assert isinstance(agent, Evolution)
    return agent


@pytest.mark.parametrize("name", NAMES)
def test_a_file_builds_its_algorithm_with_the_defaults(name: str) -> None:
    assert shipped(name) == Evolution(name)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"population": 1}, "nsga2: field 'population' is 1"),
        ({"crossover": -0.1}, "nsga2: field 'crossover' is -0.1"),
        ({"changes": "many"}, "nsga2: field 'changes' is 'many'"),
    ],
)
def test_bad_fields_are_refused(fields: dict[str, object], words: str) -> None:
    with pytest.raises(BadConfig, match=words):
        Evolution("nsga2", **fields)  # type: ignore[arg-type]


def test_an_unknown_algorithm_is_told_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean 'nsga2'"):
        Evolution("nsga22")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("means", ["mask", "none"])
@pytest.mark.parametrize("evaluations", [1, 77])
def test_the_grant_is_spent_to_the_last_evaluation_on_distinct_designs(name: str, means: str, evaluations: int) -> None:
    recorder = run(shipped(name), core_of(PROBLEM, means), evaluations, proposals=evaluations)
    assert recorder.evaluations == evaluations
    tried = np.stack(recorder.designs)
    assert PROBLEM.space.allowed[np.arange(len(PROBLEM.space)), tried].all()
    if means == "mask":
        assert (recorder.known_metrics[:, 2] <= 16).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_fixes_every_proposal_and_an_interrupted_run_goes_on(name: str) -> None:
    core, state = core_of(PROBLEM), np.random.get_state()[1]  # noqa: NPY002
    first, again, other = (run(shipped(name), core, 70, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.designs, again.designs)
    assert not np.array_equal(first.designs, other.designs)
    np.testing.assert_array_equal(run(shipped(name), core, 70, 1, known=first).designs, first.designs)
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002  (no global seed)


@pytest.mark.parametrize("name", ["nsga2", "nsga3"])
def test_the_front_is_no_smaller_than_that_of_random_search(name: str) -> None:
    core = core_of(PROBLEM)
    ours, random = (
        [volume(PROBLEM, run(agent, core, 250, seed, proposals=250).known_metrics) for seed in range(5)]
        for agent in (shipped(name), Random())
    )
    assert np.median(ours) >= np.median(random)


@pytest.mark.parametrize("means", ["mask", "none"])
def test_the_score_is_no_worse_than_that_of_random_search(means: str) -> None:
    core = core_of(PROBLEM, means)
    ours, random = (
        [regret(PROBLEM, run(agent, core, 150, seed, proposals=150)) for seed in range(5)]
        for agent in (shipped("ga"), Random())
    )
    assert np.median(ours) <= np.median(random)


@pytest.mark.parametrize("name", NAMES)
def test_on_bitwidths_it_is_nearer_to_the_optimum_than_random_search(name: str) -> None:
    options = Options(
        network="digits-cnn", device="bitfusion", accuracy="tabular", budget={"latency": 0.6}, enforcement="mask"
    )
    core = build(options)
    problem = core.problem
    assert problem.separable is not None
    best = problem.separable.totals(solve(problem.separable))[0]

    def ratio(agent: interface.Agent, seed: int) -> float:
        recorder = Recorder(problem, Limits(120, 120))
        interface.search(agent, Task(replace(core, problem=recorder), recorder, seed))
        assert recorder.best is not None
        assert problem.separable is not None
        return float(problem.separable.totals(recorder.best[0])[0] / best)

    ours, random = ([ratio(agent, seed) for seed in range(5)] for agent in (shipped(name), Random()))
    assert np.median(ours) <= np.median(random)
    assert min(ours) >= 1 - 1e-6


def test_a_projecting_environment_repairs_children() -> None:
    problem = table_problem(9, groups=8)
    recorder = run_tables(shipped("ga"), problem, 100, means="project")
    assert recorder.evaluations == 100
    assert (recorder.known_metrics[:, 1] <= 1 + 1e-9).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_space_that_is_used_up_holds_the_optimum(name: str) -> None:
    problem = table_problem(0, groups=2, slots=1, choices=4, constraints=1)
    recorder = run_tables(shipped(name), problem, 60, means="none")
    assert recorder.evaluations == problem.space.size
    assert recorder.best is not None
    assert recorder.best[1][0] == optimum(problem)


def test_reference_directions_grow_with_the_population_and_cover_every_objective() -> None:
    many = Engine(
        objectives=tuple(Objective(name, -1.0, 0.0, worst=1.0) for name in ("error", "latency", "multipliers"))
    )
    for population in (2, 6, 30):
        agent = Evolution("nsga3", population=population)
        recorder = run(agent, core_of(many), 60, proposals=60)
        assert recorder.evaluations == 60


def test_generations_may_be_scored_by_anything() -> None:
    """A search on surfaces asks no evaluation of the problem."""
    asked = []

    def evaluate(designs: np.ndarray) -> np.ndarray:
        asked.append(len(designs))
        return PROBLEM.evaluate(designs)

    found = Evolution("nsga2", population=10).generations(Ground(core_of(PROBLEM)), evaluate, seed=0)
    for _ in range(3):
        designs, values = next(found)
        np.testing.assert_array_equal(PROBLEM.evaluate(designs), values)
    assert asked == [10, 10, 10]
