"""Measured costs of operators, from a file that the user supplies: one row an operator, known by its name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from codesign_gym.errors import BadConfig, UnknownName
from codesign_gym.simulators.hardware.calibration.sheet import Sheet, read_sheet
from codesign_gym.simulators.hardware.calibration.sheet import values as told
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
        BadConfig: naming the file and the operator that is missing or given twice, or the cell that is no number.
    """
    sheet = read_sheet(path)
    layout = _layout(sheet, device)
    known = np.array(sheet.texts(layout.keys["operator"]))
    _, number = np.unique(known, return_inverse=True)
    refuse_repeated(sheet, number, "operator", known)
    names = np.array(
        [[*layer.entries, *[layer.entries[0]] * (space.choices - len(layer.entries))] for layer in space.layers]
    )
    wanted = np.unique([*names.ravel(), *space.fixed_entries])
    if (missing := wanted[~np.isin(wanted, known)]).size:
        more = f" (and {missing.size - 1} more)" if missing.size > 1 else ""
        raise BadConfig(f"{path}: no row for operator {str(missing[0])!r}{more}")
    table = Lookup(read_table(path, layout))
    costs = table.operators(names)
    fixed = (
        table.operators(np.array(space.fixed_entries)) if space.fixed_entries else {name: np.zeros(1) for name in costs}
    )
    found = {}
    for name, column in costs.items():
        found[name] = np.where(space.allowed, column, 0.0)
        found[name][0, space.allowed[0]] += fixed[name].sum()
    return found


def refuse_repeated(sheet: Sheet, keys: NDArray[np.int64], what: str, names: NDArray[np.str_] | None = None) -> None:
    """Raise where two rows have the same key.

    Args:
        sheet: the file.
        keys: what is to differ, shape (rows,).
        what: they are, for the message.
        names: of the keys, for the message, shape (rows,).
    """
    order = np.argsort(keys, kind="stable")
    same = np.flatnonzero(np.diff(keys[order]) == 0)
    if same.size:
        first, second = order[same[0]], order[same[0] + 1]
        name = "" if names is None else f" {str(names[first])!r}"
        more = f" (and {same.size - 1} more)" if same.size > 1 else ""
        raise BadConfig(f"{sheet.row(first)} and row {sheet.frame.index[second]} have the same {what}{name}{more}")


def _layout(sheet: Sheet, device: str | None) -> TableFile:
    """Which columns of a file hold what."""
    path, columns = sheet.path, list(sheet.frame.columns)
    key = next((name for name in NAMES if name in columns), None)
    if key is None:
        raise BadConfig(
            f"{path}: no column of operators' names; accepted: {' or '.join(NAMES)}; it has {', '.join(columns)}"
        )
    values = {
        q: ValueColumn(column=f"{device}_{q}", unit=unit) for q, unit in UNITS.items() if f"{device}_{q}" in columns
    }
    measured = [column.removesuffix("_latency") for column in columns if column.endswith("_latency")]
    if device is not None and "latency" not in values:
        raise BadConfig(f"{path}: {UnknownName('cost_column', device, measured)}")
    if device is None and told(sheet, "latency_s", zero=True) is None:
        accepted = (
            f"cost_column {' or '.join(measured)}" if measured else "a column latency_ms or <cost_column>_latency"
        )
        raise BadConfig(f"{path}: no latency told; accepted: {accepted}; the file has {', '.join(columns)}")
    return TableFile(file=path.name, source="", keys={"operator": key}, values=values)
