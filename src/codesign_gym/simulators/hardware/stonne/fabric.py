"""What STONNE's MAERI, SIGMA and MAGMA have in common as cost models: sizes, and costs from what a pass is made of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, NamedTuple

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import NDArray
from pydantic import Field

from codesign_gym.errors import BadConfig
from codesign_gym.simulators.hardware.asked import checked, checked_lowered
from codesign_gym.simulators.hardware.host import beside, outside_graphs, plain
from codesign_gym.simulators.hardware.model import Costs, Unit, of_hardware, real
from codesign_gym.simulators.hardware.rounding import EXACT, Rounding
from codesign_gym.simulators.hardware.sizes import Grid, between_sizes, powers_of_two
from codesign_gym.simulators.hardware.stonne.energy import tree_area, tree_static_per_cycle
from codesign_gym.simulators.hardware.stonne.networks import SIZES, Hardware
from codesign_gym.simulators.hardware.stonne.timing import Stretch, cycles
from codesign_gym.simulators.networks.layers import Array, Layers


class Executed(NamedTuple):
    """What rows take on hardware, NumPy columns of shape (..., layers)."""

    terms: NDArray[np.float64]  # (..., layers, kinds, terms) of one product, as ``timing`` names them
    rounds: NDArray[np.int64]  # passes over the multipliers, of one product
    detail: dict[str, NDArray[np.int64]]  # further counts of one product
    dynamic_stonne_units: NDArray[np.float64] | None = None  # energy beside the static one, where it is known


class Lowered(NamedTuple):
    """Rows of the layer table as executed, arrays of the caller's library."""

    executed: Executed
    count: Array  # (..., layers) products that follow each other; 0 where the row multiplies nothing
    weights: Array  # (..., layers)
    sizes: Hardware  # the nearest that there are


