"""Gemmini: cycles of the RTL, from what its decoupled queues do.

Genc et al., "Gemmini: Enabling Systematic Deep-Learning Architecture Evaluation via Full-Stack
Integration", DAC 2021: a weight-stationary array of D x D int8 processing elements beside a RISC-V
core, with a scratchpad, an accumulator, and a DMA engine to the core's L2 cache. Loops are unrolled
into commands by hardware (``LoopConv.scala``, ``LoopMatmul.scala``); loads, computation and stores
have queues of their own, and two tiles are in flight, each in one half of the memories.

* Computation. A block of D x D weights meets n strips of at most D output columns (the columns are
  cut into strips row by row). A strip of I columns takes ``max(I, 4)`` cycles, the array's least
  (``ExecuteController.scala``); one strip of a block takes D because the next weights shift in with
  it. Commands arrive at one strip per ``issue_cycles``: ``|(strips' cycles, n * issue_cycles)|``.
* Memory. Loads take a cycle for each word of the bus, one more in rows that may start within a word and end in another;
  stores ``store_cycles`` for each row of D elements; each line that the L2 cache lacks
  ``l2_miss_cycles`` and each that the last level of cache lacks ``llc_miss_cycles`` on top. A missing
  line that is stored counts twice: it is fetched and written back. Tiles are loaded anew each time, and
  ``caches`` finds what the caches still hold. The measurement was a second run: a layer that
  fits a cache as a whole finds its tensors there.
* Together: ``|(computation, memory)| + memory of one tile``, the first load and the last store.

``|(a, b)|`` is the p-norm, p = ``overlap_exponent``: queues of finite length overlap almost perfectly
unless both are equally busy. Five constants are fitted (the device file names data and error).

Errors against the RTL on 153 layers: 7.4 % (mean, of layer shapes left out of the fit) for given mappings;
26.5 % (Spearman .977) for the tiles that Gemmini's own software picks, which is what :meth:`Gemmini.cost` uses.
The second figure is against first, cold runs, whose data come from memory where the model finds them in a cache.

Not modelled: partial sums spilled to memory, biases, the core's own work, pooling, and the zeros of
the padding, which are counted as loads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import NDArray
from pydantic import Field

from codesign_gym.simulators.hardware.gemmini.caches import LINE_BYTES, missing_lines
from codesign_gym.simulators.hardware.gemmini.tiling import (
    BATCH,
    COLUMNS,
    INPUTS,
    KERNEL_COLUMNS,
    KERNEL_ROWS,
    OUTPUTS,
    OWN_ORDER,
    ROWS,
    Ints,
    Work,
    ceil_div,
    own_tiles,
    work,
)
from codesign_gym.simulators.hardware.model import Costs, Unit, constant, weight_bytes
from codesign_gym.simulators.networks.layers import Array, Layers

Floats = NDArray[np.float64]

#: Cycles that the array spends on a strip at least.
LEAST_CYCLES = 4


@dataclass(frozen=True, eq=False)
class Activity:
    """What running layers by given tiles makes the hardware do, shape (...); no fitted constant enters."""

    tiles: Floats
    strip_cycles: Floats  # of a block of weights, for the mean tile
    strips: Floats  # of a block of weights, for the mean tile
    blocks: Floats  # of weights, over all tiles
    loaded_words: Floats
    stored_rows: Floats
    l2_missing_lines: Floats
    llc_missing_lines: Floats


@dataclass(frozen=True)
class Gemmini:
    """Latency of every layer by the tiles that Gemmini's own software picks; 8-bit weights and activations.

    It is off by 26.5 % on average from the RTL's first runs by those tiles (see the module's docstring).

    Weights come from memory in every inference, because those of a network exceed the caches; a layer's
    input and output are found in the caches where they fit, as in the measurement.

    A grouped or depthwise convolution runs group by group, each on its own, as Gemmini does where its
    depthwise units are left out. A matrix product of activations runs head by head and image by image.

    Any parameter may be an array that broadcasts against the leading axes. NumPy only: torch bitwidths
    on the CPU are answered with tensors without gradients. No energy: there is no source for the RTL's.
    """

    separable: ClassVar[bool] = True

    clock_hz: Annotated[float, Unit("Hz"), Field(gt=0)]
    dim: Annotated[int, Unit("rows"), Field(gt=0)]
    scratchpad_bytes: Annotated[int, Unit("B"), Field(gt=0)]
    accumulator_bytes: Annotated[int, Unit("B"), Field(gt=0)]
    bus_bytes: Annotated[int, Unit("B/cycle"), Field(gt=0)]
    l2_bytes: Annotated[int, Unit("B"), Field(gt=0)]
    llc_bytes: Annotated[int, Unit("B"), Field(gt=0)]
    issue_cycles: Annotated[float, Unit("cycle"), Field(gt=0)]
    store_cycles: Annotated[float, Unit("cycle"), Field(gt=0)]
    l2_miss_cycles: Annotated[float, Unit("cycle"), Field(ge=0)]
    llc_miss_cycles: Annotated[float, Unit("cycle"), Field(ge=0)]
    overlap_exponent: Annotated[float, Unit("1"), Field(ge=1)]

    def cost(self, layers: Layers, bits: Array) -> Costs:
        """Costs of shape (..., layers); see :class:`~codesign_gym.simulators.hardware.model.CostModel`."""
        xp, bits = array_namespace(bits), constant(bits)
        rows = layers.map(np.asarray)
        loops = work(rows)
        memories = (self.dim, self.scratchpad_bytes, self.accumulator_bytes)
        shape = np.broadcast_shapes(loops.stride.shape, *(np.shape(memory) for memory in memories))
        loops = loops.broadcast_to(shape)
        dim, scratchpad, accumulator = (np.broadcast_to(memory, shape) for memory in memories)
        activity = self.activity(loops, own_tiles(loops, dim, scratchpad, accumulator), OWN_ORDER)
        group_lines = rows.weights / rows.groups / LINE_BYTES  # of weights, which every inference reads anew
        activity = replace(
            activity,
            l2_missing_lines=np.maximum(activity.l2_missing_lines, group_lines),
            llc_missing_lines=np.maximum(activity.llc_missing_lines, group_lines),
        )
        cycles = self.cycles(activity) * np.asarray(rows.gemm.count)
        answer = xp.asarray(cycles) + 0.0 * weight_bytes(layers, bits)
        return Costs(answer / self.clock_hz, weight_bytes(layers, bits), detail={"cycles": answer})

    def cycles(self, activity: Activity) -> Floats:
        """Cycles of shape (...)."""
        computation = activity.blocks * self._norm(activity.strip_cycles, activity.strips * self.issue_cycles)
        memory = (
            activity.loaded_words
            + activity.stored_rows * self.store_cycles
            + activity.l2_missing_lines * self.l2_miss_cycles
            + activity.llc_missing_lines * self.llc_miss_cycles
        )
        return self._norm(computation, memory) + memory / activity.tiles

    def activity(self, loops: Work, tile: Ints, order: Ints) -> Activity:
        """What given tiles make the hardware do.

        Args:
            loops: layers, shape (...).
            tile: iterations of every loop in a tile, shape (..., 7), at most those of the layer.
            order: the loops over tiles from the outermost to the innermost, shape (..., 7) or (7,).
        """
        extent, dim = loops.extent, np.asarray(self.dim)
        count = ceil_div(extent, tile).astype(np.float64)  # (..., 7) tiles along every loop
        places = count[..., (BATCH, ROWS, COLUMNS)].prod(-1)
        lines = extent[..., BATCH] * extent[..., ROWS]  # image rows, all of them
        last = tile[..., COLUMNS] - (ceil_div(tile[..., COLUMNS], dim) - 1) * dim
        strip_cycles = lines * _over_tiles(extent[..., COLUMNS], tile[..., COLUMNS], lambda part: _strips(part, dim))
        strips = lines * _over_tiles(extent[..., COLUMNS], tile[..., COLUMNS], lambda part: ceil_div(part, dim))

        def blocks(loop: int) -> Ints:
            return _over_tiles(extent[..., loop], tile[..., loop], lambda part: ceil_div(part, dim))

        kernel = extent[..., KERNEL_ROWS] * extent[..., KERNEL_COLUMNS]
        output_blocks = blocks(OUTPUTS)
        return Activity(
            tiles=count.prod(-1),
            strip_cycles=strip_cycles / places + dim - np.maximum(last, LEAST_CYCLES),
            strips=strips / places,
            blocks=places * kernel * output_blocks * blocks(INPUTS),
            loaded_words=self._loaded_words(loops, tile, count),
            stored_rows=(lines * extent[..., COLUMNS] * output_blocks).astype(np.float64),
            l2_missing_lines=missing_lines(loops, tile, order, self.l2_bytes),
            llc_missing_lines=missing_lines(loops, tile, order, self.llc_bytes),
        )

    def _loaded_words(self, loops: Work, tile: Ints, count: Floats) -> Floats:
        """Words of the bus over all tiles, shape (...)."""
        extent, bus = loops.extent, np.asarray(self.bus_bytes, dtype=np.int64)

        def words(loop: int) -> Ints:
            """Words for all of a row of channels, one more in every part that may straddle words."""
            start = np.gcd(np.gcd(extent[..., loop], tile[..., loop]), bus)  # parts start on multiples of it

            def of_part(part: Ints) -> Ints:
                return np.asarray(ceil_div(part, bus) + ((start < bus) & (part > start)))

            return _over_tiles(extent[..., loop], tile[..., loop], of_part)

        def image(place: int, kernel: int) -> Floats:
            """Rows or columns of the image that all tiles along a loop and along its kernel's loop read."""
            steps = count[..., kernel] * extent[..., place] * loops.stride
            return np.asarray(steps + count[..., place] * (extent[..., kernel] - count[..., kernel]))

        pixels = extent[..., BATCH] * image(ROWS, KERNEL_ROWS) * image(COLUMNS, KERNEL_COLUMNS)
        weights = extent[..., KERNEL_ROWS] * extent[..., KERNEL_COLUMNS] * extent[..., INPUTS]
        places = count[..., (BATCH, ROWS, COLUMNS)].prod(-1)
        return np.asarray(count[..., OUTPUTS] * pixels * words(INPUTS) + places * weights * words(OUTPUTS))

    def _norm(self, left: Floats, right: Floats) -> Floats:
        p = self.overlap_exponent
        larger = np.maximum(left, right)
        return np.asarray(larger * (1 + (np.minimum(left, right) / larger) ** p) ** (1 / p))


def _strips(columns: Ints, dim: Ints) -> Ints:
    """Cycles of the strips that cover so many output columns of an image's row."""
    whole, rest = columns // dim, columns % dim
    return np.asarray(whole * np.maximum(dim, LEAST_CYCLES) + np.where(rest > 0, np.maximum(rest, LEAST_CYCLES), 0))


def _over_tiles(extent: Ints, tile: Ints, function: Callable[[Ints], Ints]) -> Ints:
    """Sum of a function of a tile's size over the tiles of a loop, the last of which may be smaller."""
    rest = extent % tile
    whole = extent // tile * function(tile)
    return np.asarray(whole + np.where(rest > 0, function(np.maximum(rest, 1)), 0))
