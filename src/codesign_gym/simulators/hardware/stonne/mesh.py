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
from codesign_gym.simulators.hardware.model import Costs, Unit, of_hardware, real, weight_bytes
from codesign_gym.simulators.hardware.stonne import energy as event_energy
from codesign_gym.simulators.networks.layers import Array, Gemm, Layers


@dataclass(frozen=True)
class Mesh:
    """The mesh on tiles as large as it is: output positions on its rows, output channels on its columns.

    Groups of a convolution, heads and images of an attention product run one after the other. A row that
    multiplies nothing is free. ``energy_stonne_units`` is in the simulator's unit, which is not stated.
    Fields may be arrays that broadcast against the leading axes. The array API throughout.

    Raises:
        BadConfig: if the read ports do not divide the rows and columns together.
    """

    clock_hz: Annotated[float, Unit("Hz"), Field(gt=0)]
    rows: Annotated[int, Unit("row"), Field(gt=0)]
    columns: Annotated[int, Unit("column"), Field(gt=0)]
    words_per_cycle: Annotated[int, Unit("word/cycle"), Field(gt=0)]

    def __post_init__(self) -> None:
        if (np.asarray(self.rows + self.columns) % np.asarray(self.words_per_cycle)).any():
            raise BadConfig(
                f"field 'words_per_cycle' is {self.words_per_cycle}; accepted: a divisor of rows + columns, "
                f"{self.rows + self.columns}"
            )

    def cost(self, layers: Layers, bits: Array) -> Costs:
        """Costs of shape (..., layers); see :class:`~codesign_gym.simulators.hardware.model.CostModel`."""
        xp = array_namespace(bits)
        detail = {**self.products(layers.gemm, self.rows, self.columns), "macs": layers.macs}
        same = xp.astype(bits[..., 0] * 0, xp.int64) + detail["cycles"] * 0  # a shape for bitwidths and knobs
        detail = {name: column + same for name, column in detail.items()}
        area = of_hardware(sum(self.areas.values()))
        latency_s = real(detail["cycles"]) / self.clock_hz
        return Costs(latency_s, weight_bytes(layers, bits), detail=detail, resources={"area_stonne_units": area})

    def products(self, gemm: Gemm, tile_rows: Array, tile_columns: Array) -> dict[str, Array]:
        """Cycles, SRAM words and energy of matrix products in tiles of at most the given outputs, per column name."""
        cycles = gemm.k * 0
        for r, row_tiles in _tiles(gemm.m, tile_rows):
            for c, column_tiles in _tiles(gemm.n, tile_columns):
                cycles = cycles + row_tiles * column_tiles * self._tile_cycles(r, c, gemm.k)
        events = self.events(gemm, tile_rows, tile_columns)
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
        return (self.rows + self.columns) // self.words_per_cycle

    def _tile_cycles(self, r: Array, c: Array, k: Array) -> Array:
        xp = array_namespace(k)
        width = k * 0 + self._port_width
        # Busiest port: full of columns, on the border between columns and rows, or the one after it.
        border = width - self.columns % width
        tail = xp.clip(c - self.columns // width * width, min=0)
        words = xp.maximum(tail + xp.minimum(r, border), xp.minimum(xp.clip(r - border, min=0), width))
        words = xp.maximum(xp.minimum(c, width), words)
        own = k + r + c + 3 - xp.astype(xp.minimum(r, c) == 1, k.dtype)
        return xp.where(width == 1, own, k * words + r + c + 5 - words)

    def events(self, gemm: Gemm, tile_rows: Array, tile_columns: Array) -> dict[str, Array]:
        """Counts of the events of :data:`event_energy.EVENTS` in one product of each row."""
        xp = array_namespace(gemm.k)
        outputs, macs = gemm.m * gemm.n, gemm.m * gemm.n * gemm.k
        row_tiles, column_tiles = -(-gemm.m // tile_rows), -(-gemm.n // tile_columns)
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


def _tiles(extent: Array, tile: Array) -> list[tuple[Array, Array]]:
    """Sizes and numbers of the tiles along one side: the full ones, and the rest."""
    xp = array_namespace(extent)
    full, rest = extent // tile, extent % tile
    return [(extent * 0 + tile, full), (xp.clip(rest, min=1), xp.astype(rest > 0, extent.dtype))]
