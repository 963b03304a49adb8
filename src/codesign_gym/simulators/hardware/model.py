"""What every cost model is: a frozen record of hardware numbers with one pure, batched function.

A cost model is a frozen dataclass. Its fields are the hardware's parameters, each annotated with its
unit (:class:`Unit`) and bounds, so that a device file can be checked against them; they may be
arrays that broadcast against the leading axes, which turns them into accelerator knobs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial, reduce
from itertools import product
from operator import mul
from types import MappingProxyType
from typing import Protocol

import numpy as np
from array_api_compat import array_namespace

from codesign_gym.errors import suggestion
from codesign_gym.simulators.networks.layers import NUMBERS, Array, Layers, Op


@dataclass(frozen=True)
class Unit:
    """The unit of a cost model's field, in ``Annotated[float, Unit("Hz"), Field(gt=0)]``."""

    symbol: str


@dataclass(frozen=True)
class PositionIn:
    """A validator of a field that is one of some names: a name becomes its position, a position stays."""

    names: tuple[str, ...]

    def __call__(self, value: object) -> object:
        """The position, or what is no name as it is."""
        if not isinstance(value, str):
            return value
        if value not in self.names:
            raise ValueError(f"unknown name{suggestion(value, self.names)}")
        return self.names.index(value)


@dataclass(frozen=True)
class Costs:
    """What layers cost, per layer; arrays of shape (..., layers), or (...) after :meth:`total`.

    Attributes:
        latency_s: seconds for the device's batch.
        size_bytes: bytes that the layer's weights occupy.
        energy_j: joules for the device's batch, or None where the model has no source for energy.
        detail: further quantities that add up over layers, by name, each with its unit in the name
            (``cycles``, ``dram_bits``, ``mac_slots``, ...). Ratios are left to the reader: utilisation
            is the ratio of MACs to ``mac_slots``.
        area_mm2: silicon area of the hardware, shape (...) of its knobs, or None without a source.
        resources: what else the hardware takes, by name (``dsp``, ``bram``, ``lut``, ...), shape (...).
    """

    latency_s: Array
    size_bytes: Array
    energy_j: Array | None = None
    detail: Mapping[str, Array] = field(default_factory=lambda: MappingProxyType({}))
    area_mm2: Array | None = None
    resources: Mapping[str, Array] = field(default_factory=lambda: MappingProxyType({}))

    def map(self, function: Callable[[Array], Array]) -> Costs:
        """The costs with ``function`` applied to every column over layers; the hardware's own stay."""
        return replace(
            self,
            latency_s=function(self.latency_s),
            size_bytes=function(self.size_bytes),
            energy_j=None if self.energy_j is None else function(self.energy_j),
            detail={name: function(column) for name, column in self.detail.items()},
        )

    def times(self, steps: Array) -> Costs:
        """The costs of so many runs of every row, one after another, shape (..., layers); weights are stored once."""
        return replace(self.map(lambda column: column * steps), size_bytes=self.size_bytes)

    def plus(self, other: Costs) -> Costs:
        """What two take together, column by column; the hardware is the same."""
        return replace(
            self,
            latency_s=self.latency_s + other.latency_s,
            size_bytes=self.size_bytes + other.size_bytes,
            energy_j=None if self.energy_j is None else self.energy_j + other.energy_j,
            detail={name: column + other.detail[name] for name, column in self.detail.items()},
        )

    def aligned(self) -> Costs:
        """The costs with all columns over layers of one shape, where some hang on fewer axes than others."""
        columns = [self.latency_s, self.size_bytes, *self.detail.values()]
        if self.energy_j is not None:
            columns.append(self.energy_j)
        shape = np.broadcast_shapes(*(tuple(column.shape) for column in columns))
        xp = array_namespace(self.latency_s)
        return self.map(lambda column: xp.broadcast_to(column, shape))

    def total(self) -> Costs:
        """Sum over the last axis: the network's cost when its layers run one after another."""
        return self.map(lambda column: column.sum(-1))


def real(bits: Array) -> Array:
    """``bits`` as float64, or as they are where they are real already (relaxed bitwidths)."""
    if isinstance(bits, np.ndarray):  # of which asking for the namespace takes longer than the rest
        return bits if bits.dtype.kind == "f" else bits.astype(np.float64)
    xp = array_namespace(bits)
    return bits if xp.isdtype(bits.dtype, "real floating") else xp.astype(bits, xp.float64)


def weight_bytes(layers: Layers, bits: Array) -> Array:
    """Bytes of each layer's weights at their bitwidth, shape (..., layers)."""
    return layers.weights * real(bits[..., 0]) / 8


def of_hardware(knob: Array) -> Array:
    """A quantity of the hardware without the axis of layers that knobs carry: (..., 1) becomes (...)."""
    return knob if isinstance(knob, NUMBERS) or not knob.ndim else knob[..., 0]


def operand_bits(layers: Layers, bits: Array) -> tuple[Array, Array]:
    """Bitwidths of the second operand and of the first, both real and of shape (..., layers).

    The second operand is the weights; in a MATMUL row, which has none, it is an activation like the first.
    """
    xp = array_namespace(bits)
    weights, activations = real(bits[..., 0]), real(bits[..., 1])
    return xp.where(layers.op == int(Op.MATMUL), activations, weights), activations


def between(at: Callable[[Array], Costs], bits: Array, widths: Sequence[int]) -> Costs:
    """Costs at real bitwidths, bilinear between those at the whole ones around them.

    Continuous where what is decided at whole bitwidths (a tiling) changes, and as monotone as it is there.

    Args:
        at: costs at whole bitwidths, of shape (..., layers, 2).
        bits: real, of that shape; what rounds to none of the widths costs NaN.
        widths: that there are, two or more, ascending.
    """
    xp = array_namespace(bits)
    nearest = xp.round(bits)
    low = xp.clip(xp.floor(bits), widths[0], widths[-2])
    share = xp.where((nearest >= widths[0]) & (nearest <= widths[-1]), bits - low, xp.nan)  # of the next width
    corners = []
    for weight, activation in product((0, 1), repeat=2):
        part = (share[..., 0] if weight else 1 - share[..., 0]) * (share[..., 1] if activation else 1 - share[..., 1])
        costs = at(xp.stack([low[..., 0] + weight, low[..., 1] + activation], -1))
        corners.append(costs.map(partial(mul, part)))
    return reduce(Costs.plus, corners)


class CostModel(Protocol):
    """A pure function of layers and precision; the record that carries it holds the hardware.

    The models here also take a :class:`~codesign_gym.simulators.hardware.rounding.Rounding` as a third
    argument, and are asked for one step of every row: ``asked.checked`` multiplies by the column ``steps``, which a
    model without that decorator has to do itself. They run as they are on NumPy, on torch wherever its arrays lie, and
    under ``torch.compile``. Those that search a mapping do so in NumPy, outside of any graph, in
    ``lower(layers, like)``; what follows takes its result.

    A model whose cost of a row depends on that row and its bits alone may say so with the class
    attribute ``separable = True``; large batches are then looked up in a table of its answers. One that searches for
    every machine says ``searches = True``: sweeps then go machine by machine.
    """

    def cost(self, layers: Layers, bits: Array) -> Costs:
        """Cost of running ``layers`` at ``bits``.

        Args:
            layers: columns of shape (..., layers); rows without weights are free in a model that
                does not say otherwise.
            bits: shape (..., layers, 2), weight and activation bitwidths; broadcast against the
                leading axes of ``layers``.

        Returns:
            Costs of shape (..., layers).
        """
        ...
