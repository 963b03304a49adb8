"""Relaxed rounding against exact: what gradients are taken through, beside what is reported.

No table: both sides are the project's own, over rows of the networks that ship and array sizes in
powers of two, where a relaxed ceiling is right for extents that are multiples and low for others.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codesign_gym.simulators.hardware import device
from codesign_gym.simulators.hardware.rounding import EXACT, RELAXED, Rounding
from codesign_gym.simulators.hardware.verification.check import Bar, Check, NotRun, check
from codesign_gym.simulators.networks import load

NETWORKS = ("resnet18", "resnet50", "mobilenetv2")
SIZES = (8, 16, 32, 64, 128)
BITS = (2, 4, 8)

#: Device to the sizes of its model that are swept together, and the accepted mean error in percent.
DEVICES: dict[str, tuple[tuple[str, ...], float]] = {
    "systolic-edge": (("rows", "columns"), 10.0),
    "tpu-v1": (("rows", "columns"), 10.0),
    "bismo-edge": (("dm", "dn"), 10.0),
    "haq-cloud": ((), 10.0),
}


def verify(_: Path) -> list[Check | NotRun]:
    """Latency of every row of some networks at every size and bitwidth, relaxed beside exact."""
    return [
        check(
            f"{name}: relaxed latency",
            "",
            _latencies(name, sizes, RELAXED),
            _latencies(name, sizes, EXACT),
            Bar(mape_percent=error, spearman=0.98),
            note="relaxed rounding beside exact: what a gradient costs",
        )
        for name, (sizes, error) in DEVICES.items()
    ]


def _latencies(name: str, sizes: tuple[str, ...], rounding: Rounding) -> NDArray[np.float64]:
    found = device.load(name)
    model: Any = replace(found.model, **{size: np.array(SIZES)[:, None, None] for size in sizes})  # type: ignore[type-var]
    latencies = []
    for network in NETWORKS:
        layers = load(network).weighted().layers.with_batch(found.batch)
        bits = np.broadcast_to(np.array(BITS)[:, None, None], (len(BITS), len(layers.op), 2))
        latencies.append(np.ravel(model.cost(layers, bits, rounding).latency_s))
    return np.concatenate(latencies)
