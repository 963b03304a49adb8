"""A device and its workload, tabulated for control intervals of one length."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from codesign_gym.envs.dvfs.tables import Tables
from codesign_gym.simulators.dvfs import Soc

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Chip(NamedTuple):
    """Clocks, idle states and throttling of a system on a chip."""

    caps: Ints  # (domains,) highest clocks while throttling
    strides: Ints  # (domains,) of a setting's number
    busiest: int  # the domain whose load is told as the time in which anything runs
    transition_s: Floats  # (domains,) a change of clock
    transition_j: Floats
    residency_s: Floats  # (idle states,)
    wake_s: Floats
    engage_c: float
    release_c: float

    @classmethod
    def of(cls, soc: Soc, strides: Ints) -> Chip:
        """A device's.

        A GPU that waits for memory is busy, too, as in the load that devfreq reports.
        """
        return cls(
            caps=np.array(soc.throttled_index, dtype=np.int64),
            strides=strides,
            busiest=soc.names.index("gpu"),
            transition_s=soc.transition_s,
            transition_j=soc.transition_j,
            residency_s=np.array([state.residency_s for state in soc.idle_states], dtype=np.float64),
            wake_s=np.array([state.wake_s for state in soc.idle_states], dtype=np.float64),
            engage_c=float(soc.thermal.engage_c),
            release_c=float(soc.thermal.release_c),
        )


class Power(NamedTuple):
    """Power at 0 degrees Celsius, and heat, of a system on a chip, tabulated for intervals of one length."""

    idle_w: Floats  # (settings, domains)
    busy_w: Floats  # (settings, domains) what activity 1 adds
    slope_w_per_k: Floats  # (settings, domains)
    spared_w: Floats  # (idle states, settings, domains) what an idle state spares
    spared_w_per_k: Floats
    clock_tree: Floats  # (domains,) idle over switching share of the capacitance
    heat_shares: Floats  # (2, domains) heat into junction and case a watt
    response: Floats  # (settings, 4, 3) see Thermal.response
    air_w_per_k: float  # of the case to the air
    rest_w: float
    rest_share: float

    @classmethod
    def of(cls, soc: Soc, interval_s: float) -> Power:
        """A device's; settings as :meth:`Soc.every_index` numbers them."""
        settings, none, full = soc.every_index(), np.zeros(len(soc.steps)), np.ones(len(soc.steps))
        idle_w, busy_w, hot_w = (
            np.ascontiguousarray(soc.power_w(settings, activity, celsius)[:, :-1])
            for activity, celsius in ((none, 0.0), (full, 0.0), (none, 1.0))
        )
        slope = hot_w - idle_w
        cool_w, warm_w = (
            np.stack([soc.spared_w(settings, celsius, state) for state in range(len(soc.idle_states))])
            for celsius in (0.0, 1.0)
        )
        response = soc.thermal.response(slope @ soc.heat_shares.T, interval_s)
        idle = np.array([domain.idle_activity for domain in soc.domains])
        return cls(
            idle_w=idle_w,
            busy_w=busy_w - idle_w,
            slope_w_per_k=slope,
            spared_w=cool_w,
            spared_w_per_k=warm_w - cool_w,
            clock_tree=idle / (1 - idle),
            heat_shares=np.ascontiguousarray(soc.heat_shares),
            response=np.ascontiguousarray(np.moveaxis(response, -1, 0)),
            air_w_per_k=1 / soc.thermal.case_ambient_k_per_w,
            rest_w=float(soc.rest_w),
            rest_share=float(soc.rest_share),
        )


class Duty(NamedTuple):
    """What requests take, and what is asked of the device."""

    latency_s: Floats  # (settings, exits)
    activity: Floats  # (settings, exits, domains) busy share of each domain meanwhile
    answers: Ints  # (thresholds, samples) the exit, and more by all exits if the answer is right
    interval_s: float
    deadline_s: float
    capacity: int

    @classmethod
    def of(cls, tables: Tables, interval_s: float, deadline_s: float, capacity: int) -> Duty:
        """A workload's on a device."""
        workload = tables.workload
        answers = np.ascontiguousarray((workload.leaves + workload.exits * workload.correct).T)
        return cls(tables.latency_s, tables.activity, answers, float(interval_s), float(deadline_s), int(capacity))
