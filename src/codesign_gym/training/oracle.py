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

from dataclasses import dataclass, replace
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray

from codesign_gym.compiling import compiled
from codesign_gym.envs.dvfs.core import DvfsCore
from codesign_gym.envs.dvfs.state import DvfsState

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Parts of a request.
PARTS = 4


def least_energy_j(core: DvfsCore, state: DvfsState) -> Floats:
    """The bound for each episode of a batch, shape (batch,); infinite where something must be missed.

    Args:
        core: the environment.
        state: whose arrivals, samples, air and capacitances count, over the whole horizon.
    """
    leaves, kept = core.tables.workload.leaves[:, 0], lru_cache(maxsize=1)(partial(_Prices.of, core))
    rows = zip(state.ambient_c, state.scale, state.arrival_s, state.sample, strict=True)
    return np.array(
        [
            _episode(core, kept(float(ambient_c), tuple(scale.tolist())), arrival_s, leaves[sample])
            for ambient_c, scale, arrival_s, sample in rows
        ]
    )


@dataclass(frozen=True, eq=False)
class _Prices:
    """What the settings cost that no other beats in everything."""

    idle_j: Floats  # (settings,) of an interval in which nothing is done
    busy_j: Floats  # (settings, exits) of a request, beyond that
    seconds: Floats  # (settings, exits) of a request

    @classmethod
    def of(cls, core: DvfsCore, ambient_c: float, scale: tuple[float, ...]) -> _Prices:
        """At a temperature of the air, with every domain's capacitance ``scale`` times the device file's."""
        tables = core.tables
        domains = zip(tables.soc.domains, scale, strict=True)
        soc = replace(
            tables.soc,
            domains=tuple(replace(domain, capacitance_f=domain.capacitance_f * times) for domain, times in domains),
        )
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
    none = np.zeros((len(prices.idle_j), 1))
    seconds, busy_j = (
        np.concatenate([none, (each[:, exits] / PARTS).cumsum(-1)], -1) for each in (prices.seconds, prices.busy_j)
    )
    cost = _interval_j(prices.idle_j, busy_j, seconds, core.interval_s * (1 + 1e-9))
    return _least_j(cost, due, come)


@compiled
def _interval_j(idle_j: Floats, busy_j: Floats, seconds: Floats, interval_s: float) -> Floats:
    """Least energy of an interval that does ``m`` parts after the first ``k``, shape (parts + 1, most + 1).

    Args:
        idle_j: (settings,).
        busy_j: (settings, parts + 1) summed over the parts before.
        seconds: (settings, parts + 1) summed likewise.
        interval_s: the time there is.
    """
    settings, ends = seconds.shape
    fits = np.zeros((settings, ends), dtype=np.int64)  # parts that an interval has time for after the first k
    for setting in range(settings):
        last = 0
        for first in range(ends):
            while last + 1 < ends and seconds[setting, last + 1] <= seconds[setting, first] + interval_s:
                last += 1
            fits[setting, first] = last - first
    least = np.full((ends, fits.max() + 1), np.inf)
    for setting in range(settings):
        for first in range(ends):
            for parts in range(fits[setting, first] + 1):
                energy_j = idle_j[setting] + busy_j[setting, first + parts] - busy_j[setting, first]
                least[first, parts] = min(least[first, parts], energy_j)
    return least


@compiled
def _least_j(cost: Floats, due: Ints, come: Ints) -> float:
    """Least energy of an episode in which after each interval at least ``due`` and at most ``come`` parts are done.

    Args:
        cost: (done before + 1, parts paid for + 1).
        due: (intervals,).
        come: (intervals,).
    """
    first, value = 0, np.zeros(1)
    for interval in range(len(due)):
        low, high = due[interval], come[interval]
        grown = np.full(high - low + 1, np.inf)
        for before in range(len(value)):
            done = first + before
            for after in range(max(low, done), min(high, done + cost.shape[1]) + 1):
                # The first of the parts may have been begun before, and is not paid for.
                more = after - done
                paid = cost[min(done + (more > 0), len(cost) - 1), max(more - 1, 0)]
                grown[after - low] = min(grown[after - low], value[before] + paid)
        first, value = low, grown
    return float(value.min())
