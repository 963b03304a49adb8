"""One quantity of one cost model, beside its reference, and what it has to reach."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import spearmanr

from codesign_gym.errors import StorageError

T = TypeVar("T")

#: Rows below which no rank correlation is asked for: where all of Gemmini's 153 rows reach .997, one draw of 10 in
#: eight is below .97, one of 20 in fifty.
LEAST_RANKED = 20


class TableAbsent(StorageError):
    """A reference table, or the rows or columns of it that checks need, that the user does not have.

    Such checks are not run, which is no failure.
    """


@dataclass(frozen=True)
class Bar:
    """What a check has to reach; a field that is None is not asked for.

    Attributes:
        exact_share: least share of rows that agree to ``tolerance``.
        mape_percent: largest mean absolute error, relative to the reference.
        spearman: least rank correlation, of :data:`LEAST_RANKED` rows or more.
        tolerance: relative difference below which a row counts as exact.
    """

    exact_share: float | None = None
    mape_percent: float | None = None
    spearman: float | None = None
    tolerance: float = 1e-9


@dataclass(frozen=True, eq=False)
class Check:
    """Predictions beside their references.

    Attributes:
        quantity: what is compared, with its unit: ``"cycles"``, ``"energy, pJ"``.
        table: the reference file, relative to the folder of references.
        predicted: shape (rows,).
        reference: shape (rows,).
        bar: what has to be reached.
        peer: what the reference's own paper or the usual tool reaches on such rows, readable.
        note: what a reader should know: cross-validation, rows left out and why.
    """

    quantity: str
    table: str
    predicted: NDArray[np.float64]
    reference: NDArray[np.float64]
    bar: Bar
    peer: str = ""
    note: str = ""

    @property
    def rows(self) -> int:
        """Rows compared."""
        return len(self.reference)

    @property
    def exact_share(self) -> float:
        """Share of rows that agree to the bar's tolerance."""
        return float(np.isclose(self.predicted, self.reference, rtol=self.bar.tolerance, atol=0).mean())

    @property
    def mape_percent(self) -> float:
        """Mean absolute error in percent of the reference: infinite where that alone is 0, rows of 0 and 0 left out."""
        off, of = np.abs(self.predicted - self.reference), np.abs(self.reference)
        told = (off > 0) | (of > 0)
        error = np.divide(off, of, out=np.full(of.shape, np.inf), where=of > 0)[told]
        return float(100 * error.mean()) if told.any() else 0.0

    @property
    def spearman(self) -> float:
        """Rank correlation; NaN where it is not defined (one row, or equal values)."""
        if self.rows < 2 or np.ptp(self.predicted) == 0 or np.ptp(self.reference) == 0:
            return float("nan")
        return float(spearmanr(self.predicted, self.reference).statistic)

    @property
    def passed(self) -> bool:
        """Whether everything the bar asks for is reached, of a correlation only where there are rows enough for one."""
        bar = self.bar
        return bool(
            np.isfinite(self.predicted).all()
            and (bar.exact_share is None or self.exact_share >= bar.exact_share)
            and (bar.mape_percent is None or self.mape_percent <= bar.mape_percent)
            and (bar.spearman is None or self.rows < LEAST_RANKED or not self.spearman < bar.spearman)
        )


@dataclass(frozen=True)
class NotRun:
    """A check that could not be made: of what, on which table, and why."""

    quantity: str
    table: str
    reason: str


#: What a verifier is: from the folder of references to its checks. It raises :class:`TableAbsent` if none can be made.
Verifier = Callable[[Path], list[Check | NotRun]]


