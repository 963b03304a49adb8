"""BitFusion against its public simulator: the cost of the tilings that it chose, and our own choice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from codesign_gym.simulators.hardware import device
from codesign_gym.simulators.hardware.bitfusion.cost import BitFusion
from codesign_gym.simulators.hardware.bitfusion.execution import precision_factor
from codesign_gym.simulators.hardware.bitfusion.machine import Convolution
from codesign_gym.simulators.hardware.bitfusion.search import BITWIDTHS, QUANTITIES, layer_table, search
from codesign_gym.simulators.hardware.bitfusion.tiling import evaluate
from codesign_gym.simulators.hardware.verification.check import Bar, Check, NotRun, TableAbsent, against, complete_table

TABLE = "bitfusion/bitfusion.csv"
LAYER = ("batch", "O", "O", "IC", "OC", "K", "K", "stride", "im2col")
BITS = ("wprec", "iprec")
TILE = ("b", "ow", "oh", "ic", "oc")
LOOPS = ("B/b", "OW/ow", "OH/oh", "IC/ic", "OC/oc")  # the simulator's names, in the order of ``tiling.LOOPS``
EXACT = Bar(exact_share=1.0)

#: Columns of the hardware, our field and theirs' unit; the shipped device's number holds where one is absent or empty.
HARDWARE = {
    "freq_hz": ("clock_hz", 1),
    "N": ("inputs", 1),
    "M": ("outputs", 1),
    "wgt_sram_B": ("weight_sram_bytes", 1),
    "act_sram_B": ("activation_sram_bytes", 1),
    "out_sram_B": ("output_sram_bytes", 1),
    "if_width_bits": ("dram_bits_per_cycle", 1),
    "core_nJ_per_cycle": ("core_j_per_cycle", 1e-9),
    "wbuf_rd_nJ_bit": ("weight_read_j_per_bit", 1e-9),
    "wbuf_wr_nJ_bit": ("weight_write_j_per_bit", 1e-9),
    "ibuf_rd_nJ_bit": ("activation_read_j_per_bit", 1e-9),
    "ibuf_wr_nJ_bit": ("activation_write_j_per_bit", 1e-9),
    "obuf_rd_nJ_bit": ("output_read_j_per_bit", 1e-9),
    "obuf_wr_nJ_bit": ("output_write_j_per_bit", 1e-9),
    "dram_nJ_bit": ("dram_j_per_bit", 1e-9),
}

#: Columns of what the simulator's tiling costs, and ours.
TILED = {
    "perf_factor": "precision_factor",
    "cycles": "cycles",
    "mem_stall_cycles": "stall_cycles",
    "dram_rd_bits": "dram_read_bits",
    "dram_wr_bits": "dram_write_bits",
    "wgt_rd_bits": "weight_read_bits",
    "wgt_wr_bits": "weight_write_bits",
    "act_rd_bits": "activation_read_bits",
    "act_wr_bits": "activation_write_bits",
    "out_rd_bits": "output_read_bits",
    "out_wr_bits": "output_write_bits",
    "energy_nJ": "energy_nj",
}

#: Columns of what the simulator's search reached, and ours.
SEARCHED = {"cycles": "cycles", "energy_nJ": "energy_nj"}


def verify(folder: Path) -> list[Check | NotRun]:
    """Every column at the simulator's tiling and order, exactly; and the choice of tiling and order.

    The simulator's own search is met exactly; the model's, which may also run narrow operands as wider ones,
    is never above it.
    """
    table = complete_table(folder, TABLE, (*dict.fromkeys(LAYER), *BITS))
    table = table[table[list(BITS)].isin(BITWIDTHS).all(axis=1)]
    if table.empty:
        raise TableAbsent(f"{folder / TABLE}: no row at {BITWIDTHS[0]} to {BITWIDTHS[-1]} bits")
    found = _tiled_checks(table)
    own, best = chosen(table)
    found += [_exact(table, theirs, " of the search", own[ours]) for theirs, ours in SEARCHED.items()]
    if "cycles" in table:
        reference = table["cycles"].to_numpy()
        note = f"the larger of both; {np.mean(best < reference):.0%} of rows are faster as wider operands"
        above = np.fmax(best, reference)
        found.append(against(table, "cycles", "cycles, never above", TABLE, above, EXACT, note=note))
    return found


def _tiled_checks(table: pd.DataFrame) -> list[Check | NotRun]:
    """What the simulator's tilings cost, in the rows that tell them."""
    needed, quantity = [*TILE, "order"], "cost of a tiling"
    if missing := [column for column in needed if column not in table.columns]:
        return [NotRun(quantity, TABLE, f"no column {', '.join(missing)}")]
    told = table.dropna(subset=needed)
    if told.empty:
        return [NotRun(quantity, TABLE, "no row tells its tiling and order")]
    costs = tiled(told)
    return [_exact(told, theirs, "", costs[ours]) for theirs, ours in TILED.items()]


