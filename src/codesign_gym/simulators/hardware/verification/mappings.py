"""The mappings of a reference table, in Timeloop's short form."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from codesign_gym.errors import BadConfig, StorageError
from codesign_gym.simulators.hardware.loopnest.mapping import LOOPS, G, Mapping

COLUMN = "mapping.mapping"


def extents_of(rows: pd.DataFrame) -> NDArray[np.int64]:
    """Iterations of each of LOOPS, shape (rows, loops): the table's columns ``prob.N``, ``prob.K``, ..."""
    sizes = [rows[f"prob.{loop}"] if loop != "G" else np.ones(len(rows)) for loop in LOOPS]
    return np.stack(sizes, -1).astype(np.int64)


def mappings_of(rows: pd.DataFrame, table: Path) -> Mapping:
    """The mapping of every row, shape (rows, levels, loops).

    Raises:
        StorageError: naming the first row whose mapping cannot be read, has groups, or does not cover its layer.
    """
    read = [_one(text, f"{table}: row {row}") for row, text in rows[COLUMN].items()]
    found = Mapping(*(np.concatenate(parts) for parts in zip(*read, strict=True)))
    given, asked = np.asarray(found.extents), extents_of(rows)
    wrong = (given < asked) | ((given > asked) & (np.arange(len(LOOPS)) == G))  # which such layers do not have
    if wrong.any():
        row, loop = np.argwhere(wrong)[0]
        steps = f"{given[row, loop]} iterations of loop {LOOPS[loop]}; the layer has {asked[row, loop]}"
        raise StorageError(f"{table}: row {rows.index[row]}: the mapping does {steps}")
    return found


def _one(text: str, where: str) -> tuple[NDArray[np.int64], ...]:
    try:
        found = Mapping.from_text([text])
    except BadConfig as error:
        raise StorageError(f"{where}: {error}") from None
    return found.temporal, found.spatial, found.order
