"""ANNETTE's refined roofline: a roofline whose arithmetic is as fast as a layer fills the parallel units.

Wess et al., "ANNETTE: Accurate Neural Network Execution Time Estimation With Stacked Models", IEEE Access
2021; the equations are those of github.com/embedded-machine-learning/annette (Apache-2.0).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from array_api_compat import array_namespace
from pydantic import BeforeValidator, Field

from codesign_gym.simulators.hardware.asked import checked
from codesign_gym.simulators.hardware.model import Costs, PositionIn, Unit, real, weight_bytes
from codesign_gym.simulators.hardware.roofline import OPS_PER_MAC, moved_bits
from codesign_gym.simulators.hardware.rounding import EXACT, Rounding
from codesign_gym.simulators.networks.layers import Array, Layers, Op

#: Where utilisation counts, by name in files: see :class:`RefinedRoofline`.
FORMS = ("monotone", "annette")
MONOTONE, ANNETTE = range(2)


@dataclass(frozen=True)
class RefinedRoofline:
    """A roofline of its own for convolutions, products and pools; the utilisation of convolutions.

    A dimension of size D that is unrolled s-fold is used to ``u = D / (ceil(D/s) * s)``, softened by how
    far the hardware really depends on it, ``1 / ((1 - alpha) + alpha / u)``. A convolution takes
    ``max(ops / peak / utilisation, bytes / bandwidth)``, the utilisation being the product over output rows,
    output columns, input channels and filters. A step of 1 switches a dimension off.

    ``form`` chooses between that, ``monotone``, and ``annette``: ANNETTE divides by the utilisation only where
    ``ops / peak`` is above ``bytes / bandwidth``, so that time jumps at the ridge and a little more bandwidth, or
    fewer bits, may be slower by one over the utilisation. Its peaks and bandwidths were fitted in that form. The two
    differ only between that ridge and the one of ``monotone``, by what ``codesign-gym verify annette`` prints.

    Convolutions read ``output positions * stride**2`` pixels. Depthwise convolutions have no utilisation.
    NORM and ACTIVATION rows are free: ANNETTE's mapping models merge them into what they follow. Other
    rows move their bytes. Grouped convolutions use the channels of a group.

    Trained on 8-bit (DNNDK) or 16-bit (NCS2) layers; bytes scale with the bitwidths given, peaks do not.
    No energy. Any parameter but ``form`` may be an array that broadcasts against the leading axes. The array API
    throughout, so NumPy and torch both work.
    """

    separable: ClassVar[bool] = True

    ops_per_s: Annotated[float, Unit("op/s"), Field(gt=0)]
    bytes_per_s: Annotated[float, Unit("B/s"), Field(gt=0)]
    row_step: Annotated[float, Unit("output rows"), Field(ge=1)]
    column_step: Annotated[float, Unit("output columns"), Field(ge=1)]
    input_step: Annotated[float, Unit("input channels"), Field(ge=1)]
    filter_step: Annotated[float, Unit("filters"), Field(ge=1)]
    row_alpha: Annotated[float, Unit("1"), Field(ge=0, le=1)]
    column_alpha: Annotated[float, Unit("1"), Field(ge=0, le=1)]
    input_alpha: Annotated[float, Unit("1"), Field(ge=0, le=1)]
    filter_alpha: Annotated[float, Unit("1"), Field(ge=0, le=1)]
    dense_ops_per_s: Annotated[float, Unit("op/s"), Field(gt=0)]
    dense_bytes_per_s: Annotated[float, Unit("B/s"), Field(gt=0)]
    pool_bytes_per_s: Annotated[float, Unit("B/s"), Field(gt=0)]
    launch_s: Annotated[float, Unit("s"), Field(ge=0)]
    form: Annotated[int, Unit("name"), BeforeValidator(PositionIn(FORMS)), Field(ge=0, lt=len(FORMS))]

    @checked
    def cost(self, layers: Layers, bits: Array, rounding: Rounding = EXACT) -> Costs:
        """Costs of shape (..., layers); see :class:`~codesign_gym.simulators.hardware.model.CostModel`.

        Args:
            layers: columns of shape (..., layers).
            bits: shape (..., layers, 2), weight and activation bitwidths.
            rounding: exact, or relaxed for gradients in the steps and smoothness at the ridge.
        """
        xp = array_namespace(bits)
        bits = real(bits)
        zero = bits[..., 1] * 0
        convolution, pool = layers.runs(Op.CONV), layers.runs(Op.POOL)
        merged = layers.runs(Op.NORM) | layers.runs(Op.ACTIVATION)

        def of_kind(conv: Array, dense: Array, pooled: Array, other: Array) -> Array:
            """The value of the row's kind."""
            value = xp.where(layers.multiplies, zero + dense, zero + other)
            return xp.where(convolution, zero + conv, xp.where(pool, zero + pooled, value))

        peak = of_kind(self.ops_per_s, self.dense_ops_per_s, self.ops_per_s, self.ops_per_s)
        bandwidth = of_kind(self.bytes_per_s, self.dense_bytes_per_s, self.pool_bytes_per_s, self.bytes_per_s)
        read = layers.positions * layers.in_channels * layers.stride**2 - layers.in_elements
        moved = (moved_bits(layers, bits) + convolution * layers.valid * read * bits[..., 1]) / 8
        computing, moving = OPS_PER_MAC * layers.macs / peak, moved / bandwidth
        refined = xp.where(convolution & ~layers.depthwise, computing / self.utilisation(layers, rounding), computing)
        if self.form == ANNETTE:
            refined = xp.where(computing > moving, refined, computing)
        busy = rounding.maximum(refined, moving) + self.launch_s
        return Costs(
            xp.where(merged | (layers.valid == 0), zero, busy),
            weight_bytes(layers, bits),
            detail={"dram_bytes": xp.where(merged, zero, moved)},
        )

    def utilisation(self, layers: Layers, rounding: Rounding = EXACT) -> Array:
        """Share of the parallel units that a convolution keeps busy, shape (..., layers)."""
        unrolled = (
            (layers.out_height, self.row_step, self.row_alpha),
            (layers.out_width, self.column_step, self.column_alpha),
            (layers.in_channels // layers.groups, self.input_step, self.input_alpha),
            (layers.out_channels // layers.groups, self.filter_step, self.filter_alpha),
        )
        xp = array_namespace(layers.op)
        share = 1.0
        for column, step, alpha in unrolled:
            size = xp.astype(column, xp.float64)
            used = size / (rounding.ceil_div(size, step) * step)
            share = share / ((1 - alpha) + alpha / used)
        return share
