"""Energy and area of STONNE's fabrics, event by event, in the unit of its table.

The constants are those of ``energy_tables/energy_model.txt`` in github.com/stonne-simulator/stonne (commit
22634b8b), from synthesis and layout of MAERI's modules. The file states no unit, and none is assumed here:
results are in "STONNE units" of energy and of area, good for comparing designs of these fabrics only.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import log2

from array_api_compat import array_namespace

from codesign_gym.simulators.hardware.model import real
from codesign_gym.simulators.networks.layers import NUMBERS, Array

#: A link of the multipliers, the adder tree and the bus.
_LINK = 0.001839831

#: Energy of an event, by STONNE's component.
EVENTS: dict[str, dict[str, float]] = {
    "DSNetwork": {"distribution_links": 0.00223226, "switch_routes": 0.036},
    "MSNetwork": {"multiplications": 0.00741, "multiplier_links": _LINK},
    "ReduceNetwork": {"additions": 0.111, "adder_links": _LINK},
    "GlobalBuffer": {"buffer_accesses": 0.044},
    "CollectionBus": {"bus_links": _LINK},
}

#: Energy of a cycle, per unit.
STATIC: dict[str, float] = {
    "DSNetwork": 0.000157,  # a switch
    "MSNetwork": 0.001614,  # a multiplier
    "ReduceNetwork": 0.001505,  # an adder or accumulator
    "GlobalBuffer": 0.0101,
}

SWITCH_AREA, MULTIPLIER_AREA, ADDER_AREA, BUFFER_AREA = 108.99, 1001.0, 1059.156, 115029.0
DISTRIBUTION_LINK_AREA, LINK_AREA = 11.48, 9.46


def dynamic(events: Mapping[str, Array]) -> dict[str, Array]:
    """Energy per component, from counts of the events of :data:`EVENTS`."""
    return {
        component: sum(real(events[event]) * energy for event, energy in table.items())
        for component, table in EVENTS.items()
    }


def static_per_cycle(switches: Array, multipliers: Array, adders: Array) -> dict[str, Array]:
    """Energy of a cycle per component."""
    units = {"DSNetwork": switches, "MSNetwork": multipliers, "ReduceNetwork": adders, "GlobalBuffer": 1}
    return {component: units[component] * energy for component, energy in STATIC.items()}


def tree_static_per_cycle(ports: Array, width: Array, multipliers: Array, accumulators: Array) -> Array:
    """Energy of a cycle of a fabric with an adder tree; ``accumulators`` is 1 where each adder has one."""
    adders = (multipliers - 1) * (1 + accumulators)
    return sum(static_per_cycle(tree_switches(ports, width), multipliers, adders).values())


def tree_switches(ports: Array, width: Array) -> Array:
    """Switches of the distribution trees: a binary one of ``width`` leaves for every port."""
    return ports * (width - 1)


def tree_area(ports: Array, width: Array, multipliers: Array, lines: Array, accumulators: Array) -> dict[str, Array]:
    """Area per component of a fabric with an adder tree; ``accumulators`` is 1 where each adder has one."""
    adders, depth = multipliers - 1, _log2(multipliers)
    links = 2 * adders + multipliers // 2 - depth  # to the children, and between neighbours
    return {
        "DSNetwork": _distribution_area(ports, width),
        "MSNetwork": multipliers * MULTIPLIER_AREA + adders * LINK_AREA,
        "ReduceNetwork": adders * (1 + accumulators) * ADDER_AREA + (links + accumulators * adders) * LINK_AREA,
        "GlobalBuffer": BUFFER_AREA,
        "CollectionBus": lines * (multipliers // lines + 2) * LINK_AREA,
    }


def mesh_area(rows: Array, columns: Array, ports: Array, width: Array) -> dict[str, Array]:
    """Area per component of a mesh with an accumulator for every multiplier."""
    multipliers = rows * columns
    return {
        "DSNetwork": _distribution_area(ports, width),
        "MSNetwork": multipliers * MULTIPLIER_AREA + (2 * multipliers - rows - columns) * LINK_AREA,
        "ReduceNetwork": multipliers * (ADDER_AREA + LINK_AREA),
        "GlobalBuffer": BUFFER_AREA,
    }


def _distribution_area(ports: Array, width: Array) -> Array:
    return tree_switches(ports, width) * SWITCH_AREA + ports * (2 * width - 1) * DISTRIBUTION_LINK_AREA


def _log2(size: Array) -> Array:
    return log2(size) if isinstance(size, NUMBERS) else array_namespace(size).log2(size)
