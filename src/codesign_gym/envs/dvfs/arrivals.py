"""When requests arrive: processes that turn blocks of uniform numbers into times, for a batch of episodes at once.

A process draws nothing itself. It says how many uniform numbers an episode needs; the environment draws them in one
block from its own generator, so that one environment and a batch of them see the same times bit by bit.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from codesign_gym.errors import BadConfig

Floats = NDArray[np.float64]
Uniform = NDArray[np.floating[Any]]

#: The column of a recorded trace that tells when requests came.
ARRIVAL = "arrival_s"
#: Standard deviations of a Poisson count above its mean that a block has room for: exceeded once in 1e9 episodes.
MARGIN = 6.0


class Arrivals(Protocol):
    """An arrival process over episodes of equal length."""

    @property
    def requests(self) -> int:
        """The most requests of an episode."""
        ...

    @property
    def numbers(self) -> int:
        """How many uniform numbers an episode needs."""
        ...

    def times(self, uniform: Uniform) -> Floats:
        """Seconds since the episode's start, ascending; those beyond its end never come.

        Of shape (batch, requests), or fewer where those behind come in no episode of the batch.

        Args:
            uniform: in [0, 1), of single precision or double, shape (batch, numbers).
        """
        ...


@dataclass(frozen=True)
class Periodic:
    """One request a period, as of a camera, with a random phase and jitter.

    Attributes:
        rate_hz: requests a second.
        seconds: length of an episode.
        jitter: how far a request may be late, as a share of the period, below 1.
    """

    rate_hz: float
    seconds: float
    jitter: float = 0.0

    @property
    def requests(self) -> int:
        """One a period."""
        return int(np.ceil(self.rate_hz * self.seconds)) + 1

    @property
    def numbers(self) -> int:
        """A phase, and a lateness per request."""
        return 1 + self.requests

    def times(self, uniform: Uniform) -> Floats:
        """See :class:`Arrivals`."""
        late = uniform[:, :1] + self.jitter * uniform[:, 1:]
        return np.asarray((np.arange(self.requests) + late) / self.rate_hz, dtype=np.float64)


@dataclass(frozen=True)
class Poisson:
    """Independent requests.

    Attributes:
        rate_hz: requests a second, on average.
        seconds: length of an episode.
    """

    rate_hz: float
    seconds: float

    @property
    def requests(self) -> int:
        """The mean and :data:`MARGIN`."""
        return _room(self.rate_hz * self.seconds)

    @property
    def numbers(self) -> int:
        """A gap per request."""
        return self.requests

    def times(self, uniform: Uniform) -> Floats:
        """See :class:`Arrivals`."""
        return np.asarray(_exponential(uniform).cumsum(-1, dtype=np.float64) / self.rate_hz)


@dataclass(frozen=True)
class Bursty:
    """A Markov-modulated Poisson process of two states, calm and burst, whose dwell times are exponential.

    Attributes:
        rate_hz: requests a second in the calm state.
        burst_rate_hz: in a burst.
        calm_s: mean length of a calm time.
        burst_s: mean length of a burst.
        seconds: length of an episode.
    """

    rate_hz: float
    burst_rate_hz: float
    calm_s: float
    burst_s: float
    seconds: float

    @property
    def _in_burst(self) -> float:
        """Share of the time that is bursts."""
        return self.burst_s / (self.calm_s + self.burst_s)

    @property
    def requests(self) -> int:
        """The mean and :data:`MARGIN`; at most, room for an episode that is one burst.

        The variance is that of the count in a stationary Markov-modulated Poisson process of two states: the mean, and
        twice the variance of the rate times the integral of its correlation, which decays with the time ``memory_s``
        (Fischer and Meier-Hellstern, "The Markov-modulated Poisson process (MMPP) cookbook", 1993).
        """
        share = self._in_burst
        mean = (share * self.burst_rate_hz + (1 - share) * self.rate_hz) * self.seconds
        memory_s = self.calm_s * self.burst_s / (self.calm_s + self.burst_s)
        correlated_s2 = memory_s * (self.seconds - memory_s * -np.expm1(-self.seconds / memory_s))
        variance = mean + 2 * share * (1 - share) * (self.burst_rate_hz - self.rate_hz) ** 2 * correlated_s2
        return min(_room(mean, variance), _room(max(self.rate_hz, self.burst_rate_hz) * self.seconds))

    @property
    def _phases(self) -> int:
        """Dwell times until the episode's end: two a cycle, with room as for a Poisson count."""
        return 2 * _room(self.seconds / (self.calm_s + self.burst_s))

    @property
    def numbers(self) -> int:
        """The state at the start, a dwell time per phase, and a gap per request."""
        return 1 + self._phases + self.requests

    def times(self, uniform: Uniform) -> Floats:
        """See :class:`Arrivals`: requests of rate one, mapped through the inverse of the summed rate."""
        phases = 1 + self._phases
        odd = (uniform[:, :1] < self._in_burst).astype(np.int64)  # whether it starts in a burst
        state = (odd + np.arange(phases - 1)) % 2  # (batch, phases)
        dwell_s = _exponential(uniform[:, 1:phases]) * np.array([self.calm_s, self.burst_s])[state]
        edges_s, expected = np.zeros((2, len(uniform), phases))  # (batch, phases + 1), and requests until then
        np.minimum(dwell_s.cumsum(-1, dtype=np.float64), self.seconds, out=edges_s[:, 1:])
        np.cumsum(np.diff(edges_s) * np.array([self.rate_hz, self.burst_rate_hz])[state], axis=-1, out=expected[:, 1:])
        due = _exponential(uniform[:, phases:]).cumsum(-1, dtype=np.float64)
        due = due[:, : np.searchsorted(due.min(0), expected[:, -1].max())]
        rows = zip(due, expected, edges_s, strict=True)
        return np.stack([np.interp(*row, right=np.inf) for row in rows])


