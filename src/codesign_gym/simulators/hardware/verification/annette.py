"""The refined roofline against ANNETTE's formula with ANNETTE's own parameters, over a grid of layers.

ANNETTE's layer models are JSON files: a layer type's peak, bandwidth, bitwidths, and for convolutions the
steps and alphas of its unrolled dimensions. The formula here is written out one layer at a time, as
``estimation/layers/{conv,depthwiseconv,fc}.py`` of ANNETTE have it, independently of the batched model.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from codesign_gym.simulators.hardware import device
from codesign_gym.simulators.hardware.refined_roofline import ANNETTE, MONOTONE, RefinedRoofline
from codesign_gym.simulators.hardware.verification.check import Bar, Check, NotRun, TableAbsent, check, json_table
from codesign_gym.simulators.networks.layers import Op, network
from codesign_gym.simulators.networks.rows import Row

#: Devices that ship, and the layer models their numbers are from; the roofline without utilisation beside it.
TABLES = {
    "zcu102-dnndk": ("annette/layer__dnndk-ref_roofline.json", "annette/layer__dnndk-roofline.json"),
    "ncs2": ("annette/layer__ncs2-ref_roofline.json", "annette/layer__ncs2-roofline.json"),
}
#: Layer types of ANNETTE's that the formula covers.
KINDS = ("Conv", "DepthwiseConv", "FullyConnected")
#: The model's dimensions and the prefixes of their entries in a layer model.
DIMENSIONS = {"row": "h", "column": "w", "input": "c", "filter": "f"}
#: The model's rates and their entries.
RATES = {"ops_per_s": "op_s", "bytes_per_s": "bandwidth"}
#: The device whose parameters are all replaced by a layer model's.
FILLED = "zcu102-dnndk"
#: How a layer type is estimated, of what the formula covers.
ESTIMATES = ("roofline", "refined_roofline")
#: What a layer model has to say.
NEEDED = (*RATES.values(), "est_type")
#: ANNETTE's bitwidths where a layer model names none.
DEFAULT = {"bit_act": 8, "bit_weights": 8}
#: Sizes, input channels, filters, kernels and strides; a step below and above each of the devices'.
GRID = product((7, 14, 33, 65), (3, 16, 100), (8, 24, 64, 250), (1, 3), (1, 2))
LAYERS = tuple(GRID)


def verify(folder: Path) -> list[Check | NotRun]:
    """Milliseconds of convolutions, depthwise convolutions and fully connected layers, of any device's layer models."""
    present = [path.relative_to(folder).as_posix() for path in sorted(folder.glob("annette/layer__*.json"))]
    if not present:
        raise TableAbsent(f"{folder / 'annette'} has no layer model, layer__*.json")
    shipped = {table: name for name, tables in TABLES.items() for table in tables}
    return [
        found for table in dict.fromkeys([*shipped, *present]) for found in _of_file(folder, table, shipped.get(table))
    ]


def _of_file(folder: Path, table: str, shipped: str | None) -> Iterator[Check | NotRun]:
    """The checks of one file of layer models, by the id of the device they ship as or the file's own name."""
    name = shipped or Path(table).stem.removeprefix("layer__")
    try:
        entries = json_table(folder, table)
    except TableAbsent as absent:
        yield NotRun(f"{name}: layers, ms", table, str(absent))
        return
    if not entries.keys() & set(KINDS):
        yield NotRun(f"{name}: layers, ms", table, f"it has no layer model of {' or '.join(KINDS)}")
    learned = []
    for kind in (kind for kind in KINDS if kind in entries):
        told = entries[kind] if isinstance(entries[kind], dict) else {}
        if missing := [key for key in NEEDED if told.get(key) is None]:
            yield NotRun(f"{name}: {kind}, ms", table, f"its layer model has no {', '.join(missing)}")
        elif told["est_type"] not in ESTIMATES:
            learned.append(f"{kind} by {told['est_type']}")
        else:
            yield from _checks(name, table, told, kind)
    if learned:
        yield NotRun(f"{name}: {', '.join(learned)}", table, "ANNETTE's learned regressors are no part of its tables")


