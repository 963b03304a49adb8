"""Look-up tables from CSV files: which columns are keys, which are values, and every cell checked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from codesign_gym.errors import BadConfig, UnknownName
from codesign_gym.simulators.hardware.calibration.data import SHAPE, layers_of, operators
from codesign_gym.simulators.hardware.calibration.sheet import BITS, UNITS, Sheet, bitwidths, read_sheet, values
from codesign_gym.simulators.hardware.lookup.cost import Table, TableFile, ValueColumn

#: What an entry may be known by.
KEYS = (*SHAPE, "batch", "operator", *BITS)
#: What tells rows of equal keys apart: layers of a network are measured one by one, and some have equal shapes.
LABELS = ("network", "layer", "input_shape")
#: Quantity of a device file to a Costs' field.
QUANTITIES = {name.partition("_")[0]: name for name in UNITS}


def read_table(path: Path, content: TableFile) -> Table:
    """The table of a CSV file.

    Raises:
        CodesignError: naming the file and the column or row that is wrong: absent columns, unknown keys, units,
            layers or operators, cells that are no positive number, and rows of equal keys that no name tells apart.
    """
    whole = read_sheet(path)
    sheet = _renamed(whole, content)
    found = {name: column for name in UNITS if (column := values(sheet, name, zero=True)) is not None}
    if "latency_s" not in found:
        accepted = ", ".join(f"latency_{unit}" for unit in UNITS["latency_s"])
        raise BadConfig(f"{path}: no column of latencies; accepted: {accepted}, or one named in 'table.values'")
    labels = {name: np.array(whole.texts(name)) for name in LABELS if whole.has(name)}
    keys, steps = _keys(sheet, tuple(content.keys))
    return Table(str(path), keys, {name: column / steps for name, column in found.items()}, labels)


def _renamed(sheet: Sheet, content: TableFile) -> Sheet:
    """The sheet with its columns under the names that the device file gives them."""
    for name in content.keys:
        if name not in KEYS:
            raise BadConfig(f"{sheet.path}: table.keys: {UnknownName('key', name, KEYS)}")
    for name in content.values:
        if name not in QUANTITIES:
            raise BadConfig(f"{sheet.path}: table.values: {UnknownName('quantity', name, QUANTITIES)}")
    measured = {_column(name, value): value.column for name, value in content.values.items()}
    sheet.require(*content.keys.values(), *measured.values())
    told = tuple(f"{name}_" for name in content.values)
    kept = [] if content.keys else [c for c in sheet.frame.columns if not c.startswith(told)]
    if not content.values:
        kept += [c for c in sheet.frame.columns if c.partition("_")[0] in QUANTITIES and c not in kept]
    chosen = {c: c for c in kept} | content.keys | measured
    return replace(
        sheet, frame=pd.DataFrame({name: sheet.frame[column] for name, column in chosen.items()}), called=chosen
    )


def _column(name: str, value: ValueColumn) -> str:
    """A quantity's column as it would tell its own unit."""
    units = UNITS[QUANTITIES[name]]
    if value.unit.lower() not in units:
        raise BadConfig(f"field 'table.values.{name}.unit' is {value.unit!r}; accepted: {', '.join(units)}")
    return f"{name}_{value.unit.lower()}"


def _keys(sheet: Sheet, named: tuple[str, ...]) -> tuple[dict[str, NDArray[Any]], NDArray[np.int64] | int]:
    """Keys of shape (rows,), those named, else the operator or the layer's shape, with what varies; and its steps."""
    if named:
        return {name: _key(sheet, name) for name in named}, 1
    varying = {name: _key(sheet, name) for name in ("batch", *BITS) if sheet.has(name)}
    if sheet.has("bits"):
        varying |= dict(zip(BITS, bitwidths(sheet, 1).T, strict=True))
    if sheet.has("operator"):
        return {"operator": _key(sheet, "operator"), **varying}, 1
    pool, members = layers_of(sheet)
    if networks := [row for row, places in enumerate(members) if len(places) != 1]:
        raise BadConfig(f"{sheet.row(networks[0])}: a whole network; accepted: a layer, named in the column 'layer'")
    places = np.concatenate(members)
    return {**{name: getattr(pool, name)[places] for name in SHAPE}, **varying}, pool.steps[places]


def _key(sheet: Sheet, name: str) -> NDArray[Any]:
    if name == "op":
        return operators(sheet)
    if name != "operator":
        return sheet.whole(name)
    names = np.array(sheet.texts(name))
    sheet.refuse(names == "", name, "a name")
    return names
