"""Measured costs of operators, from a file that the user supplies: one row an operator, known by its name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from codesign_gym.errors import BadConfig, UnknownName
from codesign_gym.simulators.hardware.calibration.sheet import UNITS as TOLD_UNITS
from codesign_gym.simulators.hardware.calibration.sheet import Sheet, read_sheet
from codesign_gym.simulators.hardware.calibration.sheet import values as told
from codesign_gym.simulators.hardware.lookup.cost import Lookup, TableFile, ValueColumn
from codesign_gym.simulators.hardware.lookup.file import read_table
from codesign_gym.simulators.operators.space import OperatorSpace

Table = NDArray[np.float64]

#: Columns that may hold the operators' names.
NAMES = ("operator", "op")
#: Rows and operators that a message names at most.
NAMED = 5
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
        BadConfig: naming the file and the operators that are missing or given twice, the rows without a name, or the
            cells that are no numbers.
    """
    sheet = read_sheet(path)
    key = _names_column(sheet)
    known = np.array(sheet.texts(key))
    if (nameless := np.flatnonzero(known == "")).size:
        rows = listed([f"row {sheet.frame.index[row]}" for row in nameless])
        raise BadConfig(f"{path}: {rows}: {key} is empty; accepted: a name such as {space.layers[0].entries[0]!r}")
    _, number = np.unique(known, return_inverse=True)
    refuse_repeated(sheet, number, "operator", known)
    for column in _cost_columns(sheet, device):
        figures(sheet, column, True, known)
    layout = _layout(sheet, key, device)
    names = np.array(
        [[*layer.entries, *[layer.entries[0]] * (space.choices - len(layer.entries))] for layer in space.layers]
    )
    wanted = np.unique([*names.ravel(), *space.fixed_entries])
    if (missing := wanted[~np.isin(wanted, known)]).size:
        several = "s" if missing.size > 1 else ""
        raise BadConfig(f"{path}: no row for operator{several} {listed([repr(str(name)) for name in missing])}")
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


def listed(faults: Sequence[str]) -> str:
    """Faults for a message: the first few of them, and how many more there are."""
    more = f" (and {len(faults) - NAMED} more)" if len(faults) > NAMED else ""
    return f"{', '.join(faults[:NAMED])}{more}"


def figures(sheet: Sheet, column: str, zero: bool, names: Sequence[str] | NDArray[np.str_]) -> NDArray[np.float64]:
    """Positive, finite numbers, shape (rows,); with ``zero``, 0 is accepted too.

    Args:
        sheet: the file.
        column: which.
        zero: whether something may cost nothing.
        names: of the rows, for the message.

    Raises:
        BadConfig: naming the rows whose cells are none.
    """
    sheet.require(column)
    cells = sheet.frame[column]
    numbers = np.array(pd.to_numeric(cells, errors="coerce"), dtype=np.float64)
    bad = np.flatnonzero(~(np.isfinite(numbers) & ((numbers > 0) | (zero & (numbers == 0)))))
    if bad.size:
        faults = [
            f"row {cells.index[row]} ({str(names[row])!r}): {column} is "
            f"{'empty' if pd.isna(cells.iloc[row]) else cells.iloc[row]}"
            for row in bad.tolist()
        ]
        accepted = f"a positive, finite number{' or 0' if zero else ''}"
        raise BadConfig(f"{sheet.path}: {listed(faults)}; accepted: {accepted}")
    return numbers


def refuse_repeated(
    sheet: Sheet, keys: NDArray[np.int64], what: str, names: Sequence[str] | NDArray[np.str_] | None = None
) -> None:
    """Raise where two rows have the same key.

    Args:
        sheet: the file.
        keys: what is to differ, shape (rows,).
        what: they are, for the message.
        names: of the keys, for the message, shape (rows,).
    """
    order, rows = np.argsort(keys, kind="stable"), sheet.frame.index
    same = np.flatnonzero(np.diff(keys[order]) == 0)
    if same.size:
        pairs = sorted((int(order[place]), int(order[place + 1])) for place in same)
        called = [
            f"row {rows[one]} and row {rows[other]}" + ("" if names is None else f" ({str(names[one])!r})")
            for one, other in pairs
        ]
        raise BadConfig(f"{sheet.path}: the same {what} twice: {listed(called)}; accepted: each once")


def _names_column(sheet: Sheet) -> str:
    """The column of the operators' names."""
    key = next((name for name in NAMES if sheet.has(name)), None)
    if key is None:
        has = ", ".join(sheet.frame.columns)
        raise BadConfig(f"{sheet.path}: no column of operators' names; accepted: {' or '.join(NAMES)}; it has {has}")
    return key


def _cost_columns(sheet: Sheet, device: str | None) -> list[str]:
    """The columns that are read as costs."""
    if device is not None:
        return [column for quantity in UNITS if sheet.has(column := f"{device}_{quantity}")]
    units = {f"{name.partition('_')[0]}_{unit}" for name, known in TOLD_UNITS.items() for unit in known}
    return [column for column in sheet.frame.columns if column.lower() in units]


def _layout(sheet: Sheet, key: str, device: str | None) -> TableFile:
    """Which columns of a file hold what."""
    path, columns = sheet.path, list(sheet.frame.columns)
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
