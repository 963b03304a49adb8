"""All that is random in an episode, drawn in one block a generator at its start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from codesign_gym.envs.dvfs.arrivals import Arrivals
from codesign_gym.envs.dvfs.tables import Workload

Array = NDArray[Any]

#: Episodes drawn at a time, few enough to stay in a cache.
BLOCK = 64


@dataclass(frozen=True)
class Randomised:
    """What differs between episodes.

    Attributes:
        ambient_c: lowest and highest temperature of the air.
        capacitance: each domain's switched capacitance is off by up to this share.
    """

    ambient_c: tuple[float, float] = (25.0, 25.0)
    capacitance: float = 0.0


class Drawn(NamedTuple):
    """What was drawn; see :class:`~codesign_gym.envs.dvfs.state.DvfsState`."""

    arrival_s: Array  # (batch, requests + 1)
    sample: Array  # (batch, requests + 1)
    ambient_c: Array  # (batch,)
    scale: Array  # (batch, domains)
    arrived_by: Array  # (batch, horizon + 1)


@dataclass(frozen=True)
class Episodes:
    """Draws episodes.

    Attributes:
        arrivals: when requests come.
        workload: what they bring.
        randomised: what differs between episodes.
        interval_s: length of a control interval.
        horizon: intervals of an episode.
        domains: of the device.
    """

    arrivals: Arrivals
    workload: Workload
    randomised: Randomised
    interval_s: float
    horizon: int
    domains: int

    def drawn(self, generators: Sequence[np.random.Generator]) -> Drawn:
        """An episode per generator."""
        batch, places = len(generators), self.arrivals.requests + 1
        arrival_s, sample = np.full((batch, places), np.inf), np.zeros((batch, places), dtype=np.int32)
        arrived_by = np.empty((batch, self.horizon + 1), dtype=np.int32)
        others = np.empty((batch, 1 + self.domains))
        for first in range(0, batch, BLOCK):
            part = slice(first, first + BLOCK)
            uniform = self._uniform(generators[part])
            others[part], uniform = uniform[:, : 1 + self.domains], uniform[:, 1 + self.domains :]
            times_s = np.asarray(self.arrivals.times(uniform[:, : self.arrivals.numbers]), dtype=np.float64)
            come = slice(np.searchsorted(times_s.min(0), self.horizon * self.interval_s, side="right"))
            arrival_s[part, come] = times_s[:, come]
            sample[part, come] = self.workload.samples(uniform[:, self.arrivals.numbers :][:, come])
            arrived_by[part] = self._count(times_s[:, come])
        low, high = self.randomised.ambient_c
        ambient_c = low + (high - low) * others[:, 0]
        scale = 1 + self.randomised.capacitance * (2 * others[:, 1:] - 1)
        return Drawn(arrival_s, sample, ambient_c, scale, arrived_by)

    def _uniform(self, generators: Sequence[np.random.Generator]) -> NDArray[np.float32]:
        """What an episode needs: for air and capacitances, for arrivals, and for the image that each request brings."""
        needed = 1 + self.domains + self.arrivals.numbers + self.arrivals.requests
        uniform = np.empty((len(generators), needed), dtype=np.float32)
        for row, generator in zip(uniform, generators, strict=True):
            generator.random(out=row, dtype=np.float32)
        return uniform

    def _count(self, times_s: Array) -> Array:
        """How many requests have come by each interval's start, (batch, horizon + 1)."""
        interval, starts = np.ceil(times_s / self.interval_s), self.horizon + 1
        np.minimum(interval, starts, out=interval)
        interval += np.arange(0.0, len(interval) * (starts + 1), starts + 1)[:, None]
        counts = np.bincount(interval.astype(np.int64).ravel(), minlength=len(interval) * (starts + 1))
        return counts.reshape(len(interval), -1)[:, :-1].cumsum(-1)
