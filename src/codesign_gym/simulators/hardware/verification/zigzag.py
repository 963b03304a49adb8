"""The loop-nest model with its own mapping search beside ZigZag's, on two of ZigZag's machines: a sanity band.

ZigZag (Mei et al., IEEE TC 2021) looks for mappings of its own, has ports per tensor, and waits for the
first and last tiles. The same ranking and the same order of magnitude are asked for, not equality. The
tables have no strides: windows are taken to step by one, which costs input traffic where they step by more.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from codesign_gym.simulators.hardware import device
from codesign_gym.simulators.hardware.loopnest.execution import Operands, evaluate
from codesign_gym.simulators.hardware.loopnest.machine import Machine
from codesign_gym.simulators.hardware.loopnest.mapping import DRAM, LEVELS, LOOPS, Work
from codesign_gym.simulators.hardware.loopnest.search import best_mapping
from codesign_gym.simulators.hardware.verification.check import (
    Bar,
    Check,
    NotRun,
    TableAbsent,
    against,
    complete_table,
)

#: ZigZag's machines that ship as devices, and its names of what a search minimises.
DEVICES = {"eyeriss_like": "eyeriss-like", "tpu_like": "tpu-like"}
OBJECTIVES = {"latency": "latency", "energy": "energy", "EDP": "energy-delay"}

#: ZigZag's names of our loops; images are B, or D in a fully connected layer.
NAMES = {"B": "N", "D": "N", "G": "G", "K": "K", "C": "C", "OX": "P", "OY": "Q", "FX": "R", "FY": "S"}

QUANTITIES = {"cycles": "latency_total2_total", "energy, pJ": "energy_pJ"}
BAND = Bar(mape_percent=50, spearman=0.9)

#: What a loop nest stands for; ZigZag also costs poolings and additions.
OPERATORS = ("Conv", "Gemm", "MatMul")


def verify(folder: Path) -> list[Check | NotRun]:
    """Cycles and energy of every layer of the machines that ship, two checks a table; other machines are not run.

    Raises:
        TableAbsent: if there is no table.
    """
    names = sorted(path.relative_to(folder).as_posix() for path in folder.glob("zigzag/*.csv"))
    if not names:
        raise TableAbsent(f"{folder / 'zigzag'} holds no tables")
    return [found for name in names for found in _checks(folder, name)]


def _checks(folder: Path, name: str) -> list[Check | NotRun]:
    try:
        rows = complete_table(folder, name, ("hw", "opt", "loop_dims"), texts=("hw", "opt", "loop_dims"))
    except TableAbsent as absent:
        return [NotRun("cycles", name, str(absent))]
    ships = rows["hw"].isin(list(DEVICES))
    others: list[Check | NotRun] = [
        NotRun(f"cycles and energy of {machine}", name, f"no device like it ships; known: {', '.join(DEVICES)}")
        for machine in rows.loc[~ships, "hw"].unique()
    ]
    rows = rows[ships]
    known = rows[_modelled(rows)]
    if known.empty:
        reason = f"no products on {' or '.join(DEVICES)} for {' or '.join(OBJECTIVES)}"
        return others if rows.empty else [NotRun("cycles", name, reason), *others]
    predicted = _predicted(known)
    note = "a band" + (f"; {len(rows) - len(known)} other rows left out" if len(rows) > len(known) else "")
    checks = [
        against(known, column, quantity, name, predicted[quantity], BAND, note=note)
        for quantity, column in QUANTITIES.items()
    ]
    return [*checks, *others]


def _modelled(rows: pd.DataFrame) -> pd.Series:
    """Which rows are products, with loops and an objective that are known."""
    loops = rows["loop_dims"].map(_sizes)
    known = loops.map(lambda sizes: bool(sizes) and set(sizes) <= set(NAMES) and min(sizes.values()) > 0)
    known &= rows["opt"].isin(list(OBJECTIVES))
    return known & rows["operator"].isin(OPERATORS) if "operator" in rows else known


def _predicted(rows: pd.DataFrame) -> dict[str, NDArray[np.float64]]:
    """Cycles and picojoules at 8 bits of every row; equal layers are searched once."""
    asked = list(zip(rows["hw"], rows["opt"], rows["loop_dims"], strict=True))
    found = {case: _run(*case) for case in dict.fromkeys(asked)}
    cycles, picojoules = np.array([found[case] for case in asked]).T
    return {"cycles": cycles, "energy, pJ": picojoules}


def _run(machine: str, objective: str, loops: str) -> tuple[float, float]:
    model = device.load(DEVICES[machine]).model
    assert isinstance(model, Machine)
    channels: dict[str, Any] = {}  # all that ZigZag's mappings of these tables spread
    for level in LEVELS[:DRAM]:
        channels |= {f"{level}_column_loops": "K", f"{level}_row_loops": "C"}
    model = replace(model, **channels)
    work = Work.single(extents(loops))
    mapping = best_mapping(model, work, objective=OBJECTIVES[objective])
    run = evaluate(model, work, mapping, Operands(np.float64(8), np.float64(8)))
    return float(run.cycles), 1e12 * float(run.energy_j)


def extents(text: str) -> tuple[int, ...]:
    """Iterations of each of LOOPS, from ZigZag's ``{B: 1, K: 64, OX: 56, ...}``."""
    sizes = dict.fromkeys(LOOPS, 1)
    for name, size in _sizes(text).items():
        sizes[NAMES[name]] *= size
    return tuple(sizes.values())


def _sizes(text: object) -> dict[str, int]:
    """Loops and their sizes; none in a cell that tells none."""
    return {name: int(size) for name, size in re.findall(r"(\w+): *(\d+)", str(text))}
