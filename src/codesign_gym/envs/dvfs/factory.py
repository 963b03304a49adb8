"""A runtime-control core from plain options: the names and numbers that a user types."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from codesign_gym.envs.core.actions import view
from codesign_gym.envs.core.arguments import Arguments, Only
from codesign_gym.envs.dvfs.arrivals import Arrivals, Bursty, Periodic, Poisson, Recorded, read_trace
from codesign_gym.envs.dvfs.core import DvfsCore
from codesign_gym.envs.dvfs.episodes import Randomised
from codesign_gym.envs.dvfs.observer import Observer
from codesign_gym.envs.dvfs.rewards import Weights
from codesign_gym.envs.dvfs.tables import Tables, Workload, offered
from codesign_gym.errors import BadConfig, UnknownName
from codesign_gym.simulators import dvfs
from codesign_gym.simulators.exits import library as exits
from codesign_gym.simulators.exits.record import ExitRecords

#: A control interval, in requests; it is to hold so many changes of all clocks.
INTERVAL, CHANGES = 5.0, 4.0
#: A deadline, in control intervals.
SLACK = 2.0
#: The most requests of an episode; their times and images are drawn at its start.
REQUESTS = 1_000_000


class Options(Arguments):
    """What can be chosen of a runtime-control environment; every field is plain data.

    Times and rates are relative to the device unless they are given outright: the unit of ``interval`` and ``slack``
    is a request's mean time at the highest clocks without leaving early, and a load of 1 keeps the device busy so.

    Attributes:
        device: id or YAML file of a system on a chip.
        network: id or YAML file of a network with exits.
        pixels: height and width of the images that its work is counted at; confidences are those recorded.
        mix: network to its share of the requests, in place of ``network``.
        split: recorded images (and part of a trace) that requests bring: ``search`` or ``test``.
        arrivals: ``periodic``, ``poisson``, ``bursty`` or ``trace``.
        load: mean load; of the calm state where arrivals are bursty.
        burst_load: load in a burst.
        calm: mean length of a calm time, in control intervals.
        burst: mean length of a burst, in control intervals.
        jitter: how late a periodic request may be, as a share of the period.
        trace: CSV file with a column ``arrival_s``; its first three quarters for ``search``, the rest for ``test``.
        interval: length of a control interval; by default 5, or more where the device would else spend over a quarter
            of it on changing its clocks.
        slack: deadline of a request, from its arrival; by default two control intervals.
        rate_hz: requests a second, in place of ``load``.
        burst_rate_hz: in place of ``burst_load``.
        interval_s: in place of ``interval``.
        deadline_s: in place of ``slack``.
        horizon: control intervals of an episode.
        capacity: requests that may wait behind the one in service.
        thresholds: confidences at which a request may leave early, ascending.
        accuracy_loss: percentage points on the search images; a threshold that costs more is not offered.
        ambient_c: lowest and highest temperature of the air, drawn for every episode.
        capacitance: each domain's switched capacitance is off by up to this share, drawn for every episode.
        hidden: groups of observations that are not seen.
        energy: weight of the energy, in intervals at the highest clocks and always busy.
        misses: weight of a request that is late or dropped.
        accuracy: weight of a wrong answer.
        throttling: weight of an interval under throttling.
        action: ``box``, ``multidiscrete`` or ``discrete``.
    """

    device: str = "jetson-tx2"
    network: str = "digits-exits"
    pixels: int | None = Field(default=768, ge=8)
    mix: Mapping[str, float] | None = None
    split: Literal["search", "test"] = "search"
    arrivals: str = "bursty"
    load: float = Field(default=0.15, gt=0)
    burst_load: float = Field(default=0.6, gt=0)
    calm: float = Field(default=20.0, gt=0)
    burst: float = Field(default=10.0, gt=0)
    jitter: float = Field(default=0.2, ge=0, lt=1)
    trace: str | None = None
    interval: float | None = Field(default=None, gt=0)
    slack: float | None = Field(default=None, gt=0)
    rate_hz: float | None = Field(default=None, gt=0)
    burst_rate_hz: float | None = Field(default=None, gt=0)
    interval_s: float | None = Field(default=None, gt=0)
    deadline_s: float | None = Field(default=None, gt=0)
    horizon: int = Field(default=200, gt=0)
    capacity: int = Field(default=8, gt=0)
    thresholds: Sequence[float] = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
    accuracy_loss: float = Field(default=0.5, ge=0)
    ambient_c: Sequence[float] = (25.0, 25.0)
    capacitance: float = Field(default=0.0, ge=0, lt=1)
    hidden: Sequence[str] = ()
    energy: float = Field(default=1.0, ge=0)
    misses: float = Field(default=1.0, ge=0)
    accuracy: float = Field(default=0.0, ge=0)
    throttling: float = Field(default=0.1, ge=0)
    action: str = "box"


#: Arguments that mean something only beside others.
ONLY = (
    Only(("network",), lambda chosen: chosen["mix"] is None, "without mix"),
    Only(("load",), lambda chosen: chosen["rate_hz"] is None, "without rate_hz"),
    Only(("burst_load",), lambda chosen: chosen["burst_rate_hz"] is None, "without burst_rate_hz"),
    Only(("load", "rate_hz"), lambda chosen: chosen["arrivals"] != "trace", "where arrivals is not 'trace'"),
    Only(
        ("burst_load", "burst_rate_hz", "calm", "burst"),
        lambda chosen: chosen["arrivals"] == "bursty",
        "where arrivals is 'bursty'",
    ),
    Only(("jitter",), lambda chosen: chosen["arrivals"] == "periodic", "where arrivals is 'periodic'"),
    Only(("trace",), lambda chosen: chosen["arrivals"] == "trace", "where arrivals is 'trace'"),
    Only(("interval",), lambda chosen: chosen["interval_s"] is None, "without interval_s"),
    Only(("slack",), lambda chosen: chosen["deadline_s"] is None, "without deadline_s"),
)


def build(options: Options, traced: bool = False) -> DvfsCore:
    """The core of an environment.

    Args:
        options: what the user chose.
        traced: whether states keep what a picture needs.

    Raises:
        UnknownName: for an id or name that does not exist, with the nearest.
        BadConfig: for an option out of bounds, an exit that is never reached, or a trace that cannot be read.
        Infeasible: for a deadline that nothing can meet, with what is missing.
    """
    tables = Tables(dvfs.load(options.device), _workload(options))
    return assemble(options, tables, traced)


def assemble(options: Options, tables: Tables, traced: bool = False) -> DvfsCore:
    """The core of a device and a workload that are at hand; errors as in :func:`build`."""
    soc, unit_s = tables.soc, full_s(tables)
    change_s = float(soc.transition_s.sum())
    interval = options.interval or max(INTERVAL, np.ceil(CHANGES * change_s / unit_s))
    interval_s = options.interval_s or interval * unit_s
    deadline_s = options.deadline_s or (options.slack * unit_s if options.slack else SLACK * interval_s)
    if interval_s <= change_s:
        given = f"interval_s is {interval_s:.3g}" if options.interval_s else f"interval is {interval:g}"
        least = f"{change_s:.3g}" if options.interval_s else f"{change_s / unit_s:.3g} requests of {unit_s:.3g} s"
        raise BadConfig(f"{given}; accepted: more than {least}, the time that {soc.name} takes to change its clocks")
    tables.check_deadline(deadline_s)
    ambient_c = options.ambient_c
    if len(ambient_c) != 2 or not -40 <= ambient_c[0] <= ambient_c[1] <= soc.thermal.release_c:
        raise BadConfig(
            f"ambient_c is {', '.join(f'{c:g}' for c in ambient_c)}; accepted: two numbers, ascending, from -40 to "
            f"{soc.thermal.release_c:g}"
        )
    if options.arrivals not in ARRIVALS:
        raise UnknownName("arrivals", options.arrivals, ARRIVALS)
    arrivals = ARRIVALS[options.arrivals](options, unit_s, interval_s)
    if arrivals.requests > REQUESTS:
        raise BadConfig(
            f"{options.arrivals} arrivals may bring {arrivals.requests:.3g} requests an episode of {options.horizon} "
            f"intervals of {interval_s:.3g} s; accepted: {REQUESTS:.0e} or fewer, by a lower load, rate or horizon"
        )
    return DvfsCore(
        tables=tables,
        arrivals=arrivals,
        observer=Observer(soc.names, tuple(tables.workload.names), tuple(options.hidden)),
        actions=view(options.action, (*soc.steps, len(tables.workload.thresholds))),
        weights=Weights(options.energy, options.misses, options.accuracy, options.throttling),
        randomised=Randomised((ambient_c[0], ambient_c[1]), options.capacitance),
        horizon=options.horizon,
        interval_s=float(interval_s),
        deadline_s=deadline_s,
        capacity=options.capacity,
        traced=traced,
    )


def full_s(tables: Tables) -> float:
    """Mean seconds of a request at the highest clocks that does not leave early."""
    workload = tables.workload
    last = np.append(workload.first_exit[1:], workload.exits) - 1
    return float((tables.latency_s[-1, last] * workload.shares).sum())


def _workload(options: Options) -> Workload:
    wanted = {options.network: 1.0} if options.mix is None else dict(options.mix)
    if not wanted or min(wanted.values()) <= 0:
        raise BadConfig(f"mix is {wanted}; accepted: networks with shares above 0")
    shares = np.array(list(wanted.values())) / sum(wanted.values())
    pairs = [exits.load(name, options.pixels) for name in wanted]
    return workload_of(pairs, shares, options)


def workload_of(pairs: Sequence[ExitRecords], shares: np.ndarray, options: Options) -> Workload:
    """The requests' networks; which thresholds are offered is decided on the search split, whichever is played."""
    asked = np.asarray(options.thresholds, dtype=np.float64)
    if not asked.size or (np.diff(asked) <= 0).any() or not 0 < asked[0] <= asked[-1] <= 1:
        raise BadConfig(f"thresholds are {', '.join(f'{t:g}' for t in asked)}; accepted: ascending, above 0, at most 1")
    search = [pair.search for pair in pairs]
    Workload(tuple(search), shares, np.append(asked, 2.0)).check_reached()
    played = search if options.split == "search" else [pair.test for pair in pairs]
    return Workload(tuple(played), shares, offered(search, shares, options.thresholds, options.accuracy_loss))


def _periodic(options: Options, unit_s: float, interval_s: float) -> Arrivals:
    return Periodic(options.rate_hz or options.load / unit_s, options.horizon * interval_s, options.jitter)


def _poisson(options: Options, unit_s: float, interval_s: float) -> Arrivals:
    return Poisson(options.rate_hz or options.load / unit_s, options.horizon * interval_s)


def _bursty(options: Options, unit_s: float, interval_s: float) -> Arrivals:
    return Bursty(
        rate_hz=options.rate_hz or options.load / unit_s,
        burst_rate_hz=options.burst_rate_hz or options.burst_load / unit_s,
        calm_s=options.calm * interval_s,
        burst_s=options.burst * interval_s,
        seconds=options.horizon * interval_s,
    )


def _trace(options: Options, unit_s: float, interval_s: float) -> Arrivals:
    if options.trace is None:
        raise BadConfig("arrivals is 'trace'; accepted: with trace, the path of a CSV file")
    return Recorded(read_trace(Path(options.trace).expanduser(), options.split), options.horizon * interval_s)


ARRIVALS: dict[str, Callable[[Options, float, float], Arrivals]] = {
    "periodic": _periodic,
    "poisson": _poisson,
    "bursty": _bursty,
    "trace": _trace,
}
