"""The systolic array's closed form against SCALE-Sim v3, row by row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from codesign_gym.simulators.hardware.systolic.cost import SCALE_SIM, Systolic
from codesign_gym.simulators.hardware.systolic.form import DATAFLOWS
from codesign_gym.simulators.hardware.verification.check import (
    Bar,
    Check,
    NotRun,
    against,
    check,
    complete_table,
)
from codesign_gym.simulators.networks.layers import COLUMNS, Layers, Op

TABLE = "scalesim/scalesim_v3.csv"
SHAPE = ("gemm_M", "gemm_N", "gemm_K", "array_rows", "array_cols", "dataflow")
CONVOLUTION = ("ifmap_h", "ifmap_w", "filt_h", "filt_w", "channels", "num_filters", "stride")
EXACT = Bar(exact_share=1.0)

#: Column of the table, its quantity and, for words from DRAM, the operand whose buffer they pass through.
COUNTS = {
    "compute_cycles": ("cycles", "cycles"),
    "sram_ifmap_reads": ("SRAM words, inputs", "ifmap_sram_words"),
    "sram_filter_reads": ("SRAM words, filters", "filter_sram_words"),
    "sram_ofmap_writes": ("SRAM words, outputs", "ofmap_sram_words"),
}
SHARES = {
    "mapping_eff_pct": ("mapping efficiency, %", "mapping"),
    "compute_util_pct": ("compute utilisation, %", "compute"),
}
OPERANDS = {"ifmap": "inputs", "filter": "filters", "ofmap": "outputs"}

#: KiB of a buffer whose size a table does not say: all fits.
BEYOND_NEED = 2.0**40


def verify(folder: Path) -> list[Check | NotRun]:
    """Cycles, utilisations and words of every row; DRAM words where the simulator finds the traffic itself (CALC)."""
    table = complete_table(folder, TABLE, SHAPE, texts=("dataflow",))
    layers, model = _layers(table), _model(table)
    bits = np.full((len(table), 1, 2), 8)  # the simulator's words are bytes
    ours = {name: column[:, 0] for name, column in model.cost(layers, bits).detail.items()}
    shares = {name: column[:, 0] for name, column in model.utilisation(layers, bits).items()}

    checks = [against(table, column, what, TABLE, ours[name], EXACT) for column, (what, name) in COUNTS.items()]
    checks += [
        against(table, column, what, TABLE, 100 * shares[name], EXACT) for column, (what, name) in SHARES.items()
    ]
    what = "overall utilisation, %"
    if "stall_cycles" in table.columns:  # printed over stalls, too, which depend on the simulator's replay
        unstalled = (table["stall_cycles"] == 0).to_numpy()
        checks.append(against(table, "overall_util_pct", what, TABLE, 100 * shares["overall"], EXACT, unstalled))
    else:
        checks.append(NotRun(what, TABLE, "no column stall_cycles"))
    for operand, what in OPERANDS.items():
        checks += _dram(table, operand, what, ours[f"{operand}_dram_words"], _held(table, layers, operand))
    return checks


def _dram(
    table: pd.DataFrame, operand: str, what: str, ours: NDArray[np.float64], bytes_: NDArray[np.float64]
) -> list[Check | NotRun]:
    """DRAM words of an operand: exact where it fits half its buffer, a bound without a bar where it does not."""
    reads, size = f"dram_{operand}_{'writes' if operand == 'ofmap' else 'reads'}", f"{operand}_sram_kB"
    what = f"DRAM words, {what}"
    shape = CONVOLUTION if operand == "ifmap" and "kind" not in table.columns else ()
    if missing := [column for column in (reads, size, "mode", *shape) if column not in table.columns]:
        return [NotRun(what, TABLE, f"no column {', '.join(missing)}")]
    known = (table[reads].notna() & table[size].notna() & (table["mode"] == "CALC")).to_numpy()
    if operand == "ifmap":
        known = known & _shaped(table)
    fits = bytes_ < table[size].to_numpy() * 1024 / 2
    theirs = table[reads].to_numpy()
    made: list[Check | NotRun] = []
    for rows, suffix, bar, note in (
        (known & fits, "that fit", EXACT, ""),
        (known & ~fits, "that do not fit", Bar(), "no closed form: depends on how the simulator replays"),
    ):
        quantity = f"{what} {suffix}"
        made.append(
            check(quantity, TABLE, ours[rows], theirs[rows], bar, note=note)
            if rows.any()
            else NotRun(quantity, TABLE, "no such row")
        )
    return made


def _shaped(table: pd.DataFrame) -> NDArray[np.bool_]:
    """Rows whose inputs can be counted: a convolution's are fewer than those of the product it is lowered to."""
    convolution = _convolutions(table)
    return np.asarray(convolution | (table["kind"] == "gemm") if "kind" in table.columns else np.ones_like(convolution))