@dataclass(frozen=True, eq=False)
class Recorded:
    """A stretch of a recorded trace, from a random place in it.

    Attributes:
        recorded_s: when the requests came, ascending.
        seconds: length of an episode.
    """

    recorded_s: Floats
    seconds: float

    @property
    def requests(self) -> int:
        """The most that any stretch holds, and one."""
        ends = np.searchsorted(self.recorded_s, self.recorded_s + self.seconds, side="right")
        return int((ends - np.arange(len(ends))).max()) + 1

    @property
    def numbers(self) -> int:
        """Where the stretch begins."""
        return 1

    def times(self, uniform: Uniform) -> Floats:
        """See :class:`Arrivals`."""
        first, last = self.recorded_s[0], self.recorded_s[-1]
        start_s = first + uniform[:, 0] * max(last - first - self.seconds, 0.0)
        begin = np.searchsorted(self.recorded_s, start_s)[:, None] + np.arange(self.requests)
        padded = np.append(self.recorded_s, np.inf)
        return np.asarray(padded[np.minimum(begin, len(self.recorded_s))] - start_s[:, None])


def read_trace(path: Path, half: str) -> Floats:
    """Arrival times from a CSV file with a header: its column ``arrival_s``, or its only one.

    Args:
        path: the file.
        half: ``"search"`` for the first three quarters of the recorded time, ``"test"`` for the rest.

    Raises:
        BadConfig: naming the file, the line and what is accepted.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:  # a spreadsheet may have put a mark before the text
            rows = [(number, [cell.strip() for cell in row]) for number, row in enumerate(csv.reader(file), start=1)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadConfig(f"trace {path}: cannot be read: {error}") from error
    names = rows[0][1] if rows else []
    if ARRIVAL not in names and len(names) != 1:
        raise BadConfig(f"trace {path}: its columns are {names}; accepted: one called {ARRIVAL!r}, or a single column")
    column = names.index(ARRIVAL) if ARRIVAL in names else 0
    times: list[float] = []
    for number, cells in rows[1:]:
        if not any(cells):
            continue
        text = cells[column] if column < len(cells) else ""
        try:
            time_s = float(text)
        except ValueError:
            time_s = np.nan
        if not (np.isfinite(time_s) and time_s >= 0):
            raise BadConfig(f"trace {path}, line {number}: {ARRIVAL} is {text!r}; accepted: seconds, 0 or more")
        if times and time_s < times[-1]:
            raise BadConfig(
                f"trace {path}, line {number}: {ARRIVAL} is {text!r} after {times[-1]:g}; accepted: ascending times"
            )
        times.append(time_s)
    recorded = np.array(times)
    cut = recorded[0] + 0.75 * (recorded[-1] - recorded[0]) if times else 0.0
    kept = recorded[recorded <= cut] if half == "search" else recorded[recorded > cut]
    if len(kept) < 2:
        raise BadConfig(f"trace {path}: {len(kept)} requests in its part for {half!r}; accepted: 2 or more")
    return kept


def _room(mean: float, variance: float | None = None) -> int:
    """Room for a count of that mean; its variance is the mean, as of a Poisson count, unless it is given."""
    return int(np.ceil(mean + MARGIN * np.sqrt(mean if variance is None else variance) + MARGIN))


def _exponential(uniform: Uniform) -> Uniform:
    """Exponential numbers of mean one; the difference is exact, since uniform numbers are multiples of an epsilon."""
    return -np.log(1 - uniform)
