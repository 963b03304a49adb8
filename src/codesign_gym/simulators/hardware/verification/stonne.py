"""The mesh, SIGMA, MAERI and MAGMA against the cycle-level simulator STONNE."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from codesign_gym.errors import StorageError
from codesign_gym.simulators.hardware.stonne import magma as magma_model
from codesign_gym.simulators.hardware.stonne import sigma as sigma_model
from codesign_gym.simulators.hardware.stonne.energy import tree_area
from codesign_gym.simulators.hardware.stonne.maeri import Cases
from codesign_gym.simulators.hardware.stonne.mesh import Mesh
from codesign_gym.simulators.hardware.stonne.networks import Hardware
from codesign_gym.simulators.hardware.stonne.rows import row_nonzeros
from codesign_gym.simulators.hardware.stonne.tiles import Loops
from codesign_gym.simulators.hardware.verification.check import (
    Bar,
    Check,
    NotRun,
    against,
    check,
    csv_table,
    json_table,
)
from codesign_gym.simulators.networks.layers import Gemm

TABLE, PATTERNS = "stonne/stonne.csv", "stonne/stonne_sigma_patterns.json"
SPEED = "STONNE takes 0.2 to 0.7 s a row"

#: Columns that hold no numbers.
TEXTS = ("family", "op", "tile_used", "rn_type", "dataflow")

#: Energy of a buffer access, by which the table's energies are accesses.
ACCESS = 0.044

#: The table's areas are printed with eight digits, its energies with seven.
DIGITS = 1e-6

Found = list[Check | NotRun]


def mesh(folder: Path) -> Found:
    """Cycles, SRAM words, energy and area of the output-stationary mesh."""
    table = _family(folder, "TPU_OS_systolic", ("M", "N", "K", "T_M", "T_N", "ms_rows", "ms_cols", "dn_bw"))
    if isinstance(table, NotRun):
        return [table]
    m, n, k, tile_rows, tile_columns = (_int(table, name) for name in ("M", "N", "K", "T_M", "T_N"))
    model = Mesh(1.0, *(_int(table, name) for name in ("ms_rows", "ms_cols", "dn_bw")))  # type: ignore[arg-type]
    ours = model.products(Gemm(np.ones_like(m), m, n, k), tile_rows, tile_columns)
    words = ours["sram_reads"] + ours["sram_writes"]
    return [
        check("cycles", TABLE, ours["cycles"], table["cycles"], Bar(exact_share=1.0), peer=SPEED),
        *_measured("SRAM words", table, words, ("edyn_GlobalBuffer",), Bar(exact_share=1.0), ACCESS),
        *_measured(
            "energy, STONNE units",
            table,
            ours["energy_stonne_units"],
            ("edyn_total", "estat_total"),
            Bar(exact_share=1.0, tolerance=DIGITS),
        ),
        *_measured(
            "area without the write bus, STONNE units",
            table,
            sum(model.areas.values()),
            tuple(f"area_{component}" for component in model.areas),
            Bar(exact_share=1.0, tolerance=DIGITS),
        ),
    ]


def maeri(folder: Path) -> Found:
    """Cycles with given tiles, SRAM words and energy of MAERI."""
    columns = ("K", "N", "num_ms", "dn_bw", "rn_bw", "accumulation_buffer", "rn_type", "passed", "tile_used")
    table = _family(folder, "MAERI", columns, ("R", "S", "C", "G", "X", "Y", "strides"), ("M",))
    if isinstance(table, NotRun):
        return [table]
    failed = int((table["passed"] == 0).sum())
    wrong = [NotRun(f"{failed} rows", TABLE, "the simulator's own result was wrong (passed = 0)")] if failed else []
    table = table[table["passed"] == 1]
    if table.empty:
        return [NotRun("cycles", TABLE, "no row with tiles passed"), *wrong]
    cases = _cases(table)
    ours = cases.run()
    convolution = (table["op"] == "CONV").to_numpy()
    buffered = ~cases.returns
    tree = (table["rn_type"] == "ASNETWORK").to_numpy()  # another tree has other adders, and no area here
    sizes = (cases.hardware.read_ports, cases.hardware.port_width, cases.hardware.multipliers, cases.hardware.lines)
    area = np.asarray(sum(tree_area(*sizes, (table["accumulation_buffer"] == 1).to_numpy()).values()))
    return [
        *_cycles("convolutions, unfolded or buffered", table, ours.cycles, convolution & buffered, 3.0),
        *_cycles("matrix products, unfolded or buffered", table, ours.cycles, ~convolution & buffered, 3.0),
        *_cycles("folded through memory", table, ours.cycles, ~buffered, 13.0),
        *_measured(
            "SRAM words",
            table,
            ours.sram_reads + ours.sram_writes,
            ("edyn_GlobalBuffer",),
            Bar(exact_share=0.95, mape_percent=0.5),
            ACCESS,
        ),
        *_measured(
            "energy, STONNE units",
            table,
            ours.dynamic_stonne_units + ours.cycles * cases.static_stonne_units,
            ("edyn_total", "estat_total"),
            Bar(mape_percent=1.0),
            note="static energy follows the cycles",
        ),
        *_measured(
            "area, STONNE units", table[tree], area[tree], ("area_total",), Bar(exact_share=1.0, tolerance=DIGITS)
        ),
        *wrong,
    ]


def sigma(folder: Path) -> Found:
    """Cycles of SIGMA with the simulator's matrices, and with matrices drawn at the same sparsity."""
    columns = ("M", "N", "K", "MK_sparsity", "KN_sparsity", "dataflow", "optimize", "num_ms", "dn_bw", "rn_bw")
    table = _family(folder, "SIGMA_spmspm", columns)
    if isinstance(table, NotRun):
        return [table]
    weights = (table["dataflow"] == "MK_STA_KN_STR").to_numpy()
    rows = np.where(weights, _int(table, "M"), _int(table, "N"))
    streamed, length = np.where(weights, _int(table, "N"), _int(table, "M")), _int(table, "K")
    zeros = (np.where(weights, table["MK_sparsity"], table["KN_sparsity"]) + 1) / 100  # what the argument makes zero
    sizes = tuple(_int(table, name) for name in ("num_ms", "dn_bw", "rn_bw"))
    drawn = sigma_model.products(row_nonzeros(rows, length, zeros), rows, streamed, length, *sizes)
    known = _nonzeros(folder, table)
    given = np.array([counts is not None for counts in known]) & weights
    ordered = (table["optimize"] == 1).to_numpy()
    note = "rows of binomial length, as a device has them"
    found = _cycles("drawn matrices", table, drawn.cycles, ~ordered, None, note)  # on few rows the luck of the draw
    if not given.any():
        return [*found, NotRun("cycles", PATTERNS, f"none of the {len(table)} rows' matrices is in the table")]
    part, multipliers = table[given], sizes[0][given]
    picked = (counts for counts, use in zip(known, given, strict=True) if use and counts is not None)
    orders = zip(picked, part["optimize"] == 1, multipliers, strict=True)
    counts = [_ordered(counts, room) if order else counts for counts, order, room in orders]
    shape = (rows[given], streamed[given], length[given], *(size[given] for size in sizes))
    own = sigma_model.products(np.concatenate(counts), *shape)
    wide = (part["MK_sparsity"] >= 50).to_numpy() & (multipliers == sizes[1][given]) & (multipliers == sizes[2][given])
    streamed_nonzeros = 1 - (part["KN_sparsity"].to_numpy() + 1) / 100
    words = own.sram_weight_reads + own.sram_input_reads * streamed_nonzeros + own.sram_partial_reads + own.sram_writes
    plain = ~ordered[given]
    return [
        *_cycles("ordinary", part, own.cycles, ~wide & plain, 2.0),
        *_cycles("as many ports as multipliers, sparse", part, own.cycles, wide & plain, 5.0, "bus lines collide"),
        *_cycles("rows in the compiler's order", part, own.cycles, ~plain, 5.0),
        *found,
        *_measured("SRAM words", part, words, ("edyn_GlobalBuffer",), Bar(mape_percent=1.0), ACCESS),
    ]


