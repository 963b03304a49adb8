"""What running layers by given tiles makes Gemmini's hardware do: decided in NumPy, counted in any library.

Tiles, the parts that straddle words of the bus and the lines that caches miss are decisions: they are made
at whole sizes of the hardware, and are constants to the counts, a closed form over arrays that is smooth
in the array's size and the bus's width where rounding is relaxed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from codesign_gym.simulators.hardware.gemmini.caches import missing_lines
from codesign_gym.simulators.hardware.gemmini.tiling import (
    BATCH,
    COLUMNS,
    INPUTS,
    KERNEL_COLUMNS,
    KERNEL_ROWS,
    OUTPUTS,
    ROWS,
    Ints,
    Work,
)
from codesign_gym.simulators.hardware.rounding import EXACT, Rounding
from codesign_gym.simulators.networks.layers import Array

#: Cycles that the array spends on a strip at least.
LEAST_CYCLES = 4


class Schedule(NamedTuple):
    """What tiles and their order decide, real arrays of shape (..., 7) over LOOPS or (...)."""

    extent: Array  # (..., 7) iterations of the layer
    tile: Array  # (..., 7) iterations of a tile
    whole: Array  # (..., 7) tiles of that size along a loop
    rest: Array  # (..., 7) iterations of the last tile where it is smaller, else 0
    stride: Array  # (...)
    straddling_inputs: Array  # (...) tiles along the inputs that take a word of the bus more
    straddling_outputs: Array  # (...)
    l2_missing_lines: Array  # (...)
    llc_missing_lines: Array  # (...)


class Activity(NamedTuple):
    """Counts of shape (...); no fitted constant enters."""

    tiles: Array
    strip_cycles: Array  # of a block of weights, for the mean tile
    strips: Array  # of a block of weights, for the mean tile
    blocks: Array  # of weights, over all tiles
    loaded_words: Array
    stored_rows: Array
    l2_missing_lines: Array
    llc_missing_lines: Array


def decide(loops: Work, tile: Ints, order: Ints, bus_bytes: Ints, l2_bytes: Ints, llc_bytes: Ints) -> Schedule:
    """The schedule of given tiles.

    Args:
        loops: layers, shape (...).
        tile: iterations of every loop in a tile, shape (..., 7), at most those of the layer.
        order: the loops over tiles from the outermost to the innermost, shape (..., 7) or (7,).
        bus_bytes: whole numbers, shape (...) or one, as are the caches'.
        l2_bytes: of the first cache.
        llc_bytes: of the last one.
    """
    whole, rest = np.divmod(loops.extent, tile)

    def straddling(loop: int) -> Ints:
        """Tiles whose parts of a row of channels may begin within a word and end in another."""
        start = np.gcd(np.gcd(loops.extent[..., loop], tile[..., loop]), bus_bytes)  # parts start on multiples of it
        within = start < bus_bytes
        return np.asarray(
            whole[..., loop] * (within & (tile[..., loop] > start)) + (within & (rest[..., loop] > start))
        )

    columns = (
        loops.extent,
        tile,
        whole,
        rest,
        loops.stride,
        straddling(INPUTS),
        straddling(OUTPUTS),
        missing_lines(loops, tile, order, l2_bytes),
        missing_lines(loops, tile, order, llc_bytes),
    )
    return Schedule(*(np.asarray(column, dtype=np.float64) for column in columns))


def activity(schedule: Schedule, dim: Array, bus_bytes: Array, rounding: Rounding = EXACT) -> Activity:
    """What a schedule makes the hardware do.

    Args:
        schedule: of shape (...).
        dim: rows and columns of the array, a number or of shape (...).
        bus_bytes: the same.
        rounding: how tiles are cut into strips, blocks and words.
    """
    extent, tile = ([column[..., loop] for loop in range(column.shape[-1])] for column in schedule[:2])
    count = [schedule.whole[..., loop] + (schedule.rest[..., loop] > 0) for loop in range(len(extent))]

    def over_tiles(loop: int, function: Callable[[Array], Array]) -> Array:
        """Sum of a function of a tile's size over the tiles of a loop, the last of which may be smaller."""
        rest = schedule.rest[..., loop]
        some = rest > 0
        return schedule.whole[..., loop] * function(tile[loop]) + some * function(rest + (1 - 1 * some))

    def strips(columns: Array) -> Array:
        """Strips that cover so many output columns of an image's row."""
        return rounding.ceil_div(columns, dim)

    def last(columns: Array) -> Array:
        """Cycles of the last one."""
        return rounding.maximum(columns - (strips(columns) - 1) * dim, LEAST_CYCLES)

    def strip_cycles(columns: Array) -> Array:
        return (strips(columns) - 1) * rounding.maximum(dim + 0 * columns, LEAST_CYCLES) + last(columns)

    def words(loop: int) -> Array:
        return over_tiles(loop, lambda part: rounding.ceil_div(part, bus_bytes))

    def image(place: int, kernel: int) -> Array:
        """Rows or columns of the image that all tiles along a loop and along its kernel's loop read."""
        return count[kernel] * extent[place] * schedule.stride + count[place] * (extent[kernel] - count[kernel])

    places = count[BATCH] * count[ROWS] * count[COLUMNS]
    lines = extent[BATCH] * extent[ROWS]  # image rows, all of them
    kernel = extent[KERNEL_ROWS] * extent[KERNEL_COLUMNS]
    output_blocks, input_blocks = (
        over_tiles(loop, lambda part: rounding.ceil_div(part, dim)) for loop in (OUTPUTS, INPUTS)
    )
    pixels = extent[BATCH] * image(ROWS, KERNEL_ROWS) * image(COLUMNS, KERNEL_COLUMNS)
    input_words = words(INPUTS) + schedule.straddling_inputs  # of all of a row of channels
    output_words = words(OUTPUTS) + schedule.straddling_outputs
    return Activity(
        tiles=places * count[OUTPUTS] * count[KERNEL_ROWS] * count[KERNEL_COLUMNS] * count[INPUTS],
        strip_cycles=lines * over_tiles(COLUMNS, strip_cycles) / places + dim - last(tile[COLUMNS]),
        strips=lines * over_tiles(COLUMNS, strips) / places,
        blocks=places * kernel * output_blocks * input_blocks,
        loaded_words=count[OUTPUTS] * pixels * input_words + places * kernel * extent[INPUTS] * output_words,
        stored_rows=lines * extent[COLUMNS] * output_blocks,
        l2_missing_lines=schedule.l2_missing_lines,
        llc_missing_lines=schedule.llc_missing_lines,
    )
