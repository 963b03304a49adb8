"""A convolution engine on an FPGA, parallel over filters, channels and positions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from array_api_compat import array_namespace
from pydantic import Field

from codesign_gym.simulators.hardware.asked import checked
from codesign_gym.simulators.hardware.blocking import operand_bits
from codesign_gym.simulators.hardware.model import Costs, Unit, of_hardware, real, weight_bytes
from codesign_gym.simulators.hardware.rounding import EXACT, Rounding
from codesign_gym.simulators.networks.layers import NUMBERS, Array, Layers


@dataclass(frozen=True)
class FpgaEngine:
    """One engine that runs layer after layer, with double-buffered memory on chip and DDR behind it.

    The engine of Fan et al., "High-Performance FPGA-based Accelerator for Bayesian Neural Networks", DAC 2021, and
    "Algorithm and Hardware Co-design for Reconfigurable CNN Accelerator", ASP-DAC 2022: ``pf`` filters, each a tree
    over ``pc`` channels, for ``pv`` positions of an image at once.

    * compute cycles: ``images * groups * window * ceil(C / pc) * ceil(F / pf) * ceil(positions / pv)``, C and F of a
      group: a depthwise layer uses one channel and one filter at a time;
    * DDR: each operand once where one of the two fits half its buffer, else the better loop order of ``blocking``; the
      outputs once. A layer takes the longer of both, for they overlap;
    * DSP: ``ceil(pf * pc * pv / macs_per_dsp)``; LUT: in proportion to DSPs, as in a published design;
    * BRAM: for the inputs, the weights and the partial sums, as many blocks as the larger of their capacity and their
      width (numbers that the engine takes a cycle) asks for;
    * power: an idle part and one per DSP and clock, both of the whole board with its DDR; energy is power times time.

    The board's limits are fields: :meth:`limits` beside ``Costs.resources`` tell whether a design fits. Monte Carlo
    samples of a Bayesian row are further images of its batch, which gives the caching of intermediate layers:
    T(deterministic rows) + S * T(Bayesian rows).

    Limits: no pipeline fill, no stalls of DDR refresh, rows that multiply nothing are free; sums are finished on chip,
    so a filter that is larger than its buffer (here a million products and more) is too cheap: its partial sums would
    travel. LUT and power are lines through one or two published designs. Any parameter may be an array that broadcasts
    against the leading axes. The array API throughout.
    """

    separable: ClassVar[bool] = True

    clock_hz: Annotated[float, Unit("Hz"), Field(gt=0)]
    pf: Annotated[int, Unit("filter"), Field(gt=0)]
    pc: Annotated[int, Unit("channel"), Field(gt=0)]
    pv: Annotated[int, Unit("position"), Field(gt=0)]
    data_bits: Annotated[int, Unit("bit"), Field(gt=0)]
    accumulator_bits: Annotated[int, Unit("bit"), Field(gt=0)]
    input_buffer_bytes: Annotated[float, Unit("B"), Field(gt=0)]
    weight_buffer_bytes: Annotated[float, Unit("B"), Field(gt=0)]
    output_buffer_bytes: Annotated[float, Unit("B"), Field(gt=0)]
    ddr_bytes_per_s: Annotated[float, Unit("B/s"), Field(gt=0)]
    macs_per_dsp: Annotated[float, Unit("MAC/DSP"), Field(gt=0)]
    luts_per_dsp: Annotated[float, Unit("LUT/DSP"), Field(gt=0)]
    bram_bits: Annotated[int, Unit("bit/BRAM"), Field(gt=0)]
    bram_port_bits: Annotated[int, Unit("bit/cycle"), Field(gt=0)]
    idle_w: Annotated[float, Unit("W"), Field(ge=0)]
    dsp_cycle_j: Annotated[float, Unit("J/cycle"), Field(gt=0)]
    dsp_limit: Annotated[int, Unit("DSP"), Field(gt=0)]
    bram_limit: Annotated[int, Unit("BRAM"), Field(gt=0)]
    lut_limit: Annotated[int, Unit("LUT"), Field(gt=0)]

    @property
    def limits(self) -> Mapping[str, int]:
        """What the board has of each resource that is limited, by its name in ``Costs.resources``."""
        return {"dsp": self.dsp_limit, "bram": self.bram_limit, "lut": self.lut_limit}

    @checked
    def cost(self, layers: Layers, bits: Array, rounding: Rounding = EXACT) -> Costs:
        """Costs of shape (..., layers); see :class:`~codesign_gym.simulators.hardware.model.CostModel`.

        Args:
            layers: columns of shape (..., layers).
            bits: shape (..., layers, 2), weight and activation bitwidths; DDR moves them as they are.
            rounding: exact, or relaxed for gradients in bitwidths and parameters.
        """
        xp = array_namespace(bits)
        bits = real(bits)
        count, m, n, k = (xp.astype(column, bits.dtype) for column in layers.gemm)
        second_bits = xp.where(layers.weighted, bits[..., 0], bits[..., 1])  # a MATMUL row's is an activation
        read = operand_bits(
            layers.multiplies * layers.in_elements * bits[..., 1],
            count * n * k * second_bits,
            8 * self.input_buffer_bytes / 2,
            8 * self.weight_buffer_bytes / 2,
            rounding,
        )
        moved = read + count * m * n * bits[..., 1]
        compute = self._compute_cycles(layers, bits, rounding)
        latency_s = rounding.maximum(compute / self.clock_hz, moved / 8 / self.ddr_bytes_per_s)
        dsp = self._dsp(xp, rounding)
        power_w = self.idle_w + dsp * self.dsp_cycle_j * self.clock_hz
        resources = {
            "dsp": dsp,
            "bram": self._bram(xp, rounding),
            "lut": dsp * self.luts_per_dsp,
            "power_w": power_w,
        }
        return Costs(
            latency_s,
            weight_bytes(layers, bits),
            latency_s * power_w,
            detail={
                "cycles": latency_s * self.clock_hz,
                "compute_cycles": compute,
                "mac_slots": compute * (self.pf * self.pc * self.pv),
                "dram_bits": moved,
            },
            resources={name: of_hardware(amount) for name, amount in resources.items()},
        ).aligned()

    def _compute_cycles(self, layers: Layers, bits: Array, rounding: Rounding) -> Array:
        xp = array_namespace(bits)
        work = layers.map(lambda column: xp.astype(column, bits.dtype))
        return (
            layers.multiplies
            * (work.batch * work.groups * work.kernel_height * work.kernel_width)
            * rounding.ceil_div(work.in_channels / work.groups, self.pc)
            * rounding.ceil_div(work.out_channels / work.groups, self.pf)
            * rounding.ceil_div(work.out_height * work.out_width, self.pv)
        )

    def _dsp(self, xp: Any, rounding: Rounding) -> Array:
        return rounding.ceil_div(_array(xp, self.pf * self.pc * self.pv), self.macs_per_dsp)

    def _bram(self, xp: Any, rounding: Rounding) -> Array:
        """Blocks of the three buffers, each of two halves that are as wide as the engine is."""
        buffers = (  # bytes, bits a cycle
            (self.input_buffer_bytes, self.pc * self.pv * self.data_bits),
            (self.weight_buffer_bytes, self.pf * self.pc * self.data_bits),
            (self.output_buffer_bytes, self.pf * self.pv * self.accumulator_bits),
        )
        return sum(
            rounding.maximum(
                rounding.ceil_div(_array(xp, 8 * size), self.bram_bits),
                2 * rounding.ceil_div(_array(xp, width), self.bram_port_bits),
            )
            for size, width in buffers
        )


def _array(xp: Any, knob: Array) -> Array:
    """A knob in floating point, as an array even where it is a number."""
    return xp.asarray(1.0 * knob, dtype=xp.float64) if isinstance(knob, NUMBERS) else 1.0 * knob
