"""A problem whose limit is a product of its knobs, which no sum over knobs tells."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from codesign_gym.envs.core.outlook import Completion, Outlook
from codesign_gym.envs.core.problem import Computed, Constraint, Metric, Objective, Values
from codesign_gym.envs.core.space import Designs, DesignSpace, Knob


@dataclass(frozen=True)
class Tiles(Computed):
    """Units along three axes under a limit on all of them together; fast and small are both wanted."""

    limit: float = 12.0
    dataflows: bool = True

    @cached_property
    def space(self) -> DesignSpace:
        axes = tuple(Knob(f"tile{i}", (1.0, 2.0, 3.0, 4.0)) for i in range(3))
        return DesignSpace((*axes, Knob("dataflow", ("os", "ws", "is"), ordered=False)) if self.dataflows else axes)

    @property
    def metrics(self) -> tuple[Metric, ...]:
        return (Metric("latency_s"), Metric("area_mm2"), Metric("units"))

    @property
    def objectives(self) -> tuple[Objective, ...]:
        return (Objective("latency_s", -1.0, 1.0, worst=2.0), Objective("area_mm2", -0.05, 10.0, worst=40.0))

    @property
    def constraints(self) -> tuple[Constraint, ...]:
        return (Constraint("units", self.limit),)

    @cached_property
    def outlook(self) -> Outlook:
        least = np.zeros((1, len(self.space)), dtype=np.int64)
        return Completion(lambda designs: self.units(designs)[:, None] / self.limit, least, self.space.sizes)

    def units(self, designs: Designs) -> Values:
        """Shape (batch,)."""
        return np.asarray((designs[:, :3] + 1.0).prod(-1))

    def evaluate(self, designs: Designs) -> Values:
        units, dataflow = self.units(designs), designs[:, 3] if self.dataflows else 0
        latency_s = (1.0 + 0.1 * ((dataflow + designs.sum(-1)) % 3)) / np.sqrt(units)
        return np.stack([latency_s, 0.5 * units + 0.1 * dataflow, units], axis=-1)
