"""MAERI and SIGMA on AlexNet, against the cycles that Bifrost published.

Stjerngren, Gibson, Cano, "Bifrost: End-to-End Evaluation and Optimization of Reconfigurable DNN Accelerators",
ISPASS 2022: STONNE with 128 multipliers, dn = rn = 64 and no accumulation buffer. Its tables give cycles per
layer for the default mapping (every tile 1), one tuned by AutoTVM and one from the mRNA mapper; the tiles are in
its repository (github.com/gicLAB/bifrost, benchmarks/alexnet/tiles, ``opt`` and ``performance``).

On SIGMA its networks are dense or pruned to one half, by a script that prunes layers together, by magnitude: a
layer's own share of zeros follows from trained weights and is not published. All of them together are.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from codesign_gym.simulators.hardware.stonne.maeri import Maeri
from codesign_gym.simulators.hardware.stonne.sigma import Sigma
from codesign_gym.simulators.hardware.stonne.tiles import Loops, loops
from codesign_gym.simulators.hardware.verification.check import (
    Bar,
    Check,
    NotRun,
    TableAbsent,
    check,
    csv_table,
    numeric,
)
from codesign_gym.simulators.networks.layers import Layers, Op, network

CONVOLUTIONS, DENSE = "bifrost/maeri_cycles_conv_alexnet.csv", "bifrost/maeri_cycles_fc_alexnet.csv"
SPARSE = "bifrost/sigma_cycles_alexnet.csv"

#: PyTorch's AlexNet (one tower): channels in and out, kernel, stride, output size.
SHAPES = {
    "Conv 1": (3, 64, 11, 4, 55),
    "Conv 2": (64, 192, 5, 1, 27),
    "Conv 3": (192, 384, 3, 1, 13),
    "Conv 4": (384, 256, 3, 1, 13),
    "Conv 5": (256, 256, 3, 1, 13),
    "FC 1": (9216, 4096, 1, 1, 1),
    "FC 2": (4096, 4096, 1, 1, 1),
    "FC 3": (4096, 1000, 1, 1, 1),
}

#: Input channels (inputs of a fully connected layer) and filters at a time, under a whole window. The files read are
#: the tuned Conv 2, 3, 5 and FC 2 and mRNA's Conv 2, 5 and FC 1, 2, 3; the others are inferred from the cycles, each
#: the only choice of its kind within 1 %.
TILES: dict[str, dict[str, tuple[int, int]]] = {
    "Conv 1": {"bifrost": (1, 1), "mrna": (1, 1)},
    "Conv 2": {"bifrost": (4, 1), "mrna": (5, 1)},
    "Conv 3": {"bifrost": (12, 1), "mrna": (7, 2)},
    "Conv 4": {"bifrost": (12, 1), "mrna": (7, 2)},
    "Conv 5": {"bifrost": (8, 1), "mrna": (7, 2)},
    "FC 1": {"bifrost": (20, 1), "mrna": (12, 8)},
    "FC 2": {"bifrost": (20, 1), "mrna": (16, 4)},
    "FC 3": {"bifrost": (20, 1), "mrna": (8, 10)},
}

MAERI = Maeri(1.0, 128, 64, 64, accumulates=0)

#: Each anchor within a tenth.
WITHIN = Bar(exact_share=1.0, tolerance=0.1)

#: Steps by which a share of zeros is looked for: to 1e-4.
HALVINGS = 14

Found = list[Check | NotRun]


def verify(folder: Path) -> Found:
    """Cycles per layer of the default, tuned and mRNA mappings, our own search, and SIGMA dense and sparse."""
    found = [*_maeri(folder, CONVOLUTIONS), *_maeri(folder, DENSE), *_sigma(folder)]
    if not any(isinstance(each, Check) for each in found):
        raise TableAbsent(f"{folder} has none of {CONVOLUTIONS}, {DENSE} and {SPARSE}")
    return found


def _maeri(folder: Path, name: str) -> Found:
    """The mappings of one table; rows and columns may be some of them."""
    table = _table(folder, name, "Mapping")
    if isinstance(table, NotRun):
        return [table]
    found: Found = []
    for mapping, row in table.iterrows():
        row, quantity = row.dropna(), f"cycles, mapping {mapping}"
        names = [layer for layer in row.index if mapping == "basic" or mapping in TILES[layer]]
        if names:
            note = "" if mapping == "basic" else "tiles of its repository"
            ours = _cycles(names, _tiles(names, str(mapping)))
            found.append(check(quantity, name, ours, row[names], WITHIN, note=note))
        elif len(row):
            found.append(NotRun(quantity, name, "its tiles are not known"))
    best = table.drop(index="basic", errors="ignore").min(axis=0).dropna()
    if len(best):
        layers = list(best.index)
        ours = _cycles(layers, MAERI.mapping(_layers(layers)))
        note = f"own search takes {ours.sum() / best.sum():.2f} of the cycles of the best mappings in the table"
        slower, never = np.maximum(ours, best), Bar(exact_share=1.0, tolerance=0.01)
        found.append(check("cycles, slower of own search and best", name, slower, best, never, note=note))
    return found


def _sigma(folder: Path) -> Found:
    """Cycles of dense layers, of halved ones, and the share of zeros by which all convolutions meet theirs."""
    table = _table(folder, SPARSE, "Setting")
    if isinstance(table, NotRun):
        return [table]
    found: Found = []
    for setting, row in table.iterrows():
        share = float(str(setting).rsplit("_", 1)[-1]) / 100
        row = row.dropna()
        # The first layer, of the largest weights, loses fewest; the fully connected ones were left dense.
        alike = row[(row.index != "Conv 1") | (share == 0)]
        note = "Conv 2 to 5 as if each lost that share" if share else ""
        if len(alike):
            pruned = np.where(alike.index.str.startswith("Conv"), share, 0.0)
            quantity = f"cycles, SIGMA, {share:.0%} sparse"
            found.append(check(quantity, SPARSE, _sparse(list(alike.index), pruned), alike, WITHIN, note=note))
        if share:
            found.append(_zeros(row[row.index.str.startswith("Conv")], share))
    return found


def _zeros(row: pd.Series, share: float) -> Check | NotRun:
    """The share of all convolutions' weights that has to be zero for each of them to take its published cycles."""
    quantity, names = f"zeros of all convolutions, SIGMA, {share:.0%} sparse", list(row.index)
    if missing := [name for name in SHAPES if name.startswith("Conv") and name not in names]:
        return NotRun(quantity, SPARSE, f"pruned together, and no cycles of {', '.join(missing)}")
    few, many = np.zeros(len(names)), np.full(len(names), 0.99)
    for _ in range(HALVINGS):
        middle = (few + many) / 2
        slower = _sparse(names, middle) > row.to_numpy()
        few, many = np.where(slower, middle, few), np.where(slower, many, middle)
    weights = np.asarray(_layers(names).weights)
    each = ", ".join(f"{name} {zeros:.0%}" for name, zeros in zip(names, many, strict=True))
    return check(quantity, SPARSE, [weights @ many / weights.sum()], [share], WITHIN, note=f"pruned together: {each}")


