"""How queued requests are served within one control interval, for a batch of devices at once.

One server, first come first served. Within an interval clocks and threshold are fixed, so a request's time is known
when it starts: it begins when it is ready and the one before it has ended. With a request ready at a, its time s and S
the sum of the times up to and including its own, that recursion (Lindley, 1952) has a closed form,

    end_k = S_k + max over j <= k of (a_j - S_(j-1)),

a running sum and a running maximum, where no a is before the end of the request in service. So the lines of all
devices are laid end to end in one array, which is as long as there are requests, and no device waits for the longest
line. Lines are moved apart in time, so that no maximum reaches from one into the next.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, reduce
from math import prod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from codesign_gym.envs.dvfs.grid import Grid
from codesign_gym.envs.dvfs.tables import Tables

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Demand(NamedTuple):
    """What devices are asked to do in an interval, and how they are set."""

    arrival_s: Floats  # (batch, requests + 1) ascending
    sample: Ints  # (batch, requests + 1)
    arrived: Ints  # (batch,) requests that come before the interval's end
    setting: Ints  # (batch,)
    level: Ints  # (batch,) position of the exit threshold
    start_s: Floats  # (batch,) of the interval
    stall_s: Floats  # (batch,) from the start until clocks have changed
    wake_s: Floats  # (batch,) from a request's arrival until it is ready


class Standing(NamedTuple):
    """How far a device has come with its line, all of shape (batch,)."""

    head: Ints  # first request that has not started
    left: Floats  # share of the request in service that is still to do, 0 if there is none
    running: Ints  # the request in service
    answer: Ints  # the exit that it leaves by, and as many more as there are exits if its answer is right


class Tally(NamedTuple):
    """What an interval added up to."""

    busy_s: Floats  # (exits, batch)
    by_exit: Ints  # (exits, batch) requests answered
    correct: Ints  # (batch,) of these rightly
    late: Ints  # (batch,) of these after their deadline


class _Places(NamedTuple):
    """Requests that are in service, one a device, and behind them the lines, laid end to end."""

    behind: Ints  # (in lines,) the device of each request in a line
    device: Ints  # (batch + in lines,) that of each, as in the three below
    at: Ints  # number among all requests of all devices
    answer: Ints  # as in Standing
    seconds: Floats  # what it takes from its beginning
    line: Ints  # (batch,) number of a device's first request among all
    length: Ints  # (batch,) of its line
    first: Ints  # (batch,) where that begins in ``behind``


class _Times(NamedTuple):
    """When requests come, begin and end, (batch + in lines,), since the interval's start."""

    came_s: Floats
    begin_s: Floats
    end_s: Floats


@dataclass(frozen=True, eq=False)
class Server:
    """Serves lines on a device.

    Attributes:
        tables: what requests cost.
        grid: of the interval; all times in a :class:`Demand` lie on it.
        deadline_s: from a request's arrival to its answer.
    """

    tables: Tables
    grid: Grid
    deadline_s: float

    def serve(self, demand: Demand, standing: Standing) -> tuple[Standing, Tally]:
        """Serve every line to the interval's end."""
        places = self._laid(demand, standing)
        came_s, begin_s, end_s = self._served(demand, standing, places)
        batch, until_s = len(places.length), self.grid.interval_s
        answered = end_s <= until_s
        answered[:batch] &= standing.left > 0
        late = end_s - came_s > self.deadline_s
        late &= answered
        begun = places.length - np.bincount(places.behind[begin_s[batch:] >= until_s], minlength=batch)
        last = np.where(begun > 0, places.first + begun + (batch - 1), np.arange(batch))
        left = np.maximum(end_s.take(last) - until_s, 0.0)
        left /= places.seconds.take(last)
        after = Standing(standing.head + begun, left, places.at.take(last) - places.line, places.answer.take(last))

        busy_s = np.minimum(end_s, until_s, out=end_s)
        busy_s -= np.minimum(begin_s, until_s, out=begin_s)
        kind = places.answer * batch
        kind += places.device
        kinds = 2, self.tables.workload.exits, batch
        wrong_s, right_s = np.asarray(np.bincount(kind, busy_s, prod(kinds)), dtype=np.float64).reshape(kinds)
        wrong, right = np.bincount(kind.take(answered.nonzero()[0]), None, prod(kinds)).reshape(kinds)
        late_at = np.bincount(places.device.take(late.nonzero()[0]), None, batch)
        return after, Tally(wrong_s + right_s, wrong + right, reduce(np.add, right), late_at)

    def _laid(self, demand: Demand, standing: Standing) -> _Places:
        """Who is where, and what each request takes."""
        batch, width = demand.sample.shape
        rows = np.arange(batch)
        count, line = demand.arrived - standing.head, rows * width
        first = count.cumsum() - count
        behind = np.repeat(rows, count)
        device = np.concatenate([rows, behind])
        at, answer = np.empty_like(device), np.empty_like(device)
        np.add(standing.running, line, out=at[:batch])
        np.add((standing.head + line - first).take(behind), np.arange(len(behind)), out=at[batch:])
        answer[:batch] = standing.answer
        brought = (demand.level * len(self.tables.workload.weights)).take(behind)
        brought += demand.sample.take(at[batch:])
        self._answers.take(brought, out=answer[batch:], mode="clip")
        taking = (demand.setting * (2 * self.tables.workload.exits)).take(device)
        taking += answer
        return _Places(behind, device, at, answer, self._seconds.take(taking), line, count, first)

    def _served(self, demand: Demand, standing: Standing, places: _Places) -> _Times:
        """The closed form."""
        behind, seconds, batch = places.behind, places.seconds, len(places.length)
        came_s = demand.arrival_s.take(places.at)
        came_s -= demand.start_s.take(places.device)
        begin_s, end_s = np.empty_like(seconds), np.empty_like(seconds)
        begin_s[:batch] = demand.stall_s
        np.add(demand.stall_s, self.grid.near(standing.left * seconds[:batch]), out=end_s[:batch])

        sums_s = np.zeros(len(behind) + 1)
        seconds[batch:].cumsum(out=sums_s[1:])
        later_s = (sums_s.take(places.first) + np.arange(batch) * self.grid.span_s).take(behind)
        ready_s = came_s[batch:] + demand.wake_s.take(behind)
        np.maximum(ready_s, end_s[:batch].take(behind), out=ready_s)
        np.minimum(ready_s, self.grid.interval_s, out=ready_s)  # what is later does not begin, and keeps to its span
        ready_s += later_s
        ready_s -= sums_s[:-1]
        np.maximum.accumulate(ready_s, out=end_s[batch:])
        end_s[batch:] += sums_s[1:]
        end_s[batch:] -= later_s
        np.subtract(end_s[batch:], seconds[batch:], out=begin_s[batch:])
        return _Times(came_s, begin_s, end_s)

    @cached_property
    def _answers(self) -> Ints:
        """The exit that a sample leaves by at a threshold, and more by all exits if that is right; sample fastest."""
        workload = self.tables.workload
        return (workload.leaves + workload.exits * workload.correct).T.ravel()

    @cached_property
    def _seconds(self) -> Floats:
        """What an answer takes at a setting, the answer fastest, on the grid."""
        return self.grid.near(np.tile(self.tables.latency_s, 2)).ravel()
