"""MAERI and SIGMA on AlexNet, against the cycles that Bifrost published.

Stjerngren, Gibson, Cano, "Bifrost: End-to-End Evaluation and Optimization of Reconfigurable DNN Accelerators",
ISPASS 2022: STONNE with 128 multipliers, dn = rn = 64 and no accumulation buffer. Its tables give cycles per
layer for the default mapping (every tile 1), one tuned by AutoTVM and one from the mRNA mapper. They do not
give the mappings; of the convolutions they are inferred: a whole window of the kernel, and the channels and
filters at a time that the cycles leave.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from codesign_gym.simulators.hardware.stonne.maeri import Maeri
from codesign_gym.simulators.hardware.stonne.sigma import Sigma
from codesign_gym.simulators.hardware.stonne.tiles import Loops, loops
from codesign_gym.simulators.hardware.verification.check import Bar, Check, NotRun, TableAbsent, check, csv_table
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

#: Input channels and filters at a time, under a whole window: inferred from the cycles (each is the only choice of
#: its kind within 1 %).
INFERRED = {
    "bifrost": {"Conv 1": (1, 1), "Conv 2": (4, 1), "Conv 3": (12, 1), "Conv 4": (12, 1), "Conv 5": (8, 1)},
    "mrna": {"Conv 1": (1, 1), "Conv 2": (5, 1), "Conv 3": (7, 2), "Conv 4": (7, 2), "Conv 5": (7, 2)},
}

MAERI = Maeri(1.0, 128, 64, 64, accumulates=0)

#: Each anchor within a tenth.
WITHIN = Bar(exact_share=1.0, tolerance=0.1)

Found = list[Check | NotRun]


def verify(folder: Path) -> Found:
    """Cycles per layer of the default and the inferred mappings, our own search, and SIGMA dense and sparse."""
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
        known = [layer for layer in row.index if mapping == "basic" or layer in INFERRED.get(str(mapping), {})]
        if known:
            tiles = _tiles(known, INFERRED.get(str(mapping), {}))
            note = "" if mapping == "basic" else "mapping inferred: whole window"
            found.append(
                check(f"cycles, mapping {mapping}", name, _cycles(known, tiles), row[known], WITHIN, note=note)
            )
        if mapping != "basic" and (rest := [layer for layer in row.index if layer not in known]):
            reason = "the table gives cycles without the mapping, and several come near them"
            found.append(NotRun(f"cycles, mapping {mapping}, {len(rest)} layers", name, reason))
    best = table.drop(index="basic", errors="ignore").min(axis=0)
    if best.notna().all() and len(best):
        layers = list(best.index)
        ours = _cycles(layers, MAERI.mapping(_layers(layers)))
        note = f"own search takes {ours.sum() / best.sum():.2f} of the cycles of the best mappings in the table"
        slower, never = np.maximum(ours, best), Bar(exact_share=1.0, tolerance=0.01)
        found.append(check("cycles, slower of own search and best", name, slower, best, never, note=note))
    return found


def _sigma(folder: Path) -> Found:
    table = _table(folder, SPARSE, "Setting")
    if isinstance(table, NotRun):
        return [table]
    layers = _layers(list(table.columns))
    found: Found = []
    bits = np.full((len(table.columns), 2), 8)
    for setting, row in table.iterrows():
        share = float(str(setting).rsplit("_", 1)[-1]) / 100
        pruned = np.array([share if column.startswith("Conv") else 0.0 for column in table.columns])
        ours = Sigma(1.0, 128, 64, 64, sparsity=pruned).cost(layers, bits).detail["cycles"]  # type: ignore[arg-type]
        # The first layer's cycles fit a share of zeros of about 0.28, not 0.5: as if weights of all layers were pruned
        # together. Its share is not in the table.
        skipped = (row.index == "Conv 1") & (share > 0)
        found.append(check(f"cycles, SIGMA, {share:.0%} sparse", SPARSE, ours[~skipped], row[~skipped], WITHIN))
        if skipped.any():
            ratio = ours[skipped][0] / row[skipped].iloc[0]
            reason = f"the table's cycles fit fewer zeros: at {share:.0%} ours are {ratio:.2f} of them"
            found.append(NotRun(f"cycles, SIGMA, {share:.0%} sparse, Conv 1", SPARSE, reason))
    return found


def _table(folder: Path, name: str, key: str) -> pd.DataFrame | NotRun:
    """A table by its first column, with the layers that are AlexNet's."""
    try:
        table = csv_table(folder, name, (key,))
    except TableAbsent as absent:
        return NotRun("cycles", name, str(absent))
    table = table.rename(columns=str.strip).set_index(key)
    return table[[column for column in table.columns if column in SHAPES]]


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


def _tiles(names: list[str], inferred: dict[str, tuple[int, int]]) -> Loops:
    """A whole window with the inferred channels and filters, or single products."""
    extents = loops(_layers(names))
    one = np.ones(len(names), dtype=np.int64)
    if not inferred:
        return Loops(*(one for _ in extents))
    channels, filters = np.array([inferred[name] for name in names], dtype=np.int64).T
    return Loops(extents.r, extents.s, channels, filters, one, one, one, one)


def _cycles(names: list[str], tiles: Loops) -> np.ndarray:
    bits = np.full((len(names), 2), 8)
    return np.asarray(MAERI.cost_of(_layers(names), tiles, bits).detail["cycles"])