def _sparse(names: list[str], zeros: np.ndarray) -> np.ndarray:
    """Cycles on SIGMA of layers with a share of zeros each."""
    model = Sigma(1.0, 128, 64, 64, sparsity=zeros)  # type: ignore[arg-type]
    return np.asarray(model.cost(_layers(names), np.full((len(names), 2), 8)).detail["cycles"])


def _table(folder: Path, name: str, key: str) -> pd.DataFrame | NotRun:
    """A table by its first column, with the layers that are AlexNet's."""
    try:
        table = csv_table(folder, name, (key,), texts=(key,))
    except TableAbsent as absent:
        return NotRun("cycles", name, str(absent))
    for column in table.columns[1:]:
        numeric(table, column, str(folder / name), needed=column.strip() in SHAPES)
    table = table.rename(columns=str.strip).dropna(subset=[key]).set_index(key)
    table = table[[column for column in table.columns if column in SHAPES]]
    return NotRun("cycles", name, f"no row with {key} and a layer's cycles") if table.isna().all(axis=None) else table


def _layers(names: list[str]) -> Layers:
    rows = []
    for name in names:
        inputs, outputs, kernel, stride, size = SHAPES[name]
        rows.append(
            {
                "op": Op.CONV if name.startswith("Conv") else Op.LINEAR,
                "in_channels": inputs,
                "out_channels": outputs,
                "kernel_height": kernel,
                "kernel_width": kernel,
                "stride": stride,
                "in_height": size * stride,
                "in_width": size * stride,
                "out_height": size,
                "out_width": size,
            }
        )
    return network("alexnet", rows, names).layers


def _tiles(names: list[str], mapping: str) -> Loops:
    """A whole window with the mapping's channels and filters, or single products."""
    extents = loops(_layers(names))
    one = np.ones(len(names), dtype=np.int64)
    if mapping == "basic":
        return Loops(*(one for _ in extents))
    channels, filters = np.array([TILES[name][mapping] for name in names], dtype=np.int64).T
    return Loops(extents.r, extents.s, channels, filters, one, one, one, one)


def _cycles(names: list[str], tiles: Loops) -> np.ndarray:
    bits = np.full((len(names), 2), 8)
    return np.asarray(MAERI.at(_layers(names), bits, tiles).detail["cycles"])
