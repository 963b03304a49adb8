"""DARTS cells for a pipeline: accuracy from a table, and an interval between images that has gradients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from codesign_gym.envs.core.problem import Computed, Constraint, Metric, Objective, Values
from codesign_gym.envs.core.space import Designs, DesignSpace, Knob
from codesign_gym.errors import UnknownName
from codesign_gym.simulators.e2e_perf.accelerators import Accelerator, Pipeline, throughput
from codesign_gym.simulators.e2e_perf.cells import EDGES, OPERATORS, Skeleton

if TYPE_CHECKING:
    from torch import Tensor

    from codesign_gym.envs.core.relaxed import Relaxed

KNOBS = 2 * EDGES

#: Accuracy of the best cells in per cent: about that of DARTS' on CIFAR-10.
BEST = 97.3

#: Points of accuracy that each operator gives up on an average edge. Assumed: separable convolutions lead as in the
#: cells that DARTS finds, and random cells lose about 2.5 points.
LOSS = {
    "none": 0.20,
    "skip_connect": 0.10,
    "avg_pool_3x3": 0.14,
    "max_pool_3x3": 0.12,
    "dil_conv_3x3": 0.06,
    "dil_conv_5x5": 0.05,
    "sep_conv_3x3": 0.03,
    "sep_conv_5x5": 0.02,
}
SPREAD = 0.5  # standard deviation of the logarithm of a loss, over edges and operators

Interval = Callable[["Tensor"], "Tensor"]  # probabilities (batch, knobs, operators) -> microseconds (batch,)


def losses(seed: int) -> NDArray[np.float64]:
    """Points of accuracy that every choice gives up, shape (28, operators), drawn log-normally about :data:`LOSS`."""
    generator = np.random.default_rng(seed)
    return np.array([LOSS[name] for name in OPERATORS]) * generator.lognormal(0.0, SPREAD, (KNOBS, len(OPERATORS)))


@dataclass(frozen=True, eq=False)
class Guide:
    """What a search by gradients descends: lost points, and the interval weighted by ``rate``."""

    loss_table: NDArray[np.float64]
    rate: float
    interval: Interval | None

    def loss(self, probabilities: Tensor) -> Tensor:
        """Points, shape (batch,)."""
        import torch

        table = torch.as_tensor(self.loss_table, dtype=probabilities.dtype)
        lost = (probabilities * table).sum((1, 2))
        return lost if self.interval is None else lost + self.rate * self.interval(probabilities)

    def metric(self, name: str, probabilities: Tensor) -> Tensor:
        """No metric is constrained; raises :class:`UnknownName`."""
        raise UnknownName("constrained metric", name, [])


@dataclass(frozen=True, eq=False)
class CellProblem(Computed):
    """One of eight operators on each of the 28 edges of a normal and a reduction cell.

    Attributes:
        loss_table: points of accuracy that every choice gives up, shape (28, operators).
        rate: points that a microsecond of the interval between images is worth; 0 for a search blind to hardware.
        interval: what gradients know of the interval, or None.
        accelerator: what the networks run on.
        skeleton: how cells are stacked.
    """

    loss_table: NDArray[np.float64]
    rate: float
    interval: Interval | None = None
    accelerator: Accelerator = field(default_factory=Pipeline)
    skeleton: Skeleton = field(default_factory=Skeleton)

    @cached_property
    def space(self) -> DesignSpace:
        """28 knobs of eight operators, from the cheapest to the dearest."""
        names = [f"{cell}{edge}" for cell in ("normal", "reduce") for edge in range(EDGES)]
        return DesignSpace(tuple(Knob(name, OPERATORS) for name in names))

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Accuracy in per cent, and microseconds from one image to the next."""
        return (Metric("accuracy", minimize=False), Metric("interval_us"))

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """Accuracy, and the interval where it counts."""
        accuracy = Objective("accuracy", 1.0, 0.0)
        return (accuracy, Objective("interval_us", -self.rate, 0.0)) if self.rate else (accuracy,)

    @property
    def constraints(self) -> tuple[Constraint, ...]:
        """None."""
        return ()

    @property
    def relaxed(self) -> Relaxed:
        """Lost points and the interval, as far as gradients know it."""
        return Guide(self.loss_table, self.rate, self.interval)

    def evaluate(self, designs: Designs) -> Values:
        """Metrics of shape (batch, 2)."""
        lost = self.loss_table[np.arange(KNOBS), designs].sum(1)
        images_per_s: Any = throughput(self.accelerator, self.skeleton, designs)
        return np.stack([BEST - lost, 1e6 / images_per_s], axis=-1)
