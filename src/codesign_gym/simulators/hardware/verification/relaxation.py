"""Relaxed rounding against exact: what gradients are taken through, beside what is reported.

No table: both sides are the project's own, over rows of the networks that ship and array sizes in
powers of two, where a relaxed ceiling is right for extents that are multiples and low for others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codesign_gym.simulators.hardware import device
from codesign_gym.simulators.hardware.model import Costs
from codesign_gym.simulators.hardware.roofline import TYPES, Roofline
from codesign_gym.simulators.hardware.rounding import EXACT, RELAXED, Rounding
from codesign_gym.simulators.hardware.verification.check import Bar, Check, NotRun, check
from codesign_gym.simulators.networks import load

NETWORKS = ("resnet18", "resnet50", "mobilenetv2")
SIZES = (8, 16, 32, 64, 128)
BITS = tuple(range(2, 9))
#: Between a processor's types, where exact rounding takes the wider one's peak and storage.
BETWEEN = tuple(width for width in range(TYPES[0], TYPES[-1]) if width not in TYPES)


@dataclass(frozen=True)
class Sweep:
    """What a device's rows are run at, and how far relaxing may take them.

    Attributes:
        sizes: parameters of its model that take all of SIZES together; the others are the device's.
        bits: widths of its operands.
        label: of what is compared, where it is not the usual.
        mape_percent: accepted of latency; of energy half as much again.
        spearman: accepted of both.
    """

    sizes: tuple[str, ...] = ()
    bits: tuple[int, ...] = BITS
    label: str = ""
    mape_percent: float = 10.0
    spearman: float | None = 0.98


#: Devices whose sizes are swept; all others are compared as they are.
SIZED: dict[str, tuple[str, ...]] = {
    "systolic-edge": ("rows", "columns"),
    "systolic-eyeriss": ("rows", "columns"),
    "tpu-v1": ("rows", "columns"),
    "bismo-edge": ("dm", "dn"),
    "gemmini-16x16": ("dim",),
    "mesh-16x16": ("rows", "columns"),
    "fpga-ultra96": ("pf", "pc"),
    "fpga-zc706": ("pf", "pc"),
    "nasa-chunked": ("conv_pes",),
    "accelbench-spring": ("pof",),
    "tpu-v4": ("tile_rows", "tile_columns"),
}


def verify(_: Path) -> list[Check | NotRun]:
    """Latency and energy of every row of some networks at every size and bitwidth, relaxed beside exact."""
    return [found for name in device.CATALOG.shipped() for sweep in _sweeps(name) for found in _checks(name, sweep)]


def _sweeps(name: str) -> Iterator[Sweep]:
    """A processor is exact at its types; a line to the next wider one is half its step below what it takes there."""
    if isinstance(device.load(name).model, Roofline):
        yield Sweep(bits=TYPES)
        yield Sweep(bits=BETWEEN, label=" between types", mape_percent=30.0, spearman=None)
    else:
        yield Sweep(SIZED.get(name, ()))


def _checks(name: str, sweep: Sweep) -> Iterator[Check]:
    relaxed, exact = (_costs(name, sweep, rounding) for rounding in (RELAXED, EXACT))
    for quantity, slack in (("latency", 1.0), ("energy", 1.5)):
        if quantity not in exact:
            continue
        error = 100 * (relaxed[quantity] / exact[quantity] - 1)
        yield check(
            f"{name}: relaxed {quantity}{sweep.label}",
            "",
            relaxed[quantity],
            exact[quantity],
            Bar(mape_percent=slack * sweep.mape_percent, spearman=sweep.spearman),
            note=f"relaxed beside exact, what a gradient costs: {error.mean():+.1f} % on average, a row"
            f" {error.min():+.0f} to {error.max():+.0f} %",
        )


def _costs(name: str, sweep: Sweep, rounding: Rounding) -> dict[str, NDArray[np.float64]]:
    """Latency and, where there is one, energy of all rows of all networks."""
    found = device.load(name)
    model: Any = replace(found.model, **{size: np.array(SIZES)[:, None, None] for size in sweep.sizes})  # type: ignore[type-var]
    widths = [width for width in sweep.bits if found.min_bits <= width <= found.max_bits] or [found.max_bits]
    costs: list[Costs] = []
    for network in NETWORKS:
        layers = load(network).weighted().layers.with_batch(found.batch)
        bits = np.broadcast_to(np.array(widths)[:, None, None], (len(widths), len(layers.op), 2))
        costs.append(model.cost(layers, bits, rounding))
    columns = {"latency": [one.latency_s for one in costs], "energy": [one.energy_j for one in costs]}
    return {
        quantity: np.concatenate([np.ravel(column) for column in parts])
        for quantity, parts in columns.items()
        if parts[0] is not None
    }
