"""A lower bound on the energy of anything that controls a device and misses nothing, with foresight of every request.

Foresight knows when requests come and which image each brings. The bound is that of a relaxed problem, solved by
dynamic programming over intervals and requests done so far; every relaxation can only lower the energy:

- the device stays at the air's temperature, at which leakage is least; changes of clocks are free and take no time;
- without work it is in the idle state that draws least, from which it wakes at once;
- each request leaves by the exit of the lowest threshold offered, the earliest that any threshold allows;
- a request may be served from the start of the interval in which it comes to the end of that in which it is due;
- requests are divisible into parts, and what is done is counted in whole parts, rounded down: an interval pays for a
  part less than it does.

What is kept: requests are served in their order, clocks are fixed within an interval, and an interval has no more time
than it has.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from codesign_gym.envs.dvfs.core import DvfsCore
from codesign_gym.envs.dvfs.state import DvfsState
from codesign_gym.errors import BadConfig

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Parts of a request.
PARTS = 4


def least_energy_j(core: DvfsCore, state: DvfsState) -> Floats:
    """The bound for each episode of a batch, shape (batch,); infinite where something must be missed.

    Args:
        core: the environment; its capacitances must not be randomised.
        state: whose arrivals and samples count, over the whole horizon.
    """
    if core.randomised.capacitance:
        raise BadConfig("capacitance is randomised; accepted: 0, for which the bound is known")
    leaves = core.tables.workload.leaves[:, 0]
    return np.array(
        [
            _episode(core, _Prices.of(core, float(ambient_c)), arrival_s, leaves[sample])
            for ambient_c, arrival_s, sample in zip(state.ambient_c, state.arrival_s, state.sample, strict=True)
        ]
    )


@dataclass(frozen=True, eq=False)
class _Prices:
    """What the settings cost that no other beats in everything."""

    idle_j: Floats  # (settings,) of an interval in which nothing is done
    busy_j: Floats  # (settings, exits) of a request, beyond that
    seconds: Floats  # (settings, exits) of a request

    @classmethod
    def of(cls, core: DvfsCore, ambient_c: float) -> _Prices:
        tables, soc = core.tables, core.tables.soc
        states = np.arange(len(soc.idle_states))[:, None]
        idle_w = soc.power_w(tables.settings, np.zeros(len(soc.steps)), ambient_c, states).sum(-1).min(0)
        busy_w = soc.power_w(tables.settings[:, None], tables.activity, ambient_c).sum(-1)
        seconds, busy_j = tables.latency_s, (busy_w - idle_w[:, None]) * tables.latency_s
        kept = _unbeaten(np.concatenate([idle_w[:, None], busy_j, seconds], -1))
        return cls(idle_w[kept] * core.interval_s, busy_j[kept], seconds[kept])


def _unbeaten(costs: Floats) -> Ints:
    """Rows (settings, costs) that no other row is at most as high as in every column."""
    rows, where = np.unique(costs, axis=0, return_index=True)
    beaten = [((rows <= row).all(-1) & (rows < row).any(-1)).any() for row in rows]
    return np.asarray(where[~np.array(beaten)])


def _episode(core: DvfsCore, prices: _Prices, arrival_s: Floats, leaving: Ints) -> float:
    """The dynamic programme; its states are parts of requests done since the start."""
    ends_s = np.arange(1, core.horizon + 1) * core.interval_s
    come = np.searchsorted(arrival_s, ends_s, side="right") * PARTS
    # What is due within an interval may be done until its end; what is due after the horizon may stay.
    due = np.searchsorted(arrival_s + core.deadline_s + core.interval_s, ends_s, side="right") * PARTS
    exits = np.repeat(leaving[: come[-1] // PARTS], PARTS)
    cost = _interval_j(core, prices, exits)  # (done before + 1, parts paid for)
    first, value = 0, np.zeros(1)
    for low, high in zip(due, come, strict=True):
        grown = np.full(high - low + 1, np.inf)
        for more in range(min(cost.shape[1] + 1, high - first + 1)):
            # From k to k + more parts: the first of them may have been begun before, and is not paid for.
            begin, end = max(first, low - more), min(first + len(value), high - more + 1)
            if begin >= end:
                continue
            paid = cost[np.minimum(np.arange(begin, end) + (more > 0), len(cost) - 1), max(more - 1, 0)]
            reached = slice(begin + more - low, end + more - low)
            grown[reached] = np.minimum(grown[reached], value[begin - first : end - first] + paid)
        first, value = int(low), grown
    return float(value.min())


def _interval_j(core: DvfsCore, prices: _Prices, exits: Ints) -> Floats:
    """Least energy of an interval that does ``m`` parts after the first ``k``, shape (parts + 1, most + 1)."""
    count = len(exits)
    seconds = np.concatenate([np.zeros((len(prices.idle_j), 1)), (prices.seconds[:, exits] / PARTS).cumsum(-1)], -1)
    busy_j = np.concatenate([np.zeros((len(prices.idle_j), 1)), (prices.busy_j[:, exits] / PARTS).cumsum(-1)], -1)
    room = [
        np.searchsorted(row, row + core.interval_s * (1 + 1e-9), side="right") - 1 - np.arange(count + 1)
        for row in seconds
    ]
    most = int(max(row.max() for row in room))
    least = np.full((count + 1, most + 1), np.inf)
    for idle_j, energy, fits in zip(prices.idle_j, busy_j, room, strict=True):
        for parts in range(most + 1):
            able = fits[: count + 1 - parts] >= parts
            added = idle_j + energy[parts:] - energy[: count + 1 - parts]
            column = least[: count + 1 - parts, parts]
            np.minimum(column, np.where(able, added, np.inf), out=column)
    return least
