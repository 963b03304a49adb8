"""Random search: the floor that any search has to beat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from codesign_gym.agents.baselines.checks import whole
from codesign_gym.agents.baselines.sampling import sample
from codesign_gym.agents.interface import Task


@dataclass(frozen=True)
class Random:
    """Draws designs as a uniformly random policy would build them, until the grant is spent.

    Attributes:
        batch: designs drawn at a time; the last batch is scored as far as the grant goes.

    Raises:
        BadConfig: if a field is out of range.
    """

    batch: int = 64

    def __post_init__(self) -> None:
        whole("random", 1, batch=self.batch)

    def run(self, task: Task) -> None:
        """Spend everything.

        Raises:
            BudgetSpent: always, in the end.
        """
        generator = np.random.default_rng(task.seed)
        while True:
            task.recorder.evaluate(sample(task.designed, generator, self.batch))
