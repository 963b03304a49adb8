"""What problems made of tables have in common."""

from __future__ import annotations

from codesign_gym.envs.core.problem import Computed, Constraint, Metric, Objective, Values
from codesign_gym.envs.core.separable import Separable
from codesign_gym.envs.core.space import Designs


class Tabled(Computed):
    """Metrics ``loss`` and ``use0``, ``use1``, ...: the totals of its tables."""

    tables: Separable

    @property
    def separable(self) -> Separable:
        return self.tables

    @property
    def metrics(self) -> tuple[Metric, ...]:
        return (Metric("loss"), *(Metric(bound.metric) for bound in self.constraints))

    @property
    def objectives(self) -> tuple[Objective, ...]:
        return (Objective("loss", -1.0, 0.0),)

    @property
    def constraints(self) -> tuple[Constraint, ...]:
        return tuple(Constraint(f"use{k}", 1.0) for k in range(len(self.tables.usage)))

    def evaluate(self, designs: Designs) -> Values:
        return self.tables.totals(designs)
