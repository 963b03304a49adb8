"""The loop-nest model at given mappings against Timeloop, on Gemmini-like hardware of many sizes.

The tables are DOSA's (Hong et al., MICRO 2023): a machine, a mapping, a layer, and what Timeloop makes of
them with Accelergy's energies. Nothing is fitted: bandwidths and energies are those that DOSA published.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from codesign_gym.simulators.hardware.loopnest.execution import Execution, Operands, charge
from codesign_gym.simulators.hardware.loopnest.mapping import LOOPS, Mapping, Work
from codesign_gym.simulators.hardware.loopnest.presets import SUM, WORD, gemmini
from codesign_gym.simulators.hardware.loopnest.traffic import traffic
from codesign_gym.simulators.hardware.verification.check import (
    Bar,
    Check,
    NotRun,
    TableAbsent,
    against,
    complete_table,
)

TABLES = ("gemmini/timeloop_sample.csv.gz", "gemmini/gemmini_rtl_cycles.csv")
HARDWARE = ("arch.meshX", "arch.mem1_entries", "arch.mem2_entries")
LAYER = tuple(f"prob.{loop}" for loop in LOOPS if loop != "G")
STRIDES = ("prob.Wstride", "prob.Hstride")
DILATIONS = ("prob.Wdilation", "prob.Hdilation")
#: Timeloop rounds a quotient of floats up, and so often counts a cycle more: 2e-4 of the shortest rows.
TOLERANCE = 2.5e-4

#: What is compared, with the column and what has to be reached.
QUANTITIES = {
    "cycles": ("target.cycle", Bar(exact_share=0.99, mape_percent=0.1, spearman=0.999, tolerance=TOLERANCE)),
    "energy, uJ": ("target.energy", Bar(mape_percent=0.5, spearman=0.999)),
}


def verify(folder: Path) -> list[Check | NotRun]:
    """Cycles and energy of every row without dilation, a check each per table."""
    checks: list[Check | NotRun] = []
    for name in TABLES:
        try:
            rows = complete_table(
                folder, name, ("mapping.mapping", *HARDWARE, *LAYER, *STRIDES), texts=("mapping.mapping",)
            )
        except TableAbsent as absent:
            checks.append(NotRun("cycles", name, str(absent)))
            continue
        plain = rows[[column for column in DILATIONS if column in rows]].eq(1).all(axis=1)
        checks += _checks(name, rows[plain], int((~plain).sum()))
    return checks


def _checks(name: str, rows: pd.DataFrame, left_out: int) -> list[Check | NotRun]:
    if rows.empty:
        return [NotRun("cycles", name, "no rows without dilation, which is not modelled")]
    note = "no fitted constant" + (f"; {left_out} dilated rows left out" if left_out else "")
    found = run(rows)
    predicted = {"cycles": found.cycles, "energy, uJ": 1e6 * found.energy_j}
    return [
        against(rows, column, quantity, name, predicted[quantity], bar, note=note)
        for quantity, (column, bar) in QUANTITIES.items()
    ]


def run(rows: pd.DataFrame) -> Execution:
    """The model at the mappings of a table, arrays of shape (rows,)."""
    sizes = [rows[f"prob.{loop}"] if loop != "G" else np.ones(len(rows)) for loop in LOOPS]
    side, column_words, words = (rows[column].to_numpy() for column in HARDWARE)
    machine = gemmini(side, words * (WORD / 8), column_words * (SUM / 8))
    strides = (rows[column].to_numpy(dtype=np.int64) for column in STRIDES)
    work = Work(np.stack(sizes, -1).astype(np.int64), *strides)
    moved = traffic(machine, work, Mapping.from_text(list(rows["mapping.mapping"])))
    return charge(machine, work, moved, Operands(np.float64(WORD), np.float64(WORD)))
