"""HAQ's cloud accelerator: a closed form of the latency table that was released with the paper.

Wang et al., "HAQ: Hardware-Aware Automated Quantization with Mixed Precision", CVPR 2019, looks up the
cycles of each MobileNetV2 layer at each pair of bitwidths, for BISMO on a VU9P at batch 16.
The table is structured: activations are bit-serial, weights are read bit-parallel, and both wait for
weights to be streamed. The five constants were identified from the 53 x 8 x 8 table: the sum at 8/8
bits is met to 0.05 %, the mean error of a cell is 8.3 %.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from array_api_compat import array_namespace
from pydantic import Field

from codesign_gym.simulators.hardware.asked import checked
from codesign_gym.simulators.hardware.model import Costs, Unit, operand_bits, weight_bytes
from codesign_gym.simulators.hardware.rounding import EXACT, Rounding
from codesign_gym.simulators.networks.layers import Array, Layers, Op


@dataclass(frozen=True)
class HaqCloud:
    """Cycles of HAQ's cloud table.

    With P output positions over the batch, K products per output and group and a, w bits:

    * depthwise: ``P * a * C / depthwise_lanes + weight bits / stream``
    * convolution: ``P * a * ceil(K / reduction_lanes) * max(1, Cout * w / weight_bit_lanes) + weight bits / stream``,
      for each group
    * fully connected (a LINEAR row of one position): ``Cin * Cout * w / dense_stream``

    No energy: the table has none. The array API throughout, so NumPy and torch both work, and
    relaxed (real) bitwidths have gradients; ``rounding`` bends ``ceil`` and ``max`` for them.
    """

    separable: ClassVar[bool] = True

    clock_hz: Annotated[float, Unit("Hz"), Field(gt=0)]
    reduction_lanes: Annotated[float, Unit("product"), Field(gt=0)]
    weight_bit_lanes: Annotated[float, Unit("bit"), Field(gt=0)]
    depthwise_lanes: Annotated[float, Unit("channel*bit/cycle"), Field(gt=0)]
    weight_stream: Annotated[float, Unit("bit/cycle"), Field(gt=0)]
    dense_weight_stream: Annotated[float, Unit("bit/cycle"), Field(gt=0)]

    @checked
    def cost(self, layers: Layers, bits: Array, rounding: Rounding = EXACT) -> Costs:
        """Costs of shape (..., layers); see :class:`~codesign_gym.simulators.hardware.model.CostModel`."""
        cycles = self.cycles(layers, bits, rounding)
        return Costs(cycles / self.clock_hz, weight_bytes(layers, bits), detail={"cycles": cycles})

    def cycles(self, layers: Layers, bits: Array, rounding: Rounding = EXACT) -> Array:
        """Cycles for the batch in the table, shape (..., layers)."""
        xp = array_namespace(bits)
        weight_bits, activation_bits = operand_bits(layers, bits)
        gemm = layers.gemm
        stored = gemm.count * gemm.n * gemm.k * weight_bits
        serial = layers.positions * activation_bits
        steps = rounding.ceil_div(xp.astype(layers.reduction, weight_bits.dtype), self.reduction_lanes)
        wide = layers.out_channels // layers.groups * weight_bits / self.weight_bit_lanes
        dense = serial * layers.groups * steps * rounding.maximum(wide, 1)
        depthwise = serial * layers.out_channels / self.depthwise_lanes
        convolution = xp.where(layers.depthwise, depthwise, dense) + stored / self.weight_stream
        single = layers.runs(Op.LINEAR) & (layers.out_height * layers.out_width == 1)
        return xp.where(single, stored / self.dense_weight_stream, convolution) * layers.multiplies
