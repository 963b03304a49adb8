"""BitFusion's compiler: the loop order and tiles that run a layer fastest.

The candidates are those of the public simulator: 120 loop orders times power-of-two tiles, and the
choice is the fewest cycles, then the least energy. One thing is added. Units that are split finer
pack more weights into a row and so pad short windows more, which makes a layer that waits for memory
slower at fewer bits; but narrow operands can always be stored and run as wider ones, so a precision
costs the least of its own search and those of all wider precisions. Fewer bits then never cost
cycles.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from codesign_gym.errors import UnsupportedNetwork
from codesign_gym.simulators.hardware.bitfusion.execution import (
    Schedule,
    Stream,
    activation_tile_bits,
    compute_cycles,
    output_tile_bits,
    precision_factor,
    run,
    stall_cycles,
    weight_tile_bits,
)
from codesign_gym.simulators.hardware.bitfusion.machine import (
    NARROWEST_BITS,
    WIDEST_BITS,
    Convolution,
    FusionArray,
    Nest,
)
from codesign_gym.simulators.hardware.bitfusion.tiling import (
    ACTIVATION_LOOPS,
    LOOPS,
    OUTPUT_LOOPS,
    WEIGHT_LOOPS,
    Ints,
    decide,
    parts,
    tiles,
    usable_bits,
    walk,
)

#: Bitwidths of a table's axes.
BITWIDTHS = tuple(range(NARROWEST_BITS, WIDEST_BITS + 1))

#: Rows of :func:`layer_table`: what the best execution costs, and what it is: the bitwidths at which operands
#: are stored and run, and its schedule.
QUANTITIES = ("cycles", "energy_j", "stall_cycles", "dram_bits", "sram_bits")
DECISIONS = ("weight_bits", "activation_bits", *Schedule._fields)
ROWS = QUANTITIES + DECISIONS

NEVER = np.iinfo(np.int64).max  # cycles of a tile that does not fit


@lru_cache(maxsize=4096)
def layer_table(array: FusionArray, work: Convolution) -> NDArray[np.float64]:
    """The best execution of one layer at every precision.

    Args:
        array: the hardware.
        work: one layer, its fields plain ints.

    Returns:
        ROWS by weight and activation bitwidth, shape (rows, 7, 7) over BITWIDTHS; read-only.

    Raises:
        UnsupportedNetwork: if even the smallest tile overflows a buffer.
    """
    table = narrow_or_widen(search(array, work))
    table.setflags(write=False)
    return table


def search(array: FusionArray, work: Convolution) -> NDArray[np.float64]:
    """The public simulator's choice at every precision; arguments and result as :func:`layer_table`."""
    space = _Candidates.of(array, work)
    part, count = parts(space.tile), tiles(work, space.tile).prod(-1)
    outputs = space.stream(output_tile_bits(array, part), array.output_sram_bytes, OUTPUT_LOOPS)
    activations = [
        space.stream(activation_tile_bits(work, part, bits), array.activation_sram_bytes, ACTIVATION_LOOPS)
        for bits in BITWIDTHS
    ]
    factors = precision_factor(np.array(BITWIDTHS)[:, None], np.array(BITWIDTHS))
    table = np.empty((len(ROWS), *factors.shape))
    for row, weight_bits in enumerate(BITWIDTHS):
        for factor in np.unique(factors[row]):
            size = weight_tile_bits(array, work, part, weight_bits, factor)
            weights = space.stream(size, array.weight_sram_bytes, WEIGHT_LOOPS)
            compute = compute_cycles(array, work, part, count, factor)
            for column in np.flatnonzero(factors[row] == factor):
                cycles = compute + stall_cycles(array, compute, weights, activations[column], outputs)
                fits = weights.fits & activations[column].fits & outputs.fits
                bits = weight_bits, BITWIDTHS[column]
                if not fits.any():
                    raise UnsupportedNetwork(_shortage(array, work, bits, factor))
                order, tile = _fewest(np.where(fits, cycles, NEVER))
                tied = decide(array, work, space.tile[tile], space.orders[order], *bits, factor)
                table[:, row, column] = _least_energy(array, work, tied, bits, factor)
    return table


