"""BitFusion's loop nest over tiles: what a tiling and a loop order decide, in int64 NumPy.

Arguments of one call broadcast against each other. ``execution`` turns the decisions into costs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from codesign_gym.simulators.hardware.bitfusion.execution import (
    Execution,
    Schedule,
    Stream,
    Tile,
    activation_tile_bits,
    output_tile_bits,
    reduction_steps,
    run,
    weight_tile_bits,
)
from codesign_gym.simulators.hardware.bitfusion.machine import ACCUMULATOR_BITS, Convolution, FusionArray, Nest
from codesign_gym.simulators.hardware.rounding import EXACT

Ints = Any  # an int or an int64 array

#: Loops over tiles. In a loop order each is named by its position here.
LOOPS = ("batch", "columns", "rows", "inputs", "outputs")

#: Which of LOOPS select another part of each tensor.
WEIGHT_LOOPS = np.array([False, False, False, True, True])
ACTIVATION_LOOPS = np.array([True, True, True, True, False])
OUTPUT_LOOPS = np.array([True, True, True, False, True])


def evaluate(
    array: FusionArray,
    work: Convolution,
    tile: Nest,
    order: Nest,
    weight_bits: Ints,
    activation_bits: Ints,
    factor: Ints,
) -> Execution:
    """Cost of running ``work`` with given tiles, loop order and precision; arguments as :func:`decide`."""
    schedule = decide(array, work, tile, order, weight_bits, activation_bits, factor)
    return run(array, work, schedule, weight_bits, activation_bits, factor)


def decide(
    array: FusionArray,
    work: Convolution,
    tile: Nest,
    order: Nest,
    weight_bits: Ints,
    activation_bits: Ints,
    factor: Ints,
) -> Schedule:
    """What is loaded how often, and what the grid keeps.

    Args:
        array: the hardware.
        work: what is run.
        tile: tile size along each of LOOPS, shape (..., 5).
        order: positions in LOOPS, outermost first, shape (..., 5).
        weight_bits: as stored and moved.
        activation_bits: as stored and moved.
        factor: products per fusion unit and cycle; see :func:`~.execution.precision_factor`.
    """
    counts, part = tiles(work, tile), parts(tile)
    ordered = np.take_along_axis(counts, np.broadcast_to(order, counts.shape), axis=-1)
    found: list[Ints] = []
    for tile_bits, sram_bytes, loops in (
        (weight_tile_bits(array, work, part, weight_bits, factor), array.weight_sram_bytes, WEIGHT_LOOPS),
        (activation_tile_bits(work, part, activation_bits), array.activation_sram_bytes, ACTIVATION_LOOPS),
        (output_tile_bits(array, part), array.output_sram_bytes, OUTPUT_LOOPS),
    ):
        stream = walk(tile_bits, usable_bits(sram_bytes), ordered, loops[order])
        found += [stream.moved // tile_bits, stream.held // tile_bits]
    stationary = kept(array, work, part, weight_bits, activation_bits, factor)
    return Schedule(*(*part, counts.prod(-1), *found, stationary))


def parts(tile: Nest) -> Tile:
    """The extents of tiles of shape (..., 5)."""
    return Tile(*np.moveaxis(tile, -1, 0))


def tiles(work: Convolution, tile: Nest) -> Nest:
    """Tiles along each of LOOPS, shape (..., 5)."""
    return np.asarray(EXACT.ceil_div(work.sizes, tile))


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


def kept(
    array: FusionArray, work: Convolution, tile: Tile, weight_bits: Ints, activation_bits: Ints, factor: Ints
) -> Ints:
    """What the grid keeps stationary: outputs, inputs or weights, whichever moves the fewest bits."""
    pixels = tile.pixels
    wide = EXACT.ceil_div(tile.outputs, array.outputs) * array.outputs
    deep = reduction_steps(array, work, tile.inputs, factor, EXACT) * array.inputs * factor
    moved = (
        wide * pixels * (ACCUMULATOR_BITS + deep * (activation_bits + weight_bits)),
        deep * pixels * (activation_bits + wide * (weight_bits + ACCUMULATOR_BITS)),
        deep * wide * (weight_bits + pixels * (activation_bits + ACCUMULATOR_BITS)),
    )
    return np.argmin(np.stack(np.broadcast_arrays(*moved)), axis=0)
