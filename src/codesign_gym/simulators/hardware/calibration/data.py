"""Measurements of layers by their shape, of layers of a network by name, or of whole networks.

A row has the columns of the layer table (``op`` by name or number), or ``network`` (id or file) with an
optional ``input_shape`` (``3x224x224``, or ``ids=1x128;mask=1x128``) and, for one of its layers, ``layer``;
then ``batch`` and ``bits`` or ``weight_bits`` and ``activation_bits``, all optional; and what was measured,
with its unit in the name.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from codesign_gym.errors import BadConfig, CodesignError, UnknownName
from codesign_gym.simulators.hardware.calibration.sheet import BITS, UNITS, Sheet, bitwidths, read_sheet, values
from codesign_gym.simulators.networks import load, parse_input_shape
from codesign_gym.simulators.networks.layers import COLUMNS, Layers, Network, Op, network

#: What tells a layer apart, besides its batch and the number of its steps.
SHAPE = tuple(name for name in COLUMNS if name not in ("batch", "extra_parameters", "valid", "steps"))
#: Columns that a row of any kind needs, and those that all but LINEAR rows need: nothing is guessed.
CHANNELS = ("op", "in_channels", "out_channels")
SIZES = ("kernel_height", "kernel_width", "in_height", "in_width", "out_height", "out_width")
LARGEST_BATCH = 2**20  # so that no count overflows
#: Every column that is read, besides quantities.
KNOWN = (*(name for name in COLUMNS if name != "valid"), "network", "layer", "input_shape", "operator", "bits", *BITS)


@dataclass(frozen=True, eq=False)
class Measurements:
    """What was measured, a network a row: a layer alone is a network of one layer.

    Attributes:
        sheet: the file.
        layers: columns of shape (rows, widest), with the batch they ran at; padded by rows that are not valid.
        bits: shape (rows, widest, 2).
        groups: shape (rows,), what is kept aside together: the same layer shape, or the same network.
        whole: shape (rows,), whether the row is a whole network.
        measured: quantity (``latency_s``, ``energy_j``) to values of shape (rows,).
    """

    sheet: Sheet
    layers: Layers
    bits: NDArray[np.int64]
    groups: NDArray[np.int64]
    whole: NDArray[np.bool_]
    measured: Mapping[str, NDArray[np.float64]]

    def __len__(self) -> int:
        return len(self.groups)

    def only(self, rows: NDArray[np.bool_]) -> Measurements:
        """Some of the rows."""
        return Measurements(
            self.sheet.only(rows),
            self.layers.map(lambda column: column[rows]).read_only(),
            self.bits[rows],
            self.groups[rows],
            self.whole[rows],
            {name: column[rows] for name, column in self.measured.items()},
        )


def read_measurements(path: Path, batch: int, bits: int) -> Measurements:
    """Measured latencies, and energies where the file has them.

    Args:
        path: a CSV file; see the module's docstring.
        batch: of rows that tell none.
        bits: bitwidth of weights and activations of rows that tell none.

    Raises:
        CodesignError: naming the file and the row or column that is wrong.
    """
    sheet = read_sheet(path)
    measured = {name: column for name in UNITS if (column := values(sheet, name, zero=False)) is not None}
    if "latency_s" not in measured:
        accepted = ", ".join(f"latency_{unit}" for unit in UNITS["latency_s"])
        raise BadConfig(
            f"{path}: no column of latencies; accepted: {accepted}; it has {', '.join(sheet.frame.columns)}"
        )
    images = sheet.whole("batch", batch)
    sheet.refuse(images > LARGEST_BATCH, "batch", f"at most {LARGEST_BATCH}")
    pool, members = layers_of(sheet)
    layers = _padded(pool, members)
    layers = replace(layers, batch=layers.batch * 0 + images[:, None]).read_only()
    wide = np.repeat(bitwidths(sheet, bits)[:, None, :], layers.op.shape[1], axis=1)
    whole = np.array([bool(name) and not layer for name, layer in zip(*_named(sheet), strict=True)])
    return Measurements(sheet, layers, wide, _groups(sheet, layers, whole), whole, measured)


def _padded(pool: Layers, members: list[NDArray[np.intp]]) -> Layers:
    """Rows of a pool for every measurement, columns of shape (rows, widest); ones that are not valid fill up."""
    widths = np.array([len(rows) for rows in members])
    exists = np.arange(widths.max()) < widths[:, None]
    flat = np.concatenate(members)

    def column_of(column: NDArray[np.int64]) -> NDArray[np.int64]:
        out = np.ones(exists.shape, dtype=np.int64)
        out[exists] = column[flat]
        return out

    layers = pool.map(column_of)
    return replace(layers, valid=layers.valid * exists)


def _groups(sheet: Sheet, layers: Layers, whole: NDArray[np.bool_]) -> NDArray[np.int64]:
    """A number for every network, and for every shape of a layer alone, shape (rows,)."""
    first = np.stack([getattr(layers, name)[:, 0] for name in SHAPE], -1)
    names = zip(sheet.texts("network"), whole, first, strict=True)
    labels = [name if is_whole else str(shape) for name, is_whole, shape in names]
    return np.asarray(np.unique(labels, return_inverse=True)[1])


def layers_of(sheet: Sheet) -> tuple[Layers, list[NDArray[np.intp]]]:
    """A pool of layers, columns of shape (pool,), and for every row of the sheet its places in the pool.

    Raises:
        CodesignError: naming the row whose network, layer or shape is wrong.
    """
    _refuse_misspelt(sheet)
    names, layer_names = _named(sheet)
    asked = [(name, shape if name else "") for name, shape in zip(names, sheet.texts("input_shape"), strict=True)]
    described = np.array([not name for name in names])
    tables = {("", ""): _shapes(sheet.only(described))} if described.any() else {}
    for row, key in enumerate(asked):
        if key not in tables:
            tables[key] = _network(*key, sheet.row(row))
    starts = dict(zip(tables, np.cumsum([0, *map(len, tables.values())]), strict=False))
    place = np.cumsum(described) - 1
    members = [
        starts[key] + (_places(tables[key], layer_names[row], sheet.row(row)) if key[0] else place[row : row + 1])
        for row, key in enumerate(asked)
    ]
    columns = [np.concatenate([getattr(table.layers, name) for table in tables.values()]) for name in COLUMNS]
    return Layers(*columns), members


def _named(sheet: Sheet) -> tuple[list[str], list[str]]:
    return sheet.texts("network"), sheet.texts("layer")


def _places(table: Network, layer: str, where: str) -> NDArray[np.intp]:
    """The rows of a network that are measured: the one that is named, or all."""
    if not layer:
        return np.arange(len(table))
    if layer not in table.layer_names:
        raise BadConfig(f"{where}: {UnknownName(f'layer of {table.name}', layer, table.layer_names)}")
    return np.array([table.layer_names.index(layer)])


def _network(name: str, input_shape: str, where: str) -> Network:
    try:
        return load(name, parse_input_shape(input_shape) if input_shape else None)
    except CodesignError as error:
        raise BadConfig(f"{where}: {error}") from error


def _shapes(sheet: Sheet) -> Network:
    """The layers that rows describe by the columns of the layer table, a layer a row.

    Raises:
        BadConfig: for a column or a cell that is missing or is no size, or an unknown operator.
        UnsupportedNetwork: for sizes that no layer has.
    """
    sheet.require(*CHANNELS)
    op = operators(sheet)
    absent = {"batch": 1, "stride": 1, "groups": 1, "extra_parameters": 0, "steps": 1}
    if (op == Op.LINEAR).all():
        absent |= dict.fromkeys(SIZES, 1)
    else:
        sheet.require(*SIZES)
    columns = {"op": op, "valid": np.ones_like(op)}
    columns |= {name: sheet.whole(name, absent.get(name)) for name in COLUMNS if name not in columns}
    rows = [dict(zip(columns, map(int, row), strict=True)) for row in zip(*columns.values(), strict=True)]
    return network(str(sheet.path), rows, [f"row {row}" for row in sheet.frame.index])


def operators(sheet: Sheet) -> NDArray[np.int64]:
    """The column ``op``, by name or number, as numbers of :class:`Op`, shape (rows,)."""
    names = {op.name.lower(): int(op) for op in Op}
    known = names | {str(op): op for op in names.values()}
    cells = [cell.lower() for cell in sheet.texts("op")]
    if unknown := [i for i, cell in enumerate(cells) if cell not in known]:
        raise BadConfig(f"{sheet.row(unknown[0])}: {UnknownName('op', cells[unknown[0]], names)}")
    return np.array([known[cell] for cell in cells], dtype=np.int64)


def _refuse_misspelt(sheet: Sheet) -> None:
    """A column nobody reads may hold anything, but not look like one whose absence would mean a default."""
    for column in sheet.frame.columns:
        near = difflib.get_close_matches(column.lower(), KNOWN, n=1, cutoff=0.85)
        if column not in KNOWN and near:
            raise BadConfig(f"{sheet.path}: unknown column {column!r}; did you mean {near[0]!r}?")
