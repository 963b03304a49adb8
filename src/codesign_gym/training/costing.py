"""Per-layer costs of a network on a device, without any learning."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from codesign_gym.errors import BadConfig
from codesign_gym.simulators.hardware import device as devices
from codesign_gym.simulators.hardware.device import Device
from codesign_gym.simulators.hardware.model import Costs
from codesign_gym.simulators.networks import load
from codesign_gym.simulators.networks.layers import Network
from codesign_gym.simulators.networks.onnx_import import InputShapes


def layer_costs(
    network: str, device: str, bits: str | None = None, input_shape: InputShapes | None = None
) -> tuple[list[dict[str, Any]], dict[str, Any], list[str]]:
    """Rows of layer, bits, MACs, latency, energy and weight bytes; their total; and lines on what to doubt.

    Rows without weights are there where the device charges for them; their bitwidths are those of the
    layer with weights before them. Lines name the layers beyond what the device was calibrated on.

    Args:
        network: id, file or reference.
        device: id or file.
        bits: see :func:`parse_bits`; by default the highest bitwidth of the device, everywhere.
        input_shape: as :func:`~codesign_gym.simulators.networks.load` takes it.

    Raises:
        CodesignError: naming what is wrong with any of them.
    """
    table = load(network, input_shape)
    target = devices.load(device)
    weighted = np.asarray(table.layers.weighted)
    chosen = bits_of_rows(bits, target, table)
    costs = target.cost(table.layers, chosen)
    columns = {"latency_s": costs.latency_s, "energy_j": costs.energy_j, "size_bytes": costs.size_bytes}
    known = {name: np.asarray(column) for name, column in columns.items() if column is not None}
    macs = np.asarray(table.layers.with_batch(target.batch).macs)
    charged = weighted | (known["latency_s"] > 0)
    rows = [
        {
            "layer": table.layer_names[i] or "(network)",
            "bits": f"{chosen[i, 0]}/{chosen[i, 1]}",
            "macs": int(macs[i]),
            **{metric: float(column[i]) for metric, column in known.items()},
        }
        for i in np.flatnonzero(charged)
    ]
    beyond: dict[str, list[str]] = {}
    for i, what in target.extrapolated(table.layers, chosen):
        if charged[i]:
            beyond.setdefault(what, []).append(table.layer_names[i] or "(network)")
    doubts = [f"layer {_few(names)}: {what}" for what, names in beyond.items()]
    total = {"macs": int(macs.sum()), **{metric: float(column.sum()) for metric, column in known.items()}}
    return rows, {**total, **_further(costs)}, doubts


def _further(costs: Costs) -> dict[str, float]:
    """Totals of what else a model knows, and what the hardware takes."""
    found = {name: float(np.asarray(column).sum()) for name, column in costs.detail.items()}
    if costs.area_mm2 is not None:
        found["area_mm2"] = float(np.asarray(costs.area_mm2).max())
    return {**found, **{name: float(np.asarray(amount).max()) for name, amount in costs.resources.items()}}


def bits_of_rows(text: str | None, device: Device, network: Network) -> NDArray[np.int64]:
    """Bitwidths of shape (rows, 2): those of :func:`parse_bits`, or the device's highest where there is no text.

    Rows without weights have those of the layer with weights before them.
    """
    weighted = np.asarray(network.layers.weighted)
    parsed = parse_bits(text or str(device.max_bits), max(1, int(weighted.sum())))
    return np.asarray(parsed[np.maximum(np.cumsum(weighted) - 1, 0)])


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def parse_bits(text: str, layers: int) -> NDArray[np.int64]:
    """Bitwidths of shape (layers, 2) from ``"8"``, ``"4,8"`` (weights, activations) or a pair per layer.

    Raises:
        BadConfig: if it is none of these.
    """
    try:
        groups = [tuple(int(bit) for bit in group.split(",")) for group in text.split(";")]
    except ValueError as error:
        raise BadConfig(f"bits {text!r}: accepted: whole numbers joined by commas") from error
    pairs = [group * 2 if len(group) == 1 else group for group in groups]
    if any(len(pair) != 2 for pair in pairs) or len(pairs) not in (1, layers):
        raise BadConfig(
            f"bits {text!r}: accepted: one bitwidth, 'weights,activations', or {layers} such pairs joined by ';' "
            f"(got {len(pairs)})"
        )
    return np.array(pairs * (layers if len(pairs) == 1 else 1), dtype=np.int64)
