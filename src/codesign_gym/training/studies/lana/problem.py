"""LANA's search as a design problem: an operator a layer, the sum of loss changes, a budget on latency."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from codesign_gym.envs.core.problem import Computed, Constraint, Metric, Objective, Values
from codesign_gym.envs.core.separable import Separable, Table
from codesign_gym.envs.core.space import Designs, DesignSpace, Knob
from codesign_gym.simulators.hardware import device as devices
from codesign_gym.simulators.replacement.replacements import Replacements
from codesign_gym.simulators.replacement.space import operator_space, replacements

#: Nats; a smaller change of the loss is within the noise of a few hundred images.
LEAST_SCALE = 1e-3


@dataclass(frozen=True, eq=False)
class ReplacementProblem(Computed):
    """Choose an operator for every layer of a teacher.

    Attributes:
        given: the operators and what measures them.
        loss_changes: of the teacher when one layer alone is replaced, in nats, (layers, operators).
        teacher_loss: in nats.
        latency_s: of every operator, (layers, operators); what is not replaced is charged to the first layer.
        limit_s: on the network's latency.
        real: whether losses are measured, instead of predicted by the sum of changes.
    """

    given: Replacements
    loss_changes: Table
    teacher_loss: float
    latency_s: Table
    limit_s: float
    real: bool = False
    metrics: tuple[Metric, ...] = (Metric("loss"), Metric("latency_s"))

    @cached_property
    def space(self) -> DesignSpace:
        """A knob a layer, ordered by multiplications."""
        sites = self.given.teacher.sites
        return DesignSpace(tuple(Knob(s.name, names) for s, names in zip(sites, self.given.operators, strict=True)))

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """Less loss than the teacher's is worth as much as it is less."""
        return (Objective("loss", -1.0, self.teacher_loss),)

    @property
    def constraints(self) -> tuple[Constraint, ...]:
        """The latency."""
        return (Constraint("latency_s", self.limit_s),)

    @cached_property
    def separable(self) -> Separable:  # type: ignore[override]
        """Changes of the loss in units of their median, and shares of the limit."""
        typical = float(np.median(self.loss_changes[self.space.allowed]))
        return Separable(
            self.loss_changes / max(typical, LEAST_SCALE), self.latency_s[None] / self.limit_s, self.space.allowed
        )

    @property
    def measured(self) -> bool:
        """Whether losses are measured."""
        return self.real

    @property
    def measurable(self) -> ReplacementProblem | None:  # type: ignore[override]
        """The same problem with measured losses."""
        return None if self.real else replace(self, real=True)

    def evaluate(self, designs: Designs) -> Values:
        """Loss in nats and latency in seconds, shape (batch, 2)."""
        loss = self.given.loss(designs) if self.real else self.teacher_loss + self.change(designs)
        return np.stack([loss, self.latency(designs)], axis=-1)

    def change(self, designs: Designs) -> NDArray[np.float64]:
        """Sum of loss changes, LANA's objective, shape (batch,)."""
        return np.asarray(self.loss_changes[np.arange(designs.shape[1]), designs].sum(-1))

    def latency(self, designs: Designs) -> NDArray[np.float64]:
        """Seconds, shape (batch,)."""
        return np.asarray(self.latency_s[np.arange(designs.shape[1]), designs].sum(-1))

    def speedup(self, design: NDArray[np.int64]) -> float:
        """How much faster than the teacher a design of shape (layers,) is."""
        teacher, own = self.latency(np.stack([self.given.unchanged, design]))
        return float(teacher / own)


def problem(network: str, device: str, share: float, seed: int = 0) -> ReplacementProblem:
    """The problem of a trained network on a device.

    Args:
        network: id or file.
        device: id or file.
        share: of the teacher's latency that may be used.
        seed: of the operators' distillation.
    """
    given = replacements(network, seed)
    table = np.asarray(operator_space(given).tabulate(devices.load(device)).latency_s)
    full = float(table[np.arange(len(table)), given.unchanged].sum())
    changes = np.nan_to_num(given.loss_changes())
    return ReplacementProblem(given, changes, float(given.loss(given.unchanged[None])[0]), table, share * full)
