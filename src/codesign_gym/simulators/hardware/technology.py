"""Moving areas and energies between technology nodes, openly: nothing in a cost model is scaled behind one's back.

Stillmaker and Baas, "Scaling equations for the accurate prediction of CMOS device performance from 180 nm to 7 nm",
Integration 58, 2017: area by published densities, energy by quadratics in the supply voltage fitted to SPICE. Nodes
between the published ones (40 nm, 28 nm) lie on straight lines between their neighbours, in logarithms of both.

Limits: digital logic only, and SRAM roughly. Off-chip memory and interfaces do not follow the node, and clocks are not
scaled: choose one. The areas have two digits, so a ratio is good to a few percent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeVar, get_type_hints

import numpy as np

from codesign_gym.errors import BadConfig, suggestion
from codesign_gym.simulators.hardware.model import Unit

Model = TypeVar("Model")

#: Area of the same circuit at each node (nm), in units of its area at 7 nm: the last row of the paper's area table.
AREAS: Mapping[int, float] = MappingProxyType(
    {130: 110, 90: 48, 65: 25, 45: 17, 32: 7.8, 20: 3.6, 16: 3.2, 14: 2.9, 10: 1.7, 7: 1}
)

#: Coefficients of V^2, V and 1 of the energy at each node (nm), high-performance devices: the paper's energy table.
ENERGIES: Mapping[int, tuple[float, float, float]] = MappingProxyType(
    {
        130: (7.171, -6.709, 2.904),
        90: (4.762, -4.781, 2.092),
        65: (3.755, -4.398, 1.975),
        45: (1.103, -0.362, 0.2767),
        32: (0.9559, -0.7823, 0.471),
        20: (0.373, -0.1582, 0.04104),
        16: (0.2958, -0.1241, 0.03024),
        14: (0.2363, -0.09675, 0.02239),
        10: (0.2068, -0.09311, 0.02375),
        7: (0.1776, -0.09097, 0.02447),
    }
)

#: Supply voltages that the scaling accepts: those over which every node's quadratic rises.
VOLTAGES = (0.6, 1.2)


@dataclass(frozen=True)
class Process:
    """A technology node of 7 to 130 nm and the supply voltage that a circuit is run at.

    Raises:
        BadConfig: for a node or a voltage that the scaling equations do not cover.
    """

    node_nm: float
    supply_v: float

    def __post_init__(self) -> None:
        for name, value, (least, most) in (
            ("node_nm", self.node_nm, (min(AREAS), max(AREAS))),
            ("supply_v", self.supply_v, VOLTAGES),
        ):
            if not least <= value <= most:
                raise BadConfig(f"process: field {name!r} is {value:g}; accepted: {least:g} to {most:g}")

    @property
    def area(self) -> float:
        """Area of a circuit, in units of its area at 7 nm."""
        return self._between(AREAS)

    @property
    def energy(self) -> float:
        """Switching energy of a circuit, in the paper's unit."""
        volts = (self.supply_v**2, self.supply_v, 1.0)
        return self._between({node: float(np.dot(terms, volts)) for node, terms in ENERGIES.items()})

    def _between(self, values: Mapping[int, float]) -> float:
        nodes = sorted(values)
        known = [values[node] for node in nodes]
        return float(np.exp(np.interp(np.log(self.node_nm), np.log(nodes), np.log(known))))


def area_ratio(source: Process, target: Process) -> float:
    """What an area at ``source`` is to be multiplied by at ``target``."""
    return target.area / source.area


def energy_ratio(source: Process, target: Process) -> float:
    """What an energy at ``source`` is to be multiplied by at ``target``."""
    return target.energy / source.energy


def scaled(model: Model, names: Iterable[str], source: Process, target: Process) -> Model:
    """A cost model with the fields named, and no others, moved from one process to another.

    Args:
        model: a cost model whose fields have units.
        names: its fields of on-chip areas and energies; off-chip ones are to stay as they are.
        source: what the fields' numbers are for.
        target: what they should be for.

    Raises:
        BadConfig: for a field that does not exist, or is neither an area nor an energy.
    """
    hints = get_type_hints(type(model), include_extras=True)
    values = dict(vars(model))
    ratios = {"mm^2": area_ratio(source, target), "J": energy_ratio(source, target)}
    for name in names:
        if name not in values:
            raise BadConfig(f"{type(model).__name__} has no field {name!r}{suggestion(name, values)}")
        unit = next((part.symbol for part in getattr(hints[name], "__metadata__", ()) if isinstance(part, Unit)), "1")
        if (quantity := unit.split("/")[0]) not in ratios:
            raise BadConfig(
                f"field {name!r} is in {unit!r}; accepted: fields in {', '.join(ratios)}, or one per something"
            )
        values[name] = values[name] * ratios[quantity]
    return type(model)(**values)