def check(
    quantity: str,
    table: str,
    predicted: ArrayLike,
    reference: ArrayLike,
    bar: Bar,
    peer: str = "",
    note: str = "",
) -> Check:
    """A check of anything that converts to float64 arrays of shape (rows,)."""
    mine, theirs = np.asarray(predicted, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    if mine.shape != theirs.shape or mine.ndim != 1:
        raise ValueError(f"{table}, {quantity}: predictions {mine.shape} beside references {theirs.shape}")
    return Check(quantity, table, mine, theirs, bar, peer, note)


def against(
    frame: pd.DataFrame,
    column: str,
    quantity: str,
    table: str,
    predicted: NDArray[np.float64],
    bar: Bar,
    rows: NDArray[np.bool_] | bool = True,
    peer: str = "",
    note: str = "",
) -> Check | NotRun:
    """A :class:`Check` against a column of a table, in the rows that have it and, of shape (rows,), in ``rows``."""
    if column not in frame.columns:
        return NotRun(quantity, table, f"no column {column}")
    numeric(frame, column, table, needed=True)
    known = np.asarray(frame[column].notna() & rows)
    if not known.any():
        return NotRun(quantity, table, f"no such row of {column}")
    return check(quantity, table, predicted[known], frame[column].to_numpy()[known], bar, peer, note)


def csv_table(folder: Path, name: str, columns: tuple[str, ...], texts: tuple[str, ...] = ()) -> pd.DataFrame:
    """A reference table with at least the columns named, indexed by the numbers of its rows, from 1.

    Args:
        folder: of all tables.
        name: the file's, below it.
        columns: that are needed.
        texts: those of them that hold no numbers. A column that is not named holds numbers where most of its cells do.

    Raises:
        TableAbsent: if the file does not exist, has no rows or lacks columns (which).
        StorageError: if it is no such table, naming the row that is cut off, or row and column of a cell that is no
            number.
    """
    path = folder / name
    table = _read(path, _whole_rows)
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise TableAbsent(f"{path}: no column {', '.join(missing)}; it has {', '.join(table.columns)}")
    if table.empty:
        raise TableAbsent(f"{path}: no rows")
    for column in table.columns:
        numeric(table, column, str(path), needed=column in columns and column not in texts)
    return table


def numeric(table: pd.DataFrame, column: str, where: str, needed: bool) -> None:
    """Refuse a cell that is neither empty nor a number in a column of numbers.

    Raises:
        StorageError: naming row and column.
    """
    if pd.api.types.is_numeric_dtype(table[column]):
        return
    told = table[column].dropna()
    bad = pd.to_numeric(told.astype(str).replace({"True": "1", "False": "0"}), errors="coerce").isna()
    if bad.any() and (needed or 2 * bad.sum() < len(bad)):
        row = bad.idxmax()
        raise StorageError(f"{where}: row {row}: {column} is {told[row]!r}; accepted: a number, or nothing")


def complete_table(
    folder: Path, name: str, columns: tuple[str, ...], texts: tuple[str, ...] = (), measured: tuple[str, ...] = ()
) -> pd.DataFrame:
    """The rows of a reference table in which no column named is empty.

    Args:
        folder: of all tables.
        name: as of :func:`csv_table`.
        columns: as of :func:`csv_table`.
        texts: as of :func:`csv_table`.
        measured: columns, where the table has them, whose numbers must be above 0.

    Raises:
        TableAbsent: as of :func:`csv_table`.
        StorageError: as of :func:`csv_table`, or naming the first row that was measured to be 0 or less.
    """
    table = csv_table(folder, name, columns, texts).dropna(subset=list(columns))
    if table.empty:
        raise TableAbsent(f"{folder / name}: no row with all of {', '.join(columns)}")
    for column in (column for column in measured if column in table):
        if (bad := table[column] <= 0).any():
            row = bad.idxmax()
            raise StorageError(f"{folder / name}: row {row}: {column} is {table[column][row]:g}; accepted: above 0")
    return table


def _whole_rows(path: Path) -> pd.DataFrame:
    """A CSV table of which no row is cut off: pandas fills those up in silence."""
    content = path.read_bytes()
    text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode("utf-8")
    lines = [line for line in csv.reader(text.splitlines()) if line]
    for number, line in enumerate(lines):
        if len(line) < len(lines[0]):
            raise ValueError(f"row {number} has {len(line)} cells, {len(lines[0]) - len(line)} fewer than the header")
    table = pd.read_csv(StringIO(text))
    return table.set_axis(range(1, len(table) + 1), axis=0)


def _read(path: Path, reader: Callable[[Path], T]) -> T:
    try:
        if path.stat().st_size == 0:
            raise TableAbsent(f"{path} is empty")
        return reader(path)
    except FileNotFoundError:
        raise TableAbsent(f"{path} is absent") from None
    except (OSError, ValueError, EOFError) as error:  # pandas' own errors are ValueErrors
        raise StorageError(f"{path} cannot be read: {' '.join(str(error).split())}") from error


def array_table(folder: Path, name: str) -> NDArray[np.float64]:
    """A ``.npy`` table as float64.

    Raises:
        TableAbsent: if the file does not exist.
        StorageError: if it is no array of numbers.
    """
    return _read(folder / name, lambda path: np.asarray(np.load(path, allow_pickle=False), dtype=np.float64))


def json_table(folder: Path, name: str) -> dict[str, Any]:
    """A ``.json`` table whose outermost value is an object.

    Raises:
        TableAbsent: if the file does not exist.
        StorageError: if it is no such table.
    """
    table = _read(folder / name, lambda path: json.loads(path.read_text(encoding="utf-8")))
    if not isinstance(table, dict):
        raise StorageError(f"{folder / name}: a {type(table).__name__}; expected an object of named values")
    return table
