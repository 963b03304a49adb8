"""BitFusion's cycles, traffic and energy, given what a tiling decides: a closed form over arrays.

BitFusion (Sharma et al., ISCA 2018) multiplies on a grid of fusion units, each of which splits into
several narrow multipliers when its operands are narrow. The forms here are those of its public
simulator: they give its cycles, stalls, traffic and energy exactly for any tiling and loop order
(``tiling`` finds what these decide). Plain arithmetic and a :class:`Rounding`, over numbers or arrays of
one library that broadcast against each other: int64 while mappings are searched, float64 where bitwidths
and the hardware may be real.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from codesign_gym.simulators.hardware.bitfusion.machine import ACCUMULATOR_BITS, Convolution, FusionArray
from codesign_gym.simulators.hardware.rounding import EXACT, Rounding
from codesign_gym.simulators.networks.layers import Array

#: Between 2 and 3 bits, and between 4 and 5, a fusion unit splits half as often: the geometric means.
HALVED, WHOLE = 6**0.5, 20**0.5

#: What the grid may keep stationary.
OUTPUTS, INPUTS, WEIGHTS = range(3)


class Tile(NamedTuple):
    """Extents of a tile, arrays of shape (...)."""

    batch: Array
    columns: Array
    rows: Array
    inputs: Array
    outputs: Array

    @property
    def pixels(self) -> Array:
        """Output positions, over the batch."""
        return self.batch * self.columns * self.rows


class Schedule(NamedTuple):
    """What a tiling and a loop order decide, arrays of shape (...): counts, of which none is a width."""

    batch: Array  # extents of a tile, as in Tile
    columns: Array
    rows: Array
    inputs: Array
    outputs: Array
    tiles: Array  # of the whole layer
    weights_moved: Array  # tiles of weights that pass between DRAM and their buffer
    weights_held: Array  # and how many of them stay in it
    activations_moved: Array
    activations_held: Array
    outputs_moved: Array  # one way
    outputs_held: Array
    stationary: Array  # OUTPUTS, INPUTS or WEIGHTS

    @property
    def tile(self) -> Tile:
        """The tile's extents."""
        return Tile(self.batch, self.columns, self.rows, self.inputs, self.outputs)


class Stream(NamedTuple):
    """A tensor's traffic with DRAM, bits.

    ``moved`` counts the whole layer, one way; ``held`` is the largest part that stays in the buffer: what is
    filled before the first tile, or drained after the last. ``fits`` says whether a tile fits it at all.
    """

    moved: Array
    held: Array
    fits: Any = True


@dataclass(frozen=True)
class Execution:
    """What a tiling costs; arrays of one shape."""

    compute_cycles: Array
    stall_cycles: Array
    dram_read_bits: Array
    dram_write_bits: Array
    weight_read_bits: Array  # SRAM, as below
    weight_write_bits: Array
    activation_read_bits: Array
    activation_write_bits: Array
    output_read_bits: Array
    output_write_bits: Array

    @property
    def cycles(self) -> Array:
        """Compute and stall."""
        return self.compute_cycles + self.stall_cycles

    @property
    def dram_bits(self) -> Array:
        """Read and written."""
        return self.dram_read_bits + self.dram_write_bits

    @property
    def sram_bits(self) -> Array:
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


def run(
    array: FusionArray,
    work: Convolution,
    schedule: Schedule,
    weight_bits: Array,
    activation_bits: Array,
    factor: Array,
    rounding: Rounding = EXACT,
) -> Execution:
    """Cost of running ``work`` as scheduled.

    Args:
        array: the hardware, its fields numbers or arrays.
        work: what is run.
        schedule: what its tiling and loop order decide.
        weight_bits: as stored and moved.
        activation_bits: as stored and moved.
        factor: products per fusion unit and cycle; see :func:`precision_factor`.
        rounding: how parts of the grid and of the memory port are rounded, and maxima are taken.
    """
    tile = schedule.tile
    weight_tile = weight_tile_bits(array, work, tile, weight_bits, factor, rounding)
    activation_tile = activation_tile_bits(work, tile, activation_bits)
    output_tile = output_tile_bits(array, tile, rounding)
    weights = Stream(weight_tile * schedule.weights_moved, weight_tile * schedule.weights_held)
    activations = Stream(activation_tile * schedule.activations_moved, activation_tile * schedule.activations_held)
    outputs = Stream(output_tile * schedule.outputs_moved, output_tile * schedule.outputs_held)
    compute = compute_cycles(array, work, tile, schedule.tiles, factor, rounding)
    read_weights, read_activations, summed = (
        schedule.tiles * bits for bits in array_traffic(work, schedule, weight_bits, activation_bits)
    )
    return Execution(
        compute_cycles=compute,
        stall_cycles=stall_cycles(array, compute, weights, activations, outputs, rounding),
        dram_read_bits=weights.moved + activations.moved + outputs.moved,
        dram_write_bits=outputs.moved,
        weight_read_bits=read_weights,
        weight_write_bits=weights.moved,
        activation_read_bits=read_activations,
        activation_write_bits=activations.moved,
        output_read_bits=summed + outputs.moved,
        output_write_bits=summed + outputs.moved,
    )


