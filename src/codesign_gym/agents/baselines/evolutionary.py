"""An evolutionary search over designs, with repair."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from codesign_gym.agents.baselines.checks import number, whole
from codesign_gym.agents.baselines.moves import keys, mutated, unknown
from codesign_gym.agents.baselines.sampling import sample
from codesign_gym.agents.baselines.uniform import ranked
from codesign_gym.agents.interface import Task
from codesign_gym.envs.core.enforcement import project
from codesign_gym.envs.core.problem import DesignProblem, Values, excess, score
from codesign_gym.envs.core.space import Designs


@dataclass(frozen=True)
class Evolutionary:
    """A (mu + lambda) genetic algorithm that knows a problem's tables.

    Its first generation is made of the uniform designs (at most half of it) and of random ones, and all designs are
    repaired by projection where there are constraints, whatever the environment enforces: that is what tells it from
    pymoo's ``ga`` (:class:`~codesign_gym.agents.evolution.search.Evolution`), which starts at random and takes children
    as the environment's masks and repair leave them. Where a problem has no tables it does without both.

    Parents win tournaments; children cross uniformly and mutate by small and large steps. Feasible designs rank before
    others, which rank by their measured excess (Deb, Computer Methods in Applied Mechanics and Engineering 186, 2000).
    Children that are already known give way to random designs, so that the grant is spent to the last evaluation.

    The defaults come within 8 % of the best of 36 settings, by the median loss after 600 evaluations
    on five tabular twins of MobileNetV2.

    Attributes:
        population: designs kept, and children a generation.
        tournament: designs drawn for each parent; the best of them is taken.
        crossover: share of the children that have two parents.
        mutations: knobs that change on average in a child; one changes at least.
        step: share of the mutations of ordered knobs that are a step; the others draw any other choice.

    Raises:
        BadConfig: if a field is out of range.
    """

    population: int = 16
    tournament: int = 3
    crossover: float = 0.9
    mutations: float = 2.0
    step: float = 0.8

    def __post_init__(self) -> None:
        whole("evolutionary", 2, population=self.population)
        whole("evolutionary", 1, tournament=self.tournament)
        number("evolutionary", 0.0, 1.0, crossover=self.crossover, step=self.step)
        number("evolutionary", 0.0, 1e6, mutations=self.mutations)

    def run(self, task: Task) -> None:
        """Spend everything.

        Raises:
            BudgetSpent: always, in the end.
        """
        problem, generator = task.recorder, np.random.default_rng(task.seed)
        designs = self._first(task, generator)
        metrics, known = problem.evaluate(designs), set(keys(designs))
        while True:
            order = ranking(problem, metrics)[: self.population]
            designs, metrics = designs[order], metrics[order]
            children = self._children(problem, designs, generator)
            stale = ~unknown(children, known)
            children[stale] = _repaired(problem, sample(task.designed, generator, int(stale.sum())))
            known.update(keys(children))
            designs = np.concatenate([designs, children])
            metrics = np.concatenate([metrics, problem.evaluate(children)])

    def _first(self, task: Task, generator: np.random.Generator) -> Designs:
        """The first generation, shape (population, knobs)."""
        tables = task.recorder.separable
        uniform = ranked(tables)[: self.population // 2] if tables else sample(task.designed, generator, 0)
        rest = sample(task.designed, generator, self.population - len(uniform))
        return _repaired(task.recorder, np.concatenate([uniform, rest]))

    def _children(self, problem: DesignProblem, parents: Designs, generator: np.random.Generator) -> Designs:
        """Repaired children of ranked parents, shape (population, knobs)."""
        shape = (self.population, len(problem.space))
        drawn = generator.integers(len(parents), size=(2, self.population, self.tournament))
        first, second = parents[drawn.min(-1)]  # parents are ranked: the least index is the best of a tournament
        crossed = generator.random((self.population, 1)) < self.crossover
        children = np.where(crossed & (generator.random(shape) < 0.5), second, first)
        return _repaired(problem, mutated(problem.space, children, generator, self.mutations, self.step))


def ranking(problem: DesignProblem, metrics: Values) -> NDArray[np.int64]:
    """Row numbers of metrics from best to worst: by excess over the constraints, then by score, shape (batch,)."""
    return np.lexsort((-score(problem, metrics), excess(problem, metrics)))


def _repaired(problem: DesignProblem, designs: Designs) -> Designs:
    """Repaired by the tables, where there are any; else infeasible designs just rank last."""
    return project(problem.separable, designs) if problem.constraints and problem.separable else designs
