"""What a user asks for, in numbers: budgets, or an accuracy floor and the cost to minimise."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from codesign_gym.errors import BadConfig, UnknownName

#: Names of costs on the command line and in environment options, and their metrics.
COSTS = {"latency": "latency_s", "energy": "energy_j", "size": "size_bytes"}

#: Factors to the metric's unit.
UNITS = {
    "latency_s": {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9},
    "energy_j": {"J": 1.0, "mJ": 1e-3, "uJ": 1e-6, "nJ": 1e-9},
    "size_bytes": {"B": 1.0, "kB": 1e3, "MB": 1e6, "KiB": 1024.0, "MiB": 1024.0**2},
}


def cost_metric(name: str) -> str:
    """The metric of a cost's name; raises :class:`UnknownName`."""
    if name not in COSTS:
        raise UnknownName("cost", name, COSTS)
    return COSTS[name]


def limits(budget: Mapping[str, float | str], full: Mapping[str, float]) -> dict[str, float]:
    """Budgets as limits in the metrics' units.

    Args:
        budget: cost name to a share of the full cost (``0.6``) or to an
            amount with its unit (``"3.5 ms"``).
        full: metric to the cost that shares are of: at the highest bitwidth everywhere, or of the dearest operators.

    Raises:
        UnknownName: for a cost that does not exist.
        BadConfig: for a cost that the device has no source for, or a value that is not positive.
    """
    found = {}
    for name, value in budget.items():
        metric = cost_metric(name)
        if metric not in full:
            raise BadConfig(f"budget {name!r}: this device's model has no source for {metric}")
        found[metric] = _amount(name, value, metric, full[metric])
    return found


def _amount(name: str, value: float | str, metric: str, full: float) -> float:
    match = re.fullmatch(r"\s*([-+.\deE]+?)\s*([A-Za-z]*)\s*", str(value))
    try:
        number = float(match.group(1)) if match else math.nan
    except ValueError:
        number = math.nan
    unit = match.group(2) if match else ""
    if not (math.isfinite(number) and number > 0) or (unit and unit not in UNITS[metric]):
        accepted = ", ".join(UNITS[metric])
        raise BadConfig(
            f"budget {name}={value!r}: accepted: a share of the full cost such as 0.6, "
            f"or a positive amount in {accepted}"
        )
    return number * (UNITS[metric][unit] if unit else full)