def magma(folder: Path) -> Found:
    """Cycles and SRAM words of MAGMA with the simulator's matrices."""
    table = _family(folder, "MAGMA_spmm", ("M", "N", "K", "MK_sparsity", "T_N", "T_K", "num_ms", "dn_bw", "rn_bw"))
    if isinstance(table, NotRun):
        return [table]
    known = _nonzeros(folder, table)
    given = np.array([counts is not None for counts in known])
    missing = (
        [NotRun(f"{(~given).sum()} rows", PATTERNS, "their matrix is not in the table")] if not given.all() else []
    )
    if not given.any():
        return list(missing)
    part = table[given]
    rows, streamed, length = (_int(part, name) for name in ("M", "N", "K"))
    sizes = (_int(part, name) for name in ("num_ms", "dn_bw", "rn_bw", "T_K", "T_N"))
    counts = np.concatenate([counts for counts in known if counts is not None])
    ours = magma_model.products(counts, rows, streamed, length, *sizes)
    words = ours.sram_reads + ours.sram_writes
    return [
        *_cycles("rows", part, ours.cycles, np.ones(len(part), dtype=bool), 2.0),
        *_measured("SRAM words", part, words, ("edyn_GlobalBuffer",), Bar(mape_percent=1.0), ACCESS),
        *missing,
    ]


