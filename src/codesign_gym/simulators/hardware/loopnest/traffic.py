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
from typing import NamedTuple

from array_api_compat import array_namespace

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

MULTIPLIER = -1  # what lies inside l0


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
    xp = array_namespace(mapping.temporal)
    factors = (xp.astype(array, xp.float64) for array in (mapping.temporal, mapping.spatial))
    place = xp.argsort(mapping.order, axis=-1)
    return counted(machine, work, *(xp.moveaxis(array, (-2, -1), (0, 1)) for array in (*factors, place)))


def counted(machine: Machine, work: Work, temporal: Array, spatial: Array, place: Array) -> Traffic:
    """The same of mappings with levels and loops in front, each of shape (levels, loops, ...).

    Args:
        machine: the hardware.
        work: the layers.
        temporal: iterations in time, float64.
        spatial: instances, float64.
        place: of each loop in its level's order, 0 for the outermost; whole numbers.
    """
    nest = _Nest.of(work, temporal, spatial, place)
    flows: dict[tuple[int, int], Flow] = {}
    for tensor in range(len(TENSORS)):
        inner, taken = MULTIPLIER, _Fetches(nest.steps, None)
        for level in machine.holders(tensor):
            fetched = nest.fetched(tensor, nest.below(inner, level), taken)
            inner, taken = level, nest.fetches(tensor, level)
            filled = nest.fetched(tensor, nest.tiles[level], taken) if level != DRAM else 0
            flows[level, tensor] = nest.flow(tensor, level, fetched, filled)
    used = [reduce(mul, (nest.spatial[level, loop] for loop in range(len(LOOPS)))) for level in range(len(LEVELS))]
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


class _Fetches(NamedTuple):
    """How an instance of a level takes in a tensor's tiles, one after the other."""

    count: Array  # of tiles, shape (...)
    shift: _Shift | None  # from one tile to the next; None where nothing is left over