def _checks(name: str, table: str, entry: dict[str, Any], kind: str) -> list[Check | NotRun]:
    """ANNETTE's form beside its formula and, where the two forms are not the same, the monotone one that ships."""
    model = device.load(FILLED).model
    assert isinstance(model, RefinedRoofline)
    rows = [row(kind, *sizes) for sizes in LAYERS]
    layers = network(kind, rows, [str(index) for index in range(len(rows))]).layers
    widths = architecture(entry)
    bits = np.broadcast_to([widths["bit_weights"], widths["bit_act"]], (len(rows), 2))
    as_fitted = filled(model, entry)
    annette, monotone = (
        1e3 * replace(as_fitted, form=form).cost(layers, np.array(bits)).latency_s for form in (ANNETTE, MONOTONE)
    )
    theirs = np.array([estimate(kind, entry, *sizes) for sizes in LAYERS])
    quantity = f"{name}: {kind} by {entry['est_type']}"
    found: list[Check | NotRun] = [check(f"{quantity}, ms", table, annette, theirs, Bar(exact_share=1.0))]
    if kind == "Conv" and entry["est_type"] == "refined_roofline":
        note = "the form that ships, beside ANNETTE's: larger between their ridges, where ANNETTE's jumps"
        found.append(check(f"{quantity}, monotone, ms", table, monotone, theirs, Bar(), note=note))
    return found


def architecture(entry: dict[str, Any]) -> dict[str, float]:
    """Bitwidths, steps and alphas of a layer type."""
    told = {name: value for name, value in (entry.get("architecture") or {}).items() if value is not None}
    return DEFAULT | told


def row(kind: str, size: int, inputs: int, filters: int, kernel: int, stride: int) -> Row:
    """A row of the layer table; a fully connected layer reads ``inputs`` features."""
    if kind == "FullyConnected":
        return {"op": Op.LINEAR, "in_channels": inputs, "out_channels": filters}
    depthwise = kind == "DepthwiseConv"
    return {
        "op": Op.CONV,
        "in_channels": filters if depthwise else inputs,
        "out_channels": filters,
        "groups": filters if depthwise else 1,
        "kernel_height": kernel,
        "kernel_width": kernel,
        "stride": stride,
        "in_height": size * stride,
        "in_width": size * stride,
        "out_height": size,
        "out_width": size,
    }


def filled(model: RefinedRoofline, entry: dict[str, Any]) -> RefinedRoofline:
    """The model with a layer type's parameters, whatever its type."""
    refined = entry["est_type"] == "refined_roofline"
    values = architecture(entry) if refined else {}
    steps: dict[str, Any] = {f"{ours}_step": values.get(f"{theirs}_par", 1.0) for ours, theirs in DIMENSIONS.items()}
    alphas: dict[str, Any] = {
        f"{ours}_alpha": values.get(f"{theirs}_alpha", 0.0) for ours, theirs in DIMENSIONS.items()
    }
    rates = {f"{kind}{rate}": entry[key] for kind in ("", "dense_") for rate, key in RATES.items()}
    return replace(model, **steps, **alphas, **rates)


def estimate(kind: str, entry: dict[str, Any], size: int, inputs: int, filters: int, kernel: int, stride: int) -> float:
    """ANNETTE's milliseconds for a layer."""
    if kind == "FullyConnected":
        read, written, weights, ops = inputs, filters, inputs * filters, 2 * inputs * filters
    else:
        channels = filters if kind == "DepthwiseConv" else inputs
        weights = kernel**2 * (1 if kind == "DepthwiseConv" else inputs) * filters
        read, written, ops = size**2 * channels * stride**2, size**2 * filters, 2 * weights * size**2
    values = architecture(entry)
    moving = ((read + written) * values["bit_act"] + weights * values["bit_weights"]) / 8 / entry["bandwidth"]
    computing = ops / entry["op_s"]
    if kind == "Conv" and entry["est_type"] == "refined_roofline" and computing > moving:
        for prefix, unrolled in (("h", size), ("w", size), ("c", inputs), ("f", filters)):
            step = values.get(f"{prefix}_par", 1)
            used = unrolled / (ceil(unrolled / step) * step)
            alpha = values.get(f"{prefix}_alpha", 0)
            computing /= 1 / ((1 - alpha) + 1 / used * alpha)
    return float(1e3 * max(computing, moving))
