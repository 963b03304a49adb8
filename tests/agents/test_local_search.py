from __future__ import annotations

import numpy as np
import pytest
from baseline_samples import optimum, table_problem
from baseline_samples import run as run_tables
from search_samples import Engine, core_of, everything, regret, run

from codesign_gym.agents import interface
from codesign_gym.agents.baselines.annealing import Annealing
from codesign_gym.agents.baselines.local_search import LocalSearch
from codesign_gym.agents.baselines.moves import neighbours
from codesign_gym.agents.baselines.random import Random
from codesign_gym.agents.interface import Agent
from codesign_gym.envs.core.problem import score
from codesign_gym.errors import BadConfig, UnknownName

PROBLEM = Engine()
AGENTS: dict[str, Agent] = {
    "annealing": Annealing(),
    "first": LocalSearch(),
    "steepest": LocalSearch(improvement="steepest"),
}


def test_the_file_builds_the_agent_with_its_defaults() -> None:
    assert interface.build(interface.read("local-search")) == LocalSearch()


def test_bad_fields_are_refused() -> None:
    with pytest.raises(UnknownName, match="did you mean 'steepest'"):
        LocalSearch(improvement="steep")
    with pytest.raises(BadConfig, match="local-search: field 'batch' is 0"):
        LocalSearch(batch=0)


@pytest.mark.parametrize("agent", AGENTS.values(), ids=AGENTS)
@pytest.mark.parametrize("means", ["mask", "none"])
def test_the_grant_is_spent_to_the_last_evaluation_on_distinct_designs(agent: Agent, means: str) -> None:
    recorder = run(agent, core_of(PROBLEM, means), 83, proposals=83)
    assert recorder.evaluations == 83
    tried = np.stack(recorder.designs)
    assert PROBLEM.space.allowed[np.arange(len(PROBLEM.space)), tried].all()
    if means == "mask":
        assert (recorder.known_metrics[:, 2] <= 16).all()


@pytest.mark.parametrize("agent", AGENTS.values(), ids=AGENTS)
def test_a_seed_fixes_every_proposal_and_an_interrupted_run_goes_on(agent: Agent) -> None:
    core = core_of(PROBLEM)
    first, again, other = (run(agent, core, 60, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.designs, again.designs)
    assert not np.array_equal(first.designs, other.designs)
    np.testing.assert_array_equal(run(agent, core, 60, 1, known=first).designs, first.designs)


@pytest.mark.parametrize("improvement", ["first", "steepest"])
def test_at_equal_evaluations_it_is_no_worse_than_random(improvement: str) -> None:
    core = core_of(PROBLEM)
    ours, random = (
        [regret(PROBLEM, run(agent, core, 150, seed, proposals=150)) for seed in range(5)]
        for agent in (LocalSearch(improvement=improvement), Random())
    )
    assert np.median(ours) <= np.median(random)


def test_a_climb_ends_where_no_neighbour_is_better() -> None:
    """With restarts that it has no evaluations left for, the best design is a local optimum."""
    recorder = run(LocalSearch(improvement="steepest", start=1), core_of(PROBLEM), 400)
    assert recorder.best is not None
    around = PROBLEM.evaluate(neighbours(PROBLEM.space, recorder.best[0]))
    legal = around[around[:, 2] <= 16]
    assert score(PROBLEM, legal).max() <= score(PROBLEM, recorder.best[1][None])[0]


@pytest.mark.parametrize("agent", AGENTS.values(), ids=AGENTS)
def test_a_space_that_is_used_up_holds_the_optimum(agent: Agent) -> None:
    problem = table_problem(0, groups=2, slots=1, choices=4, constraints=1)
    recorder = run_tables(agent, problem, 60, means="none")
    assert recorder.evaluations == problem.space.size
    assert recorder.best is not None
    assert recorder.best[1][0] == optimum(problem)


def test_the_sample_has_an_optimum_that_random_search_misses() -> None:
    assert np.median([regret(PROBLEM, run(Random(), core_of(PROBLEM), 100, seed)) for seed in range(5)]) > 0
    assert len(everything(PROBLEM)) > 4000