def _convolutions(table: pd.DataFrame) -> NDArray[np.bool_]:
    """Rows that have all columns of a convolution."""
    if not set(CONVOLUTION) <= set(table.columns):
        return np.zeros(len(table), dtype=bool)
    return np.asarray(table[list(CONVOLUTION)].notna().all(axis=1))


def _held(table: pd.DataFrame, layers: Layers, operand: str) -> NDArray[np.float64]:
    """Bytes of an operand that would have to stay in its buffer: an output-stationary array keeps no partial sums."""
    m, n, k = (table[column].to_numpy(dtype=np.float64) for column in ("gemm_M", "gemm_N", "gemm_K"))
    if operand == "ifmap":
        return np.where(layers.op[:, 0] == Op.CONV, np.asarray(layers.in_elements)[:, 0], m * k)
    if operand == "filter":
        return np.asarray(n * k)
    folds = np.ceil(k / table["array_rows"].to_numpy())
    return np.asarray(m * n * np.where(table["dataflow"] == "os", 1, folds))


def _model(table: pd.DataFrame) -> Systolic:
    """The arrays of all rows as one model whose parameters have shape (rows, 1)."""

    def column(name: str, default: float) -> NDArray[np.float64]:
        known = table[name] if name in table.columns else pd.Series(np.nan, table.index)
        return np.asarray(known.fillna(default), dtype=np.float64)[:, None]

    sizes: dict[str, Any] = {
        f"{operand}_sram_bytes": 1024 * column(f"{operand}_sram_kB", BEYOND_NEED) for operand in OPERANDS
    }
    return Systolic(
        clock_hz=1.0,
        rows=table["array_rows"].to_numpy()[:, None],
        columns=table["array_cols"].to_numpy()[:, None],
        dataflow=table["dataflow"].map(DATAFLOWS.index).to_numpy(dtype=np.int64)[:, None],
        dram_bytes_per_s=1.0,
        partial_sum_bits=8,
        counting=SCALE_SIM,
        **sizes,
    )


def _layers(table: pd.DataFrame) -> Layers:
    """One row a design, shape (rows, 1): convolutions where their columns are, else matrix products."""
    m, n, k = (table[column].to_numpy(dtype=np.int64) for column in ("gemm_M", "gemm_N", "gemm_K"))
    made = {name: np.ones(len(table), dtype=np.int64) for name in COLUMNS}
    made |= {"op": np.full(len(table), int(Op.LINEAR)), "in_channels": k, "out_channels": n}
    made |= {"in_height": m, "out_height": m}
    if (conv := _convolutions(table)).any():
        height, width, kernel_height, kernel_width, channels, filters, stride = (
            table[column].fillna(1).to_numpy(dtype=np.int64) for column in CONVOLUTION
        )
        shapes = {
            "op": np.full(len(table), int(Op.CONV)),
            "in_channels": channels,
            "out_channels": filters,
            "kernel_height": kernel_height,
            "kernel_width": kernel_width,
            "stride": stride,
            "in_height": height,
            "in_width": width,
            # the simulator rounds up what torch rounds down
            "out_height": -(-(height - kernel_height + stride) // stride),
            "out_width": -(-(width - kernel_width + stride) // stride),
        }
        made |= {name: np.where(conv, column, made[name]) for name, column in shapes.items()}
    return Layers(**{name: column[:, None] for name, column in made.items()})
