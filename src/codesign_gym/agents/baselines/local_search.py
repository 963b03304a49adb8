"""Hill climbing from random designs, again and again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from codesign_gym.agents.baselines.checks import whole
from codesign_gym.agents.baselines.evolutionary import ranking
from codesign_gym.agents.baselines.moves import admitted, fresh, keys, neighbours
from codesign_gym.agents.interface import Task
from codesign_gym.envs.core.problem import DesignProblem, Values, excess, score
from codesign_gym.errors import UnknownName

IMPROVEMENTS = ("first", "steepest")


@dataclass(frozen=True)
class LocalSearch:
    """From the best of some random designs to a better neighbour until there is none, then from others.

    A neighbour differs in one knob by a step. Designs that keep the constraints are better than others, which are the
    better the less they exceed them.

    Attributes:
        improvement: ``first`` moves to the best of the first neighbours, in random order, that hold a better one;
            ``steepest`` to the best of all.
        start: random designs of which a climb starts from the best.
        batch: neighbours scored at a time under ``first``.

    Raises:
        BadConfig: if a field is out of range.
        UnknownName: for another improvement.
    """

    improvement: str = "first"
    start: int = 16
    batch: int = 4

    def __post_init__(self) -> None:
        if self.improvement not in IMPROVEMENTS:
            raise UnknownName("improvement of local-search", self.improvement, IMPROVEMENTS)
        whole("local-search", 1, start=self.start, batch=self.batch)

    def run(self, task: Task) -> None:
        """Spend everything.

        Raises:
            BudgetSpent: always, in the end.
        """
        problem, generator = task.recorder, np.random.default_rng(task.seed)
        known: set[bytes] = set()
        while True:
            drawn = fresh(task.designed, generator, self.start, known)
            metrics = problem.evaluate(drawn)
            known.update(keys(drawn))
            best = ranking(problem, metrics)[0]
            self._climb(task, drawn[best], metrics[best], known, generator)

    def _climb(
        self,
        task: Task,
        design: NDArray[np.int64],
        metrics: Values,
        known: set[bytes],
        generator: np.random.Generator,
    ) -> None:
        """Move until no unknown neighbour is better; ``known`` takes in what was scored."""
        problem, moving = task.recorder, True
        while moving:
            moving = False
            around = generator.permutation(neighbours(problem.space, design))
            around = admitted(task.designed, around, known)
            size = len(around) if self.improvement == "steepest" else self.batch
            for start in range(0, len(around), max(size, 1)):
                tried = around[start : start + size]
                found = problem.evaluate(tried)
                known.update(keys(tried))
                best = ranking(problem, found)[0]
                if _better(problem, metrics, found[best]):
                    design, metrics, moving = tried[best], found[best], True
                    break


def _better(problem: DesignProblem, before: Values, after: Values) -> bool:
    """Whether metrics of shape (metrics,) improve on others."""
    both = np.stack([before, after])
    over, worth = excess(problem, both), score(problem, both)
    return bool(over[1] < over[0] or (over[1] == over[0] and worth[1] > worth[0]))
