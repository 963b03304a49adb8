"""Words that a mapping moves into and out of every buffer: a closed form, over any batch of mappings.

A tensor's tile at a level is fetched again whenever a loop outside the level steps, except by loops
inside the innermost one that indexes the tensor. With T a tile's words and n the counts of the loops
outside, from the innermost one that indexes the tensor outwards, a buffer is filled with ``T * prod(n)``
words. This is Timeloop's count (Parashar et al., ISPASS 2019) as DOSA writes it in closed form (Hong et
al., "DOSA: Differentiable Model-Based One-Loop Search for DNN Accelerators", MICRO 2023):

* Operands: a buffer is read once for every fill of the next inner one that holds the tensor; the
  instances below that need the same word share one read. Multipliers keep nothing: they read the
  innermost buffer every cycle.
* Outputs: every drain of an inner tile updates the buffer (one write, after the sums of the instances
  below are added) and, but for the first one of each output, reads it before. An inner buffer is
  written once for every word of every tile that it takes over.
* Windows: where the innermost loop of all that are outside shifts the input window, only the new part
  is fetched. Wider reuse of overlapping windows is not modelled, nor is it by Timeloop, except where
  two loops undo each other's shift exactly (7 of the 3,000 sampled mappings).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import mul
from typing import Any, NamedTuple

import numpy as np
from array_api_compat import array_namespace, device

from codesign_gym.simulators.hardware.loopnest.machine import Machine
from codesign_gym.simulators.hardware.loopnest.mapping import (
    DRAM,
    INDEXED_BY,
    INPUT,
    LEVELS,
    LOOPS,
    OUTPUT,
    TENSORS,
    C,
    G,
    Mapping,
    N,
    P,
    Q,
    R,
    S,
    Work,
)
from codesign_gym.simulators.networks.layers import Array

Sizes = list[Array]  # one array of shape (...) per loop

MULTIPLIER = -1  # what lies inside l0

_INDEXES = np.array([[loop in loops for loop in range(len(LOOPS))] for loops in INDEXED_BY])  # (tensors, loops)


class Flow(NamedTuple):
    """Words of one tensor in one instance of a level, arrays of shape (...)."""

    reads: Array
    writes: Array
    tile: Array  # occupied at a time


@dataclass(frozen=True, eq=False)
class Traffic:
    """What a mapping moves, whatever the bitwidths.

    Attributes:
        flows: by level and tensor, for the buffers that exist.
        instances: of each level in use, arrays of shape (...).
        compute_cycles: iterations in time, shape (...).
    """

    flows: dict[tuple[int, int], Flow]
    instances: list[Array]
    compute_cycles: Array


def traffic(machine: Machine, work: Work, mapping: Mapping) -> Traffic:
    """Traffic of every mapping; the batches of the three broadcast to (...), the result's shape.

    Nothing is checked here: see :func:`~codesign_gym.simulators.hardware.loopnest.execution.evaluate`.
    """
    nest = _Nest.of(work, mapping)
    flows: dict[tuple[int, int], Flow] = {}
    for tensor in range(len(TENSORS)):
        inner = MULTIPLIER
        for level in machine.holders(tensor):
            flows[level, tensor] = nest.flow(tensor, level, inner)
            inner = level
    used = [reduce(mul, nest.spatial[level]) for level in range(len(LEVELS))]
    instances = [reduce(mul, used[level + 1 :], used[DRAM] * 0 + 1) for level in range(len(LEVELS))]
    return Traffic(flows, instances, nest.steps)


def packed(moved: Traffic) -> Array:
    """Traffic as one array, shape (..., columns)."""
    columns = [*(column for flow in moved.flows.values() for column in flow), *moved.instances, moved.compute_cycles]
    xp = array_namespace(moved.compute_cycles)
    return xp.stack([column + 0 * moved.compute_cycles for column in columns], axis=-1)


def unpacked(machine: Machine, columns: Array) -> Traffic:
    """The inverse of :func:`packed`, on the machine that the traffic is of."""
    held = [(level, tensor) for tensor in range(len(TENSORS)) for level in machine.holders(tensor)]
    each = iter([columns[..., i] for i in range(columns.shape[-1])])
    flows = {key: Flow(next(each), next(each), next(each)) for key in held}
    *instances, compute_cycles = each
    return Traffic(flows, instances, compute_cycles)


class _Shift(NamedTuple):
    """The innermost of some loops that steps, arrays of shape (...)."""

    count: Array  # its iterations; 1 where none steps
    window: Array  # whether it shifts the input's window and nothing else, bool
    columns: Array  # by how many columns at a step
    rows: Array


@dataclass(frozen=True, eq=False)
class _Nest:
    """A batch of mappings in float64, loops and levels first, with what every tensor asks of them."""

    work: Work
    temporal: Array  # (levels, loops, ...)
    spatial: Array  # (levels, loops, ...)
    tiles: list[Sizes]  # by level and loop: what one instance of the level iterates over
    whole: list[Array]  # by level: iterations of all its loops
    runs: list[list[Array]]  # by level and tensor: iterations from the innermost loop that indexes it outwards
    indexed: list[list[Array]]  # by level and tensor: whether any loop that steps indexes it, bool
    shifts: list[_Shift]  # by level

    @classmethod
    def of(cls, work: Work, mapping: Mapping) -> _Nest:
        xp = array_namespace(mapping.temporal)
        temporal, spatial = (
            xp.moveaxis(xp.astype(array, xp.float64), (-2, -1), (0, 1)) for array in (mapping.temporal, mapping.spatial)
        )
        order = xp.moveaxis(mapping.order, (-2, -1), (0, 1))
        nest = cls(work, temporal, spatial, [], [], [], [], [])
        for level in range(len(LEVELS)):
            nest._add(xp, level, order[level])
        return nest

    def _add(self, xp: Any, level: int, order: Array) -> None:
        """Summarise a level; ``order`` has shape (loops, ...)."""
        grown = self.temporal[level] * self.spatial[level]
        self.tiles.append([grown[i] * self.tiles[-1][i] if level else grown[i] for i in range(len(LOOPS))])
        ordered = xp.take_along_axis(self.temporal[level], order, axis=0)
        indexing = [xp.asarray(table, device=device(order))[order] for table in _INDEXES]  # (loops, ...) by tensor
        one = xp.ones_like(ordered[0])
        whole, runs, indexed = one, [one] * len(TENSORS), [one < 1] * len(TENSORS)
        innermost = xp.full_like(order[0], -1)
        for place in range(len(LOOPS) - 1, -1, -1):  # from the innermost outwards
            count = ordered[place]
            steps = count > 1
            innermost = xp.where(steps & (whole == 1), order[place], innermost)
            indexed = [found | (steps & where[place]) for found, where in zip(indexed, indexing, strict=True)]
            runs = [xp.where(found, run * count, run) for found, run in zip(indexed, runs, strict=True)]
            whole = whole * count
        self.whole.append(whole)
        self.runs.append(runs)
        self.indexed.append(indexed)
        self.shifts.append(self._shift(xp, level, innermost))

    def _shift(self, xp: Any, level: int, innermost: Array) -> _Shift:
        """What a step of a level's innermost loop does to the input's window; -1 stands for no loop."""
        count, still = xp.ones_like(self.whole[level]), xp.zeros_like(self.whole[level])
        moved = {P: still, Q: still, R: still, S: still}
        for loop, stride in ((P, self.work.stride_p), (Q, self.work.stride_q), (R, 1), (S, 1)):
            step = self.spatial[level, loop] * stride * (self.tiles[level - 1][loop] if level else 1)
            moved[loop] = xp.where(innermost == loop, step, still)
            count = xp.where(innermost == loop, self.temporal[level, loop], count)
        columns, rows = moved[P] + moved[R], moved[Q] + moved[S]
        return _Shift(count, (columns + rows) > 0, columns, rows)

    @property
    def steps(self) -> Array:
        """Iterations in time."""
        return reduce(mul, self.whole)

    def flow(self, tensor: int, level: int, inner: int) -> Flow:
        """Words of a tensor at a level, of which the next inner holder is ``inner``."""
        fetched = self.fetches(tensor, inner) * self.new_words(tensor, self.below(inner, level), inner)
        tile = self.volume(tensor, self.tiles[level])
        filled = self.fetches(tensor, level) * self.new_words(tensor, self.tiles[level], level) if level != DRAM else 0
        if tensor != OUTPUT:
            return Flow(fetched, filled + 0 * fetched, tile)
        own = self.volume(
            OUTPUT, [reduce(mul, self.temporal[level + 1 :, i], size) for i, size in enumerate(self.tiles[level])]
        )
        return Flow(fetched - own, fetched + filled, tile)

    def fetches(self, tensor: int, level: int) -> Array:
        """How many tiles of a tensor an instance of a level takes in, one after the other."""
        if level == MULTIPLIER:
            return self.steps
        xp = array_namespace(self.temporal)
        count, moving = xp.ones_like(self.whole[0]), xp.zeros_like(self.indexed[0][0])
        for outer in range(level + 1, len(LEVELS)):
            count = count * xp.where(moving, self.whole[outer], self.runs[outer][tensor])
            moving = moving | self.indexed[outer][tensor]
        return count

    def below(self, inner: int, level: int) -> Sizes:
        """Tile of all instances of ``inner`` that one instance of ``level`` serves, together."""
        own = self.tiles[inner] if inner != MULTIPLIER else [1] * len(LOOPS)
        return [reduce(mul, self.spatial[inner + 1 : level + 1, i], size) for i, size in enumerate(own)]

    def volume(self, tensor: int, tile: Sizes) -> Array:
        """Words of a tile."""
        if tensor == INPUT:
            width, height = self.window(tile)
            return tile[N] * tile[G] * tile[C] * width * height
        return reduce(mul, (tile[loop] for loop in INDEXED_BY[tensor]))

    def window(self, tile: Sizes) -> tuple[Array, Array]:
        """Columns and rows of the input under a tile."""
        return (tile[P] - 1) * self.work.stride_p + tile[R], (tile[Q] - 1) * self.work.stride_q + tile[S]

    def new_words(self, tensor: int, tile: Sizes, level: int) -> Array:
        """Words of a tile that are not there from the one before it, on average over the fetches at a level.

        Only where the innermost loop that steps outside the level shifts the input's window is anything left over.
        """
        words = self.volume(tensor, tile)
        if tensor != INPUT or level in (MULTIPLIER, DRAM):
            return words
        xp = array_namespace(self.temporal)
        count, window, columns, rows = self.shifts[level + 1]
        for outer in range(level + 2, len(LEVELS)):
            inside = reduce(mul, self.whole[level + 1 : outer]) == 1  # no loop between the level and this one steps
            count, window, columns, rows = (
                xp.where(inside, further, near)
                for further, near in zip(self.shifts[outer], (count, window, columns, rows), strict=True)
            )
        width, height = self.window(tile)
        overlap = xp.clip(width - columns, min=0) * xp.clip(height - rows, min=0) / (width * height)
        return words * (1 - xp.where(window, overlap * (count - 1) / count, 0 * overlap))
