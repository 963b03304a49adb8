"""BitFusion, one tiling at a time: cycles, traffic and energy of a loop nest over tiles.

BitFusion (Sharma et al., ISCA 2018) multiplies on a grid of fusion units, each of which splits into
several narrow multipliers when its operands are narrow. The forms here are those of its public
simulator: they give its cycles, stalls, traffic and energy exactly for any tiling and loop order.
Everything is int64 NumPy; arguments of one call broadcast against each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from codesign_gym.simulators.hardware.model import Unit

Ints = Any  # an int or an int64 array
Nest = NDArray[np.int64]  # (..., 5) one entry per loop, outermost first

#: Loops over tiles. In a loop order each is named by its position here.
LOOPS = ("batch", "columns", "rows", "inputs", "outputs")

#: Which of LOOPS select another part of each tensor.
WEIGHT_LOOPS = np.array([False, False, False, True, True])
ACTIVATION_LOOPS = np.array([True, True, True, True, False])
OUTPUT_LOOPS = np.array([True, True, True, False, True])

#: Bits of a partial sum, in the output buffer and in DRAM.
ACCUMULATOR_BITS = 32

#: A fusion unit multiplies 8-bit operands; it splits down to 2-bit ones.
WIDEST_BITS, NARROWEST_BITS = 8, 2


@dataclass(frozen=True)
class FusionArray:
    """A grid of fusion units with its buffers, memory port and energies."""

    clock_hz: Annotated[float, Unit("Hz"), Field(gt=0)]
    inputs: Annotated[int, Unit("fusion units"), Field(gt=0)]
    outputs: Annotated[int, Unit("fusion units"), Field(gt=0)]
    weight_sram_bytes: Annotated[int, Unit("B"), Field(gt=0)]
    activation_sram_bytes: Annotated[int, Unit("B"), Field(gt=0)]
    output_sram_bytes: Annotated[int, Unit("B"), Field(gt=0)]
    dram_bits_per_cycle: Annotated[int, Unit("bit/cycle"), Field(gt=0)]
    core_j_per_cycle: Annotated[float, Unit("J/cycle"), Field(gt=0)]
    weight_read_j_per_bit: Annotated[float, Unit("J/bit"), Field(gt=0)]
    weight_write_j_per_bit: Annotated[float, Unit("J/bit"), Field(gt=0)]
    activation_read_j_per_bit: Annotated[float, Unit("J/bit"), Field(gt=0)]
    activation_write_j_per_bit: Annotated[float, Unit("J/bit"), Field(gt=0)]
    output_read_j_per_bit: Annotated[float, Unit("J/bit"), Field(gt=0)]
    output_write_j_per_bit: Annotated[float, Unit("J/bit"), Field(gt=0)]
    dram_j_per_bit: Annotated[float, Unit("J/bit"), Field(gt=0)]
    core_area_mm2: Annotated[float, Unit("mm^2"), Field(gt=0)]
    weight_sram_area_mm2: Annotated[float, Unit("mm^2"), Field(gt=0)]
    activation_sram_area_mm2: Annotated[float, Unit("mm^2"), Field(gt=0)]
    output_sram_area_mm2: Annotated[float, Unit("mm^2"), Field(gt=0)]

    @property
    def area_mm2(self) -> float:
        """Silicon area of the grid and its three buffers."""
        buffers = self.weight_sram_area_mm2 + self.activation_sram_area_mm2 + self.output_sram_area_mm2
        return self.core_area_mm2 + buffers


@dataclass(frozen=True)
class Convolution:
    """What is run: one group of a convolution; ints, or arrays that broadcast.

    ``im2col`` marks the first layer, whose windows are unfolded so that kernel positions, too, lie
    across the grid's inputs.
    """

    batch: Ints
    out_height: Ints
    out_width: Ints
    in_channels: Ints
    out_channels: Ints
    kernel_height: Ints
    kernel_width: Ints
    stride: Ints
    im2col: Ints  # 0 or 1

    @property
    def window(self) -> Ints:
        """Kernel positions."""
        return self.kernel_height * self.kernel_width

    @property
    def sizes(self) -> Nest:
        """Extent of each of LOOPS, shape (..., 5)."""
        return np.stack(
            np.broadcast_arrays(self.batch, self.out_width, self.out_height, self.in_channels, self.out_channels), -1
        )


@dataclass(frozen=True)
class Stream:
    """A tensor's traffic with DRAM, bits.

    Attributes:
        moved: over the whole layer, one way.
        held: the largest part that stays in the buffer: what is filled before the first tile, or
            drained after the last.
        fits: whether a tile fits the buffer at all.
    """

    moved: Ints
    held: Ints
    fits: Any


@dataclass(frozen=True)
class Execution:
    """What a tiling costs; arrays of one shape."""

    compute_cycles: Ints
    stall_cycles: Ints
    dram_read_bits: Ints
    dram_write_bits: Ints
    weight_read_bits: Ints  # SRAM, as below
    weight_write_bits: Ints
    activation_read_bits: Ints
    activation_write_bits: Ints
    output_read_bits: Ints
    output_write_bits: Ints

    @property
    def cycles(self) -> Ints:
        """Compute and stall."""
        return self.compute_cycles + self.stall_cycles

    @property
    def dram_bits(self) -> Ints:
        """Read and written."""
        return self.dram_read_bits + self.dram_write_bits

    @property
    def sram_bits(self) -> Ints:
        """Read and written, all three buffers."""
        return (
            self.weight_read_bits
            + self.weight_write_bits
            + self.activation_read_bits
            + self.activation_write_bits
            + self.output_read_bits
            + self.output_write_bits
        )

    def energy_j(self, array: FusionArray) -> Any:
        """Joules: the active grid, its buffers and DRAM."""
        return (
            self.compute_cycles * array.core_j_per_cycle
            + self.weight_read_bits * array.weight_read_j_per_bit
            + self.weight_write_bits * array.weight_write_j_per_bit
            + self.activation_read_bits * array.activation_read_j_per_bit
            + self.activation_write_bits * array.activation_write_j_per_bit
            + self.output_read_bits * array.output_read_j_per_bit
            + self.output_write_bits * array.output_write_j_per_bit
            + self.dram_bits * array.dram_j_per_bit
        )


def ceil_div(numerator: Ints, denominator: Ints) -> Ints:
    """Quotient rounded up."""
    return -(-numerator // denominator)


def precision_factor(weight_bits: Ints, activation_bits: Ints) -> Ints:
    """Products a fusion unit makes per cycle: 1 at 8x8 bits, 2 at 8x4, 4 at 4x4, up to 16 at 2x2."""
    return (WIDEST_BITS // np.maximum(weight_bits, NARROWEST_BITS)) * (
        WIDEST_BITS // np.maximum(activation_bits, NARROWEST_BITS)
    )


def reduction_steps(array: FusionArray, work: Convolution, inputs: Ints, factor: Ints) -> Ints:
    """Cycles that the sum behind one output takes, for ``inputs`` channels."""
    lanes = array.inputs * factor
    return np.where(work.im2col, ceil_div(work.window * inputs, lanes), work.window * ceil_div(inputs, lanes))


def compute_cycles(array: FusionArray, work: Convolution, tile: Nest, factor: Ints) -> Ints:
    """Cycles in which the grid works, over all tiles; ``tile`` has shape (..., 5)."""
    batch, columns, rows, inputs, outputs = np.moveaxis(tile, -1, 0)
    steps = reduction_steps(array, work, inputs, factor)
    return tiles(work, tile).prod(-1) * batch * columns * rows * ceil_div(outputs, array.outputs) * steps


def tiles(work: Convolution, tile: Nest) -> Nest:
    """Tiles along each of LOOPS, shape (..., 5)."""
    return np.asarray(ceil_div(work.sizes, tile))


def weight_tile_bits(array: FusionArray, work: Convolution, tile: Nest, weight_bits: Ints, factor: Ints) -> Ints:
    """Bits of a weight tile; windows are padded to whole rows of the grid."""
    lanes = array.inputs * factor
    return ceil_div(work.window * tile[..., 3], lanes) * lanes * tile[..., 4] * weight_bits


def activation_tile_bits(work: Convolution, tile: Nest, activation_bits: Ints) -> Ints:
    """Bits of an input tile: its halo included, or every window by itself under im2col."""
    batch, columns, rows, inputs, _ = np.moveaxis(tile, -1, 0)
    width = work.kernel_width + (columns - 1) * work.stride
    height = work.kernel_height + (rows - 1) * work.stride
    pixels = np.where(work.im2col, columns * rows * work.window, width * height)
    return pixels * inputs * batch * activation_bits


def output_tile_bits(array: FusionArray, tile: Nest) -> Ints:
    """Bits of a tile of partial sums; channels are padded to whole columns of the grid."""
    batch, columns, rows, _, outputs = np.moveaxis(tile, -1, 0)
    return columns * rows * ceil_div(outputs, array.outputs) * array.outputs * batch * ACCUMULATOR_BITS


def usable_bits(sram_bytes: int) -> int:
    """Bits that a tile may fill: half, for the other half is being loaded meanwhile."""
    return sram_bytes * 8 // 2


def walk(tile_bits: Ints, buffer_bits: int, counts: Nest, indexed: NDArray[np.bool_]) -> Stream:
    """Traffic of a tensor through a loop nest.

    From the inside out: as long as what the loops need together stays in the buffer, a loop that
    does not select another part of the tensor reuses it for free; after the first overflow every
    outer loop loads anew.

    Args:
        tile_bits: the tensor's tile.
        buffer_bits: usable bits of its buffer.
        counts: tiles per loop, outermost first, shape (..., 5).
        indexed: whether the loop selects another part of the tensor, shape (..., 5).
    """
    moved: Ints = tile_bits
    held: Ints = tile_bits
    fits: Any = tile_bits <= buffer_bits
    possible = fits
    for step in range(len(LOOPS) - 1, -1, -1):
        moved = np.where(fits & ~indexed[..., step], moved, moved * counts[..., step])
        fits = fits & (moved <= buffer_bits)
        held = np.where(fits, moved, held)
    return Stream(moved, held, possible)


def stall_cycles(array: FusionArray, compute: Ints, weights: Stream, activations: Stream, outputs: Stream) -> Ints:
    """Cycles in which the grid waits: before the first tile, after the last, and for DRAM in between."""
    first = weights.held + activations.held + outputs.held
    last = outputs.held
    middle = weights.moved + activations.moved + 2 * outputs.moved - first - last
    width = array.dram_bits_per_cycle
    waiting = np.maximum(0, ceil_div(middle, width) - compute)
    return waiting + ceil_div(first, width) + ceil_div(last, width)


def array_traffic(
    array: FusionArray, work: Convolution, tile: Nest, weight_bits: Ints, activation_bits: Ints, factor: Ints
) -> tuple[Ints, Ints, Ints]:
    """Bits that one tile reads of weights and activations, and reads (and writes) of partial sums.

    The grid keeps inputs, outputs or weights stationary, whichever moves the fewest bits.
    """
    batch, columns, rows, inputs, outputs = np.moveaxis(tile, -1, 0)
    pixels = batch * columns * rows
    wide = ceil_div(outputs, array.outputs) * array.outputs
    deep = reduction_steps(array, work, inputs, factor) * array.inputs * factor
    stationary = np.argmin(
        np.stack(
            np.broadcast_arrays(
                wide * pixels * (ACCUMULATOR_BITS + deep * (activation_bits + weight_bits)),
                deep * pixels * (activation_bits + wide * (weight_bits + ACCUMULATOR_BITS)),
                deep * wide * (weight_bits + pixels * (activation_bits + ACCUMULATOR_BITS)),
            )
        ),
        axis=0,
    )
    reduction = work.window * inputs
    products = reduction * outputs * pixels
    return (
        np.where(stationary == 2, reduction * outputs, products) * weight_bits,
        np.where(stationary == 1, reduction * pixels, products) * activation_bits,
        np.where(stationary == 0, outputs * pixels, products) * ACCUMULATOR_BITS,
    )


def evaluate(
    array: FusionArray,
    work: Convolution,
    tile: Nest,
    order: Nest,
    weight_bits: Ints,
    activation_bits: Ints,
    factor: Ints,
) -> Execution:
    """Cost of running ``work`` with given tiles, loop order and precision.

    Args:
        array: the hardware.
        work: what is run.
        tile: tile size along each of LOOPS, shape (..., 5).
        order: positions in LOOPS, outermost first, shape (..., 5).
        weight_bits: as stored and moved.
        activation_bits: as stored and moved.
        factor: products per fusion unit and cycle; see :func:`precision_factor`.
    """
    counts = tiles(work, tile)
    ordered = np.take_along_axis(counts, np.broadcast_to(order, counts.shape), axis=-1)
    weights = walk(
        weight_tile_bits(array, work, tile, weight_bits, factor),
        usable_bits(array.weight_sram_bytes),
        ordered,
        WEIGHT_LOOPS[order],
    )
    activations = walk(
        activation_tile_bits(work, tile, activation_bits),
        usable_bits(array.activation_sram_bytes),
        ordered,
        ACTIVATION_LOOPS[order],
    )
    outputs = walk(output_tile_bits(array, tile), usable_bits(array.output_sram_bytes), ordered, OUTPUT_LOOPS[order])
    compute = compute_cycles(array, work, tile, factor)
    read_weights, read_activations, summed = (
        counts.prod(-1) * bits for bits in array_traffic(array, work, tile, weight_bits, activation_bits, factor)
    )
    return Execution(
        compute_cycles=compute,
        stall_cycles=stall_cycles(array, compute, weights, activations, outputs),
        dram_read_bits=weights.moved + activations.moved + outputs.moved,
        dram_write_bits=outputs.moved,
        weight_read_bits=read_weights,
        weight_write_bits=weights.moved,
        activation_read_bits=read_activations,
        activation_write_bits=activations.moved,
        output_read_bits=summed + outputs.moved,
        output_write_bits=summed + outputs.moved,
    )
