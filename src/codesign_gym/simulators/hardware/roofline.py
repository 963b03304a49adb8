"""The roofline of a processor: arithmetic or memory, whichever takes longer, and a launch for every row.

Williams, Waterman and Patterson, "Roofline: An Insightful Visual Performance Model for Multicore
Architectures", CACM 2009. What a row moves is counted by :func:`moved_bits`, which other rooflines share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, ClassVar

from array_api_compat import array_namespace
from pydantic import Field

from codesign_gym.simulators.hardware.asked import checked
from codesign_gym.simulators.hardware.model import Costs, Unit, real, weight_bytes
from codesign_gym.simulators.hardware.rounding import EXACT, Exact, Rounding
from codesign_gym.simulators.networks.layers import Array, Layers, Op

#: Bitwidths of the types that processors calculate in.
TYPES = (4, 8, 16, 32)
#: Operations of a multiply-accumulate.
OPS_PER_MAC = 2


@dataclass(frozen=True)
class Roofline:
    """``max(2 * MACs / peak, bytes / bandwidth) + launch``, over all rows, weighted or not.

    A row runs in the narrowest of 4, 8, 16 and 32 bits that holds its weights and its activations, at
    that type's peak, and its numbers are stored in the narrowest such type that holds them. A processor
    without faster arithmetic in a narrower type has the wider type's peak there. With relaxed rounding peaks and
    storage lie on the lines between the types', exact at 4, 8, 16 and 32 bits and cheaper in between.

    Limits: operators are kernels of their own (nothing is fused, nothing stays in a cache from one row to
    the next) and reach the peaks, so this is a bound that real kernels miss by a factor; arithmetic of
    rows that multiply nothing is free beside the bytes that they move. ``refined_roofline`` knows how well
    layers fill the hardware; ``calibrate`` fits peaks to measurements.

    No energy: data sheets bound a board's power but give none for a layer. Any parameter may be an array
    that broadcasts against the leading axes. The array API throughout, so NumPy and torch both work.
    """

    separable: ClassVar[bool] = True

    ops_per_s_4: Annotated[float, Unit("op/s"), Field(gt=0)]
    ops_per_s_8: Annotated[float, Unit("op/s"), Field(gt=0)]
    ops_per_s_16: Annotated[float, Unit("op/s"), Field(gt=0)]
    ops_per_s_32: Annotated[float, Unit("op/s"), Field(gt=0)]
    bytes_per_s: Annotated[float, Unit("B/s"), Field(gt=0)]
    launch_s: Annotated[float, Unit("s"), Field(ge=0)]

    @checked
    def cost(self, layers: Layers, bits: Array, rounding: Rounding = EXACT) -> Costs:
        """Costs of shape (..., layers); see :class:`~codesign_gym.simulators.hardware.model.CostModel`.

        Args:
            layers: columns of shape (..., layers).
            bits: shape (..., layers, 2), weight and activation bitwidths.
            rounding: exact, or relaxed for gradients in bitwidths, peaks and bandwidth.
        """
        xp = array_namespace(bits)
        bits = real(bits)
        wider = xp.maximum(bits[..., 0], bits[..., 1])
        peaks = self.ops_per_s_4, self.ops_per_s_8, self.ops_per_s_16, self.ops_per_s_32
        peak = by_type(wider, peaks, rounding)
        moved = moved_bits(layers, by_type(bits, TYPES, rounding)) / 8
        ops = OPS_PER_MAC * layers.macs
        latency_s = (
            rounding.maximum(ops / peak, moved / self.bytes_per_s) + xp.astype(layers.valid, bits.dtype) * self.launch_s
        )
        return Costs(latency_s, weight_bytes(layers, bits), detail={"dram_bytes": moved})


def moved_bits(layers: Layers, bits: Array) -> Array:
    """Bits that every row reads and writes, each operand once, shape (..., layers).

    An ELEMENTWISE row reads two tensors of its input's size, a MATMUL row its second operand, an
    EMBEDDING row what it looks up. Biases, scales and shifts are left out.

    Args:
        layers: columns of shape (..., layers).
        bits: shape (..., layers, 2), what a weight and what an activation take.
    """
    xp = array_namespace(bits)
    gemm = layers.gemm
    second = layers.runs(Op.ELEMENTWISE) * layers.in_elements
    second = second + layers.runs(Op.MATMUL) * gemm.count * gemm.n * gemm.k
    first = xp.where(layers.runs(Op.EMBEDDING), layers.out_elements, layers.in_elements)
    return (first + second + layers.out_elements) * bits[..., 1] + layers.weights * bits[..., 0]


def by_type(bits: Array, values: Sequence[Array], rounding: Rounding = EXACT) -> Array:
    """The value, of four, of the narrowest of :data:`TYPES` that holds so many bits; relaxed, the line in between."""
    xp = array_namespace(bits)
    value = bits * 0 + values[0]
    for (narrow, wide), (less, more) in zip(pairwise(TYPES), pairwise(values), strict=True):
        if isinstance(rounding, Exact):
            value = xp.where(bits > narrow, bits * 0 + more, value)
        else:
            value = value + xp.clip((bits - narrow) / (wide - narrow), 0, 1) * (more - less)
    return value