@dataclass(frozen=True)
class Fabric(ABC):
    """Multipliers with their read ports and bus lines; numbers, or arrays that broadcast against leading axes.

    What the compiler does with a layer (it packs rows, or searches tiles) is followed in NumPy, for sizes that hardware
    can have, and is a constant. Cycles are a closed form of it in the array API throughout, so relaxed rounding has
    gradients in multipliers, words a cycle and the clock (see ``timing``); bitwidths change the size of the weights
    alone. Real sizes are for relaxed rounding, which mixes what is done at those around them (``sizes``).
    ``torch.compile`` runs the NumPy part outside its graphs; :meth:`cost_of` is one graph (``rounding`` given).

    Sizes are powers of two, as the reference's own are: with other numbers of bus lines its outputs would collide more
    often on more lines.

    Raises:
        BadConfig: if the multipliers are no power of two, or the ports do not divide them.
    """

    #: The sizes that there are, between which relaxed costs are mixed.
    grids: ClassVar[Mapping[str, Grid]] = dict.fromkeys(SIZES, powers_of_two)

    clock_hz: Annotated[float, Unit("Hz"), Field(gt=0)]
    multipliers: Annotated[int, Unit("multiplier"), Field(ge=2)]
    distribution_words_per_cycle: Annotated[int, Unit("word/cycle"), Field(ge=1)]
    reduction_words_per_cycle: Annotated[int, Unit("word/cycle"), Field(ge=1)]

    def __post_init__(self) -> None:
        sizes = [getattr(self, name) for name in SIZES[:2]]
        if not all(map(whole, sizes)):
            return
        multipliers, ports = map(np.asarray, sizes)
        if (multipliers & (multipliers - 1)).any():
            raise BadConfig(f"field 'multipliers' is {self.multipliers}; accepted: a power of two")
        if (multipliers % ports).any():
            raise BadConfig(
                f"field 'distribution_words_per_cycle' is {self.distribution_words_per_cycle}; "
                f"accepted: a divisor of the {self.multipliers} multipliers"
            )

    @property
    @abstractmethod
    def accumulators(self) -> Array:
        """1 where every adder has an accumulator, else 0."""

    @abstractmethod
    def executed(self, rows: Layers, sizes: Hardware) -> Executed:
        """What rows, of shape (..., layers), take on hardware of these sizes, all NumPy."""

    @abstractmethod
    def products(self, rows: Layers) -> NDArray[np.int64]:
        """How many products, one after the other, each of the rows is, shape (..., layers)."""

    @checked
    def cost(self, layers: Layers, bits: Array, rounding: Rounding = EXACT) -> Costs:
        """Costs of shape (..., layers); see :class:`~codesign_gym.simulators.hardware.model.CostModel`.

        Args:
            layers: columns of shape (..., layers).
            bits: shape (..., layers, 2), weight and activation bitwidths.
            rounding: exact, or relaxed for gradients.

        Raises:
            BadConfig: for sizes that no hardware has, unless rounding is relaxed.
        """

        def at(hardware: Fabric) -> Costs:
            return self.cost_of(hardware.lower(layers, bits), bits, rounding)

        return between_sizes(self, self.grids, rounding, at)

    @outside_graphs
    def lower(self, layers: Layers, like: Array) -> Lowered:
        """The rows as executed, for a network that is costed again and again.

        Args:
            layers: columns of shape (..., layers), of any library.
            like: an array of the library, and on the processor, that costs are asked with.
        """
        rows, sizes = layers.map(plain), self.sizes
        return self.lowered(rows, self.executed(rows, sizes), sizes, like)

    def lowered(self, rows: Layers, found: Executed, sizes: Hardware, like: Array) -> Lowered:
        """Rows as they were executed, all NumPy, beside an array of the caller's."""
        executed = Executed(
            beside(found.terms, like),
            beside(np.asarray(found.rounds, dtype=np.float64), like),
            {name: beside(column, like) for name, column in found.detail.items()},
            None if found.dynamic_stonne_units is None else beside(found.dynamic_stonne_units, like),
        )
        weights = beside(np.asarray(rows.weights, dtype=np.float64), like)
        nearest = Hardware(*(beside(size.astype(np.float64), like) for size in sizes))
        return Lowered(executed, beside(np.asarray(self.products(rows)), like), weights, nearest)

    @checked_lowered("weights")
    def cost_of(self, lowered: Lowered, bits: Array, rounding: Rounding = EXACT) -> Costs:
        """The same of rows lowered beforehand.

        Args:
            lowered: of shape (..., layers), from :meth:`lower`.
            bits: shape (..., layers, 2).
            rounding: as in :meth:`cost`.
        """
        xp, bits = array_namespace(bits), real(bits)
        found, count, near = lowered.executed, lowered.count, lowered.sizes
        more = self.multipliers / near.multipliers
        stretch = Stretch(
            more,
            more * near.read_ports / self.distribution_words_per_cycle,
            more * near.lines / self.reduction_words_per_cycle,
        )
        share = rounding.ceil_div(found.rounds, more) / found.rounds  # of the passes
        run = cycles(found.terms, stretch, rounding) * share * count + 0 * bits[..., 0]
        detail = {name: xp.broadcast_to(column * count, run.shape) for name, column in found.detail.items()}
        detail = {"cycles": run, "mac_slots": run * self.multipliers, **detail}
        if found.dynamic_stonne_units is not None:
            detail["energy_stonne_units"] = found.dynamic_stonne_units * count + run * self.static_stonne_units
        return Costs(
            run / self.clock_hz,
            lowered.weights * bits[..., 0] / 8,
            detail=detail,
            resources={"area_stonne_units": of_hardware(self.area_stonne_units)},
        )

    @property
    def area_stonne_units(self) -> Array:
        """Area in the simulator's unit, which is not stated."""
        ports, lines = self.distribution_words_per_cycle, self.reduction_words_per_cycle
        return sum(tree_area(ports, self._port_width, self.multipliers, lines, self.accumulators).values())

    @property
    def static_stonne_units(self) -> Array:
        """Energy of a cycle in the simulator's unit, which is not stated."""
        ports = self.distribution_words_per_cycle
        return tree_static_per_cycle(ports, self._port_width, self.multipliers, self.accumulators)

    @property
    def sizes(self) -> Hardware:
        """The nearest sizes that hardware can have, NumPy arrays."""
        sizes = (plain(getattr(self, name)) for name in SIZES)
        multipliers, ports, lines = (np.rint(2.0 ** np.rint(np.log2(size))).astype(np.int64) for size in sizes)
        return Hardware(multipliers, np.minimum(ports, multipliers), lines)

    @property
    def _port_width(self) -> Array:
        """Multipliers that a read port serves."""
        multipliers, ports = self.multipliers, self.distribution_words_per_cycle
        return multipliers // ports if whole(multipliers) and whole(ports) else multipliers / ports


def whole(size: Any) -> bool:
    """Whether a size is a whole number, or a NumPy array of them."""
    return isinstance(size, int | np.integer) or (isinstance(size, np.ndarray) and size.dtype.kind in "iu")
