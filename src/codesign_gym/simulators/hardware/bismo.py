"""BISMO: matrix products one pair of bits at a time, on a small FPGA.

Umuroglu et al., "BISMO: A Scalable Bit-Serial Matrix Multiplication Overlay for Reconfigurable
Computing", FPL 2018, and "Optimizing Bit-Serial Matrix Multiplication for Reconfigurable Computing",
ACM TRETS 2019 (arXiv:1901.00370). A Dm x Dn grid of dot-product units of Dk binary products each runs
every weight bit against every activation bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from array_api_compat import array_namespace
from pydantic import Field

from codesign_gym.simulators.hardware.asked import checked
from codesign_gym.simulators.hardware.model import Costs, Unit, of_hardware, operand_bits, weight_bytes
from codesign_gym.simulators.hardware.rounding import EXACT, Rounding
from codesign_gym.simulators.networks.layers import Array, Layers

#: Bytes of an accumulator: results are 32-bit integers.
RESULT_BYTES = 4


@dataclass(frozen=True)
class Bismo:
    """A fetch, an execute and a result stage that overlap: the slowest sets the pace.

    A layer is the product of its M x K activations (M output positions, unfolded windows) with its
    K x N weights, once per group; a depthwise layer is C products with N = 1. Per product:

    * execute: ``w * a * ceil(M/Dm) * ceil(N/Dn) * ceil(K/Dk)`` cycles, without pipeline bubbles;
    * fetch: the weights once and the activations once per column of tiles; bits as they are, without
      padding to Dk;
    * result: ``4 * M * N`` bytes;
    * fill: the first pair of tiles in, the last tile out.

    Cycles are ``max(execute, fetch, result) + fill``. No energy: the publications bound the board's
    power but give none for the overlay. Any parameter may be an array that broadcasts against the
    leading axes. The array API throughout, so NumPy and torch both work.
    """

    separable: ClassVar[bool] = True

    clock_hz: Annotated[float, Unit("Hz"), Field(gt=0)]
    dm: Annotated[int, Unit("rows"), Field(gt=0)]
    dn: Annotated[int, Unit("columns"), Field(gt=0)]
    dk: Annotated[int, Unit("bit"), Field(gt=0)]
    buffer_words: Annotated[int, Unit("word"), Field(gt=0)]
    read_bytes_per_s: Annotated[float, Unit("B/s"), Field(gt=0)]
    write_bytes_per_s: Annotated[float, Unit("B/s"), Field(gt=0)]

    @property
    def luts(self) -> float:
        """Look-up tables of the execute stage, by the FPL 2018 cost model (fitted to synthesis there)."""
        return self.dm * self.dn * (1.17 * self.dk + 164.2)

    @property
    def brams(self) -> float:
        """Block memories of the operand buffers, one of ``buffer_words`` words for every row and column."""
        return self.dk / 32 * (self.dm + self.dn) * -(-self.buffer_words // 1024)

    @checked
    def cost(self, layers: Layers, bits: Array, rounding: Rounding = EXACT) -> Costs:
        """Costs of shape (..., layers); see :class:`~codesign_gym.simulators.hardware.model.CostModel`."""
        xp = array_namespace(bits)
        weight_bits, activation_bits = operand_bits(layers, bits)
        gemm = layers.gemm
        rows, inner, columns = (xp.astype(column, weight_bits.dtype) for column in (gemm.m, gemm.k, gemm.n))
        row_tiles, column_tiles = rounding.ceil_div(rows, self.dm), rounding.ceil_div(columns, self.dn)
        execute = weight_bits * activation_bits * row_tiles * column_tiles * rounding.ceil_div(inner, self.dk)

        read = self.read_bytes_per_s / self.clock_hz  # bytes per cycle
        write = self.write_bytes_per_s / self.clock_hz
        fetched = inner * (columns * weight_bits + column_tiles * rows * activation_bits)  # bits
        fetch = fetched / 8 / read
        result = RESULT_BYTES * rows * columns / write
        tile_rows, tile_columns = rounding.minimum(rows, self.dm), rounding.minimum(columns, self.dn)
        first = inner * (tile_columns * weight_bits + tile_rows * activation_bits) / 8 / read
        last = RESULT_BYTES * tile_rows * tile_columns / write

        cycles = gemm.count * (rounding.maximum(rounding.maximum(execute, fetch), result) + first + last)
        return Costs(
            cycles / self.clock_hz,
            weight_bytes(layers, bits),
            detail={
                "cycles": cycles,
                "execute_cycles": gemm.count * execute,
                "mac_slots": cycles * (self.dm * self.dn * self.dk) / (weight_bits * activation_bits),
                "dram_bits": gemm.count * (fetched + 8 * RESULT_BYTES * rows * columns),
            },
            resources={"lut": of_hardware(self.luts), "bram": of_hardware(self.brams)},
        )
