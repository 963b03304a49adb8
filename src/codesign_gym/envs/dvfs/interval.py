"""One control interval of every device of a batch, one device after another, in compiled loops.

They stand in one file, as numba tells by a file's date whether what it keeps on disk is out of date. They unpack tuples
first, and take whole arrays and a device's number: to look an array up in a tuple, or to slice it, costs more than what
is then done with it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from codesign_gym.compiling import compiled
from codesign_gym.envs.dvfs.device import Chip, Duty, Power
from codesign_gym.envs.dvfs.state import DvfsState

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Share of the past in running means over intervals.
MEMORY = 0.8

#: What no interval changes.
DRAWN = ("arrival_s", "sample", "ambient_c", "scale", "arrived_by", "trace")


def advance(chip: Chip, power: Power, duty: Duty, state: DvfsState, wanted: Ints) -> tuple[DvfsState, Ints]:
    """The states one interval later, and the requests that left by each exit, (batch, exits).

    Args:
        chip: the device.
        power: what it takes.
        duty: its workload.
        state: none of them at its end; rows in one piece each.
        wanted: (batch, domains + 1) clocks and threshold asked for.
    """
    later = {name: value if name in DRAWN else value.copy() for name, value in vars(state).items()}
    by_exit = np.zeros(state.recent.shape, dtype=np.int64)
    _advance(chip, power, duty, tuple(later.values()), wanted, by_exit)
    return DvfsState(**later), by_exit


@compiled
def idle_state(residency_s: Floats, gap_s: float, demand: float) -> int:
    """The idle state that a device enters whenever it is out of work.

    It is the deepest one that is worth while over the gap that is to be expected between requests, as the kernel's
    menu governor decides by a prediction. Expected is the idle time of the last interval over the running mean of the
    requests that come.

    Args:
        residency_s: (idle states,) the least gap that each is worth while over, ascending.
        gap_s: idle time of the last interval.
        demand: that running mean.
    """
    depth = 0
    for state in range(1, len(residency_s)):
        depth += gap_s >= demand * residency_s[state]
    return depth


@compiled
def serve(
    duty: Duty,
    requests: Any,
    d: int,
    line: Any,
    start_s: float,
    begin_s: float,
    wake_s: float,
    busy_s: Floats,
    by_exit: Ints,
) -> tuple[int, float, int, int, int, int]:
    """Serve a device's line to the interval's end.

    One server, first come first served. Clocks and threshold are fixed, so a request's time is known when it starts:
    it begins when it is ready and the one before it has ended (Lindley, 1952).

    Args:
        duty: what requests take.
        requests: when they come, and what they bring, (batch, requests + 1) each.
        d: the device.
        line: number of the setting, position of the threshold, requests that come before the interval's end, and head,
            left, running and answer of :class:`DvfsState`.
        start_s: of the interval.
        begin_s: from that until clocks have changed.
        wake_s: from a request's arrival until it is ready.
        busy_s: (exits,) to which the time in service is added.
        by_exit: (batch, exits) to which the requests answered are added.

    Returns:
        Head, left, running and answer at the end, and how many were answered late and how many rightly.
    """
    latency_s, _, answers, interval_s, deadline_s, _ = duty
    arrival_s, sample = requests
    setting, level, arrived, head, left, running, answer = line
    exits, late, correct = len(busy_s), 0, 0
    while True:
        if left == 0:
            if head == arrived:
                break
            begin_s = max(begin_s, arrival_s[d, head] - start_s + wake_s)
            if begin_s >= interval_s:
                break
            running, head, left = head, head + 1, 1.0
            answer = answers[level, sample[d, running]]
        leaves = answer % exits
        seconds = latency_s[setting, leaves]
        end_s = begin_s + left * seconds
        busy_s[leaves] += min(end_s, interval_s) - begin_s
        if end_s > interval_s:
            left = (end_s - interval_s) / seconds
            break
        by_exit[d, leaves] += 1
        correct += answer // exits
        late += start_s + end_s - arrival_s[d, running] > deadline_s
        begin_s, left = end_s, 0.0
    return head, left, running, answer, late, correct


@compiled
def spend(
    power: Power,
    interval_s: float,
    setting: int,
    scale: Floats,
    d: int,
    activity: Floats,
    depth: int,
    asleep: float,
    temperatures_c: tuple[float, float, float],
    spent_j: Floats,
) -> tuple[float, float]:
    """Energy and heat of an interval without changes of clocks.

    They are those of its mean activity, exact for the linear thermal network, as those of :meth:`Soc.advance`. What
    idle states spare on average is counted at the temperature of the interval's start.

    Args:
        power: the device's, tabulated for this interval.
        interval_s: its length.
        setting: the clocks' number.
        scale: (batch, domains) capacitance relative to the device file's.
        d: the device.
        activity: (domains,) busy share of each.
        depth: the idle state.
        asleep: share of the interval in it.
        temperatures_c: of junction, case and air at the start.
        spent_j: (rails,) into which goes the energy.

    Returns:
        Temperatures of junction and case at the end, no lower than the coldest before, whatever is rounded.
    """
    idle_w, busy_w, slope_w_per_k, spared_w, spared_w_per_k, clock_tree, shares, response, air_w_per_k, rest_w, rest = (
        power
    )
    domains = len(activity)
    junction_c, case_c, ambient_c = temperatures_c
    junction_w, case_w = 0.0, ambient_c * air_w_per_k + rest_w
    for i in range(domains):
        # The file's capacitance switches as i + (1 - i) u; an episode's is larger or smaller as a whole.
        switching = scale[d, i] * activity[i] + (scale[d, i] - 1) * clock_tree[i]
        asleep_w = asleep * (spared_w[depth, setting, i] + spared_w_per_k[depth, setting, i] * junction_c)
        domain_w = idle_w[setting, i] + busy_w[setting, i] * switching - asleep_w
        junction_w += domain_w * shares[0, i]
        case_w += domain_w * shares[1, i]
        spent_j[i] = domain_w * interval_s

    junction_k, case_k, area_k_s = 0.0, 0.0, 0.0
    for k, value in enumerate((junction_c, case_c, junction_w, case_w)):
        junction_k += response[setting, k, 0] * value
        case_k += response[setting, k, 1] * value
        area_k_s += response[setting, k, 2] * value

    spent_j[domains] = 0.0
    for i in range(domains):
        spent_j[i] += slope_w_per_k[setting, i] * area_k_s
        spent_j[domains] += spent_j[i]
    spent_j[domains] = rest * spent_j[domains] + rest_w * interval_s
    coldest = min(junction_c, case_c, ambient_c)
    return max(junction_c + junction_k, coldest), max(case_c + case_k, coldest)


@compiled
def _advance(chip: Chip, power: Power, duty: Duty, state: Any, wanted: Ints, by_exit: Ints) -> None:
    """Turns the state into the next one, and counts requests by exit."""
    caps, strides, busiest, transition_s, transition_j, residency_s, waking_s, engage_c, release_c = chip
    _, activities, _, interval_s, _, capacity = duty
    arrival_s, sample, ambient_c, scale, arrived_by, step, arrived, came, head, left, running, answer = state[:12]
    index, level, temperature_c, throttled, peak_c, energy_j, power_w, utilisation, demand, recent = state[12:22]
    asleep, served, late, correct, dropped, waiting, throttling, _ = state[22:]
    domains, exits = index.shape[1], by_exit.shape[1]
    busy_s, activity, spent_j, changing_j = np.empty(exits), np.empty(domains), np.empty(domains + 1), np.empty(domains)
    for d in range(len(wanted)):
        setting, stall_s = 0, 0.0
        for i in range(domains):
            clock = min(wanted[d, i], caps[i]) if throttled[d] else wanted[d, i]
            changed = clock != index[d, i]
            stall_s += changed * transition_s[i]
            changing_j[i] = changed * transition_j[i]
            setting += clock * strides[i]
            index[d, i] = clock
        level[d] = wanted[d, domains]
        depth = idle_state(residency_s, max(1 - utilisation[d, busiest], 0.0) * interval_s, demand[d])
        wake_s = waking_s[depth]

        came[d] = arrived_by[d, step[d] + 1] - arrived[d]
        arrived[d] += came[d]
        busy_s[:] = 0
        line = setting, level[d], arrived[d], head[d], left[d], running[d], answer[d]
        begun, left[d], running[d], answer[d], lately, rightly = serve(
            duty, (arrival_s, sample), d, line, step[d] * interval_s, stall_s, wake_s, busy_s, by_exit
        )
        head[d] = max(begun, arrived[d] - capacity)

        busy = busy_s.sum() / interval_s
        activity[:] = 0
        for leaves in range(exits):
            for i in range(domains):
                activity[i] += busy_s[leaves] / interval_s * activities[setting, leaves, i]
        asleep[d] = max(1 - busy - (stall_s + wake_s * came[d]) / interval_s, 0.0)
        temperatures_c = temperature_c[d, 0], temperature_c[d, 1], ambient_c[d]
        temperature_c[d, 0], temperature_c[d, 1] = spend(
            power, interval_s, setting, scale, d, activity, depth, asleep[d], temperatures_c, spent_j
        )
        for i in range(domains):
            spent_j[i] += changing_j[i]
        for rail in range(domains + 1):
            energy_j[d, rail] += spent_j[rail]
            power_w[d, rail] = spent_j[rail] / interval_s

        throttling[d] += throttled[d]
        throttled[d] = temperature_c[d, 0] >= engage_c or (throttled[d] and temperature_c[d, 0] > release_c)
        peak_c[d] = max(peak_c[d], temperature_c[d, 0])
        for i in range(domains):
            utilisation[d, i] = busy if i == busiest else activity[i]
        demand[d] = MEMORY * demand[d] + (1 - MEMORY) * came[d]
        for leaves in range(exits):
            recent[d, leaves] = MEMORY * recent[d, leaves] + (1 - MEMORY) * by_exit[d, leaves]

        in_service = left[d] > 0
        late[d] += lately
        correct[d] += rightly
        dropped[d] += head[d] - begun
        served[d] = head[d] - dropped[d] - in_service
        waiting[d] = arrived[d] - head[d] + in_service
        step[d] += 1
