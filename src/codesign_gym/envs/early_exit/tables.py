"""Everything about the designs of a family of networks on a device, in tables that designs are looked up in.

Which exit a sample leaves by depends on exits and threshold alone, and what leaving there costs on exits and clocks
alone. A design's expected cost is the sum over the exits of one times the other: tables of a few hundred thousand
numbers describe millions of designs exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from codesign_gym.errors import BadConfig, UnknownName
from codesign_gym.simulators.dvfs.soc import Soc
from codesign_gym.simulators.dvfs.work import Work
from codesign_gym.simulators.exits.record import ExitRecord, replay

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: The energy of everything; any other name is one of the device's own rails.
BOARD = "board"


@dataclass(frozen=True, eq=False)
class Answers:
    """What exits and a threshold do to a split, for each backbone.

    Attributes:
        shares: share of the samples that leave by each exit, (backbones, subsets, thresholds, exits).
        accuracy: (backbones, subsets, thresholds).
        error: standard error of the difference between that and the accuracy of the full first backbone, on the same
            samples, (backbones, subsets, thresholds).
    """

    shares: Floats
    accuracy: Floats
    error: Floats

    @classmethod
    def of(cls, records: Sequence[ExitRecord], thresholds: Floats) -> Self:
        """The tables of several networks with equally many exits on the same images."""
        subsets, suffices = placements(records[0].exits)[:, None, :], thresholds[None, :, None]
        base = records[0].correct[:, -1].astype(np.int8)
        shares, accuracy, error = [], [], []
        for record in records:
            found = replay(record, subsets, suffices)
            shares.append(found.shares)
            accuracy.append(found.accuracy)
            error.append((found.right - base).std(-1) / np.sqrt(len(record)))
        return cls(np.stack(shares), np.stack(accuracy), np.stack(error))


@dataclass(frozen=True, eq=False)
class Costs:
    """What leaving by each exit costs, for each backbone, subset of exits and setting of the clocks.

    Attributes:
        energy_j: (backbones, subsets, exits, settings).
        latency_s: (backbones, subsets, exits, settings).
    """

    energy_j: Floats
    latency_s: Floats

    @classmethod
    def of(cls, records: Sequence[ExitRecord], soc: Soc, rail: str, junction_c: float) -> Self:
        """The tables of networks on a device.

        Args:
            records: the networks; their split does not matter.
            soc: the device.
            rail: ``"board"``, or one of the device's rails, whose energy is counted.
            junction_c: temperature of the chip.

        Raises:
            UnknownName: for a rail that the device does not have.
        """
        paths = [record.path(placements(record.exits)) for record in records]
        work = Work(*(np.stack([getattr(path, field.name) for path in paths])[..., None] for field in fields(Work)))
        index = soc.every_index()  # (settings, domains)
        latency_s = soc.latency_s(work, index)
        power_w = soc.power_w(index, soc.activity(work, index), junction_c)  # (..., settings, domains + 1)
        counted = power_w.sum(-1) if rail == BOARD else power_w[..., rail_column(soc, rail)]
        return cls(counted * latency_s, latency_s)

    @property
    def worst_latency_s(self) -> Floats:
        """Of a sample that goes all the way, (backbones, subsets, settings)."""
        return np.asarray(self.latency_s[:, :, -1])


@dataclass(frozen=True, eq=False)
class Space:
    """How a design's choices number the tables' rows: subset, threshold and setting, each one integer.

    Attributes:
        backbones: how many networks.
        exits: positions of exits, the full network included.
        thresholds: how many.
        steps: clocks of each domain.
    """

    backbones: int
    exits: int
    thresholds: int
    steps: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Choices of every knob: backbone, each exit but the last, threshold, each domain's clock."""
        return (self.backbones, *[2] * (self.exits - 1), self.thresholds, *self.steps)

    @cached_property
    def blocks(self) -> tuple[int, int, int, int]:
        """Backbones, subsets, thresholds, settings: the tables' axes."""
        return (self.backbones, 2 ** (self.exits - 1), self.thresholds, int(np.prod(self.steps)))

    def rows(self, choices: Ints) -> tuple[Ints, Ints, Ints, Ints]:
        """Backbone, subset, threshold and setting, each (batch,), of choices of all knobs (batch, knobs)."""
        flat = np.ravel_multi_index(tuple(choices.T), self.shape)
        return np.unravel_index(flat, self.blocks)

    def choices(self, flat: Ints) -> Ints:
        """Choices of all knobs, (..., knobs), of designs by their number in the order of the tables' axes."""
        return np.stack(np.unravel_index(flat, self.shape), axis=-1).astype(np.int64)


def placements(exits: int) -> NDArray[np.bool_]:
    """Every subset of the exits before the last, shape (2 ** (exits - 1), exits): the first exit's choice varies
    slowest, and the last exit is always there.
    """
    optional = np.stack(np.unravel_index(np.arange(2 ** (exits - 1)), (2,) * (exits - 1)), axis=-1).astype(bool)
    return np.concatenate([optional, np.ones((len(optional), 1), dtype=bool)], axis=1)


def rail_column(soc: Soc, rail: str) -> int:
    """The column of :meth:`Soc.power_w` of a rail; raises :class:`UnknownName`."""
    if rail not in soc.rails:
        raise UnknownName("rail", rail, (BOARD, *soc.rails))
    return soc.rails.index(rail)


def check_alike(records: Sequence[ExitRecord]) -> None:
    """Refuse networks that cannot be told apart by one knob.

    Raises:
        BadConfig: if the numbers of exits or of samples differ.
    """
    for record in records[1:]:
        if record.confidence.shape != records[0].confidence.shape:
            raise BadConfig(
                f"backbones: {record.name!r} has {record.exits} exits and {len(record)} samples, {records[0].name!r} "
                f"{records[0].exits} and {len(records[0])}; accepted: networks with the same"
            )


def check_reached(record: ExitRecord, thresholds: Floats) -> None:
    """Refuse exits that no threshold ever uses.

    Raises:
        BadConfig: naming the exit, and the thresholds that would use it.
    """
    lowest, highest = thresholds.min(), thresholds.max()
    before = np.zeros(len(record))  # the highest confidence at the exits before
    for exit_ in range(record.exits):
        confidence = record.confidence[:, exit_]
        if exit_ < record.exits - 1 and confidence.max() < lowest:
            raise BadConfig(
                f"thresholds: {record.names[exit_]} of {record.name!r} is never reached: its confidence is at most "
                f"{confidence.max():.4g}, the lowest threshold {lowest:.4g}"
            )
        if exit_ and (before >= highest).all():
            raise BadConfig(
                f"thresholds: {record.names[exit_]} of {record.name!r} is never reached where all exits are placed: "
                f"every sample leaves before it at {highest:.4g}; accepted: a threshold above {before.min():.4g}"
            )
        before = np.maximum(before, confidence)
