"""From sums over a network's layers, and from the hardware itself, to the metrics of a design."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codesign_gym.simulators.hardware.model import Costs, of_hardware
from codesign_gym.simulators.networks.layers import Layers, network

Columns = dict[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Costing:
    """How a kind of hardware turns into metrics.

    Attributes:
        network: metrics of a network, for a whole batch of images, from the model and sums over its layers by name
            (``latency_s``, ``energy_j`` and all of ``Costs.detail``), each of shape (batch,).
        hardware: metrics of the hardware alone, shape (batch,), from a model whose chosen parameters are (batch, 1).
    """

    network: Callable[[Any, Mapping[str, NDArray[np.float64]]], Columns]
    hardware: Callable[[Any], Columns]


def per_layer(costs: Costs) -> Columns:
    """Everything that adds up over layers, by name, each of shape (..., layers)."""
    energy = {} if costs.energy_j is None else {"energy_j": costs.energy_j}
    return {"latency_s": costs.latency_s, **costs.detail, **energy}


def _sequential(model: Any, sums: Mapping[str, NDArray[np.float64]]) -> Columns:
    """Layers run one after another."""
    known = ("latency_s", "energy_j", "energy_stonne_units")
    return {name: sums[name] for name in known if name in sums}


def _overlapped(model: Any, sums: Mapping[str, NDArray[np.float64]]) -> Columns:
    """All layers overlap, as in AccelBench."""
    found: Columns = model.overlapped(sums)
    return {**found, "energy_j": found["dynamic_energy_j"] + found["leakage_energy_j"]}


def _probed(model: Any) -> Columns:
    """What the model says of its hardware beside the cost of a layer."""
    costs = model.cost(PROBE, np.full((1, 2), 8))
    area = {} if costs.area_mm2 is None else {"area_mm2": costs.area_mm2}
    return {name: np.asarray(column, dtype=np.float64) for name, column in {**area, **costs.resources}.items()}


def _area(model: Any) -> Columns:
    return {"area_mm2": of_hardware(np.asarray(model.area_mm2))}


def _fabric(model: Any) -> Columns:
    """STONNE's fabrics."""
    return {"area_stonne_units": of_hardware(np.asarray(model.area_stonne_units))}


def _nest(model: Any) -> Columns:
    """Multipliers, and bytes of all instances of the memories between them and DRAM."""
    columns, rows = model.l2_columns * model.l2_rows, model.l1_columns * model.l1_rows
    on_chip = model.l2_bytes + columns * (model.l1_bytes + rows * model.l0_bytes)
    found = {"multipliers": model.multipliers, "on_chip_bytes": on_chip}
    return {name: of_hardware(np.asarray(column, dtype=np.float64)) for name, column in found.items()}


#: One product, to ask a model about its hardware with.
PROBE: Layers = network("probe", [{}], ["probe"]).layers

#: Ways from layers to metrics; templates name one.
COSTINGS: Mapping[str, Costing] = {
    "sequential": Costing(_sequential, _probed),
    "overlapped": Costing(_overlapped, _area),
    "fabric": Costing(_sequential, _fabric),
    "nest": Costing(_sequential, _nest),
}
