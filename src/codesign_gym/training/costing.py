"""Per-layer costs of a network on a device, without any learning."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from codesign_gym.errors import BadConfig
from codesign_gym.simulators.hardware import device as devices
from codesign_gym.simulators.networks import load


def layer_costs(
    network: str, device: str, bits: str, input_shape: str | None = None
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Rows of layer, bits, MACs, latency, energy and weight bytes, and their total.

    Args:
        network: id, file or reference.
        device: id or file.
        bits: see :func:`parse_bits`.
        input_shape: ``"3,224,224"``, for a torch module that nothing else tells it of.

    Raises:
        CodesignError: naming what is wrong with any of them.
    """
    shape = None if input_shape is None else _numbers(input_shape, "input shape")
    layers = load(network, shape).weighted()
    target = devices.load(device)
    chosen = parse_bits(bits, len(layers))
    costs = target.cost(layers.layers, chosen)
    columns = {"latency_s": costs.latency_s, "energy_j": costs.energy_j, "size_bytes": costs.size_bytes}
    known = {name: np.asarray(column) for name, column in columns.items() if column is not None}
    macs = np.asarray(layers.layers.with_batch(target.batch).macs)
    rows = [
        {
            "layer": name or "(network)",
            "bits": f"{chosen[i, 0]}/{chosen[i, 1]}",
            "macs": int(macs[i]),
            **{metric: float(column[i]) for metric, column in known.items()},
        }
        for i, name in enumerate(layers.layer_names)
    ]
    return rows, {"macs": int(macs.sum()), **{metric: float(column.sum()) for metric, column in known.items()}}


def parse_bits(text: str, layers: int) -> NDArray[np.int64]:
    """Bitwidths of shape (layers, 2) from ``"8"``, ``"4,8"`` (weights, activations) or a pair per layer.

    Raises:
        BadConfig: if it is none of these.
    """
    groups = [_numbers(group, "bits") for group in text.split(";")]
    pairs = [group * 2 if len(group) == 1 else group for group in groups]
    if any(len(pair) != 2 for pair in pairs) or len(pairs) not in (1, layers):
        raise BadConfig(
            f"bits {text!r}: accepted: one bitwidth, 'weights,activations', or {layers} such pairs joined by ';' "
            f"(got {len(pairs)})"
        )
    return np.array(pairs * (layers if len(pairs) == 1 else 1), dtype=np.int64)


def _numbers(text: str, what: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise BadConfig(f"{what} {text!r}: accepted: whole numbers joined by commas") from error