def _exact(table: pd.DataFrame, column: str, suffix: str, ours: NDArray[np.float64]) -> Check | NotRun:
    return against(table, column, f"{column.replace('_', ' ')}{suffix}", TABLE, ours, EXACT)


def tiled(table: pd.DataFrame) -> dict[str, NDArray[np.float64]]:
    """What the table's tiling and loop order cost, by the names of TILED, each of shape (rows,)."""
    columns = {name: np.empty(len(table)) for name in TILED.values()}
    for array, rows, part in _machines(table):
        work = Convolution(*(part[name].to_numpy() for name in LAYER))
        order = np.array([[LOOPS.index(loop) for loop in row.split(">")] for row in part["order"]])
        weight_bits, activation_bits = (part[name].to_numpy() for name in BITS)
        factor = precision_factor(weight_bits, activation_bits)
        run = evaluate(array, work, part[list(TILE)].to_numpy(), order, weight_bits, activation_bits, factor)
        derived = {"precision_factor": factor, "energy_nj": run.energy_j(array) * 1e9}
        for name, column in columns.items():
            column[rows] = derived[name] if name in derived else getattr(run, name)
    return columns


def chosen(table: pd.DataFrame) -> tuple[dict[str, NDArray[np.float64]], NDArray[np.float64]]:
    """What the simulator's search reaches, by the names of SEARCHED, and the cycles of ours; each of shape (rows,)."""
    own, best = np.empty((len(QUANTITIES), len(table))), np.empty(len(table))
    for array, rows, part in _machines(table):
        searched = cache(search)
        for row, shape, bits in zip(rows, part[list(LAYER)].to_numpy(), part[list(BITS)].to_numpy(), strict=True):
            work = Convolution(*map(int, shape))
            weight, activation = bits - BITWIDTHS[0]
            own[:, row] = searched(array, work)[: len(QUANTITIES), weight, activation]
            best[row] = layer_table(array, work)[QUANTITIES.index("cycles"), weight, activation]
    values = dict(zip(QUANTITIES, own, strict=True))
    return {"cycles": values["cycles"], "energy_nj": values["energy_j"] * 1e9}, best


def _machines(table: pd.DataFrame) -> Iterator[tuple[BitFusion, NDArray[np.int64], pd.DataFrame]]:
    """Every hardware of the table, with the positions of its rows and the rows."""
    shipped = device.load("bitfusion").model
    assert isinstance(shipped, BitFusion)
    present = [name for name in HARDWARE if name in table]
    groups = table.groupby(present, dropna=False).indices.values() if present else [np.arange(len(table))]
    for rows in groups:
        told = {name: value for name in present if pd.notna(value := table[name].iloc[rows[0]])}
        own = {HARDWARE[name][0]: value * HARDWARE[name][1] for name, value in told.items()}
        typed = {name: type(getattr(shipped, name))(value) for name, value in own.items()}
        yield replace(shipped, **typed), rows, table.iloc[rows]
