"""Matrix products measured on a TPU v4 against the closed form, as shipped and without the sizes it is judged by."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from codesign_gym.simulators.hardware import device
from codesign_gym.simulators.hardware.model import Costs
from codesign_gym.simulators.hardware.tpu import Tpu
from codesign_gym.simulators.hardware.verification.check import Bar, Check, NotRun, TableAbsent, check, complete_table
from codesign_gym.simulators.hardware.verification.refit import FOLDS, Floats, unseen
from codesign_gym.simulators.networks.layers import Op, network

TABLE = "tpu_matmul/tpu_matmul_vs_scalesim.csv"
SIZES = ("d0", "d1", "d2")  # M, N, K
MEASURED, DEVIATION = "main_avg", "main_stddev"  # microseconds of the program, over its runs

#: Rows whose runs deviate by more than this share of their mean are left out: one of 20 runs was interrupted.
INTERRUPTED = 0.3
#: Launch in microseconds, microseconds per MAC and per byte; orders of magnitude from which fits start.
GUESS = np.array([1.0, 2e-8, 2e-6])
LEAST_SIZES = 24
SMALL = 512  # the largest size of the set on which the peers' fits were published


def verify(folder: Path) -> list[Check | NotRun]:
    """Microseconds of a product, over all sizes and over those of at most 512."""
    table = complete_table(folder, TABLE, (*SIZES, MEASURED), measured=(*SIZES, MEASURED))
    interrupted = np.zeros(len(table), dtype=bool)
    if DEVIATION in table:
        interrupted = (table[DEVIATION] > INTERRUPTED * table[MEASURED]).to_numpy()
    table = table[~interrupted]
    if table.empty:
        raise TableAbsent(f"{folder / TABLE}: no row that was not interrupted")
    left_out = f"{interrupted.sum()} interrupted rows left out"
    costs = products(table)
    reference = table[MEASURED].to_numpy(np.float64)
    bar, peer = Bar(mape_percent=7.0), "MAC count fitted: 10.4 %; SCALE-Sim fitted: 16.3 % (sizes to 512)"
    found: list[Check | NotRun] = [
        check("product, us", TABLE, 1e6 * costs.latency_s, reference, bar, peer, f"as shipped; {left_out}")
    ]
    group = table.groupby(list(SIZES)).ngroup().to_numpy()
    if group.max() + 1 < LEAST_SIZES:
        reason = f"{group.max() + 1} sizes; cross-validation needs {LEAST_SIZES}"
        return [*found, NotRun("product, us, cross-validated", TABLE, reason)]
    parts = np.stack([np.ones(len(table)), costs.detail["mac_slots"], costs.detail["dram_bytes"]], -1)

    def predict(constants: Floats) -> Floats:
        return np.asarray(parts @ constants)

    predicted = unseen(GUESS, predict, reference, group)
    note = f"three constants fitted to other sizes, {FOLDS} folds; {left_out}"
    told = f"{note}{_by_source(table, np.abs(predicted / reference - 1))}"
    found.append(check("product, us, cross-validated", TABLE, predicted, reference, bar, peer, told))
    small = (table[list(SIZES)] <= SMALL).all(axis=1).to_numpy()
    if small.any():
        quantity = f"product to {SMALL}, us, cross-validated"
        found.append(check(quantity, TABLE, predicted[small], reference[small], bar, peer, note))
    return found


def _by_source(table: pd.DataFrame, error: Floats) -> str:
    """Mean errors of the sets that the table was put together from, by their sizes; "" where it does not name them."""
    if "source" not in table:
        return ""
    parts = []
    for _, own in table.assign(error=error).groupby("source"):
        sizes = own[list(SIZES)].to_numpy()
        parts.append(f"{100 * own['error'].mean():.2g} % of {len(own)} of sizes {sizes.min()} to {sizes.max()}")
    return f"; by source: {', '.join(parts)}"


def products(table: pd.DataFrame) -> Costs:
    """What the device says of the rows' products, shape (rows,)."""
    found = device.load("tpu-v4")
    assert isinstance(found.model, Tpu)
    sizes = table[list(SIZES)].to_numpy(np.int64).tolist()
    rows = [
        {"op": Op.LINEAR, "in_channels": k, "out_channels": n, "in_height": m, "out_height": m} for m, n, k in sizes
    ]
    layers = network("products", rows, [str(index) for index in range(len(rows))]).layers
    return found.cost(layers, np.full((len(rows), 2), found.max_bits))
