"""What a user asks for, in numbers: budgets, the cost to minimise, and further objectives with their weights."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from codesign_gym.envs.core.arguments import amount
from codesign_gym.envs.core.problem import Objective
from codesign_gym.errors import BadConfig, UnknownName

#: Names of costs on the command line and in environment options, and their metrics.
COSTS = {"latency": "latency_s", "energy": "energy_j", "size": "size_bytes"}
#: The same of what only hardware that is chosen has.
NAMES = COSTS | {"area": "area_mm2"}

#: By the unit that a metric's name ends in: units of amounts, and their factors to it.
UNITS = {
    "s": {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9},
    "j": {"J": 1.0, "mJ": 1e-3, "uJ": 1e-6, "nJ": 1e-9},
    "bytes": {"B": 1.0, "kB": 1e3, "MB": 1e6, "KiB": 1024.0, "MiB": 1024.0**2},
    "mm2": {"cm2": 100.0, "mm2": 1.0, "um2": 1e-6},
}

#: What a user types: a name to a share, an amount, or an amount with its unit. :func:`limits` looks at the values.
Budget = Mapping[str, Any]


def metric_of(kind: str, name: str, metrics: Iterable[str], source: str) -> str:
    """The metric that a cost's name (``latency``) or its own (``latency_s``) stands for, among those there are.

    Args:
        kind: what is named, for the message.
        name: of a cost or a metric.
        metrics: those there are.
        source: who would have to tell a cost that is not among them, and does not, for the message.

    Raises:
        UnknownName: with the nearest name.
        BadConfig: for a cost that nothing tells.
    """
    known = list(metrics)
    metric = NAMES.get(name, name)
    if metric in known:
        return metric
    if metric in COSTS.values():
        raise BadConfig(f"{kind} {name!r}: {source} {metric}")
    raise UnknownName(kind, name, [*(cost for cost, own in NAMES.items() if own in known), *known])


def limits(budget: Budget, full: Mapping[str, float], source: str) -> dict[str, float]:
    """Budgets as limits in the metrics' units.

    Args:
        budget: a cost's name to a share of the full cost (``0.6``) or to an amount with its unit (``"3.5 ms"``); or a
            metric's name to an amount, in its unit or with one.
        full: metric to the cost that shares are of: at the highest bitwidth everywhere, of the dearest operators, or
            of the device's own design.
        source: as in :func:`metric_of`.

    Raises:
        UnknownName: for what is neither a cost nor a metric.
        BadConfig: for a cost that nothing tells or that is bounded twice, or a value that is not positive.
    """
    found: dict[str, float] = {}
    for name, value in budget.items():
        metric = metric_of("budget", name, full, source)
        if metric in found:
            raise BadConfig(f"budget names {metric} twice; accepted: once")
        found[metric] = _limit(name, value, metric, full[metric])
    return found


def shares(full: Mapping[str, float]) -> dict[str, Objective]:
    """By metric, a cost as the share of its full amount that is saved; reference points are at the full amount.

    What costs nothing in full has no shares.
    """
    return {metric: Objective(metric, -1.0 / cost, cost, worst=cost) for metric, cost in full.items() if cost > 0}


def objectives(
    first: Objective, weights: Mapping[str, float], terms: Mapping[str, Objective], source: str
) -> tuple[Objective, ...]:
    """The first objective, and those that a user names beside it.

    Args:
        first: what there is without being asked for.
        weights: name of a cost or a metric, as in :func:`metric_of`, to its weight.
        terms: metric to its objective at a weight of 1, as :func:`shares` makes them.
        source: as in :func:`metric_of`.

    Raises:
        UnknownName: for what is neither a cost nor a metric.
        BadConfig: for a cost that nothing tells, a weight that is not positive, or a metric that is there already, as
            rewards are named by metrics.
    """
    found = {first.metric: first}
    for name, weight in weights.items():
        term = terms[metric_of("objective", name, terms, source)]
        if term.metric in found:
            raise BadConfig(f"objective {name!r}: {term.metric} is an objective already; accepted: each metric once")
        found[term.metric] = replace(term, weight=amount(f"weight of objective {name!r}", weight) * term.weight)
    return tuple(found.values())


def _limit(name: str, value: object, metric: str, full: float) -> float:
    """A bound in the metric's unit: shares are of the full cost."""
    units = UNITS.get(metric.rpartition("_")[2], {})
    of_cost = name in NAMES
    share = "a share of the full cost such as 0.6" if of_cost else "a positive number"
    accepted = f"{share}, or a positive amount in {', '.join(units)}, such as '5 {list(units)[1]}'" if units else share
    field = f"budget {name!r}"
    if not isinstance(value, str):
        return amount(field, value, accepted) * (full if of_cost else 1.0)
    match = re.fullmatch(r"\s*([-+.\deE]+?)\s*([A-Za-z]+2?)\s*", value)
    try:
        number = float(match.group(1)) if match else None
    except ValueError:
        number = None
    if match is None or number is None or match.group(2) not in units or not number > 0 or math.isinf(number):
        raise BadConfig(f"{field} is {value!r}; accepted: {accepted}")
    return number * units[match.group(2)]
