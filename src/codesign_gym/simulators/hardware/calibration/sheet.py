"""A CSV file of measurements, cell by cell: whole numbers, bitwidths, and quantities with a unit in their name.

A quantity's column tells its unit: ``latency_ms``, ``energy_mJ``. Rows are counted from 1, without the header.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from codesign_gym.errors import BadConfig

#: Quantity, with its unit in a Costs' field, to the units it is read in (in lower case) and their factors.
UNITS = {
    "latency_s": {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9},
    "energy_j": {"j": 1.0, "mj": 1e-3, "uj": 1e-6, "nj": 1e-9, "pj": 1e-12},
}
BITS = ("weight_bits", "activation_bits")
#: Cells that hold nothing; "nan" is none of them, being a number that nobody measured.
EMPTY = ["", "NA", "N/A", "n/a", "#N/A", "<NA>", "None", "NULL", "null"]


@dataclass(frozen=True, eq=False)
class Sheet:
    """A CSV file as text, indexed by the numbers of its rows, with its fingerprint.

    Attributes:
        path: of the file.
        frame: its cells.
        sha256: of its content.
        called: what the file calls columns that go by another name here.
    """

    path: Path
    frame: pd.DataFrame
    sha256: str
    called: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.frame)

    def has(self, column: str) -> bool:
        """Whether there is such a column."""
        return column in self.frame.columns

    def texts(self, column: str) -> list[str]:
        """Cells as text, empty where the cell or the column is."""
        if not self.has(column):
            return [""] * len(self)
        return ["" if pd.isna(cell) else str(cell).strip() for cell in self.frame[column]]

    def whole(self, column: str, absent: int | None = None) -> NDArray[np.int64]:
        """Whole numbers of at least 1 (0 for ``extra_parameters``), shape (rows,).

        Args:
            column: its name.
            absent: what an empty cell or an absent column means; without it they are errors.
        """
        if not self.has(column) and absent is not None:
            return np.full(len(self), absent, dtype=np.int64)
        self.require(column)
        cells = self.frame[column]
        numbers = np.array(pd.to_numeric(cells, errors="coerce"), dtype=np.float64)
        if absent is not None:
            numbers[cells.isna()] = absent
        bad = ~((numbers >= (column != "extra_parameters")) & (numbers == np.floor(numbers)) & (numbers < 2**53))
        self.refuse(bad, column, "a whole number, 1 or more")
        return numbers.astype(np.int64)

    def real(self, column: str, zero: bool) -> NDArray[np.float64]:
        """Positive, finite numbers, shape (rows,); with ``zero``, 0 is accepted too."""
        self.require(column)
        numbers = np.array(pd.to_numeric(self.frame[column], errors="coerce"), dtype=np.float64)
        enough = (numbers > 0) | (zero & (numbers == 0))
        self.refuse(~(np.isfinite(numbers) & enough), column, f"a positive, finite number{' or 0' if zero else ''}")
        return numbers

    def require(self, *columns: str) -> None:
        """Raise where a column is absent."""
        if missing := [column for column in columns if not self.has(column)]:
            raise BadConfig(f"{self.path}: no column {', '.join(missing)}; it has {', '.join(self.frame.columns)}")

    def refuse(self, bad: NDArray[np.bool_], column: str, accepted: str) -> None:
        """Raise where a cell is bad, naming the first."""
        if bad.any():
            more = f" (and {bad.sum() - 1} more rows)" if bad.sum() > 1 else ""
            first = int(np.argmax(bad))
            cell = self.frame[column].iloc[first]
            raise BadConfig(
                f"{self.row(first)}: {self.called.get(column, column)} is {'empty' if pd.isna(cell) else cell}; "
                f"accepted: {accepted}{more}"
            )

    def row(self, position: int) -> str:
        """The file and the number of a row, for a message."""
        return f"{self.path}: row {self.frame.index[position]}"

    def only(self, rows: NDArray[np.bool_]) -> Sheet:
        """Some of the rows, which keep their numbers."""
        return replace(self, frame=self.frame[rows])


def read_sheet(path: Path) -> Sheet:
    """A CSV file with a header and at least one row; one that ends in ``.gz`` is decompressed.

    Raises:
        BadConfig: if it cannot be read, is no table, has no rows, or repeats a column.
    """
    try:
        content = path.read_bytes()
        text = gzip.decompress(content) if path.suffix == ".gz" else content
        frame = pd.read_csv(
            BytesIO(text), header=None, dtype=str, skipinitialspace=True, keep_default_na=False, na_values=EMPTY
        )
    except (OSError, EOFError, zlib.error) as error:
        raise BadConfig(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    except ValueError as error:  # pandas' own errors, and bytes that are no text
        raise BadConfig(f"{path}: not a CSV table: {' '.join(str(error).split())}") from error
    names = [str(name).strip() for name in frame.iloc[0]]
    if twice := {name for name in names if names.count(name) > 1}:
        raise BadConfig(f"{path}: column {', '.join(sorted(twice))} more than once")
    frame = frame.iloc[1:].set_axis(names, axis=1)  # the header was row 0: the others count from 1
    if frame.empty:
        raise BadConfig(f"{path}: no rows")
    return Sheet(path, frame, sha256(content).hexdigest())


def values(sheet: Sheet, quantity: str, zero: bool) -> NDArray[np.float64] | None:
    """What was measured of a quantity, in its unit, shape (rows,); None where the file has no such column.

    Args:
        sheet: the file.
        quantity: a key of :data:`UNITS`.
        zero: whether something may cost nothing.

    Raises:
        BadConfig: for two columns of the quantity, an unknown unit, or a cell that is no such number.
    """
    word, units = quantity.partition("_")[0], UNITS[quantity]
    found = [name for name in sheet.frame.columns if name.lower() in {f"{word}_{unit}" for unit in units}]
    if len(found) > 1:
        raise BadConfig(f"{sheet.path}: columns {' and '.join(found)}; accepted: one of them")
    if not found:
        if sheet.has(word):
            accepted = ", ".join(f"{word}_{unit}" for unit in units)
            raise BadConfig(f"{sheet.path}: column {word!r} tells no unit; accepted: {accepted}")
        return None
    return sheet.real(found[0], zero) * units[found[0].lower().rpartition("_")[2]]


def bitwidths(sheet: Sheet, absent: int) -> NDArray[np.int64]:
    """Weight and activation bitwidths, shape (rows, 2); ``absent`` where nothing is said."""
    both = sheet.whole("bits", absent)
    if sheet.has("bits") and any(sheet.has(name) for name in BITS):
        raise BadConfig(f"{sheet.path}: columns bits and {' or '.join(BITS)}; accepted: either")
    return np.stack([both if not sheet.has(name) else sheet.whole(name, absent) for name in BITS], -1)
