"""Measured costs of operators, from a file that the user supplies: one row an operator, known by its name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from codesign_gym.errors import BadConfig
from codesign_gym.simulators.hardware.calibration.sheet import read_sheet
from codesign_gym.simulators.hardware.lookup.cost import Lookup, TableFile, ValueColumn
from codesign_gym.simulators.hardware.lookup.file import read_table
from codesign_gym.simulators.operators.space import OperatorSpace

Table = NDArray[np.float64]

#: Columns that may hold the operators' names.
NAMES = ("operator", "op")
#: Units of a device's columns whose names tell none, as in HW-NAS-Bench's tables.
UNITS = {"latency": "ms", "energy": "mJ"}


def is_of_operators(path: Path) -> bool:
    """Whether a file has a row an operator."""
    return any(read_sheet(path).has(name) for name in NAMES)


def read_operators(path: Path, space: OperatorSpace, device: str | None = None) -> Mapping[str, Table]:
    """Costs of every operator of every layer.

    The file has a column ``operator`` (or ``op``) of the names that :attr:`Layer.entries` gives, and either columns
    such as ``latency_ms`` and ``energy_mJ``, or ``<device>_latency`` in milliseconds and ``<device>_energy`` in
    millijoules for several devices, as HW-NAS-Bench's (Li et al., ICLR 2021).

    Args:
        path: a CSV file, which may be compressed (``.gz``).
        space: whose operators.
        device: which of several.

    Returns:
        ``latency_s`` and, where the file has it, ``energy_j``, each of shape (layers, operators), 0 where a layer has
        no such operator. What is not searched is charged to the first layer, if the space says what it is called.

    Raises:
        BadConfig: naming the file and the operator that is missing, rows of equal names, or cells that are no number.
    """
    table = Lookup(read_table(path, _layout(path, device)))
    names = np.array(
        [[*layer.entries, *[layer.entries[0]] * (space.choices - len(layer.entries))] for layer in space.layers]
    )
    costs = table.operators(names)
    fixed = (
        table.operators(np.array(space.fixed_entries)) if space.fixed_entries else {name: np.zeros(1) for name in costs}
    )
    found = {}
    for name, column in costs.items():
        found[name] = np.where(space.allowed, column, 0.0)
        found[name][0, space.allowed[0]] += fixed[name].sum()
    return found


def _layout(path: Path, device: str | None) -> TableFile:
    """Which columns of a file hold what."""
    columns = list(read_sheet(path).frame.columns)
    key = next((name for name in NAMES if name in columns), None)
    if key is None:
        raise BadConfig(
            f"{path}: no column of operators' names; accepted: {' or '.join(NAMES)}; it has {', '.join(columns)}"
        )
    values = {
        q: ValueColumn(column=f"{device}_{q}", unit=unit) for q, unit in UNITS.items() if f"{device}_{q}" in columns
    }
    if device is not None and "latency" not in values:
        measured = [column.removesuffix("_latency") for column in columns if column.endswith("_latency")]
        raise BadConfig(f"{path}: no column {device}_latency; accepted devices: {', '.join(measured) or 'none'}")
    return TableFile(file=path.name, source="", keys={"operator": key}, values=values)
