"""NASA's accelerator: sub-processors for convolution, shift and adder layers that work in a pipeline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from array_api_compat import array_namespace
from pydantic import BeforeValidator, Field

from codesign_gym.simulators.hardware.asked import checked
from codesign_gym.simulators.hardware.blocking import passing_bits
from codesign_gym.simulators.hardware.model import Costs, PositionIn, Unit, of_hardware, real, weight_bytes
from codesign_gym.simulators.hardware.rounding import EXACT, Rounding
from codesign_gym.simulators.hardware.systolic.form import DATAFLOWS, select
from codesign_gym.simulators.networks.layers import Array, Gemm, Layers, Op

#: What a layer does with an activation and a weight before it adds up, and so which chunk runs it: multiplies, shifts
#: by a power of two with a sign (DeepShift), or takes the absolute difference (AdderNet). By name in files, by position
#: in columns of designs.
OPERATORS = ("conv", "shift", "adder")


@dataclass(frozen=True)
class Chunked:
    """Latency and energy of layers, each on the chunk of its operator, and the period of the pipeline.

    Shi et al., "NASA: Neural Architecture Search and Acceleration for Hardware Inspired Hybrid Networks", ICCAD 2022.
    ``operator`` and ``dataflow`` may be columns of shape (..., layers): the layer table does not know of shifts and
    adders, whose rows are CONV and LINEAR rows here. MATMUL rows always run on the convolution chunk.

    A layer is ``count`` products of M x K by K x N. Its chunk's n PEs keep one operand, of extents A x B, and stream
    the third extent past it:

    ========= ===== ===== ========
    dataflow  A     B     streamed
    ========= ===== ===== ========
    OS        M     N     K
    WS        K     N     M
    IS        M     K     N
    ========= ===== ===== ========

    * cycles: ``ceil(count * A * B / n) * streamed``: any PE takes any element;
    * buffer: a PE has registers for several elements of the operand that it keeps. As many as all PEs keep, in a tile
      of a x b as square as A and B allow, share what is streamed: each operand is read as often as there are tiles
      along the extent that it lacks, ``ceil(A / a)`` or ``ceil(B / b)``, and once for the extent that is streamed;
      partial sums are also read back, but for the first time;
    * DRAM: the operand that stays, stays in half the chunk's buffer too, a part after another, while the others pass;
      with outputs it is a tile of partial sums, as square as M and N allow. The outputs are written once;
    * a layer takes the longer of its cycles and its DRAM bits over the whole bandwidth.

    The latency of an image is the sum over its layers; images follow each other every :meth:`period_s`, the time of the
    busiest chunk or of DRAM, which the chunks share. Energy: operations, buffer and DRAM bits; no registers,
    leakage or network. PEs are 8 bits wide: precision changes traffic alone. A shift layer's weight is a sign and an
    exponent, and takes ``shift_weight_bits`` at most.

    Limits: tiles are not searched, and the row-stationary dataflow is not modelled, as they are in
    :mod:`~codesign_gym.simulators.hardware.chunked.mappings`; nothing fills or drains. Any parameter may be an array
    that broadcasts against the leading axes. The array API throughout.
    """

    separable: ClassVar[bool] = True

    clock_hz: Annotated[float, Unit("Hz"), Field(gt=0)]
    operator: Annotated[int, Unit("name"), Field(ge=0, lt=len(OPERATORS)), BeforeValidator(PositionIn(OPERATORS))]
    dataflow: Annotated[int, Unit("name"), Field(ge=0, lt=len(DATAFLOWS)), BeforeValidator(PositionIn(DATAFLOWS))]
    conv_pes: Annotated[int, Unit("PE"), Field(gt=0)]
    shift_pes: Annotated[int, Unit("PE"), Field(gt=0)]
    adder_pes: Annotated[int, Unit("PE"), Field(gt=0)]
    sum_registers: Annotated[int, Unit("number/PE"), Field(gt=0)]
    weight_registers: Annotated[int, Unit("number/PE"), Field(gt=0)]
    input_registers: Annotated[int, Unit("number/PE"), Field(gt=0)]
    conv_buffer_bytes: Annotated[float, Unit("B"), Field(gt=0)]
    shift_buffer_bytes: Annotated[float, Unit("B"), Field(gt=0)]
    adder_buffer_bytes: Annotated[float, Unit("B"), Field(gt=0)]
    dram_bytes_per_s: Annotated[float, Unit("B/s"), Field(gt=0)]
    partial_sum_bits: Annotated[int, Unit("bit"), Field(gt=0)]
    shift_weight_bits: Annotated[int, Unit("bit"), Field(gt=0)]
    conv_op_j: Annotated[float, Unit("J"), Field(gt=0)]
    shift_op_j: Annotated[float, Unit("J"), Field(gt=0)]
    adder_op_j: Annotated[float, Unit("J"), Field(gt=0)]
    buffer_j_per_bit: Annotated[float, Unit("J/bit"), Field(ge=0)]
    dram_j_per_bit: Annotated[float, Unit("J/bit"), Field(ge=0)]
    conv_pe_area_mm2: Annotated[float, Unit("mm^2"), Field(gt=0)]
    shift_pe_area_mm2: Annotated[float, Unit("mm^2"), Field(gt=0)]
    adder_pe_area_mm2: Annotated[float, Unit("mm^2"), Field(gt=0)]
    buffer_area_mm2_per_byte: Annotated[float, Unit("mm^2/B"), Field(gt=0)]

    @property
    def pes(self) -> tuple[Array, Array, Array]:
        """PEs of each chunk, in the order of ``OPERATORS``."""
        return self.conv_pes, self.shift_pes, self.adder_pes

    @property
    def op_energies_j(self) -> tuple[Array, Array, Array]:
        """Energy of an operation on each chunk."""
        return self.conv_op_j, self.shift_op_j, self.adder_op_j

    @property
    def pe_areas_mm2(self) -> tuple[Array, Array, Array]:
        """Area of a PE of each chunk."""
        return self.conv_pe_area_mm2, self.shift_pe_area_mm2, self.adder_pe_area_mm2

    @property
    def buffer_bytes(self) -> Array:
        """The chunks' parts of the global buffer together."""
        return self.conv_buffer_bytes + self.shift_buffer_bytes + self.adder_buffer_bytes

    @property
    def area_mm2(self) -> Array:
        """Silicon area of PEs and buffers, shape (..., 1) of the knobs."""
        pes = sum(number * area for number, area in zip(self.pes, self.pe_areas_mm2, strict=True))
        return pes + self.buffer_bytes * self.buffer_area_mm2_per_byte

    @checked
    def cost(self, layers: Layers, bits: Array, rounding: Rounding = EXACT) -> Costs:
        """Costs of shape (..., layers); see :class:`~codesign_gym.simulators.hardware.model.CostModel`.

        Args:
            layers: columns of shape (..., layers).
            bits: shape (..., layers, 2), weight and activation bitwidths.
            rounding: exact, or relaxed for gradients in bitwidths, PEs, buffers, bandwidth and clock.
        """
        xp = array_namespace(bits)
        bits = real(bits)
        chunk = ~layers.runs(Op.MATMUL) * self.operator  # (..., layers)
        product = Gemm(*(xp.astype(column, bits.dtype) for column in layers.gemm))
        count, m, n, k = product
        inputs = layers.multiplies * layers.in_elements
        activation_bits = bits[..., 1]
        stored = self.weight_bits(bits[..., 0], rounding)
        weight_bits = xp.where(layers.weighted, stored, activation_bits)

        def of_chunk(*cases: Array) -> Array:
            return select(chunk, *(case + 0 * m for case in cases))  # in the type of the columns

        pes = of_chunk(*self.pes)
        cycles, buffer_bits = self._on_chip(product, pes, (weight_bits, activation_bits), rounding)
        half = 8 / 2 * of_chunk(self.conv_buffer_bytes, self.shift_buffer_bytes, self.adder_buffer_bytes)
        inputs, weights = inputs * activation_bits, count * n * k * weight_bits
        tall, wide = _tile(m, n, half / self.partial_sum_bits, rounding)
        read = select(
            self.dataflow,
            inputs * rounding.ceil_div(n, wide) + weights * rounding.ceil_div(m, tall),
            passing_bits(weights, inputs, half, rounding),
            passing_bits(inputs, weights, half, rounding),
        )
        dram_bits = read + count * m * n * activation_bits
        latency_s = rounding.maximum(cycles / self.clock_hz, dram_bits / 8 / self.dram_bytes_per_s)
        energy_j = (
            count * m * n * k * of_chunk(*self.op_energies_j)
            + buffer_bits * self.buffer_j_per_bit
            + dram_bits * self.dram_j_per_bit
        )
        busy = {f"{name}_s": latency_s * (chunk == number) for number, name in enumerate(OPERATORS)}
        return Costs(
            latency_s,
            weight_bytes(layers, stored[..., None]),
            energy_j,
            detail={
                "cycles": cycles,
                "mac_slots": cycles * pes,
                "buffer_bits": buffer_bits,
                "dram_bits": dram_bits,
                **busy,
            },
            area_mm2=of_hardware(self.area_mm2),
        ).aligned()

    def weight_bits(self, bits: Array, rounding: Rounding = EXACT) -> Array:
        """Bits that a weight takes in memory, of bitwidths of shape (..., layers), which is also the result's."""
        return select(self.operator, bits, rounding.minimum(bits, self.shift_weight_bits), bits)

    def period_s(self, totals: Costs) -> Array:
        """Seconds between two images in the pipeline, from the sums over a network's layers, shape (...)."""
        xp = array_namespace(totals.latency_s)
        period = totals.detail["dram_bits"] / 8 / of_hardware(self.dram_bytes_per_s)
        for name in OPERATORS:
            period = xp.maximum(period, totals.detail[f"{name}_s"])
        return period

    def _on_chip(self, product: Gemm, pes: Array, bits: tuple[Array, Array], rounding: Rounding) -> tuple[Array, Array]:
        """Cycles, and bits between the chunk's buffer and its PEs."""
        count, m, n, k = product
        first, second = select(self.dataflow, m, k, m), select(self.dataflow, n, n, k)
        streamed = select(self.dataflow, k, m, n)
        cycles = rounding.ceil_div(count * first * second, pes) * streamed
        kept = pes * select(self.dataflow, self.sum_registers, self.weight_registers, self.input_registers)
        tall, wide = _tile(first, second, kept, rounding)
        passes = rounding.ceil_div(first, tall), rounding.ceil_div(second, wide)
        once = passes[0] * 0 + 1
        weight_times = select(self.dataflow, passes[0], once, passes[0])
        input_times = select(self.dataflow, passes[1], passes[1], once)
        sum_times = 2 * select(self.dataflow, once, passes[0], passes[1]) - 1  # the first is not read back
        weight_bits, activation_bits = bits
        moved = (
            n * k * weight_times * weight_bits
            + m * k * input_times * activation_bits
            + m * n * sum_times * self.partial_sum_bits
        )
        return cycles, count * moved


def _tile(first: Array, second: Array, numbers: Array, rounding: Rounding) -> tuple[Array, Array]:
    """A tile of so many numbers, as square as the two extents allow; its sides may be broken."""
    least = rounding.minimum(second, numbers**0.5)
    tall = rounding.minimum(first, numbers / least)
    return tall, rounding.maximum(least, rounding.minimum(second, numbers / tall))
