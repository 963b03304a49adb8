from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import pytest

from codesign_gym.agents import interface
from codesign_gym.agents.baselines.bilevel import Bilevel, crowding, fronts, ranking
from codesign_gym.agents.interface import Task, search
from codesign_gym.agents.recorder import Limits, Recorder
from codesign_gym.envs.core.actions import view
from codesign_gym.envs.core.construct import ConstructCore, TerminalReward
from codesign_gym.envs.core.enforcement import enforcement
from codesign_gym.envs.core.problem import Computed, Constraint, Metric, Objective, Values, feasible
from codesign_gym.envs.core.separable import Separable
from codesign_gym.envs.core.space import Designs, DesignSpace, Knob
from codesign_gym.errors import BadConfig

CHOICES, KNOBS, OUTER_BEST = 6, 4, 4


@dataclass(frozen=True)
class Valleys(Computed):
    """Every value of the first knob has its best values of the others; the limit cuts the lowest sums off."""

    constraints: tuple[Constraint, ...] = (Constraint("use", 1.0),)

    @property
    def space(self) -> DesignSpace:
        return DesignSpace(tuple(Knob(f"k{i}", tuple(range(CHOICES)), ordered=i > 0) for i in range(KNOBS)))

    @property
    def metrics(self) -> tuple[Metric, ...]:
        return (Metric("loss"), Metric("use"))

    @property
    def objectives(self) -> tuple[Objective, ...]:
        return (Objective("loss", -1.0, 0.0),)

    @property
    def separable(self) -> Separable:
        tables = np.zeros((KNOBS, CHOICES))
        return Separable(tables, tables[None], self.space.allowed)

    def evaluate(self, designs: Designs) -> Values:
        outer, inner = designs[:, :1], designs[:, 1:]
        loss = abs(inner - (outer + np.arange(KNOBS - 1)) % CHOICES).sum(1) + abs(outer[:, 0] - OUTER_BEST) + 1.0
        return np.stack([loss, 1.5 - 0.1 * designs.sum(1)], axis=-1)


@dataclass(frozen=True)
class Blind:
    """Sees nothing; agents that ask the problem need no observer."""

    def __call__(self, state: object) -> None:
        raise AssertionError("no search looks")


def run(agent: Bilevel, evaluations: int, seed: int = 0) -> Recorder:
    problem = Valleys()
    core = ConstructCore(problem, Blind(), TerminalReward(), enforcement("none"), view("discrete", (CHOICES,)))  # type: ignore[arg-type]
    recorder = Recorder(problem, Limits.of(evaluations))
    search(agent, Task(replace(core, problem=recorder), recorder, seed))
    return recorder


@pytest.mark.parametrize("seed", range(3))
def test_it_finds_the_best_of_every_choice_in_less_than_the_whole_space(seed: int) -> None:
    problem = Valleys()
    everything = np.array(list(product(range(CHOICES), repeat=KNOBS)))
    values = problem.evaluate(everything)
    best = values[feasible(problem, values), 0].min()
    recorder = run(Bilevel(), 600, seed)
    assert recorder.evaluations <= 600 < len(everything)
    assert recorder.best is not None
    assert recorder.best[1][0] == best
    assert len({int(design[0]) for design in recorder.designs}) == CHOICES  # no outer choice goes untried


def test_equal_seeds_search_alike_and_others_do_not() -> None:
    one, same, other = (run(Bilevel(), 200, seed) for seed in (3, 3, 4))
    assert np.array_equal(one.designs, same.designs)
    assert not np.array_equal(one.designs, other.designs)


def test_outer_choices_that_are_too_many_are_drawn_and_replaced() -> None:
    recorder = run(Bilevel(outer=2, outer_population=5, inner_population=4, inner_generations=2), 500)
    assert len({tuple(design[:2]) for design in recorder.designs}) > 5


def test_fronts_and_crowding_are_those_of_the_definition() -> None:
    criteria = np.random.default_rng(0).integers(0, 6, size=(40, 2)).astype(float)
    front = fronts(criteria)
    for i in range(40):
        beaten_by = [j for j in range(40) if (criteria[j] <= criteria[i]).all() and (criteria[j] < criteria[i]).any()]
        assert front[i] == max((front[j] + 1 for j in beaten_by), default=0)
    line = np.array([[0.0, 4.0], [1.0, 3.0], [4.0, 0.0]])
    assert crowding(line, np.zeros(3, dtype=np.int64)).tolist() == [np.inf, 2.0, np.inf]


def test_feasible_designs_rank_before_others_and_the_best_first() -> None:
    problem = Valleys()
    values = problem.evaluate(problem.space.sample(np.random.default_rng(1), 60))
    order = ranking(problem, values)
    kept = feasible(problem, values)[order]
    assert kept.sum() > 2
    assert not kept[kept.sum() :].any()
    assert values[order[0], 0] == values[feasible(problem, values), 0].min()


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"outer": 0}, "field 'outer' is 0"),
        ({"inner_population": 1}, "field 'inner_population' is 1"),
        ({"survival": 1.5}, "field 'survival' is 1.5"),
    ],
)
def test_bad_parameters_are_refused(parameters: dict[str, float], words: str) -> None:
    with pytest.raises(BadConfig, match=words):
        Bilevel(**parameters)  # type: ignore[arg-type]


def test_a_search_needs_something_inside() -> None:
    with pytest.raises(BadConfig, match="field 'outer' is 4; accepted: fewer than the 4 knobs"):
        run(Bilevel(outer=KNOBS), 100)


def test_the_shipped_settings_are_those_of_the_paper() -> None:
    agent = interface.build(interface.read("bilevel"))
    assert isinstance(agent, Bilevel)
    assert (agent.inner_population, agent.inner_generations, agent.survival) == (10, 5, 0.25)
