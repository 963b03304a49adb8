"""BitFusion's grid of fusion units, and the convolutions that run on it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from codesign_gym.simulators.hardware.model import Unit
from codesign_gym.simulators.networks.layers import Array

Nest = NDArray[np.int64]  # (..., 5) one entry per loop

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
    def area_mm2(self) -> Array:
        """Silicon area of the grid and its three buffers, of the fields' shape."""
        buffers = self.weight_sram_area_mm2 + self.activation_sram_area_mm2 + self.output_sram_area_mm2
        return self.core_area_mm2 + buffers


#: Fields of the hardware that decide how a layer is run: sizes, which are whole, and what weighs equals.
SIZES = (
    "inputs",
    "outputs",
    "weight_sram_bytes",
    "activation_sram_bytes",
    "output_sram_bytes",
    "dram_bits_per_cycle",
)
ENERGIES = tuple(field.name for field in fields(FusionArray) if "_j_per_" in field.name)


@dataclass(frozen=True)
class Convolution:
    """What is run: one group of a convolution; numbers, or arrays that broadcast.

    ``im2col`` marks the first layer, whose windows are unfolded so that kernel positions, too, lie
    across the grid's inputs.
    """

    batch: Array
    out_height: Array
    out_width: Array
    in_channels: Array
    out_channels: Array
    kernel_height: Array
    kernel_width: Array
    stride: Array
    im2col: Array  # 0 or 1

    @property
    def window(self) -> Array:
        """Kernel positions."""
        return self.kernel_height * self.kernel_width

    @property
    def sizes(self) -> Nest:
        """Extent of each of ``tiling.LOOPS``, shape (..., 5); of a layer in NumPy."""
        sizes: list[Any] = [self.batch, self.out_width, self.out_height, self.in_channels, self.out_channels]
        return np.stack(np.broadcast_arrays(*sizes), -1)
