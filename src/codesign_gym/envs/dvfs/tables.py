"""What a workload costs on a device at every combination of clocks, looked up while it runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codesign_gym.errors import BadConfig, Infeasible
from codesign_gym.simulators.dvfs import Soc
from codesign_gym.simulators.exits.record import ExitRecord

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Workload:
    """Networks with exits that requests ask for, and what each answers on recorded images.

    Exits are numbered through: those of the first network, then those of the second.

    Attributes:
        records: one per network.
        shares: share of the requests that ask for it, shape (networks,), summing to one.
        thresholds: confidence at which a request leaves early, ascending; the last is above 1: never early.
    """

    records: tuple[ExitRecord, ...]
    shares: Floats
    thresholds: Floats

    @cached_property
    def first_exit(self) -> Ints:
        """Number of each network's first exit, shape (networks,)."""
        exits = np.array([record.exits for record in self.records], dtype=np.int64)
        return np.cumsum(exits) - exits

    @property
    def exits(self) -> int:
        """How many there are in all."""
        return sum(record.exits for record in self.records)

    @property
    def names(self) -> list[str]:
        """Of all exits; with the network in front where there are several."""
        one = len(self.records) == 1
        return [name if one else f"{record.name}.{name}" for record in self.records for name in record.names]

    @cached_property
    def leaves(self) -> Ints:
        """The exit that a sample leaves by at a threshold, shape (samples of all networks, thresholds)."""
        return np.concatenate(
            [
                first + left_by(record, self.thresholds)
                for first, record in zip(self.first_exit, self.records, strict=True)
            ]
        )

    @cached_property
    def correct(self) -> NDArray[np.bool_]:
        """Whether the answer is right then, shape (samples of all networks, thresholds)."""
        return np.concatenate(
            [np.take_along_axis(record.correct, left_by(record, self.thresholds), 1) for record in self.records]
        )

    @cached_property
    def weights(self) -> Floats:
        """How often a request brings each sample, shape (samples of all networks,), summing to one."""
        pairs = zip(self.shares, self.records, strict=True)
        return np.concatenate([np.full(len(record), share / len(record)) for share, record in pairs])

    @property
    def accuracy(self) -> Floats:
        """Share of the requests answered rightly at each threshold, shape (thresholds,)."""
        return np.asarray((self.weights[:, None] * self.correct).sum(0))

    def samples(self, uniform: NDArray[np.floating[Any]]) -> Ints:
        """Sample numbers from uniform numbers in [0, 1), of equal shape."""
        if len(self.records) == 1:
            only = len(self.records[0])
            return np.minimum((uniform * only).astype(np.int32), only - 1)  # single precision may round up
        edges = np.cumsum(self.shares)
        network = np.minimum(np.searchsorted(edges, uniform, side="right"), len(self.records) - 1)
        sizes = np.array([len(record) for record in self.records])
        within = (uniform - (edges - self.shares)[network]) / self.shares[network]
        position = np.clip((within * sizes[network]).astype(np.int64), 0, sizes[network] - 1)
        return np.asarray((np.cumsum(sizes) - sizes)[network] + position)

    def check_reached(self) -> None:
        """Raises :class:`BadConfig` for an exit that no request leaves by, whatever threshold is chosen."""
        unused = np.setdiff1d(np.arange(self.exits), self.leaves)
        if unused.size:
            raise BadConfig(
                f"thresholds are {', '.join(f'{t:g}' for t in self.thresholds[:-1])}, at which exit "
                f"{self.names[unused[0]]!r} is never reached; accepted: with a threshold "
                "at which some request leaves by it"
            )


def left_by(record: ExitRecord, thresholds: Floats) -> Ints:
    """The exit that each sample leaves by, shape (samples, thresholds): the first that is confident enough."""
    stops = record.confidence[:, :, None] >= thresholds
    stops[:, -1] = True
    return np.asarray(stops.argmax(1), dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Tables:
    """A workload's time and activity at every setting (combination of clocks, the last domain fastest).

    Attributes:
        soc: the device.
        workload: the networks.
    """

    soc: Soc
    workload: Workload

    @cached_property
    def settings(self) -> Ints:
        """Clock positions, shape (settings, domains)."""
        return self.soc.every_index()

    @cached_property
    def strides(self) -> Ints:
        """The number of a setting is the sum of its positions times these, shape (domains,)."""
        sizes = np.array(self.soc.steps, dtype=np.int64)
        return np.append(np.cumprod(sizes[:0:-1])[::-1], 1)

    @cached_property
    def latency_s(self) -> Floats:
        """Seconds of a request that leaves by an exit, shape (settings, exits)."""
        at = self.settings[:, None, :]
        return np.concatenate([self.soc.latency_s(record.work, at) for record in self.workload.records], 1)

    @cached_property
    def activity(self) -> Floats:
        """Busy share of each domain meanwhile, shape (settings, exits, domains)."""
        at = self.settings[:, None, :]
        return np.concatenate([self.soc.activity(record.work, at) for record in self.workload.records], 1)

    @cached_property
    def fastest_s(self) -> float:
        """The least seconds that any request takes."""
        return float(self.latency_s.min())

    def check_deadline(self, deadline_s: float) -> None:
        """Raises :class:`Infeasible` where a network is too slow for the deadline at its first exit and best clocks."""
        for record, first in zip(self.workload.records, self.workload.first_exit, strict=True):
            least = float(self.latency_s[:, first : first + record.exits].min())
            if least > deadline_s:
                raise Infeasible(
                    f"deadline_s is {deadline_s:g}, which nothing can meet: {record.name!r} takes {least:.6g} s on "
                    f"{self.soc.name} at the highest clocks and its first exit, {least - deadline_s:.3g} s too long"
                )


def offered(records: Sequence[ExitRecord], shares: Floats, thresholds: Sequence[float], loss_points: float) -> Floats:
    """The thresholds at which accuracy on the search images falls by no more than so many percentage points.

    Args:
        records: of the search split.
        shares: of the requests, shape (networks,).
        thresholds: ascending, in (0, 1].
        loss_points: against never leaving early.

    Returns:
        The thresholds that are kept, and one above 1 as the last.
    """
    all_of_them = np.append(np.asarray(thresholds, dtype=np.float64), 2.0)
    accuracy = Workload(tuple(records), shares, all_of_them).accuracy
    return np.asarray(all_of_them[accuracy >= accuracy[-1] - loss_points / 100 - 1e-12])
