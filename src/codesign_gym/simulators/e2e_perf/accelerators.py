"""The two kinds of accelerators that E2E-Perf tells apart: a stage for every layer, or one engine for all.

Jiang, Zhang, Chen, Do and Yeh, EH-DNAS, arXiv:2111.12299; the accelerators follow DNNBuilder (Zhang et al., ICCAD 2018)
and its successors. Resources are those of a ZCU102 (2,520 DSP slices, DDR4 of 19.2 GB/s) at an assumed 200 MHz, with
16-bit numbers; lanes and memory on chip are ours. EH-DNAS's networks reach 10,692 +- 2,753 images a second in a
pipeline and 799 +- 148 on a generic engine, on resources that are not stated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from codesign_gym.errors import Infeasible
from codesign_gym.simulators.e2e_perf.cells import Array, Skeleton, Work

#: Designs costed at once: their layers stay in a core's cache.
BLOCK = 256


class Accelerator(Protocol):
    """What runs a network."""

    def interval_s(self, work: Work) -> Array:
        """Seconds from one image to the next, shape (batch,), of layers (batch, layers)."""
        ...


@dataclass(frozen=True)
class Pipeline:
    """One stage for every layer, all at work on different images: the slowest sets the pace.

    A stage has a whole number of multipliers, and no more than its channels allow: a depthwise stage takes a window
    element of every channel at a time and cannot be faster than that. The split of the multipliers is the best there
    is: the least interval for which the fewest that every stage needs fit together, found by bisection. Weights stay
    on chip; those for which there is no room come from memory for every image.

    Attributes:
        multipliers: DSPs.
        clock_hz: of all stages.
        memory_bytes_per_s: main memory.
        on_chip_bytes: for weights.
        number_bytes: of a weight.
        pooled: window elements that a pooling stage takes in a cycle, of each channel.
        steps: of the bisection.
    """

    multipliers: int = 2520
    clock_hz: float = 200e6
    memory_bytes_per_s: float = 19.2e9
    on_chip_bytes: float = 1e6
    number_bytes: int = 2
    pooled: int = 1
    steps: int = 12

    def interval_s(self, work: Work) -> Array:
        """See :class:`Accelerator`; raises :class:`Infeasible` for more stages than multipliers."""
        total, stages = (work.count * work.macs).sum(-1), (work.count * (work.macs > 0)).sum(-1)
        if (stages >= self.multipliers).any():
            raise Infeasible(f"{stages.max():.0f} stages need as many multipliers; there are {self.multipliers}")
        floor = np.where(work.macs > 0, work.positions, work.positions / self.pooled).max(-1)  # all channels at once
        low = np.maximum(floor, total / self.multipliers)  # cycles, fewer are impossible
        high = np.maximum(floor, total / (self.multipliers - stages))  # rounding up takes a multiplier a stage at most
        for _ in range(self.steps):
            middle = np.sqrt(low * high)
            needed = work.count * np.ceil(work.macs / middle[:, None])  # (batch, layers)
            fits = needed.sum(-1) <= self.multipliers
            low, high = np.where(fits, low, middle), np.where(fits, middle, high)
        streamed = np.maximum((work.count * work.weights).sum(-1) * self.number_bytes - self.on_chip_bytes, 0.0)
        return np.asarray(np.maximum(high / self.clock_hz, streamed / self.memory_bytes_per_s))


@dataclass(frozen=True)
class Generic:
    """One engine that layers use in turn: each takes as long as the longest of computing, loading and storing.

    Attributes:
        in_lanes, out_lanes: input and output channels done at a time.
        clock_hz: of the engine.
        memory_bytes_per_s: main memory.
        number_bytes: of a weight or an activation.
    """

    in_lanes: int = 32
    out_lanes: int = 32
    clock_hz: float = 200e6
    memory_bytes_per_s: float = 19.2e9
    number_bytes: int = 2

    def interval_s(self, work: Work) -> Array:
        """See :class:`Accelerator`."""
        return np.asarray((work.count * self.layer_s(work)).sum(-1))

    def layer_s(self, work: Work) -> Array:
        """Seconds of each layer, shape (batch, layers)."""
        passes = np.ceil(work.in_channels / self.in_lanes) * np.ceil(work.out_channels / self.out_lanes)
        compute = passes * work.positions / self.clock_hz
        per_number = self.number_bytes / self.memory_bytes_per_s
        load, store = (work.weights + work.moved_in) * per_number, work.moved_out * per_number
        return np.maximum(np.maximum(compute, load), store)


def throughput(accelerator: Accelerator, skeleton: Skeleton, designs: NDArray[np.int64]) -> Array:
    """Images a second of designs of shape (batch, 28), shape (batch,)."""
    blocks = (designs[start : start + BLOCK] for start in range(0, len(designs), BLOCK))
    found = [1.0 / accelerator.interval_s(skeleton.work(block)) for block in blocks]
    return np.concatenate(found) if found else np.zeros(0)


def lookup(accelerator: Accelerator, skeleton: Skeleton) -> Array:
    """Seconds that each choice takes if it has the accelerator for itself, shape (28, operators).

    The linear approximation that EH-DNAS argues against: the sum of an operator's own intervals.
    """
    table = skeleton.table
    knobs, operators = table.macs.shape[:2]
    alone = Work(*(column.reshape(knobs * operators, -1) for column in vars(table).values()))
    busy = np.asarray(alone.count.any(-1))
    found = np.zeros(len(busy))
    found[busy] = accelerator.interval_s(alone.take(np.flatnonzero(busy)))
    return found.reshape(knobs, operators)