def _family(
    folder: Path,
    prefix: str,
    columns: tuple[str, ...],
    of_convolutions: tuple[str, ...] = (),
    of_products: tuple[str, ...] = (),
) -> pd.DataFrame | NotRun:
    """The rows of one family whose cycles and the columns named are told; some are of one operator alone."""
    columns = ("family", "op", "cycles", *columns)
    table = csv_table(folder, TABLE, (*columns, *of_convolutions, *of_products), TEXTS)
    told = table.notna()
    own = np.where(table["op"] == "CONV", told[list(of_convolutions)].all(axis=1), told[list(of_products)].all(axis=1))
    picked = table[table["family"].astype(str).str.startswith(prefix) & told[list(columns)].all(axis=1) & own]
    return NotRun("", TABLE, f"no rows of {prefix}") if picked.empty else picked


def _int(table: pd.DataFrame, column: str) -> NDArray[np.int64]:
    values = table[column].to_numpy(dtype=np.float64)
    if not np.isfinite(values).all():
        raise StorageError(f"{TABLE}: column {column} lacks {(~np.isfinite(values)).sum()} of {values.size} numbers")
    return np.asarray(values, dtype=np.int64)


def _cycles(
    rows: str,
    table: pd.DataFrame,
    cycles: NDArray[np.int64],
    picked: NDArray[np.bool_],
    mape: float | None,
    note: str = "",
) -> Found:
    """A check of the cycles of some rows, if there are any; without a bar where ``mape`` is None."""
    if not picked.any():
        return [NotRun(f"cycles, {rows}", TABLE, "no such rows")]
    reference = table["cycles"].to_numpy()[picked]
    return [check(f"cycles, {rows}", TABLE, cycles[picked], reference, Bar(mape_percent=mape), peer=SPEED, note=note)]


def _measured(
    quantity: str,
    table: pd.DataFrame,
    ours: ArrayLike,
    columns: tuple[str, ...],
    bar: Bar,
    unit: float = 1.0,
    note: str = "",
) -> Found:
    """A check against the sum of optional columns."""
    absent = [column for column in columns if column not in table.columns]
    if absent or table.empty:
        return [NotRun(quantity, TABLE, f"no column {', '.join(absent)}" if absent else "no such rows")]
    theirs = (table[list(columns)].sum(axis=1, skipna=False) / unit).rename("theirs").to_frame()
    return [against(theirs, "theirs", quantity, TABLE, np.asarray(ours, dtype=np.float64), bar, note=note)]


def _cases(table: pd.DataFrame) -> Cases:
    """MAERI's rows; a matrix product is a convolution of kernel 1 x K over M rows of one column."""
    product = (table["op"] != "CONV").to_numpy()

    def column(name: str, instead: str | None = None) -> NDArray[np.int64]:
        other = table[instead] if instead else 1
        return _int(table.assign(**{name: np.where(product, other, table[name])}), name)

    stride, groups = column("strides"), column("G")
    r, s, x, y = column("R"), column("S", "K"), column("X", "M"), column("Y", "K")
    extents = Loops(
        r=r,
        s=s,
        c=column("C") // groups,
        k=column("K", "N") // groups,
        g=groups,
        n=np.where(product, 1, _int(table, "N")),
        x=(x - r) // stride + 1,
        y=(y - s) // stride + 1,
    )
    tiles = table["tile_used"].str.extractall(r"=(\d+)")[0].unstack().to_numpy(dtype=np.int64)
    sizes = (_int(table, name) for name in ("num_ms", "dn_bw", "rn_bw"))
    accumulates = (table["accumulation_buffer"] == 1) | (table["rn_type"] == "FENETWORK")
    return Cases(extents, stride, Loops(*tiles.T), Hardware(*sizes), accumulates.to_numpy().astype(np.int64))


def _nonzeros(folder: Path, table: pd.DataFrame) -> list[NDArray[np.int64] | None]:
    """Non-zeros per row of every row's sparse matrix, where the table of matrices has it."""
    patterns = json_table(folder, PATTERNS)
    keys = zip(_int(table, "M"), _int(table, "K"), _int(table, "MK_sparsity"), strict=True)
    found = (patterns.get("_".join(map(str, key))) for key in keys)
    return [None if pattern is None else np.array(pattern["nnz_per_row"], dtype=np.int64) for pattern in found]


def _ordered(nonzeros: NDArray[np.int64], multipliers: int) -> NDArray[np.int64]:
    """Rows as STONNE's compiler orders them: those to be folded, then always the longest that still fits."""
    rows = sorted(nonzeros.tolist(), reverse=True)
    order = [row for row in rows if row > multipliers]
    left, room = rows[len(order) :], multipliers
    while left:
        position = next((i for i, row in enumerate(left) if row <= room), None)
        if position is None:
            room = multipliers
            continue
        order.append(left.pop(position))
        room -= order[-1]
    return np.array(order, dtype=np.int64)
