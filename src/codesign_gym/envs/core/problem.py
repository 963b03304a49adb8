"""A design problem: a space, what a design measures, and what it must keep within.

Search baselines work on a problem directly; construct and refine environments walk it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, wraps
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from codesign_gym.envs.core.enforcement import TOLERANCE
from codesign_gym.envs.core.outlook import Free, Outlook, Tables
from codesign_gym.envs.core.separable import Separable
from codesign_gym.envs.core.space import Designs, DesignSpace
from codesign_gym.errors import BadConfig

if TYPE_CHECKING:
    from codesign_gym.envs.core.relaxed import Relaxed

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
    """What a finished design earns: ``weight * (metric - reference)``.

    Attributes:
        metric: the metric's name.
        weight: reward per unit of the metric; negative where less is better.
        reference: the metric's value that earns nothing.
        worst: the metric's value at the reference point of hypervolumes; None where none is stated.
    """

    metric: str
    weight: float
    reference: float
    worst: float | None = None

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
    def objectives(self) -> tuple[Objective, ...]:
        """The metrics to improve; one score is their rewards' sum."""
        ...

    @property
    def constraints(self) -> tuple[Constraint, ...]:
        """The bounds to respect."""
        ...

    @property
    def separable(self) -> Separable | None:
        """Tables whose sums predict the objectives' loss and the constraints' usage; None where nothing is a sum."""
        ...

    @property
    def outlook(self) -> Outlook:
        """What is known of half-built designs."""
        ...

    @property
    def relaxed(self) -> Relaxed | None:
        """Losses and metrics of mixtures of choices, to be differentiated; None where there are only the tables."""
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
        """Standard error of the score, shape (batch,), of metrics (batch, metrics); 0 where exact."""
        ...

    def evaluate(self, designs: Designs) -> Values:
        """Score designs of shape (batch, knobs); returns metrics of shape (batch, metrics)."""
        ...


class Structured:
    """What a :class:`DesignProblem` knows of its structure where it says nothing else: nothing is a sum over knobs.

    Whatever inherits this is asked for designs of its space only: ``evaluate`` raises ``BadConfig`` for others.
    """

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "evaluate" in vars(cls):
            cls.evaluate = _asked(cls.evaluate)  # type: ignore[assignment, method-assign]

    if TYPE_CHECKING:  # a property here would be taken for the default of a dataclass's field

        def evaluate(self, designs: Designs) -> Values:
            """The problem's."""

        @property
        def space(self) -> DesignSpace:
            """The problem's."""

        @property
        def constraints(self) -> tuple[Constraint, ...]:
            """The problem's."""

    @property
    def separable(self) -> Separable | None:
        """There are no tables."""
        return None

    @property
    def relaxed(self) -> Relaxed | None:
        """There is nothing to differentiate but the tables."""
        return None

    @cached_property
    def outlook(self) -> Outlook:
        """The tables', where there are any."""
        return Free(len(self.constraints), self.space.choices) if self.separable is None else Tables(self.separable)


def _asked(evaluate: Callable[[Any, Designs], Values]) -> Callable[[Any, Designs], Values]:
    """An ``evaluate`` that looks at designs first: an index of -1 would be the last value, unnoticed."""

    @wraps(evaluate)
    def asked(problem: Any, designs: Designs) -> Values:
        problem.space.check(designs)
        return evaluate(problem, designs)

    return asked


class Computed(Structured):
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
    return np.asarray((usage(problem, metrics) <= 1 + TOLERANCE).all(-1))


def excess(problem: DesignProblem, metrics: Values) -> Values:
    """By how much each row of metrics exceeds its constraints, summed, shape (batch,); 0 where feasible."""
    return np.asarray(np.maximum(usage(problem, metrics) - 1.0 - TOLERANCE, 0.0).sum(-1))


def objective_names(problem: DesignProblem) -> list[str]:
    """What the objectives' reward terms are called: ``objective`` where there is one, else by the metric."""
    several = len(problem.objectives) > 1
    return [objective.metric if several else "objective" for objective in problem.objectives]


def rewards(problem: DesignProblem, metrics: Values) -> Values:
    """What each row of metrics earns by every objective; higher is better, shape (batch, objectives)."""
    return np.stack([o.reward(metrics[:, column(problem, o.metric)]) for o in problem.objectives], axis=-1)


def score(problem: DesignProblem, metrics: Values) -> Values:
    """The sum of the objectives' rewards of each row of metrics; higher is better, shape (batch,)."""
    return np.asarray(rewards(problem, metrics).sum(-1))


def reference_point(problem: DesignProblem) -> Values:
    """The rewards at the objectives' worst values, shape (objectives,): where hypervolumes are measured from.

    Raises:
        BadConfig: if an objective states none.
    """
    for objective in problem.objectives:
        if objective.worst is None:
            raise BadConfig(f"objective {objective.metric!r} states no worst value, which hypervolumes need")
    return np.array([o.reward(np.array(o.worst, dtype=np.float64)) for o in problem.objectives])


def predicted_loss(problem: DesignProblem, designs: Designs) -> Values:
    """Loss that the tables predict, shape (batch,); 0 where there are none."""
    return np.zeros(len(designs)) if problem.separable is None else problem.separable.totals(designs)[:, 0]
