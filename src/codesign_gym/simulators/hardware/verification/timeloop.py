"""The loop-nest model at given mappings against Timeloop, on Gemmini-like hardware of many sizes.

The tables are DOSA's (Hong et al., MICRO 2023): a machine, a mapping, a layer, and what Timeloop makes of
them with Accelergy's energies. Nothing is fitted: bandwidths and energies are those that DOSA published.

Timeloop (buffer.cpp, ComputePerformance) divides words by cycles, the bandwidth by that, and cycles by that, before it
rounds up: in floats, and so it often counts a cycle that is not there. The model divides once; to compare every digit,
its traffic is rounded here as Timeloop does it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from codesign_gym.simulators.hardware.loopnest.execution import Operands, charge, word_bits
from codesign_gym.simulators.hardware.loopnest.machine import Machine
from codesign_gym.simulators.hardware.loopnest.mapping import LEVELS, LOOPS, TENSORS, Work
from codesign_gym.simulators.hardware.loopnest.presets import SUM, WORD, gemmini
from codesign_gym.simulators.hardware.loopnest.traffic import Traffic, traffic
from codesign_gym.simulators.hardware.verification.check import (
    Bar,
    Check,
    NotRun,
    TableAbsent,
    against,
    complete_table,
)
from codesign_gym.simulators.hardware.verification.mappings import COLUMN, extents_of, mappings_of

TABLES = ("gemmini/timeloop_sample.csv.gz", "gemmini/gemmini_rtl_cycles.csv")
HARDWARE = ("arch.meshX", "arch.mem1_entries", "arch.mem2_entries")
LAYER = tuple(f"prob.{loop}" for loop in LOOPS if loop != "G")
STRIDES = ("prob.Wstride", "prob.Hstride")
DILATIONS = ("prob.Wdilation", "prob.Hdilation")
OPERANDS = Operands(np.float64(WORD), np.float64(WORD))

#: What is compared, with the column and what has to be reached.
QUANTITIES = {
    "cycles": ("target.cycle", Bar(exact_share=0.99, mape_percent=0.1, spearman=0.999)),
    "energy, uJ": ("target.energy", Bar(mape_percent=0.5, spearman=0.999)),
}


def verify(folder: Path) -> list[Check | NotRun]:
    """Cycles and energy of every row without dilation, a check each per table."""
    checks: list[Check | NotRun] = []
    for name in TABLES:
        try:
            rows = complete_table(folder, name, (COLUMN, *HARDWARE, *LAYER, *STRIDES), texts=(COLUMN,))
        except TableAbsent as absent:
            checks.append(NotRun("cycles", name, str(absent)))
            continue
        plain = rows[[column for column in DILATIONS if column in rows]].eq(1).all(axis=1)
        checks += _checks(folder, name, rows[plain], int((~plain).sum()))
    return checks


def _checks(folder: Path, name: str, rows: pd.DataFrame, left_out: int) -> list[Check | NotRun]:
    if rows.empty:
        return [NotRun("cycles", name, "no rows without dilation, which is not modelled")]
    machine, work, moved = run(rows, folder / name)
    found, cycles = charge(machine, work, moved, OPERANDS), rounded(machine, moved)
    predicted = {"cycles": cycles, "energy, uJ": 1e6 * found.energy_j}
    less = 100 * np.mean(found.cycles != cycles)
    said = ["no fitted constant", *([f"{left_out} dilated rows left out"] if left_out else [])]
    notes = {
        "cycles": [*said, f"rounded in floats as Timeloop does; the model counts a cycle less in {less:.1f} %"],
        "energy, uJ": said,
    }
    return [
        against(rows, column, quantity, name, predicted[quantity], bar, note="; ".join(notes[quantity]))
        for quantity, (column, bar) in QUANTITIES.items()
    ]


def run(rows: pd.DataFrame, table: Path) -> tuple[Machine, Work, Traffic]:
    """Machines and layers of a table and what its mappings move, arrays of shape (rows,)."""
    side, column_words, words = (rows[column].to_numpy() for column in HARDWARE)
    machine = gemmini(side, words * (WORD / 8), column_words * (SUM / 8))
    work = Work(extents_of(rows), *(rows[column].to_numpy(dtype=np.int64) for column in STRIDES))
    return machine, work, traffic(machine, work, mappings_of(rows, table))


def rounded(machine: Machine, moved: Traffic) -> NDArray[np.float64]:
    """Cycles as Timeloop rounds them, shape (rows,)."""
    compute = np.asarray(moved.compute_cycles, dtype=np.float64)
    cycles = compute
    for level in range(len(LEVELS)):
        kept = [tensor for tensor in range(len(TENSORS)) if (level, tensor) in moved.flows]
        if not kept:
            continue
        flows = [moved.flows[level, tensor] for tensor in kept]
        words = sum(flow.reads / compute for flow in flows) + sum(flow.writes / compute for flow in flows)
        bandwidth = machine.of(level, "bits_per_cycle") / word_bits(machine, level, kept[0], OPERANDS)
        cycles = np.maximum(cycles, np.ceil(compute / np.minimum(bandwidth / words, 1.0)))
    return cycles
