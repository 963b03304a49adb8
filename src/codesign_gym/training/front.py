"""What a run with several objectives has found: the designs that no other beats, and the volume they reach.

A hypervolume here has no unit and depends on nothing that an agent did but its designs, so that those of agents on one
problem can be compared. Of every objective it counts by how much a design is better than the reference point (the
objectives' ``worst``), as a share of a unit: the reference point's own value, or where that is 0 the value that earns
nothing (:attr:`~codesign_gym.envs.core.problem.Objective.reference`), or where that is 0 as well, one of the metric.
Latencies are thus shares of that of the reference point that are saved, an accuracy a share of the reference design's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from codesign_gym.envs.core.problem import DesignProblem, Objective, Values, column, feasible
from codesign_gym.pareto import hypervolume, nondominated


@dataclass
class Front:
    """The trade-offs among designs that were scored so far and keep within the limits.

    Attributes:
        problem: has two objectives or more.
        losses: less is better, 0 at the reference point, -1 a unit better, shape (designs, objectives); no row is
            beaten by another. Counted from 0 of the metric where an objective states no worst value.
    """

    problem: DesignProblem
    losses: Values = field(init=False)

    def __post_init__(self) -> None:
        self.losses = np.zeros((0, len(self.problem.objectives)))

    def add(self, values: Values) -> None:
        """Take in metrics of shape (batch, metrics)."""
        kept = values[feasible(self.problem, values)]
        losses = np.concatenate([self.losses, _losses(self.problem, kept)])
        self.losses = losses[nondominated(losses)]

    @property
    def hypervolume(self) -> float | None:
        """Of the designs so far, see the module; None where an objective states no worst value."""
        if any(objective.worst is None for objective in self.problem.objectives):
            return None
        return hypervolume(self.losses, np.zeros(self.losses.shape[1]))

    def as_dict(self) -> dict[str, Any]:
        """What ``result.json`` says: hypervolume, and by metric and in its unit the reference point and the unit."""
        objectives = self.problem.objectives
        return {
            "hypervolume": self.hypervolume,
            "reference_point": {objective.metric: objective.worst for objective in objectives},
            "unit": {objective.metric: _unit(objective) for objective in objectives},
        }


def _losses(problem: DesignProblem, values: Values) -> Values:
    columns = []
    for objective in problem.objectives:
        at = column(problem, objective.metric)
        sign = 1.0 if problem.metrics[at].minimize else -1.0
        columns.append(sign * (values[:, at] - (objective.worst or 0.0)) / _unit(objective))
    return np.stack(columns, axis=-1)


def _unit(objective: Objective) -> float:
    return abs(objective.worst or 0.0) or abs(objective.reference) or 1.0
