"""An output-stationary mesh: a grid of multipliers that pass operands to their neighbours.

The systolic array of the STONNE simulator (Munoz-Martinez et al., IISWC 2021; its configuration TPU_OS_DENSE).
A product of M x K by K x N is cut into tiles of at most ``rows`` x ``columns`` outputs. A tile of r x c takes K
steps, in each of which r + c operands enter at the edges. They come through read ports, each of which serves
(rows + columns) / words destinations in order, the columns' first, one word a cycle. With q the words
that the busiest port sends a step, a tile takes

    K + r + c + 3, less 1 if r or c is 1      where every destination has a port of its own
    K q + r + c + 5 - q                       elsewhere

cycles, and tiles follow each other. There are at most four shapes of tiles, so nothing is enumerated. Exact on
STONNE's cycles, SRAM reads and energy. Limits: no DRAM; words are of one width, so bitwidths change only the
size of the weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from array_api_compat import array_namespace
from pydantic import Field

from codesign_gym.errors import BadConfig
from codesign_gym.simulators.hardware.asked import checked
from codesign_gym.simulators.hardware.model import Costs, Unit, of_hardware, real, weight_bytes
from codesign_gym.simulators.hardware.rounding import EXACT, Rounding
from codesign_gym.simulators.hardware.stonne import energy as event_energy
from codesign_gym.simulators.hardware.stonne.fabric import whole
from codesign_gym.simulators.networks.layers import Array, Gemm, Layers


@dataclass(frozen=True)
class Mesh:
    """The mesh on tiles as large as it is: output positions on its rows, output channels on its columns.

    Groups of a convolution, heads and images of an attention product run one after the other. A row that
    multiplies nothing is free. ``energy_stonne_units`` is in the simulator's unit, which is not stated.
    Fields may be arrays that broadcast against the leading axes. The array API throughout, and one graph under
    ``torch.compile`` (``rounding`` given). Relaxed rounding has gradients in rows, columns, words a cycle and the
    clock; bitwidths change the size of the weights alone.

    Raises:
        BadConfig: if the read ports do not divide the rows and columns together.
    """

    clock_hz: Annotated[float, Unit("Hz"), Field(gt=0)]
    rows: Annotated[int, Unit("row"), Field(gt=0)]
    columns: Annotated[int, Unit("column"), Field(gt=0)]
    words_per_cycle: Annotated[int, Unit("word/cycle"), Field(gt=0)]

    def __post_init__(self) -> None:
        if not all(map(whole, (self.rows, self.columns, self.words_per_cycle))):
            return  # real sizes, of relaxed rounding
        if (np.asarray(self.rows + self.columns) % np.asarray(self.words_per_cycle)).any():
            raise BadConfig(
                f"field 'words_per_cycle' is {self.words_per_cycle}; accepted: a divisor of rows + columns, "
                f"{self.rows + self.columns}"
            )

    @checked
    def cost(self, layers: Layers, bits: Array, rounding: Rounding = EXACT) -> Costs:
        """Costs of shape (..., layers); see :class:`~codesign_gym.simulators.hardware.model.CostModel`.

        Args:
            layers: columns of shape (..., layers).
            bits: shape (..., layers, 2), weight and activation bitwidths.
            rounding: exact, or relaxed for gradients.
        """
        xp, bits = array_namespace(bits), real(bits)
        gemm = Gemm(*(xp.astype(column, xp.float64) for column in layers.gemm))
        detail = {**self.products(gemm, self.rows, self.columns, rounding), "macs": layers.macs}
        cycles = detail["cycles"] + 0 * bits[..., 0]
        detail = {name: xp.broadcast_to(column, cycles.shape) for name, column in detail.items()}
        detail |= {"cycles": cycles, "mac_slots": cycles * (self.rows * self.columns)}
        area = of_hardware(sum(self.areas.values()))
        resources = {"area_stonne_units": area}
        return Costs(cycles / self.clock_hz, weight_bytes(layers, bits), detail=detail, resources=resources)

    def products(
        self, gemm: Gemm, tile_rows: Array, tile_columns: Array, rounding: Rounding = EXACT
    ) -> dict[str, Array]:
        """Cycles, SRAM words and energy of matrix products in tiles of at most the given outputs, per column name."""
        cycles = gemm.k * 0
        for r, row_tiles in _tiles(gemm.m, tile_rows, rounding):
            for c, column_tiles in _tiles(gemm.n, tile_columns, rounding):
                cycles = cycles + row_tiles * column_tiles * self._tile_cycles(r, c, gemm.k, rounding)
        events = self.events(gemm, tile_rows, tile_columns, rounding)
        static = event_energy.static_per_cycle(self.switches, self.rows * self.columns, self.rows * self.columns)
        cycles = gemm.count * cycles
        energy = sum(event_energy.dynamic(events).values()) * gemm.count + real(cycles) * sum(static.values())
        reads = gemm.count * (events["buffer_accesses"] - gemm.m * gemm.n)
        return {
            "cycles": cycles,
            "sram_reads": reads,
            "sram_writes": gemm.count * gemm.m * gemm.n,
            "energy_stonne_units": energy,
        }

    @property
    def areas(self) -> dict[str, Array]:
        """Area per component in the simulator's unit, without the write bus, which it sizes for another fabric."""
        return event_energy.mesh_area(self.rows, self.columns, self.words_per_cycle, self._port_width)

    @property
    def switches(self) -> Array:
        """Switches of the ports' distribution trees."""
        return event_energy.tree_switches(self.words_per_cycle, self._port_width)

    @property
    def _port_width(self) -> Array:
        edges, ports = self.rows + self.columns, self.words_per_cycle
        return edges // ports if whole(edges) and whole(ports) else edges / ports

    def _tile_cycles(self, r: Array, c: Array, k: Array, rounding: Rounding) -> Array:
        width, columns = k * 0 + self._port_width, k * 0 + self.columns
        # Busiest port: full of columns, on the border between columns and rows, or the one after it.
        border = width * rounding.ceil_div(columns, width) - columns  # rows' destinations at the columns' last port
        tail = rounding.maximum(c + width, columns + border) - (columns + border)
        beyond = rounding.maximum(r, border) - border
        words = rounding.maximum(tail + rounding.minimum(r, border), rounding.maximum(beyond, c))
        words = rounding.minimum(words, width)
        shared = rounding.exceeds(width, 1) * 1
        thin = 1 - rounding.exceeds(rounding.minimum(r, c), 1) * 1
        return k * words + r + c + 4 - words + shared - (1 - shared) * thin

    def events(self, gemm: Gemm, tile_rows: Array, tile_columns: Array, rounding: Rounding = EXACT) -> dict[str, Array]:
        """Counts of the events of :data:`event_energy.EVENTS` in one product of each row."""
        xp = array_namespace(gemm.k)
        outputs, macs = gemm.m * gemm.n, gemm.m * gemm.n * gemm.k
        row_tiles, column_tiles = rounding.ceil_div(gemm.m, tile_rows), rounding.ceil_div(gemm.n, tile_columns)
        words = (gemm.m * column_tiles + gemm.n * row_tiles) * gemm.k
        depth = xp.log2(xp.astype(gemm.k * 0 + self._port_width, xp.float64))
        return {
            "distribution_links": words * (depth + 1),
            "switch_routes": words * depth,
            "multiplications": macs,
            "multiplier_links": 2 * macs - words,
            "additions": macs - outputs,
            "adder_links": macs,
            "buffer_accesses": words + outputs,
            "bus_links": 2 * outputs,
        }


def _tiles(extent: Array, tile: Array, rounding: Rounding) -> list[tuple[Array, Array]]:
    """Sizes and numbers of the tiles along one side: all but the last, which are full, and the last."""
    others = rounding.ceil_div(extent, tile) - 1
    return [(extent * 0 + tile, others), (extent - tile * others, others * 0 + 1)]
