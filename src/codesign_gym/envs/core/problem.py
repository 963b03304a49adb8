"""A design problem: a space, what a design measures, and what it must keep within.

Search baselines work on a problem directly; construct and refine environments walk it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from codesign_gym.envs.core.separable import Separable
from codesign_gym.envs.core.space import Designs, DesignSpace

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Metric:
    """One column of what :meth:`DesignProblem.evaluate` returns.

    Attributes:
        name: with its unit, e.g. ``"latency_s"``.
        minimize: whether less is better.
    """

    name: str
    minimize: bool = True


@dataclass(frozen=True)
class Constraint:
    """A bound on a metric, told as *usage*: the share of what is granted that a design uses up.

    Attributes:
        metric: the metric's name.
        limit: the bound, in the metric's unit.
        reference: the value at which nothing is used: 0 for a budget; the unquantized accuracy for
            an accuracy floor.
    """

    metric: str
    limit: float
    reference: float = 0.0

    def usage(self, value: Values) -> Values:
        """Share of the grant that is used; the constraint is met at 1 and below."""
        return (value - self.reference) / (self.limit - self.reference)


@dataclass(frozen=True)
class Objective:
    """What a finished design earns: ``weight * (metric - reference)``."""

    metric: str
    weight: float
    reference: float

    def reward(self, value: Values) -> Values:
        """The reward of metric values of any shape."""
        return self.weight * (value - self.reference)


class DesignProblem(Protocol):
    """What agents and environments need to know of a problem; any frozen record with these parts is one."""

    @property
    def space(self) -> DesignSpace:
        """The decisions."""
        ...

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The columns of :meth:`evaluate`."""
        ...

    @property
    def objective(self) -> Objective:
        """The metric to improve."""
        ...

    @property
    def constraints(self) -> tuple[Constraint, ...]:
        """The bounds to respect."""
        ...

    @property
    def separable(self) -> Separable:
        """Tables whose sums predict the objective's loss and the constraints' usage."""
        ...

    @property
    def measured(self) -> bool:
        """Whether :meth:`evaluate` measures something for real, which the ledger counts apart."""
        ...

    @property
    def preparation(self) -> dict[str, float]:
        """What was spent before any search, and the error of what predicts scores; may be empty."""
        ...

    def claim(self, design: NDArray[np.int64]) -> dict[str, float]:
        """Figures of a final design of shape (knobs,), from data that the search never saw; may be empty."""
        ...

    @property
    def measurable(self) -> DesignProblem | None:
        """The same problem with measured scores, where these are predicted and can be measured; else None."""
        ...

    def standard_error(self, metrics: Values) -> Values:
        """Standard error of the objective's reward, shape (batch,), of metrics (batch, metrics); 0 where exact."""
        ...

    def evaluate(self, designs: Designs) -> Values:
        """Score designs of shape (batch, knobs); returns metrics of shape (batch, metrics)."""
        ...


class Computed:
    """What a :class:`DesignProblem` whose metrics are computed says about measuring: that there is none.

    A problem of one's own inherits these parts and adds the others.
    """

    @property
    def measured(self) -> bool:
        """Nothing is run."""
        return False

    @property
    def measurable(self) -> None:
        """There is nothing to measure."""
        return None

    @property
    def preparation(self) -> dict[str, float]:
        """Nothing was spent."""
        return {}

    def claim(self, design: NDArray[np.int64]) -> dict[str, float]:
        """Nothing is claimed beyond the metrics."""
        return {}

    def standard_error(self, metrics: Values) -> Values:
        """Metrics are exact."""
        return np.zeros(len(metrics))


def column(problem: DesignProblem, name: str) -> int:
    """The column of :meth:`DesignProblem.evaluate` that holds a metric."""
    return [metric.name for metric in problem.metrics].index(name)


def usage(problem: DesignProblem, metrics: Values) -> Values:
    """Usage of every constraint, shape (batch, constraints), for metrics of shape (batch, metrics)."""
    columns = [bound.usage(metrics[:, column(problem, bound.metric)]) for bound in problem.constraints]
    return np.stack(columns, axis=-1) if columns else np.zeros((len(metrics), 0))


def feasible(problem: DesignProblem, metrics: Values) -> NDArray[np.bool_]:
    """Whether each row of metrics keeps within every constraint (to a relative 1e-9), shape (batch,)."""
    return np.asarray((usage(problem, metrics) <= 1 + 1e-9).all(-1))


def score(problem: DesignProblem, metrics: Values) -> Values:
    """The objective's reward of each row of metrics; higher is better, shape (batch,)."""
    return problem.objective.reward(metrics[:, column(problem, problem.objective.metric)])
