"""BitFusion: a spatial array whose multipliers fuse and split with the operands' bitwidths."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any, ClassVar, NamedTuple

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import NDArray

from codesign_gym.errors import BadConfig
from codesign_gym.simulators.hardware.asked import checked, checked_lowered
from codesign_gym.simulators.hardware.bitfusion.execution import Schedule, precision_factor, run
from codesign_gym.simulators.hardware.bitfusion.machine import ENERGIES, SIZES, Convolution, FusionArray
from codesign_gym.simulators.hardware.bitfusion.search import BITWIDTHS, DECISIONS, QUANTITIES, layer_table
from codesign_gym.simulators.hardware.host import beside, machines, outside_graphs, plain
from codesign_gym.simulators.hardware.model import Costs, between, of_hardware, real
from codesign_gym.simulators.hardware.rounding import EXACT, Exact, Rounding
from codesign_gym.simulators.hardware.sizes import between_sizes, whole_numbers
from codesign_gym.simulators.networks.layers import Array, Layers, Op

#: A dense convolution of at most this many channels reads an image (grey, RGB or RGBA) and is
#: unfolded; the public simulator unfolds a network's first layer.
IMAGE_CHANNELS = 4

#: Numbers of the hardware that come whole, and between which relaxed costs are mixed.
WHOLE = dict.fromkeys(("inputs", "outputs", "dram_bits_per_cycle"), whole_numbers)


class Lowered(NamedTuple):
    """Rows of the layer table with what was decided for them, real arrays of the caller's library.

    ``decisions`` has the shape (DECISIONS, distinct, 8, 8): for every distinct layer, by weight and activation
    bitwidth over BITWIDTHS, and NaN at the eighth, which stands for any other bitwidth.
    """

    decisions: Array
    row: Array  # (..., layers) position among the distinct layers, integers
    work: Convolution  # columns of shape (..., layers)
    times: Array  # (..., layers) that the work is run
    weights: Array  # (..., layers)
    product: Array  # (..., layers) whether both operands are activations, bool


@dataclass(frozen=True)
class BitFusion(FusionArray):
    """Latency and energy at the best tiling of every layer.

    Sharma et al., "Bit Fusion: Bit-Level Dynamically Composable Architecture for Accelerating Deep
    Neural Networks", ISCA 2018. ``execution`` gives the cost of a tiling exactly as the public
    simulator does; ``search`` chooses the tiling.

    Bitwidths are 2 to 8: 5 to 7 bits compute like 8 and 3 like 4, while traffic is of the true bits.
    A fully connected row is a 1x1 convolution. A grouped convolution runs as dense ones over as many
    groups as fill the grid's outputs, with zeros between the groups: 32 channels at a time where it
    is depthwise. The simulator has no such layers; group by group, a depthwise one would fill one of
    the 512 units.

    Latency never falls with more bits; energy may, because the search spends it to save cycles.

    The search is NumPy's and memoised in the process, so a batch costs little more than its distinct
    layers. It runs at whole bitwidths and sizes of the hardware, and what it decides (tiles, their order, what
    stays in a buffer) is a constant: the costs are the closed form there, in the array API throughout. At a best
    tiling the form's derivatives are those of the best cost itself, so that relaxed rounding has gradients in
    units, port, clock and energies. Between whole bitwidths, between whole numbers of units and of the port's bits,
    each with tiles of their own, relaxed costs are mixed, without jumps (``sizes``); buffers are the nearest
    whole ones. ``torch.compile`` runs the search outside its graphs; :meth:`cost_of` is one graph (``rounding``
    given) at the sizes that were lowered. Parameters may be arrays that broadcast against the leading axes: every
    different machine among them is searched for, about a second for a ResNet.
    """

    separable: ClassVar[bool] = True
    searches: ClassVar[bool] = True

    @checked
    def cost(self, layers: Layers, bits: Array, rounding: Rounding = EXACT) -> Costs:
        """Costs of shape (..., layers); see :class:`~codesign_gym.simulators.hardware.model.CostModel`.

        Args:
            layers: columns of shape (..., layers).
            bits: shape (..., layers, 2), weight and activation bitwidths.
            rounding: exact, or relaxed for gradients in bitwidths and the array's parameters.

        Raises:
            BadConfig: if a bitwidth is not one of 2 to 8 (real ones are rounded to their tiling's).
            UnsupportedNetwork: if a layer has no tile that fits the buffers.
        """
        _check(bits)

        def at(machine: BitFusion) -> Costs:
            return self.cost_of(machine.lower(layers, bits), bits, rounding)

        return between_sizes(self, WHOLE, rounding, at)

    @outside_graphs
    def lower(self, layers: Layers, like: Array) -> Lowered:
        """The rows with their best tilings at every precision, for a network that is costed again and again.

        Args:
            layers: columns of shape (..., layers), of any library.
            like: an array of the library, and on the processor, that costs are asked with.
        """
        rows = layers.map(plain)
        arrays, which = self._searched()
        outputs = np.array([array.outputs for array in arrays])[which]
        packed = np.clip(outputs * rows.groups // rows.out_channels, 1, rows.groups)  # groups at a time
        work = convolutions(rows, packed)
        decisions, row = _distinct(arrays, which, work)
        product = rows.runs(Op.MATMUL)  # of two activations, other ones for every image
        times = rows.multiplies * rows.steps * EXACT.ceil_div(rows.groups, packed) * np.where(product, rows.batch, 1)

        def column(values: NDArray[np.int64]) -> Array:
            return beside(np.asarray(values, dtype=np.float64), like)

        return Lowered(
            beside(decisions, like),
            beside(row, like),
            Convolution(*map(column, vars(work).values())),
            column(times),
            column(rows.weights),
            beside(product, like),
        )

    @checked_lowered("weights")
    def cost_of(self, lowered: Lowered, bits: Array, rounding: Rounding = EXACT) -> Costs:
        """The same of rows lowered beforehand; costs at bitwidths that there are none of are NaN.

        Args:
            lowered: columns of shape (..., layers), from :meth:`lower`.
            bits: shape (..., layers, 2).
            rounding: as in :meth:`cost`.
        """
        bits = real(bits)
        if isinstance(rounding, Exact):
            return self._at(lowered, bits, rounding)
        return between(lambda whole: self._at(lowered, whole, rounding), bits, BITWIDTHS)

    def _at(self, lowered: Lowered, bits: Array, rounding: Rounding) -> Costs:
        """At the tilings of the nearest whole bitwidths."""
        xp = array_namespace(bits)
        operands = xp.where(lowered.product[..., None], bits[..., 1:], bits)  # (..., layers, 2)
        nearest = xp.round(operands)
        index = xp.astype(nearest, xp.int64) - BITWIDTHS[0]
        index = xp.where((index >= 0) & (index < len(BITWIDTHS)), index, len(BITWIDTHS))
        run_weight, run_activation, *decided = lowered.decisions[:, lowered.row, index[..., 0], index[..., 1]]
        weight_bits, activation_bits = (
            xp.where(wider > nearest[..., i], wider, operands[..., i])  # stored and run as wider ones
            for i, wider in enumerate((run_weight, run_activation))
        )
        factor = precision_factor(weight_bits, activation_bits)
        found = run(self, lowered.work, Schedule(*decided), weight_bits, activation_bits, factor, rounding)
        cycles = found.cycles * lowered.times
        return Costs(
            cycles / self.clock_hz,
            lowered.weights * bits[..., 0] / 8,
            found.energy_j(self) * lowered.times,
            detail={
                "cycles": cycles,
                "stall_cycles": found.stall_cycles * lowered.times,
                "mac_slots": cycles * (self.inputs * self.outputs) * factor,
                "dram_bits": found.dram_bits * lowered.times,
                "sram_bits": found.sram_bits * lowered.times,
            },
            area_mm2=of_hardware(self.area_mm2),
        )

    def _searched(self) -> tuple[list[FusionArray], NDArray[np.intp]]:
        """The different machines that tilings are searched for, and which is whose, of the parameters' shape.

        Their sizes are whole; clock and areas decide nothing.
        """
        numbers = {name: np.maximum(np.rint(plain(getattr(self, name))), 1).astype(np.int64) for name in SIZES}
        found, which = machines(numbers | {name: plain(getattr(self, name)) for name in ENERGIES})
        idle: dict[str, Any] = dict.fromkeys((field.name for field in fields(FusionArray)), 1.0)
        return [FusionArray(**idle | one) for one in found], which


def _distinct(
    arrays: list[FusionArray], which: NDArray[np.intp], work: Convolution
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """What :class:`Lowered` has for the distinct layers of every machine, and which is whose, (..., layers)."""
    columns = np.stack(np.broadcast_arrays(which, *vars(work).values()), -1).astype(np.int64)
    shape = columns.shape[:-1]
    distinct, row = np.unique(columns.reshape(-1, columns.shape[-1]), axis=0, return_inverse=True)
    own = [distinct[distinct[:, 0] == position, 1:] for position in range(len(arrays))]  # in the order of ``distinct``
    tables = [
        _decisions(array, rows.tobytes(), len(rows)) for array, rows in zip(arrays, own, strict=True) if len(rows)
    ]
    return np.concatenate(tables or [np.zeros((len(DECISIONS), 0, 8, 8))], 1), row.reshape(shape)


@outside_graphs
def _check(bits: Array) -> None:
    widths = plain(bits)
    nearest = np.rint(widths)
    if not ((nearest >= BITWIDTHS[0]) & (nearest <= BITWIDTHS[-1])).all():
        raise BadConfig(f"BitFusion has bitwidths {BITWIDTHS[0]} to {BITWIDTHS[-1]}, not {np.unique(widths).tolist()}")


@lru_cache(maxsize=16)
def _decisions(array: FusionArray, columns: bytes, count: int) -> NDArray[np.float64]:
    """What :class:`Lowered` has for so many layers; memoised, because networks are costed again and again."""
    works = np.frombuffer(columns, dtype=np.int64).reshape(count, -1).tolist()
    tables = np.stack([layer_table(array, Convolution(*sizes))[len(QUANTITIES) :] for sizes in works], 1)
    none = ((0, 0), (0, 0), (0, 1), (0, 1))
    padded = np.pad(tables, none, constant_values=np.nan)
    padded.setflags(write=False)
    return padded


def convolutions(layers: Layers, groups: NDArray[np.int64]) -> Convolution:
    """Each row as a dense convolution of so many of its groups; a row that multiplies nothing becomes one product."""
    multiplies = np.asarray(layers.multiplies)

    def column(values: Array) -> NDArray[np.int64]:
        return np.where(multiplies, values, 1)

    image = layers.runs(Op.CONV) & (layers.groups == 1) & (layers.in_channels <= IMAGE_CHANNELS) & multiplies
    return Convolution(
        batch=column(np.where(layers.runs(Op.MATMUL), 1, layers.batch)),
        out_height=column(layers.out_height),
        out_width=column(layers.out_width),
        in_channels=column(layers.in_channels // layers.groups * groups),
        out_channels=column(layers.out_channels // layers.groups * groups),
        kernel_height=column(layers.kernel_height),
        kernel_width=column(layers.kernel_width),
        stride=column(layers.stride),
        im2col=image.astype(np.int64),
    )
