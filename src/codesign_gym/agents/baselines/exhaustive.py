"""Every design of a small space."""

from __future__ import annotations

import math
from dataclasses import dataclass

from codesign_gym.agents.baselines.checks import whole
from codesign_gym.agents.interface import Task
from codesign_gym.errors import BadConfig

#: Agents that make something of a grant smaller than the space.
OTHERS = "'random', 'local-search' or 'ga', or where scores are sums over knobs 'milp'"


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
        """Spend one evaluation per design.

        Raises:
            BadConfig: if the space is larger than ``limit`` or than the grant; nothing is scored then, as the first
                designs of the count are a corner of the space and no sample of it.
        """
        space, granted = task.recorder.space, task.recorder.limits
        if space.size > self.limit:
            raise BadConfig(
                f"exhaustive: the space has about 10^{math.log10(space.size):.1f} designs; accepted: "
                f"at most {self.limit} (field 'limit'); try {OTHERS}"
            )
        for name, value in (("evaluations", granted.evaluations), ("proposals", granted.proposals)):
            if value < space.size:
                raise BadConfig(
                    f"exhaustive: the space has {space.size} designs, and {name} is {value}; accepted: --{name} "
                    f"{space.size} or more; with fewer try {OTHERS}"
                )
        for start in range(0, space.size, self.batch):
            task.recorder.evaluate(space.enumerate(start, min(start + self.batch, space.size)))
