"""pymoo's ask and tell, with designs asked for and metrics told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import comb
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymoo.algorithms.base.genetic import GeneticAlgorithm
from pymoo.algorithms.moo.nsga2 import NSGA2, binary_tournament
from pymoo.algorithms.moo.nsga3 import NSGA3
from pymoo.algorithms.soo.nonconvex.ga import GA, comp_by_cv_and_fitness
from pymoo.core.population import Population
from pymoo.core.termination import NoTermination
from pymoo.operators.crossover.ux import UniformCrossover
from pymoo.operators.selection.tournament import TournamentSelection
from pymoo.util.ref_dirs import get_reference_directions

from codesign_gym.agents.baselines.checks import number, whole
from codesign_gym.agents.baselines.moves import keys
from codesign_gym.agents.evolution.operators import Change, Choices, Drawing, FullMating, Ground, New, Projection
from codesign_gym.agents.interface import Task
from codesign_gym.envs.core.enforcement import TOLERANCE
from codesign_gym.envs.core.problem import DesignProblem, Values, rewards, score, usage
from codesign_gym.envs.core.space import Designs
from codesign_gym.errors import UnknownName

Settings = dict[str, Any]
MATINGS = 8  # rounds of mating for a generation before random designs fill it up


@dataclass(frozen=True)
class Evolution:
    """An evolutionary algorithm of pymoo: uniform crossover, small and large mutations, and its own way to select.

    Of a problem's tables it knows nothing: it starts at random, and children are what the environment's masks and
    repair make of them. Designs that keep the constraints go before others (Deb, CMAME 186, 2000). Children that are
    known or not legal give way to random designs, so that the grant is spent to the last evaluation.

    Attributes:
        algorithm: ``nsga2`` (non-dominated sorting and crowding distance, Deb et al., IEEE TEC 6, 2002) and ``nsga3``
            (sorting and the reference directions of Das and Dennis, Deb and Jain, IEEE TEC 18, 2014) minimise the
            vector of losses, ``ga`` their sum.
        population: designs kept, and children a generation.
        crossover: share of the children that have two parents.
        changes: knobs that mutate on average in a child if none has to; one mutates at least.
        near: share of the mutations of ordered knobs that are a step; the others draw any value.

    Raises:
        UnknownName: for another algorithm.
        BadConfig: if a field is out of range.
    """

    algorithm: str
    population: int = 12
    crossover: float = 0.9
    changes: float = 0.5
    near: float = 0.8

    def __post_init__(self) -> None:
        if self.algorithm not in KINDS:
            raise UnknownName("evolutionary algorithm", self.algorithm, KINDS)
        whole(self.algorithm, 2, population=self.population)
        number(self.algorithm, 0.0, 1.0, crossover=self.crossover, near=self.near)
        number(self.algorithm, 0.0, 1e6, changes=self.changes)

    def run(self, task: Task) -> None:
        """Spend everything.

        Raises:
            BudgetSpent: always, in the end.
        """
        for _ in self.generations(Ground(task.designed), task.recorder.evaluate, task.seed):
            pass

    def generations(
        self, ground: Ground, evaluate: Callable[[Designs], Values], seed: int
    ) -> Iterator[tuple[Designs, Values]]:
        """Every generation's designs (batch, knobs) and metrics (batch, metrics), for ever.

        Args:
            ground: where it searches; designs are known to it once they are scored.
            evaluate: metrics (batch, metrics) of designs (batch, knobs); what it raises ends the search.
            seed: of the algorithm's own generator.
        """
        kind, problem = KINDS[self.algorithm], ground.core.problem
        objectives = kind.criteria(problem, np.zeros((1, len(problem.metrics)))).shape[1]
        algorithm = kind.build(self._settings(ground, kind), objectives)
        algorithm.setup(Choices(ground, objectives), seed=seed, termination=NoTermination())
        while True:
            asked = algorithm.ask()
            designs = asked.get("X").astype(np.int64)
            metrics = evaluate(designs)
            ground.known.update(keys(designs))
            asked.set("F", kind.criteria(problem, metrics), "G", usage(problem, metrics) - 1.0 - TOLERANCE)
            algorithm.tell(infills=asked)
            yield designs, metrics

    def _settings(self, ground: Ground, kind: Kind) -> Settings:
        """Arguments that pymoo's genetic algorithms share."""
        duplicates, repair, selection = New(ground), Projection(ground), TournamentSelection(func_comp=kind.tournament)
        crossover, mutation = UniformCrossover(prob=self.crossover), Change(ground, self.changes, self.near)
        checks = {"eliminate_duplicates": duplicates, "repair": repair}
        mating = FullMating(ground, selection, crossover, mutation, n_max_iterations=MATINGS, **checks)
        return {"pop_size": self.population, "sampling": Drawing(ground), "mating": mating, **checks}


@dataclass(frozen=True)
class Kind:
    """What tells the algorithms apart.

    Attributes:
        build: pymoo's algorithm of shared settings and a number of objectives.
        criteria: what is minimised, shape (batch, objectives), of metrics (batch, metrics).
        tournament: pymoo's comparison of pairs.
    """

    build: Callable[[Settings, int], GeneticAlgorithm]
    criteria: Callable[[DesignProblem, Values], Values]
    tournament: Callable[..., NDArray[np.int64]]


def feasible_first(
    pop: Population, P: NDArray[np.int64], random_state: np.random.Generator, **_: Any
) -> NDArray[np.int64]:
    """NSGA-III's tournament: the smaller violation, else either; pymoo's own breaks ties by an unseeded generator."""
    violation = pop.get("CV")[:, 0][P]  # (tournaments, 2)
    either = random_state.integers(2, size=len(P))
    winner = np.where(violation[:, 0] == violation[:, 1], either, violation.argmin(-1))
    return P[np.arange(len(P)), winner][:, None]


def _nsga3(settings: Settings, objectives: int) -> GeneticAlgorithm:
    """With as many directions as the population has room for, one per objective at least."""
    partitions, population = 1, settings["pop_size"]
    while objectives > 1 and comb(objectives + partitions, objectives - 1) <= population:
        partitions += 1
    directions = get_reference_directions("das-dennis", objectives, n_partitions=partitions)
    return NSGA3(directions, **{**settings, "pop_size": max(population, len(directions))})


def _losses(problem: DesignProblem, metrics: Values) -> Values:
    return -rewards(problem, metrics)


def _loss(problem: DesignProblem, metrics: Values) -> Values:
    return -score(problem, metrics)[:, None]


KINDS = {
    "nsga2": Kind(lambda settings, objectives: NSGA2(**settings), _losses, binary_tournament),
    "nsga3": Kind(_nsga3, _losses, feasible_first),
    "ga": Kind(lambda settings, objectives: GA(**settings), _loss, comp_by_cv_and_fitness),
}