def narrow_or_widen(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """The table in which a precision may also run as any wider one: fewest cycles, then least energy."""
    best = table.copy()
    for axis in (1, 2):
        columns = np.moveaxis(best, axis, 1)  # a view: (quantities, bitwidths, other bitwidths)
        for narrow in range(columns.shape[1] - 2, -1, -1):
            own, wider = columns[:, narrow], columns[:, narrow + 1]
            better = (wider[0] < own[0]) | ((wider[0] == own[0]) & (wider[1] < own[1]))
            columns[:, narrow] = np.where(better, wider, own)
    return best


def candidate_tiles(array: FusionArray, work: Convolution) -> Nest:
    """Power-of-two tiles, square over the image and clipped to the layer, shape (tiles, 5)."""
    step = 1 if work.im2col else array.outputs  # of output channels
    image = max(work.out_height, work.out_width)
    sizes = (work.batch, image, work.in_channels, -(-work.out_channels // step))
    batch, square, inputs, outputs = (
        axis.ravel() for axis in np.meshgrid(*(_powers(size) for size in sizes), indexing="ij")
    )
    return np.minimum(np.stack([batch, square, square, inputs, step * outputs], -1), work.sizes)


def candidate_orders(work: Convolution) -> Nest:
    """Loop orders that can differ in cost, outermost first, shape (orders, 5).

    A loop of one step may stand anywhere, and the rows and columns of a square image may be swapped.
    """
    idle = np.flatnonzero(work.sizes == 1)
    columns, rows = LOOPS.index("columns"), LOOPS.index("rows")
    square = work.out_height == work.out_width > 1
    orders = [
        (*idle, *order)
        for order in permutations(np.flatnonzero(work.sizes > 1))
        if not square or order.index(columns) < order.index(rows)
    ]
    return np.array(orders, dtype=np.int64)


@dataclass(frozen=True)
class _Candidates:
    """Every order and tile of one layer."""

    tile: Nest  # (tiles, 5)
    orders: Nest  # (orders, 5)
    counts: Nest  # (orders, tiles, 5) tiles per loop, outermost first

    @classmethod
    def of(cls, array: FusionArray, work: Convolution) -> _Candidates:
        """The candidates whose partial sums fit their buffer."""
        tile, orders = candidate_tiles(array, work), candidate_orders(work)
        tile = tile[output_tile_bits(array, parts(tile)) <= usable_bits(array.output_sram_bytes)]
        return cls(tile, orders, np.moveaxis(tiles(work, tile)[:, orders], 0, 1))

    def stream(self, tile_bits: Ints, sram_bytes: int, loops: NDArray[np.bool_]) -> Stream:
        """A tensor's traffic for all of them, shape (orders, tiles)."""
        return walk(tile_bits, usable_bits(sram_bytes), self.counts, loops[self.orders][:, None, :])


def _fewest(cycles: Nest) -> tuple[Nest, Nest]:
    """Orders and tiles with the fewest cycles, of an array of shape (orders, tiles)."""
    order, tile = np.nonzero(cycles == cycles.min())
    return order, tile


def _shortage(array: FusionArray, work: Convolution, bits: tuple[int, int], factor: int) -> str:
    """Which buffer the smallest tile of a layer overflows, and by how much: no other takes less of any."""
    part = parts(candidate_tiles(array, work)[:1])
    taken = {
        "output": output_tile_bits(array, part),
        "activation": activation_tile_bits(work, part, bits[1]),
        "weight": weight_tile_bits(array, work, part, bits[0], factor),
    }
    has = {name: usable_bits(getattr(array, f"{name}_sram_bytes")) / 8 for name in taken}
    needs = {name: float(np.squeeze(size)) / 8 for name, size in taken.items()}
    worst = max(taken, key=lambda name: needs[name] / has[name])
    return (
        f"no tile of a layer fits BitFusion's buffers: at {bits[0]}/{bits[1]} bits the smallest takes "
        f"{needs[worst]:g} B of half of {worst}_sram_bytes, {has[worst]:g} B: {needs[worst] - has[worst]:g} B too many"
        f"; {work}"
    )


def _least_energy(
    array: FusionArray, work: Convolution, tied: Schedule, bits: tuple[int, int], factor: int
) -> NDArray[np.float64]:
    """ROWS of the schedule with the least energy."""
    found = run(array, work, tied, *bits, factor)
    energy_j = found.energy_j(array)
    quantities = (found.cycles, energy_j, found.stall_cycles, found.dram_bits, found.sram_bits)
    rows = np.stack(np.broadcast_arrays(*quantities, *bits, *tied)).astype(np.float64)
    return np.asarray(rows[:, np.argmin(energy_j)])


def _powers(size: int) -> Nest:
    """1, 2, 4, ... up to the first power of two that covers ``size``."""
    return 2 ** np.arange((size - 1).bit_length() + 1, dtype=np.int64)
