"""A look-up table as a device: measured layers, matched exactly, or operators by name.

The table is a CSV file that the device file names, with its keys and its values::

    model: lookup
    table: {file: mine.csv, source: measured}

Without ``keys`` a layer is known by its whole shape (the columns of the layer table; or ``network`` and
``layer``, by name) and, where the file has such columns, by its batch and bitwidths. ``keys`` names
fewer of them, or ``operator``, and the file's columns that hold them; ``values`` does so for
``latency`` and ``energy`` and their units, which otherwise are told by the columns' names
(``latency_ms``).

Layers of equal keys that the file tells apart by name (``network``, ``layer``, ``input_shape``), as those
of a real network are, are one entry with their mean; ``Table.spread`` and ``show`` say how far they lie apart at
most. A layer of several time steps (the column ``steps``, or by name) is entered with its share of one.

Limits: nothing is interpolated. A layer that multiplies and is not in the table is an error, as is one
of an operator that the table has; rows of other operators cost nothing, as if they were fused.
A table without a column of batches was measured at the device's batch, and one without columns
of bitwidths holds for all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import NDArray
from pydantic import Field, InstanceOf

from codesign_gym.errors import BadConfig
from codesign_gym.records import Record
from codesign_gym.simulators.hardware.asked import checked
from codesign_gym.simulators.hardware.host import beside, outside_graphs, plain
from codesign_gym.simulators.hardware.model import Costs, real, weight_bytes
from codesign_gym.simulators.networks.layers import Array, Layers, Op

BITS = ("weight_bits", "activation_bits")
NEAREST = 2  # entries that an error names


class ValueColumn(Record):
    """A column of values whose name does not tell its unit."""

    column: str
    unit: str


class TableFile(Record):
    """Where a table lies and how it is read; see the module's docstring.

    Attributes:
        file: a CSV file, relative to the device file.
        source: a key of the device file's ``sources``.
        keys: columns of the layer table, ``operator``, ``weight_bits`` or ``activation_bits``, to the file's columns.
        values: ``latency`` and ``energy``, to the file's columns.
    """

    file: str
    source: str
    keys: dict[str, str] = Field(default_factory=dict)
    values: dict[str, ValueColumn] = Field(default_factory=dict)

    def read(self, folder: Path) -> Table:
        """The table, from a path relative to ``folder``; raises as :func:`~.lookup_file.read_table`."""
        from codesign_gym.simulators.hardware.lookup.file import read_table

        return read_table(folder / Path(self.file).expanduser(), self)


@dataclass(frozen=True)
class Level:
    """One key: its distinct values, and which combinations with the keys before it exist; both sorted."""

    values: NDArray[Any]
    combinations: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Table:
    """Entries by their keys.

    Attributes:
        name: the file, for messages.
        keys: name to values of shape (entries,), integers, or text for ``operator``.
        values: ``latency_s`` and, where known, ``energy_j``, shape (entries,); means over equal keys.
        labels: what else tells entries apart, name to values of shape (entries,).
        spread: the largest range of values under equal keys, relative to their mean; 0 where all keys differ.
        levels: the index, built from ``keys``.
        order: the first entry at every place of the index, shape (distinct keys,).

    Raises:
        BadConfig: where two entries have the same keys and labels.
    """

    name: str
    keys: Mapping[str, NDArray[Any]] = field(repr=False)
    values: Mapping[str, NDArray[np.float64]] = field(repr=False)
    labels: Mapping[str, NDArray[np.str_]] = field(default_factory=dict, repr=False)
    spread: float = field(init=False)
    levels: Mapping[str, Level] = field(init=False, repr=False)
    order: NDArray[np.intp] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        levels, code = {}, np.zeros(len(self), dtype=np.int64)
        for name, column in self.keys.items():
            values, place = np.unique(column, return_inverse=True)
            combinations, code = np.unique(code * len(values) + place, return_inverse=True)
            levels[name] = Level(values, combinations)
        self._refuse_repeated(code)
        means, spreads = zip(*(_merged(column, code) for column in self.values.values()), strict=True)
        object.__setattr__(self, "values", dict(zip(self.values, means, strict=True)))
        object.__setattr__(self, "spread", max(spreads))
        object.__setattr__(self, "levels", levels)
        object.__setattr__(self, "order", np.unique(code, return_index=True)[1])

    def _refuse_repeated(self, code: NDArray[np.int64]) -> None:
        """Raise for entries of equal keys, whose code is equal, that no label tells apart."""
        columns = [code, *(np.unique(label, return_inverse=True)[1] for label in self.labels.values())]
        order = np.lexsort(columns)
        same = np.flatnonzero(np.all([np.diff(column[order]) == 0 for column in columns], axis=0))
        if same.size:
            first, second = order[same[0]] + 1, order[same[0] + 1] + 1
            more = f" (and {same.size - 1} more)" if same.size > 1 else ""
            names = ", ".join((*self.keys, *self.labels))
            raise BadConfig(f"{self.name}: rows {first} and {second} have the same {names}{more}")

    def __len__(self) -> int:
        return len(next(iter(self.values.values())))

    def find(self, keys: Mapping[str, Array]) -> tuple[Array, Array]:
        """The entry that each combination of keys has, and whether there is one.

        Args:
            keys: every key of the table, arrays of any shapes that broadcast against each other.

        Returns:
            Entries and booleans of the shape that the keys broadcast to; entries are any where there is none.
        """
        code, found = 0, True
        for name, level in self.levels.items():
            place, known = _place(level.values, keys[name])
            code, exists = _place(level.combinations, code * len(level.values) + place)
            found = found & known & exists
        return beside(self.order, code)[code], found

    def nearest(self, keys: Mapping[str, Any]) -> str:
        """The entries that differ least from one combination of keys, and in what."""
        distance = sum((_distance(column, keys[name]) for name, column in self.keys.items()), np.zeros(len(self)))
        return "; ".join(
            f"row {entry + 1}, with "
            + ", ".join(f"{n} {_readable(n, c[entry])}" for n, c in self.keys.items() if c[entry] != keys[n])
            for entry in np.argsort(distance, kind="stable")[:NEAREST]
        )

    def absent(self, what: str, keys: Mapping[str, Any]) -> BadConfig:
        """The error for a combination of keys without an entry."""
        asked = ", ".join(f"{name} {_readable(name, value)}" for name, value in keys.items())
        return BadConfig(f"{self.name} has no entry for {what}: {asked}; nearest: {self.nearest(keys)}")


@dataclass(frozen=True)
class Lookup:
    """Costs read from a table, one exact match a row; see the module's docstring.

    Matching is a binary search a key over the whole batch. The array API throughout, so NumPy and torch
    both work; bitwidths that are not whole have no entry.
    """

    table: InstanceOf[Table]

    @checked
    def cost(self, layers: Layers, bits: Array) -> Costs:
        """Costs of shape (..., layers); see :class:`~codesign_gym.simulators.hardware.model.CostModel`.

        Raises:
            BadConfig: for a layer that the table does not have, with the nearest entries, or a table of operators.
        """
        if "operator" in self.table.keys:
            raise BadConfig(f"{self.table.name} is a table of operators by name; accepted here: one of layers")
        xp = array_namespace(bits)
        keys = {name: getattr(layers, name) for name in self.table.keys if name not in BITS}
        keys |= {name: bits[..., i] for i, name in enumerate(BITS) if name in self.table.keys}
        entry, found = self.table.find(keys)
        needed = layers.multiplies
        if "op" in self.table.keys:
            needed = (layers.valid == 1) & (needed | _any(layers.op == op for op in self.table.levels["op"].values))
        self._refuse(needed & ~found, keys)
        zero = 0 * (real(bits[..., 0]) + layers.op)  # of the costs' shape
        columns = {
            name: xp.where(needed, beside(column, zero)[entry], zero) for name, column in self.table.values.items()
        }
        return Costs(size_bytes=weight_bytes(layers, bits) + zero, **columns)

    def summary(self) -> list[str]:
        """Lines on the table, for ``show``."""
        distinct = len(self.table.order)
        measured = f"{self.table.name}: {len(self.table)} entries by {', '.join(self.table.keys)}, {distinct} distinct"
        if distinct == len(self.table):
            return [measured]
        return [
            f"{measured}; repeated ones are their mean, and differ by up to {100 * self.table.spread:.3g} % of it",
        ]

    def operators(self, names: NDArray[np.str_], bits: NDArray[np.int64] | None = None) -> Mapping[str, Array]:
        """Quantity (``latency_s``, ``energy_j``) of operators by name, arrays of the shape of ``names``.

        Args:
            names: of any shape.
            bits: of that shape and 2 more, where the table's operators depend on bitwidths.

        Raises:
            BadConfig: for an operator that the table does not have, with the nearest.
        """
        keys: dict[str, Any] = {"operator": np.asarray(names)}
        if bits is not None:
            keys |= {name: bits[..., i] for i, name in enumerate(BITS) if name in self.table.keys}
        if set(keys) != set(self.table.keys):
            given = "operator" if bits is None else "operator, and bitwidths"
            raise BadConfig(f"{self.table.name} is keyed by {', '.join(self.table.keys)}; it was asked by {given}")
        entry, found = self.table.find(keys)
        self._refuse(~found, keys, "operator")
        return {name: column[entry] for name, column in self.table.values.items()}

    @outside_graphs
    def _refuse(self, missing: Array, keys: Mapping[str, Array], what: str = "layer") -> None:
        """Raise for the first combination of keys that is missing, if one is."""
        if bool(missing.any()):
            place = tuple(int(i) for i in np.argwhere(plain(missing))[0])
            wanted = {n: np.broadcast_to(plain(column), missing.shape)[place] for n, column in keys.items()}
            raise self.table.absent(f"{what} {place[-1] if place else 0}", wanted)


def _merged(column: NDArray[np.float64], code: NDArray[np.int64]) -> tuple[NDArray[np.float64], float]:
    """Means over entries of equal code, shape (entries,), and the largest range relative to its mean."""
    order = np.argsort(code, kind="stable")
    starts = np.flatnonzero(np.diff(code[order], prepend=-1))
    mean = np.bincount(code, column) / np.bincount(code)
    span = np.maximum.reduceat(column[order], starts) - np.minimum.reduceat(column[order], starts)
    return mean[code], float((span / np.where(mean > 0, mean, 1)).max())


def _place(ordered: NDArray[Any], asked: Array) -> tuple[Array, Array]:
    """Places in a sorted array, and whether what was asked for stands there."""
    xp, have = array_namespace(asked), beside(ordered, asked)
    place = xp.clip(xp.searchsorted(have, xp.astype(asked, have.dtype)), max=len(ordered) - 1)
    return place, have[place] == asked


def _any(masks: Any) -> Array:
    return reduce(lambda left, right: left | right, masks)


def _distance(column: NDArray[Any], asked: Any) -> NDArray[np.float64]:
    """How far entries are from a value of one key: a ratio's logarithm, or a mismatch of names, shape (entries,)."""
    if column.dtype.kind == "U":
        from difflib import SequenceMatcher

        return np.array([8 * (1 - SequenceMatcher(None, str(asked), name).ratio()) for name in column])
    return np.asarray(np.abs(np.log1p(column) - np.log1p(float(asked))))


def _readable(name: str, value: Any) -> str:
    return Op(int(value)).name.lower() if name == "op" else str(value)
