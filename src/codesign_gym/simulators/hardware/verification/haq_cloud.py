"""The closed form of HAQ's cloud accelerator against the table released with the paper."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from codesign_gym.simulators.hardware import device
from codesign_gym.simulators.hardware.cells import grid
from codesign_gym.simulators.hardware.verification.check import Bar, Check, NotRun, TableAbsent, array_table, check
from codesign_gym.simulators.networks import load

TABLE = "haq/qmobilenetv2_imagenet100_batch16_latency_table.npy"
#: What the table's sums are compared by.
TOTALS = ("cycles at 8 bits", "ratio at 7, ... 2 bits")


def verify(folder: Path) -> list[Check | NotRun]:
    """Cycles of every cell, of the network at 8 bits, and the ratios at uniform bitwidths with both ends at 8."""
    released = array_table(folder, TABLE)  # (layers, weight bits - 1, activation bits - 1)
    cloud, layers = device.load("haq-cloud"), load("mobilenetv2-imagenet100").weighted().layers
    bits = range(1, 9)
    ours = np.moveaxis(np.asarray(cloud.cost(layers, grid(bits, len(layers.op))).detail["cycles"]), -1, 0)
    if released.shape != ours.shape:
        raise TableAbsent(f"{folder / TABLE} has the shape {released.shape}; compared is one of {ours.shape}")
    known = np.isfinite(released)
    cells = check("cycles of a cell", TABLE, ours[known], released[known], Bar(spearman=0.98), note="five constants")
    if not known.all():
        reason = f"{(~known).sum()} of {known.size} cells are empty"
        return [*(NotRun(quantity, TABLE, reason) for quantity in TOTALS), *([cells] if known.any() else [])]

    def uniform(table: np.ndarray) -> np.ndarray:
        """Cycles of the network at 7, 6, ... 2 bits with its first and last layer at 8, over those at 8 bits."""
        inner, ends = table[1:-1].sum(0).diagonal(), table[[0, -1], -1, -1].sum()
        return np.asarray((inner[6:0:-1] + ends) / table[:, -1, -1].sum())

    total, theirs = ours[:, -1, -1].sum(), released[:, -1, -1].sum()
    return [
        check(TOTALS[0], TABLE, [total], [theirs], Bar(mape_percent=1.0)),
        check(TOTALS[1], TABLE, uniform(ours), uniform(released), Bar(mape_percent=2.0)),
        cells,
    ]
