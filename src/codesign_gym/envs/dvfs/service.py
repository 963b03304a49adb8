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

    arrival_s: Floats  # (batch, requests + 1) ascending, infinite at last
    sample: Ints  # (batch, requests + 1)
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


class _Served(NamedTuple):
    """What a round did, place by place, all of shape (places * devices,)."""

    kind: Ints  # answer * batch + device
    busy_s: Floats
    answered: NDArray[np.bool_]


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
        batch, kinds = len(standing.head), 2 * self.tables.workload.exits
        rows = np.arange(batch)
        standing, served, late, more = self._round(demand, standing, rows, FIRST_PLACES, batch)
        rounds, rows = [served], more.nonzero()[0]
        while len(rows):
            part, served, added, more = self._round(demand.of(rows), standing.of(rows), rows, MORE_PLACES, batch)
            for column, new in zip(standing, part, strict=True):
                column[rows] = new
            late[rows] += added
            rounds.append(served)
            rows = rows[more]
        kind, busy_s, answered = (np.concatenate(parts) for parts in zip(*rounds, strict=True))
        busy, answers = (
            np.asarray(np.bincount(kind, weights, kinds * batch), dtype=np.float64).reshape(kinds, batch)
            for weights in (busy_s, answered)
        )
        return standing, Tally(busy[::2] + busy[1::2], answers, late)

    def _round(
        self, demand: Demand, standing: Standing, rows: Ints, places: int, batch: int
    ) -> tuple[Standing, _Served, Ints, NDArray[np.bool_]]:
        """The request in service (place 0) and the first so many behind it; late ones; and who may start more."""
        head, left, running, answer, free_s = standing
        shape, width = (places + 1, len(rows)), demand.sample.shape[1]
        until_s, lines, seconds_at = demand.until_s, rows * width, demand.setting * (2 * self.tables.workload.exits)
        # Requests in their places. A line that is shorter reads on into its end, which never comes; the last one is
        # clipped to it.
        at = np.empty(shape, dtype=np.int64)
        at[0] = running
        np.add(head, _PLACES[:places], out=at[1:])
        at += lines
        due_s = demand.arrival_s.take(at, mode="clip")
        answers = np.empty(shape, dtype=np.int64)
        answers[0] = answer
        sample = demand.sample.take(at[1:], mode="clip") + demand.level * len(self.tables.workload.weights)
        self._answers.take(sample, out=answers[1:], mode="clip")
        seconds = self._seconds.take(seconds_at + answers, mode="clip")

        begin, end = due_s.copy(), np.empty(shape)
        begin[0] = free_s
        np.multiply(left, seconds[0], out=end[0])  # where none is in service, its place takes no time
        end[0] += free_s
        for k in range(1, len(end)):
            np.maximum(begin[k], end[k - 1], out=begin[k])
            np.add(begin[k], seconds[k], out=end[k])
        due_s += self.deadline_s
        started, answered, late = begin < until_s, end <= until_s, end > due_s
        answered[0] &= left > 0
        late &= answered
        last = _count(started[1:])  # place of the last that has started, or 0
        place = last * len(rows) + np.arange(len(rows))
        ends = end.take(place)
        busy_s = np.minimum(end, until_s)
        busy_s -= np.minimum(begin, until_s, out=begin)
        kind = answers * batch
        kind += rows
        served = _Served(kind.ravel(), busy_s.ravel(), answered.ravel())
        after = Standing(
            head=head + last,
            left=np.maximum(ends - until_s, 0.0) / seconds.take(place),
            running=at.take(place) - lines,
            answer=answers.take(place),
            free_s=end[-1],
        )
        return after, served, _count(late), (end[-1] < until_s) & (after.head < demand.arrived)

    @cached_property
    def _answers(self) -> Ints:
        """Twice the exit that a sample leaves by at a threshold, and one more if that is right; sample fastest."""
        workload = self.tables.workload
        return (2 * workload.leaves + workload.correct).T.ravel()

    @cached_property
    def _seconds(self) -> Floats:
        """What an answer takes at a setting, the answer fastest."""
        return np.repeat(self.tables.latency_s, 2, axis=1).ravel()


_PLACES = np.arange(MORE_PLACES)[:, None]


def _count(marked: NDArray[np.bool_]) -> Ints:
    """How many of a few places are marked, (batch,), of (places, batch)."""
    count = np.add.reduce(marked.view(np.uint8), axis=0, dtype=np.uint8)
    return np.asarray(count, dtype=np.int64)
