"""Losses and metrics of mixtures of choices, for search by gradients."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np

from codesign_gym.errors import UnknownName

if TYPE_CHECKING:
    from torch import Tensor

    from codesign_gym.envs.core.problem import Constraint
    from codesign_gym.envs.core.separable import Separable


class Relaxed(Protocol):
    """What a problem says of designs that are not decided yet.

    Probabilities are tensors of shape (batch, knobs, choices): rows sum to 1 and are 0 for what is not allowed. Where
    every row is one-hot, the answers are (predictions of) those for that design.
    """

    def loss(self, probabilities: Tensor) -> Tensor:
        """The loss to minimise, of order one for a good design, shape (batch,)."""
        ...

    def metric(self, name: str, probabilities: Tensor) -> Tensor:
        """A metric in its own unit, shape (batch,); at least those that constraints are put on.

        Raises:
            UnknownName: for a metric that nothing is known of.
        """
        ...


@dataclass(frozen=True)
class TablesRelaxed:
    """Expectations of sums over groups of knobs, whose knobs are drawn independently of each other.

    Attributes:
        separable: the tables.
        constraints: those whose usages the tables hold, in order; their metrics can be asked for.
    """

    separable: Separable
    constraints: tuple[Constraint, ...] = ()

    def loss(self, probabilities: Tensor) -> Tensor:
        """The expected loss."""
        return self._expected(0, probabilities)

    def metric(self, name: str, probabilities: Tensor) -> Tensor:
        """The expectation of what the tables say of a constraint's metric."""
        names = [bound.metric for bound in self.constraints]
        if name not in names:
            raise UnknownName("constrained metric", name, names)
        row = names.index(name)
        bound = self.constraints[row]
        return bound.reference + (bound.limit - bound.reference) * self._expected(1 + row, probabilities)

    @cached_property
    def _columns(self) -> Tensor:
        """The tables with 0 for what is not allowed, shape (1 + constraints, groups, joint choices)."""
        import torch

        return torch.as_tensor(np.where(self.separable.joint_allowed, self.separable.columns, 0.0))

    def _expected(self, row: int, probabilities: Tensor) -> Tensor:
        batch, tables = len(probabilities), self.separable
        slots = probabilities.reshape(batch, tables.groups, tables.slots, tables.choices)
        joint = slots[:, :, 0]
        for slot in range(1, tables.slots):
            joint = (joint[..., None] * slots[:, :, slot, None]).reshape(batch, tables.groups, -1)
        return (joint * self._columns[row].to(joint)).sum((1, 2))


@dataclass(frozen=True)
class Predicted:
    """Another relaxation with some of its metrics predicted by models of the whole design.

    Attributes:
        base: answers for the loss and all other metrics.
        predictors: by metric; each takes probabilities (batch, knobs, choices) and gives (batch,) in the metric's unit.
    """

    base: Relaxed
    predictors: Mapping[str, Callable[[Tensor], Tensor]]

    def loss(self, probabilities: Tensor) -> Tensor:
        """The base's."""
        return self.base.loss(probabilities)

    def metric(self, name: str, probabilities: Tensor) -> Tensor:
        """The predictor's where there is one, else the base's."""
        predictor = self.predictors.get(name)
        return self.base.metric(name, probabilities) if predictor is None else predictor(probabilities)


def tables_relaxed(separable: Separable, constraints: tuple[Constraint, ...] = ()) -> TablesRelaxed:
    """Expectations of a problem's tables, which hold its constraints' usages."""
    return TablesRelaxed(separable, constraints)
