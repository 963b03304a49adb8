"""Google's TPU v4: matrix products as measured, from padded tiles, bytes and a launch.

The measurements (github.com/yutation/SCALE-SIM_Validation; Dang et al., "SCALE-Sim TPU: Validating and
Extending SCALE-Sim for TPUs", arXiv:2603.22535) are of jitted JAX programs of one half-precision product
on a TPU v4, with operands of 32 to 1,024 rows and columns that fit on the chip.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from array_api_compat import array_namespace
from pydantic import Field

from codesign_gym.simulators.hardware.asked import checked
from codesign_gym.simulators.hardware.model import Costs, Unit, real, weight_bytes
from codesign_gym.simulators.hardware.rounding import EXACT, Rounding
from codesign_gym.simulators.networks.layers import Array, Layers, Op


@dataclass(frozen=True)
class Tpu:
    """``launch + padded MACs / rate + bytes / bandwidth`` for a matrix product.

    The product's K x N weights fill tiles of ``tile_columns`` square, its M rows come ``tile_rows`` at a
    time (the sublanes of a vector register): M is padded to the one, N and K to the other. Programs are
    so short that operands move before and results after the array works, so the parts add up.

    A convolution is the product of its unfolded windows, reading its input once; groups, heads and images
    that need products of their own follow each other in one launch. Rows that multiply nothing are taken
    to be fused into a neighbour and cost nothing.

    Limits: XLA's choice of tiles makes neighbouring sizes differ by up to 40 % (1,024 x 640 x 1,024
    takes 44 % longer than the rest suggests), and the fit ends at 1,024; a product whose operands
    exceed the on-chip memory was not measured. No energy.

    Any parameter may be an array that broadcasts against the leading axes. The array API throughout, so
    NumPy and torch both work.
    """

    separable: ClassVar[bool] = True

    tile_rows: Annotated[int, Unit("rows"), Field(gt=0)]
    tile_columns: Annotated[int, Unit("columns"), Field(gt=0)]
    macs_per_s: Annotated[float, Unit("MAC/s"), Field(gt=0)]
    bytes_per_s: Annotated[float, Unit("B/s"), Field(gt=0)]
    launch_s: Annotated[float, Unit("s"), Field(ge=0)]

    @checked
    def cost(self, layers: Layers, bits: Array, rounding: Rounding = EXACT) -> Costs:
        """Costs of shape (..., layers); see :class:`~codesign_gym.simulators.hardware.model.CostModel`.

        Args:
            layers: columns of shape (..., layers).
            bits: shape (..., layers, 2), weight and activation bitwidths; the measurements are at 16.
            rounding: how sizes are padded to tiles, exact or relaxed for gradients.
        """
        xp = array_namespace(bits)
        bits = real(bits)
        count, m, n, k, runs = (xp.astype(column, bits.dtype) for column in (*layers.gemm, layers.multiplies))
        slots = count * (self.tile_rows * rounding.ceil_div(m, self.tile_rows))
        for size in (n, k):
            slots = slots * (self.tile_columns * rounding.ceil_div(size, self.tile_columns))
        second_bits = xp.where(layers.runs(Op.MATMUL), bits[..., 1], bits[..., 0])
        outer = layers.in_elements + layers.out_elements
        moved = runs * (outer * bits[..., 1] + count * n * k * second_bits) / 8
        busy_s = slots / self.macs_per_s + moved / self.bytes_per_s
        return Costs(
            busy_s + runs * self.launch_s,
            weight_bytes(layers, bits),
            detail={"mac_slots": slots + bits[..., 0] * 0, "dram_bytes": moved},
        )
