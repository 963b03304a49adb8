"""Gemmini's cycles against its RTL, for given mappings and for the tiles that its own software picks.

The table (DOSA, MICRO 2023) has a Timeloop mapping string a row: tile factors a memory level, from the
outermost level (L3, memory) to the innermost, ``X`` marking the unrolled ones. A tile is the product of
the factors below L3; L3 lists the loops over tiles, from the outermost.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from codesign_gym.simulators.hardware import device
from codesign_gym.simulators.hardware.gemmini.cost import Gemmini
from codesign_gym.simulators.hardware.gemmini.tiling import OWN_ORDER, Ints, Work, own_tiles
from codesign_gym.simulators.hardware.loopnest.mapping import DRAM, LOOPS, Mapping
from codesign_gym.simulators.hardware.verification.check import Bar, Check, NotRun, check, complete_table
from codesign_gym.simulators.hardware.verification.mappings import COLUMN, mappings_of
from codesign_gym.simulators.hardware.verification.refit import FOLDS, unseen

TABLE = "gemmini/gemmini_rtl_cycles.csv"
#: Timeloop's letters of the loops, in the order of ``tiling.LOOPS``, and their places in a mapping's: in its
#: convolution P and R run along the columns.
LETTERS = "NQPKSRC"
PLACES = [LOOPS.index(letter) for letter in LETTERS]
SHAPE = (*(f"prob.{letter}" for letter in LETTERS), "prob.Wstride")
MAPPED, OWN, OWN_TILES = "target.gemmini_cycle", "target.gemmini_auto_cycle", "dse.auto_tiling"

FITTED = ("issue_cycles", "store_cycles", "l2_miss_cycles", "llc_miss_cycles", "overlap_exponent")
GUESS = np.array([8.0, 4.0, 4.0, 16.0, 4.0])
#: Layer shapes below which five constants are not fitted.
LEAST_SHAPES = 24

#: From the rows that have a column, and the model, to the checks of that column.
Part = Callable[[pd.DataFrame, Gemmini], list[Check | NotRun]]


def verify(folder: Path) -> list[Check | NotRun]:
    """Cycles of given mappings, as shipped and refitted without the layer's shape; tiles and cycles of its own."""
    table = complete_table(folder, TABLE, (*SHAPE, COLUMN), texts=(COLUMN,), measured=(*SHAPE, MAPPED, OWN))
    model = device.load("gemmini-16x16").model
    assert isinstance(model, Gemmini)
    found: list[Check | NotRun] = []
    parts: dict[str, Part] = {MAPPED: partial(_mapped, folder / TABLE), OWN_TILES: _tiles, OWN: _own}
    for column, checks in parts.items():
        rows = table.dropna(subset=[column]) if column in table else table.head(0)
        found += [NotRun(column, TABLE, "no rows with this column")] if rows.empty else checks(rows, model)
    return found


def works(table: pd.DataFrame) -> Work:
    """The rows' layers; one row of pixels under a kernel of one is a matrix product."""
    extent = table[list(SHAPE[:-1])].to_numpy(np.int64)
    stride = table[SHAPE[-1]].to_numpy(np.int64)
    product = (extent[:, 1] == 1) & (extent[:, 4] == 1) & (extent[:, 5] == 1)
    return Work(extent, stride, product)


def tiles(mapping: Mapping) -> tuple[Ints, Ints]:
    """Tile sizes and the order of the loops over tiles, each of shape (rows, 7), in the order of LETTERS.

    A loop without steps has no place of its own in the order: such ones come last.
    """
    factors = (mapping.temporal * mapping.spatial)[:, :DRAM].prod(1)[:, PLACES]
    outer = mapping.temporal[:, DRAM]
    place = np.argsort(mapping.order[:, DRAM], -1) + len(LOOPS) * (outer == 1)
    return factors, np.argsort(place[:, PLACES], -1)


def _mapped(path: Path, table: pd.DataFrame, model: Gemmini) -> list[Check | NotRun]:
    activity = model.activity(works(table), *tiles(mappings_of(table, path)))
    cycles = table[MAPPED].to_numpy(np.float64)
    bar = Bar(mape_percent=20.0, spearman=0.97)
    peer = "Timeloop: MAPE 26.1 %, Spearman .971"
    shipped = check("cycles of a mapping", TABLE, model.cycles(activity), cycles, bar, peer, "as shipped")
    shape = table.groupby(list(SHAPE)).ngroup().to_numpy()
    if shape.max() + 1 < LEAST_SHAPES:
        reason = f"{shape.max() + 1} layer shapes; cross-validation needs {LEAST_SHAPES}"
        return [shipped, NotRun("cycles of a mapping, cross-validated", TABLE, reason)]

    def predict(constants: NDArray[np.float64]) -> NDArray[np.float64]:
        fitted = replace(model, **dict(zip(FITTED, constants.tolist(), strict=True)))
        return np.asarray(fitted.cycles(activity))

    predicted = unseen(GUESS, predict, cycles, shape)
    note = f"five constants fitted to other layer shapes, {FOLDS} folds"
    peer = "Timeloop and five fitted features: 20.5 %"
    return [shipped, check("cycles of a mapping, cross-validated", TABLE, predicted, cycles, bar, peer, note)]


def _tiles(table: pd.DataFrame, model: Gemmini) -> list[Check | NotRun]:
    recorded = np.array([[int(size) for size in text.split("_")] for text in table[OWN_TILES]])
    recorded = recorded[:, ["RSPQCKN".index(letter) for letter in LETTERS]]
    bar = Bar(exact_share=1.0)
    tiles = _own_tiles(works(table), model)
    return [check("its own tiles, iterations", TABLE, tiles.ravel(), recorded.ravel(), bar)]


def _own(table: pd.DataFrame, model: Gemmini) -> list[Check | NotRun]:
    loops = works(table)
    predicted = model.cycles(model.activity(loops, _own_tiles(loops, model), OWN_ORDER))
    bar = Bar(mape_percent=40.0)
    note = "none of it fitted; a first run, whose data come from memory where the model finds them in a cache"
    return [check("cycles of its own tiles", TABLE, predicted, table[OWN], bar, note=note)]


def _own_tiles(loops: Work, model: Gemmini) -> Ints:
    rows = np.ones_like(loops.stride)
    return own_tiles(loops, rows * model.dim, rows * model.scratchpad_bytes, rows * model.accumulator_bytes)
