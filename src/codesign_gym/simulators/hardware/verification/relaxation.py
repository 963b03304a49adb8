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
from codesign_gym.simulators.hardware.roofline import TYPES
from codesign_gym.simulators.hardware.rounding import EXACT, RELAXED, Rounding
from codesign_gym.simulators.hardware.verification.check import Bar, Check, NotRun, check
from codesign_gym.simulators.networks import load

NETWORKS = ("resnet18", "resnet50", "mobilenetv2")
SIZES = (8, 16, 32, 64, 128)
BITS = tuple(range(2, 9))


@dataclass(frozen=True)
class Sweep:
    """What a device's rows are run at, and how far relaxing may take them.

    Attributes:
        sizes: parameters of its model that take all of SIZES together; the others are the device's.
        bits: widths of its operands; a processor's are those of its types.
        latency: accepted mean error of latency in percent.
        energy: of energy, where the model has it.
    """

    sizes: tuple[str, ...] = ()
    bits: tuple[int, ...] = BITS
    latency: float = 10.0
    energy: float = 15.0


DEVICES: dict[str, Sweep] = {
    "systolic-edge": Sweep(("rows", "columns")),
    "tpu-v1": Sweep(("rows", "columns")),
    "bismo-edge": Sweep(("dm", "dn")),
    "haq-cloud": Sweep(),
    "bitfusion": Sweep(),
    "gemmini-16x16": Sweep(("dim",)),
    "gemmini-like": Sweep(),
    "mesh-16x16": Sweep(("rows", "columns")),
    "sigma-256": Sweep(),
    "magma-256": Sweep(),
    "maeri-128": Sweep(),
    "fpga-ultra96": Sweep(("pf", "pc")),
    "nasa-chunked": Sweep(("conv_pes",)),
    "accelbench-spring": Sweep(("pof",)),
    "tpu-v4": Sweep(("tile_rows", "tile_columns")),
    "zcu102-dnndk": Sweep(),
    "nvidia-v100": Sweep(bits=TYPES),
}


def verify(_: Path) -> list[Check | NotRun]:
    """Latency and energy of every row of some networks at every size and bitwidth, relaxed beside exact."""
    return [found for name, sweep in DEVICES.items() for found in _checks(name, sweep)]


def _checks(name: str, sweep: Sweep) -> Iterator[Check]:
    relaxed, exact = (_costs(name, sweep, rounding) for rounding in (RELAXED, EXACT))
    for quantity, error in (("latency", sweep.latency), ("energy", sweep.energy)):
        if quantity in exact:
            largest = 100 * np.abs(relaxed[quantity] / exact[quantity] - 1).max()
            yield check(
                f"{name}: relaxed {quantity}",
                "",
                relaxed[quantity],
                exact[quantity],
                Bar(mape_percent=error, spearman=0.98),
                note=f"relaxed rounding beside exact: what a gradient costs; a row is off by {largest:.0f} % at most",
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