def precision_factor(weight_bits: Array, activation_bits: Array) -> Array:
    """Products a fusion unit makes per cycle: 1 at 8x8 bits, 2 at 8x4, 4 at 4x4, up to 16 at 2x2."""
    return _splits(weight_bits) * _splits(activation_bits)


def _splits(bits: Array) -> Array:
    return 4 - 2 * (bits > HALVED) - 1 * (bits > WHOLE)


def reduction_steps(array: FusionArray, work: Convolution, inputs: Array, factor: Array, rounding: Rounding) -> Array:
    """Cycles that the sum behind one output takes, for ``inputs`` channels."""
    lanes = array.inputs * factor
    return _choose(
        work.im2col,
        rounding.ceil_div(work.window * inputs, lanes),
        work.window * rounding.ceil_div(inputs, lanes),
    )


def compute_cycles(
    array: FusionArray, work: Convolution, tile: Tile, tiles: Array, factor: Array, rounding: Rounding = EXACT
) -> Array:
    """Cycles in which the grid works, over all tiles."""
    steps = reduction_steps(array, work, tile.inputs, factor, rounding)
    return tiles * tile.pixels * rounding.ceil_div(tile.outputs, array.outputs) * steps


def weight_tile_bits(
    array: FusionArray, work: Convolution, tile: Tile, weight_bits: Array, factor: Array, rounding: Rounding = EXACT
) -> Array:
    """Bits of a weight tile; windows are padded to whole rows of the grid."""
    lanes = array.inputs * factor
    return rounding.ceil_div(work.window * tile.inputs, lanes) * lanes * tile.outputs * weight_bits


def activation_tile_bits(work: Convolution, tile: Tile, activation_bits: Array) -> Array:
    """Bits of an input tile: its halo included, or every window by itself under im2col."""
    width = work.kernel_width + (tile.columns - 1) * work.stride
    height = work.kernel_height + (tile.rows - 1) * work.stride
    pixels = _choose(work.im2col, tile.columns * tile.rows * work.window, width * height)
    return pixels * tile.inputs * tile.batch * activation_bits


def output_tile_bits(array: FusionArray, tile: Tile, rounding: Rounding = EXACT) -> Array:
    """Bits of a tile of partial sums; channels are padded to whole columns of the grid."""
    padded = rounding.ceil_div(tile.outputs, array.outputs) * array.outputs
    return tile.columns * tile.rows * padded * tile.batch * ACCUMULATOR_BITS


def stall_cycles(
    array: FusionArray,
    compute: Array,
    weights: Stream,
    activations: Stream,
    outputs: Stream,
    rounding: Rounding = EXACT,
) -> Array:
    """Cycles in which the grid waits: before the first tile, after the last, and for DRAM in between."""
    first = weights.held + activations.held + outputs.held
    last = outputs.held
    middle = weights.moved + activations.moved + 2 * outputs.moved - first - last
    width = array.dram_bits_per_cycle
    waiting = rounding.maximum(rounding.ceil_div(middle, width), compute) - compute
    return waiting + rounding.ceil_div(first, width) + rounding.ceil_div(last, width)


def array_traffic(
    work: Convolution, schedule: Schedule, weight_bits: Array, activation_bits: Array
) -> tuple[Array, Array, Array]:
    """Bits that one tile reads of weights and activations, and reads (and writes) of partial sums."""
    tile, stationary = schedule.tile, schedule.stationary
    reduction = work.window * tile.inputs
    products = reduction * tile.outputs * tile.pixels
    return (
        _choose(stationary == WEIGHTS, reduction * tile.outputs, products) * weight_bits,
        _choose(stationary == INPUTS, reduction * tile.pixels, products) * activation_bits,
        _choose(stationary == OUTPUTS, tile.outputs * tile.pixels, products) * ACCUMULATOR_BITS,
    )


def _choose(flag: Array, yes: Array, no: Array) -> Array:
    """One of two whole numbers, by arithmetic: operands may be numbers of no library."""
    return no + flag * (yes - no)