@dataclass(frozen=True, eq=False)
class _Nest:
    """A batch of mappings in float64, levels and loops first, with what every tensor asks of them."""

    work: Work
    temporal: Array  # (levels, loops, ...)
    spatial: Array  # (levels, loops, ...)
    place: Array  # (levels, loops, ...) 1 for a level's outermost loop; 0 for one that does not step
    innermost: Array  # (levels, ...) the highest place of each level; 0 where no loop steps
    tiles: list[Array]  # by level (loops, ...): what one instance of the level iterates over
    whole: Array  # (levels, ...) iterations of all loops of a level
    runs: list[Array]  # by tensor (levels, ...): iterations from the innermost loop that indexes it outwards
    indexed: list[Array]  # by tensor (levels, ...): whether any loop that steps indexes it, bool

    @classmethod
    def of(cls, work: Work, temporal: Array, spatial: Array, place: Array) -> _Nest:
        xp = array_namespace(temporal)
        place = (place + 1) * xp.astype(temporal > 1, place.dtype)
        grown = temporal * spatial
        tiles = [grown[0]]
        for level in range(1, len(LEVELS)):
            tiles.append(tiles[-1] * grown[level])
        runs, indexed = [], []
        for loops in INDEXED_BY:
            last = reduce(xp.maximum, (place[:, loop] for loop in loops))
            run = reduce(mul, (temporal[:, loop] for loop in loops))
            for loop in (loop for loop in range(len(LOOPS)) if loop not in loops):
                run = run * xp.where(place[:, loop] < last, temporal[:, loop], 1.0)
            runs.append(run)
            indexed.append(last > 0)
        every = range(len(LOOPS))
        innermost = reduce(xp.maximum, (place[:, loop] for loop in every))
        whole = reduce(mul, (temporal[:, loop] for loop in every))
        return cls(work, temporal, spatial, place, innermost, tiles, whole, runs, indexed)

    @property
    def steps(self) -> Array:
        """Iterations in time."""
        return reduce(mul, (self.whole[level] for level in range(len(LEVELS))))

    def flow(self, tensor: int, level: int, fetched: Array, filled: Array) -> Flow:
        """Words of a tensor at a level from which ``fetched`` go inwards, and to which ``filled`` come."""
        tile = self.volume(tensor, self.tiles[level])
        if tensor != OUTPUT:
            return Flow(fetched, filled + 0 * fetched, tile)
        outer = range(level + 1, len(LEVELS))
        own = reduce(mul, (self.temporal[above, loop] for above in outer for loop in INDEXED_BY[OUTPUT]), tile)
        return Flow(fetched - own, fetched + filled, tile)

    def fetches(self, tensor: int, level: int) -> _Fetches:
        """How an instance of a level takes in a tensor's tiles."""
        xp = array_namespace(self.temporal)
        count, moving = xp.ones_like(self.whole[0]), xp.zeros_like(self.indexed[0][0])
        for outer in range(level + 1, len(LEVELS)):
            count = count * xp.where(moving, self.whole[outer], self.runs[tensor][outer])
            moving = moving | self.indexed[tensor][outer]
        return _Fetches(count, self.shift(level) if tensor == INPUT and level != DRAM else None)

    def below(self, inner: int, level: int) -> Array:
        """Tile (loops, ...) of all instances of ``inner`` that one instance of ``level`` serves, together."""
        own = [] if inner == MULTIPLIER else [self.tiles[inner]]
        return reduce(mul, [*own, *(self.spatial[between] for between in range(inner + 1, level + 1))])

    def volume(self, tensor: int, tile: Array) -> Array:
        """Words of a tile (loops, ...)."""
        if tensor == INPUT:
            width, height = self.window(tile)
            return tile[N] * tile[G] * tile[C] * width * height
        return reduce(mul, (tile[loop] for loop in INDEXED_BY[tensor]))

    def window(self, tile: Array) -> tuple[Array, Array]:
        """Columns and rows of the input under a tile."""
        return (tile[P] - 1) * self.work.stride_p + tile[R], (tile[Q] - 1) * self.work.stride_q + tile[S]

    def fetched(self, tensor: int, tile: Array, fetches: _Fetches) -> Array:
        """Words of all tiles that are taken in, less what is still there from the one before.

        Only where the innermost loop that steps outside the level shifts the input's window is anything left over.
        """
        words = self.volume(tensor, tile)
        if fetches.shift is None:
            return fetches.count * words
        xp = array_namespace(self.temporal)
        count, window, columns, rows = fetches.shift
        width, height = self.window(tile)
        overlap = xp.clip(width - columns, min=0) * xp.clip(height - rows, min=0) / (width * height)
        return fetches.count * (words * (1 - xp.where(window, overlap * (count - 1) / count, 0 * overlap)))

    def shift(self, level: int) -> _Shift:
        """What a step of the innermost loop outside a level does to the input's window."""
        xp = array_namespace(self.temporal)
        found = self._shift(level + 1)
        for outer in range(level + 2, len(LEVELS)):
            inside = reduce(mul, (self.whole[between] for between in range(level + 1, outer))) == 1
            found = _Shift(*(xp.where(inside, far, near) for far, near in zip(self._shift(outer), found, strict=True)))
        return found

    def _shift(self, level: int) -> _Shift:
        """The same of a level's own innermost loop."""
        xp = array_namespace(self.temporal)
        count, still = xp.ones_like(self.whole[level]), xp.zeros_like(self.whole[level])
        moved = {}
        for loop, stride in ((P, self.work.stride_p), (Q, self.work.stride_q), (R, 1), (S, 1)):
            place = self.place[level, loop]
            here = (place > 0) & (place == self.innermost[level])
            step = self.spatial[level, loop] * stride * (self.tiles[level - 1][loop] if level else 1)
            moved[loop] = xp.where(here, step, still)
            count = xp.where(here, self.temporal[level, loop], count)
        columns, rows = moved[P] + moved[R], moved[Q] + moved[S]
        return _Shift(count, (columns + rows) > 0, columns, rows)
