"""A machine whose constants are known, and measurements of it with noise."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import yaml
from pydantic import Field

from codesign_gym.simulators.hardware.calibration.data import SHAPE
from codesign_gym.simulators.hardware.model import Costs, Unit, weight_bytes
from codesign_gym.simulators.networks.layers import Layers, Op, network


@dataclass(frozen=True)
class Machine:
    """Arithmetic or traffic, whichever is slower, after a launch; energy per operation and per byte."""

    macs_per_s: Annotated[float, Unit("MAC/s"), Field(gt=0)]
    bytes_per_s: Annotated[float, Unit("B/s"), Field(gt=0)]
    launch_s: Annotated[float, Unit("s"), Field(ge=0)]
    share: Annotated[float, Unit("1"), Field(gt=0, le=1)]
    mac_j: Annotated[float, Unit("J/MAC"), Field(gt=0)]
    byte_j: Annotated[float, Unit("J/B"), Field(gt=0)]
    lanes: Annotated[int, Unit("1"), Field(gt=0)] = 1

    def cost(self, layers: Layers, bits: np.ndarray) -> Costs:
        weights = weight_bytes(layers, bits)
        moved = weights + (layers.in_elements + layers.out_elements) * bits[..., 1] / 8
        busy = np.maximum(layers.macs / (self.macs_per_s * self.share), moved / self.bytes_per_s)
        charged = layers.multiplies
        energy = layers.macs * self.mac_j + moved * self.byte_j
        return Costs(charged * (busy + self.launch_s), weights, charged * energy)


TRUTH = Machine(macs_per_s=8e9, bytes_per_s=2e9, launch_s=2e-5, share=1.0, mac_j=3e-12, byte_j=4e-11)

#: The device file: constants that are off by factors of 3 to 10, or 0.
START = {
    "macs_per_s": (1e9, "MAC/s", "guess"),
    "bytes_per_s": (6e9, "B/s", "guess"),
    "launch_s": (0.0, "s", "guess"),
    "share": (1.0, "1", "data sheet"),
    "mac_j": (1e-12, "J/MAC", "guess"),
    "byte_j": (4e-10, "J/B", "guess"),
}


def device_file(folder: Path) -> Path:
    path = folder / "machine.yaml"
    content = {
        "title": "a machine",
        "model": f"{__name__}:Machine",
        "batch": 1,
        "max_bits": 32,
        "sources": {"guess": "Assumed.", "data sheet": "The maker's data sheet"},
        "parameters": {name: dict(zip(("value", "unit", "source"), row, strict=True)) for name, row in START.items()},
    }
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def drawn(rows: int, seed: int = 0) -> tuple[Layers, np.ndarray]:
    """Layers of many sizes, columns of shape (rows,), and bits of shape (rows, 2)."""
    random = np.random.default_rng(seed)
    table = []
    for row in range(rows):
        inputs, outputs = (int(n) for n in random.choice([8, 32, 128, 512], 2))
        if row % 4 == 3:
            table.append({"op": Op.LINEAR, "in_channels": 4 * inputs, "out_channels": 4 * outputs})
            continue
        size, kernel = int(random.choice([7, 14, 28, 56])), int(random.choice([1, 3, 5]))
        sizes = dict.fromkeys(("in_height", "in_width", "out_height", "out_width"), size)
        kernels = {"kernel_height": kernel, "kernel_width": kernel}
        table.append({"op": Op.CONV, "in_channels": inputs, "out_channels": outputs, **kernels, **sizes})
    layers = network("drawn", table, [f"row {i}" for i in range(rows)]).layers
    return layers, random.choice([8, 16], (rows, 2))


def layer_file(path: Path, rows: int = 60, noise: float = 0.05, seed: int = 0) -> Path:
    """What :data:`TRUTH` would be measured at, with log-normal noise."""
    layers, bits = drawn(rows, seed)
    costs = TRUTH.cost(layers, bits)
    factor = np.exp(np.random.default_rng(seed + 1).normal(0, noise, (2, rows)))
    columns = {name: getattr(layers, name) for name in SHAPE}
    columns |= {"weight_bits": bits[:, 0], "activation_bits": bits[:, 1]}
    columns |= {"latency_us": 1e6 * costs.latency_s * factor[0], "energy_mJ": 1e3 * costs.energy_j * factor[1]}
    return table_file(path, columns)


def table_file(path: Path, columns: dict[str, object]) -> Path:
    """A CSV of columns of equal length."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return path
