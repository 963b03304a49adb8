"""Every design of a small space."""

from __future__ import annotations

import math
from dataclasses import dataclass

from codesign_gym.agents.baselines.checks import whole
from codesign_gym.agents.interface import Task
from codesign_gym.errors import BadConfig


@dataclass(frozen=True)
class Exhaustive:
    """Scores all designs in the order in which the space counts them.

    Attributes:
        limit: the largest space that is taken on.
        batch: designs at a time.

    Raises:
        BadConfig: if a field is out of range.
    """

    limit: int = 1_000_000
    batch: int = 4096

    def __post_init__(self) -> None:
        whole("exhaustive", 1, limit=self.limit, batch=self.batch)

    def run(self, task: Task) -> None:
        """Spend one evaluation per design, or what is granted.

        Raises:
            BadConfig: if the space is larger than ``limit``.
            BudgetSpent: if the grant is smaller than the space.
        """
        space = task.recorder.space
        if space.size > self.limit:
            raise BadConfig(
                f"exhaustive: the space has about 10^{math.log10(space.size):.1f} designs; accepted: "
                f"at most {self.limit} (field 'limit')"
            )
        for start in range(0, space.size, self.batch):
            task.recorder.evaluate(space.enumerate(start, min(start + self.batch, space.size)))
