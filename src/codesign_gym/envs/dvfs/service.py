"""How queued requests are served within one control interval, for a batch of devices at once.

One server, first come first served. Within an interval clocks and threshold are fixed, so a request's time is known
when it starts: it begins when it has come and the one before it has ended (Lindley's recursion). The first few places
of every line are served together; the few devices that are fast enough for more go into another round. Arrays of
places are (places, batch), so that the batch lies in one piece.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from codesign_gym.envs.dvfs.tables import Tables

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Places of a line that are served in the first round, which most devices need no more than, and in every further one.
FIRST_PLACES, MORE_PLACES = 2, 8


class Demand(NamedTuple):
    """What devices are asked to do in an interval, and how they are set."""

    arrival_s: Floats  # (batch, requests) ascending
    sample: Ints  # (batch, requests)
    arrived: Ints  # (batch,) requests that come before the interval's end
    setting: Ints  # (batch,)
    level: Ints  # (batch,) position of the exit threshold
    until_s: Floats  # (batch,)

    def of(self, rows: Ints) -> Demand:
        """That of some devices; the requests' columns stay whole, since rows are looked up in them."""
        return self._replace(
            arrived=self.arrived[rows], setting=self.setting[rows], level=self.level[rows], until_s=self.until_s[rows]
        )


class Standing(NamedTuple):
    """How far a device has come with its line, all of shape (batch,)."""

    head: Ints  # first request that has not started
    left: Floats  # share of the request in service that is still to do, 0 if there is none
    running: Ints  # the request in service
    answer: Ints  # twice the exit that it leaves by, and one more if its answer is right
    free_s: Floats  # when it goes on, or the next may start

    def of(self, rows: Ints) -> Standing:
        """That of some devices."""
        return Standing(self.head[rows], self.left[rows], self.running[rows], self.answer[rows], self.free_s[rows])


class Tally(NamedTuple):
    """What an interval added up to."""

    busy_s: Floats  # (exits, batch)
    answers: Floats  # (2 * exits, batch) requests answered wrongly and rightly at each exit
    late: Ints  # (batch,) of these after their deadline


@dataclass(frozen=True, eq=False)
class Server:
    """Serves lines on a device.

    Attributes:
        tables: what requests cost.
        deadline_s: from a request's arrival to its answer.
    """

    tables: Tables
    deadline_s: float

    def serve(self, demand: Demand, standing: Standing) -> tuple[Standing, Tally]:
        """Serve every line to the interval's end."""
        rows = np.arange(len(standing.head))
        standing, tally, more = self._round(demand, standing, rows, FIRST_PLACES)
        rows = np.flatnonzero(more)
        while len(rows):
            part, added, more = self._round(demand.of(rows), standing.of(rows), rows, MORE_PLACES)
            for column, new in zip(standing, part, strict=True):
                column[rows] = new
            tally.busy_s[:, rows] += added.busy_s
            tally.answers[:, rows] += added.answers
            tally.late[rows] += added.late
            rows = rows[more]
        return standing, tally

    def _round(
        self, demand: Demand, standing: Standing, rows: Ints, places: int
    ) -> tuple[Standing, Tally, NDArray[np.bool_]]:
        """The request in service and the first so many behind it; and which devices may start more."""
        exits, requests = self.tables.workload.exits, demand.sample.shape[1]
        head, left, running, answer, free_s = standing
        place = head + np.arange(-1, places)[:, None]
        place[0] = running
        taken = place < demand.arrived
        taken[0] = left > 0
        flat = np.minimum(place, requests - 1) + rows * requests
        answers = self._answers.take(demand.sample.take(flat) * len(self.tables.workload.thresholds) + demand.level)
        answers[0] = answer
        leaving = answers >> 1
        arrival_s = demand.arrival_s.take(flat)
        seconds = self.tables.latency_s.take(demand.setting * exits + leaving)
        full_s, seconds[0] = seconds[0].copy(), seconds[0] * left  # where none is in service, its place takes no time

        ready = np.where(taken, arrival_s, np.inf)
        ready[0] = free_s
        begin, end = np.empty_like(seconds), np.empty_like(seconds)
        before = free_s
        for k in range(len(begin)):
            np.maximum(ready[k], before, out=begin[k])
            before = np.add(begin[k], seconds[k], out=end[k])
        started, ended = begin < demand.until_s, end <= demand.until_s
        answered = ended & taken
        count, done = started.sum(0), ended.sum(0)
        at, every = np.maximum(count - 1, 0), np.arange(len(rows))
        seconds[0] = full_s
        left = np.where(count > done, (end[at, every] - demand.until_s) / seconds[at, every], 0.0)
        tally = Tally(
            busy_s=summed_by(leaving, exits, np.minimum(end, demand.until_s) - np.minimum(begin, demand.until_s)),
            answers=summed_by(answers, 2 * exits, answered),
            late=(answered & (end > arrival_s + self.deadline_s)).sum(0),
        )
        after = Standing(head + count - 1, left, place[at, every], answers[at, every], end[-1])
        return after, tally, answered[-1] & (end[-1] < demand.until_s) & (after.head < demand.arrived)

    @cached_property
    def _answers(self) -> Ints:
        """Twice the exit that a sample leaves by at a threshold, and one more if that is right; flat."""
        workload = self.tables.workload
        return (2 * workload.leaves + workload.correct).ravel()


def summed_by(kind: Ints, kinds: int, values: NDArray[np.generic]) -> Floats:
    """Sums of ``values`` over the places of each kind, shape (kinds, batch).

    Args:
        kind: from 0 to ``kinds``, shape (places, batch).
        kinds: how many there are.
        values: shape (places, batch).
    """
    batch = kind.shape[1]
    bins = kind * batch + np.arange(batch)
    return np.asarray(np.bincount(bins.ravel(), values.ravel(), batch * kinds).reshape(kinds, batch), dtype=np.float64)
