"""Operators of layers as a design problem."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from codesign_gym.envs.core.enforcement import best_uniform
from codesign_gym.envs.core.outlook import Free, Outlook, Tables
from codesign_gym.envs.core.problem import Computed, Constraint, Metric, Objective, Values, usage
from codesign_gym.envs.core.reach import Looks, check_every, check_reachable
from codesign_gym.envs.core.relaxed import Relaxed, tables_relaxed
from codesign_gym.envs.core.separable import Separable, Table
from codesign_gym.envs.core.space import Designs, DesignSpace, Knob
from codesign_gym.envs.layer_ops.costs import DesignCosts
from codesign_gym.envs.layer_ops.outlook import Enumerated
from codesign_gym.simulators.operators.quality import Quality, TabulatedQuality
from codesign_gym.simulators.operators.space import OperatorSpace

if TYPE_CHECKING:
    from torch import Tensor

#: Designs that are looked at one by one to bound what half-built ones will use.
ENUMERABLE = 2**17
#: How hard to look for a design within budgets, where a model costs whole designs: some of these search mappings.
MODELLED = Looks(starts=2, passes=1)
#: The least unit of losses, as a share of a median design's: a design that loses nothing is no unit.
LEAST_UNIT = 0.05


@dataclass(frozen=True, eq=False)
class LayerOpsProblem(Computed):
    """Choose an operator for every layer.

    Attributes:
        operators: what can be chosen.
        quality: says how good designs are.
        costs: says what they cost.
        objectives: what to improve.
        constraints: budgets on costs, or a floor on the quality.
        prepared: the error of what predicts costs, where they are predicted.

    Raises:
        Infeasible: if no design keeps the constraints together, as tables of whole designs tell, or none is found to,
            where a model costs whole designs; the tightest is named.
    """

    operators: OperatorSpace
    quality: Quality
    costs: DesignCosts
    objectives: tuple[Objective, ...]
    constraints: tuple[Constraint, ...]
    prepared: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if isinstance(self.quality, TabulatedQuality) and self.costs.looked_up and self.constraints:
            check_every(self.constraints, usage(self, self.evaluate(self.space.enumerate(0, self.space.size))))
        if not self.costs.looked_up:
            costs = [bound for bound in self.constraints if bound.metric in self.costs.names]
            check_reachable(self, costs, self._costs, MODELLED)

    @cached_property
    def space(self) -> DesignSpace:
        """A knob a layer, its operators in order."""
        return DesignSpace(tuple(Knob(layer.name, layer.operators) for layer in self.operators.layers))

    @cached_property
    def metrics(self) -> tuple[Metric, ...]:
        """The quality, then the costs."""
        return (Metric(self.quality.metric_name, minimize=False), *(Metric(name) for name in self.costs.names))

    def evaluate(self, designs: Designs) -> Values:
        """The quality, then the costs, of each design; shape (batch, metrics)."""
        designs = np.asarray(designs, dtype=np.int64)
        return np.concatenate([self.quality.score(designs)[:, None], self.costs.of(designs)], axis=-1)

    @cached_property
    def separable(self) -> Separable | None:
        """What the objectives lose and the constraints use, layer by layer, where all of them are sums.

        Losses are scaled by that of the best uniform design within the constraints, so that they are of order one for
        any space and device.
        """
        losses = [loss for objective in self.objectives if (loss := self._loss(objective)) is not None]
        if len(losses) < len(self.objectives):
            return None
        unscaled = self._with_usages(np.sum(losses, axis=0))
        if unscaled is None:
            return None
        unit = max(best_uniform(unscaled), LEAST_UNIT * float(unscaled.typical.start[0]), 1e-12)
        return Separable(unscaled.loss / unit, unscaled.usage, unscaled.allowed)

    @cached_property
    def outlook(self) -> Outlook:
        """Tables, those of the constraints alone where scores are no sums, else the costs of all designs, if few.

        A quality that is no sum is known by evaluating alone, and so are the designs that keep a floor on it.
        """
        tables = self.separable or self._with_usages(np.zeros(self.operators.allowed.shape))
        if tables is not None:
            return Tables(tables)
        if self.space.size > ENUMERABLE or not self.costs.looked_up:
            return Free(len(self.constraints), self.space.choices)
        known = dict(zip(self.costs.names, self.costs.of(self.space.enumerate(0, self.space.size)).T, strict=True))
        unknown = np.zeros(self.space.size)
        usages = [bound.usage(known[bound.metric]) if bound.metric in known else unknown for bound in self.constraints]
        sizes = tuple(len(layer.operators) for layer in self.operators.layers)
        return Enumerated(np.stack(usages, axis=-1), sizes)

    @cached_property
    def relaxed(self) -> Relaxed | None:
        """The loss of mixtures, where the quality has one (a supernet's cross entropy); costs are expectations."""
        tables = self._with_usages(np.zeros(self.operators.allowed.shape))
        if tables is None or not hasattr(self.quality, "loss"):
            return None
        return _Mixtures(self.quality, tables_relaxed(tables, self.constraints))

    @property
    def measured(self) -> bool:
        """Whether scores come from running a network."""
        return self.quality.measured

    @property
    def preparation(self) -> dict[str, float]:
        """Designs measured for predicted losses, and the error of predicted costs."""
        measured = getattr(self.quality, "prepared", 0)
        return {**({"designs_measured": float(measured)} if measured else {}), **self.prepared}

    def standard_error(self, metrics: Values) -> Values:
        """Binomial standard error of a measured share, in reward; 0 for anything else."""
        weights = [o.weight for o in self.objectives if o.metric == self.quality.metric_name]
        if not self.quality.images or not weights:
            return np.zeros(len(metrics))
        share = metrics[:, 0]
        return np.asarray(abs(weights[0]) * np.sqrt(share * (1 - share) / self.quality.images))

    def claim(self, design: NDArray[np.int64]) -> dict[str, float]:
        """What the quality claims of a final design of shape (layers,), where it can; else nothing."""
        claim = getattr(self.quality, "claim", None)
        return {} if claim is None else claim(design)

    def _costs(self, designs: Designs) -> dict[str, Values]:
        return dict(zip(self.costs.names, self.costs.of(designs).T, strict=True))

    def _loss(self, objective: Objective) -> Table | None:
        """What every operator loses of an objective, (layers, operators)."""
        if objective.metric in self.costs.tables:
            return -objective.weight * self.costs.tables[objective.metric]
        if objective.metric == self.quality.metric_name and self.quality.losses is not None:
            return objective.weight * self.quality.losses
        return None

    def _with_usages(self, loss: Table) -> Separable | None:
        """A loss beside the constraints' usages, if these are sums."""
        usages = [self._usage(bound) for bound in self.constraints]
        known = [table for table in usages if table is not None]
        if len(known) < len(usages):
            return None
        return Separable(loss, np.stack(known) if known else np.zeros((0, *loss.shape)), self.operators.allowed)

    def _usage(self, bound: Constraint) -> Table | None:
        if bound.metric in self.costs.tables:
            return self.costs.tables[bound.metric] / bound.limit
        if bound.metric == self.quality.metric_name and self.quality.exact and self.quality.losses is not None:
            return self.quality.losses / (bound.reference - bound.limit)
        return None


@dataclass(frozen=True, eq=False)
class _Mixtures:
    """A quality's loss of mixtures of operators, and expected costs."""

    quality: Quality
    tables: Relaxed

    def loss(self, probabilities: Tensor) -> Tensor:
        """The quality's."""
        loss: Tensor = self.quality.loss(probabilities)  # type: ignore[attr-defined]
        return loss

    def metric(self, name: str, probabilities: Tensor) -> Tensor:
        """Expectations."""
        return self.tables.metric(name, probabilities)
