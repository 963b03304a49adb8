"""Bayesian optimisation with Gaussian processes of the metrics, for one objective or several."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from botorch.acquisition.acquisition import AcquisitionFunction
from numpy.typing import NDArray

from codesign_gym.agents.baselines.checks import whole
from codesign_gym.agents.baselines.evolutionary import ranking
from codesign_gym.agents.baselines.moves import fresh, keys
from codesign_gym.agents.bayesian.acquisition import Pool, front_improvement, improvement
from codesign_gym.agents.bayesian.surfaces import Surfaces, fit, quiet, seeded, window
from codesign_gym.agents.interface import Task
from codesign_gym.envs.core.problem import DesignProblem, Values, excess, reference_point, rewards
from codesign_gym.envs.core.space import Designs
from codesign_gym.errors import UnknownName
from codesign_gym.pareto import nondominated
from codesign_gym.simulators.accuracy.recipe import one_thread

Acquisition = Callable[[DesignProblem, Surfaces, Designs, int, int], Iterator[AcquisitionFunction]]
ELITE = 16  # best designs that candidates are mutated from


@dataclass(frozen=True)
class Bayesian:
    """Fits a process to every metric, scores the designs of the greatest expected improvement, and so on (BoTorch).

    Constraints that the environment does not enforce are modelled, too, once a design has exceeded them. The
    acquisition is maximised over random designs and mutations of the best, improved step by step, all legal in the
    environment and not known.

    Attributes:
        improves: ``score`` (noisy expected improvement) or ``hypervolume`` (noisy expected hypervolume improvement, of
            more than three objectives by random scalarisations; every objective has to state its worst value).
        start: random designs before the first fit.
        batch: designs between two fits.
        points: designs that processes are fitted to at most: the best of all, and the latest.
        samples: Monte Carlo samples of the acquisition.
        pool: random candidates, and as many mutations.
        climbs: of the best candidates, how many are improved by single steps.
        rounds: such steps at most.

    Raises:
        UnknownName: for something else to improve.
        BadConfig: if a field is out of range.
    """

    improves: str = "score"
    start: int = 20
    batch: int = 4
    points: int = 200
    samples: int = 64
    pool: int = 128
    climbs: int = 4
    rounds: int = 8

    def __post_init__(self) -> None:
        if self.improves not in ACQUISITIONS:
            raise UnknownName("acquisition of bayesian", self.improves, ACQUISITIONS)
        fields = {name: getattr(self, name) for name in ("batch", "samples", "pool", "climbs")}
        whole("bayesian", 1, **fields)
        whole("bayesian", 2, start=self.start, points=self.points)
        whole("bayesian", 0, rounds=self.rounds)

    def run(self, task: Task) -> None:
        """Spend everything.

        Raises:
            BudgetSpent: always, in the end.
            BadConfig: if an objective states no worst value, and ``improves`` is ``hypervolume``.
        """
        problem, generator = task.recorder, np.random.default_rng(task.seed)
        if self.improves == "hypervolume":
            reference_point(problem)  # tells what is missing before anything is spent
        designs = fresh(task.designed, generator, self.start, set())
        metrics, known = problem.evaluate(designs), set(keys(designs))
        with seeded(task.seed), one_thread():
            while True:
                proposed = self._propose(task, designs, metrics, known, generator)
                found = problem.evaluate(proposed)
                known.update(keys(proposed))
                designs, metrics = np.concatenate([designs, proposed]), np.concatenate([metrics, found])

    @quiet()
    def _propose(
        self, task: Task, designs: Designs, metrics: Values, known: set[bytes], generator: np.random.Generator
    ) -> Designs:
        """The next batch, shape (batch, knobs)."""
        problem, core = task.recorder.problem, task.designed
        used, order = window(problem, metrics, self.points), self._order(problem, metrics)
        surfaces = fit(problem, designs[used], metrics[used])
        if surfaces.model is None:  # nothing has told designs apart yet
            return fresh(core, generator, self.batch, known)
        seed = int(generator.integers(2**31))
        acquisitions = ACQUISITIONS[self.improves](problem, surfaces, designs[used], self.samples, seed)
        pool = Pool(self.pool, self.climbs, self.rounds)
        return pool.batch(core, acquisitions, surfaces.features, designs[order[:ELITE]], known, self.batch, generator)

    def _order(self, problem: DesignProblem, metrics: Values) -> NDArray[np.int64]:
        """Rows from best to worst, shape (n,)."""
        if self.improves == "score":
            return ranking(problem, metrics)
        front = np.ones(len(metrics))
        kept = np.flatnonzero(excess(problem, metrics) == 0)
        front[kept[nondominated(-rewards(problem, metrics[kept]))]] = 0
        return np.lexsort((front, excess(problem, metrics)))


ACQUISITIONS: dict[str, Acquisition] = {"score": improvement, "hypervolume": front_improvement}
