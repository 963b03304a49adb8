"""What a network with exits answered on held-out images: recorded once, so that difficulty and accuracy are real."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from codesign_gym.errors import BadConfig
from codesign_gym.simulators.dvfs.work import Work


@dataclass(frozen=True, eq=False)
class ExitRecord:
    """The answers of every exit on one split, and what it takes to get them.

    Attributes:
        name: the network's id or file.
        split: ``"search"``, by which anything is chosen, or ``"test"``, by which it is claimed.
        names: of the exits, shape (exits,), from the first to the full network.
        confidence: largest softmax probability, float32 of shape (samples, exits).
        correct: whether that class is the right one, bool of shape (samples, exits).
        stages: work of the backbone between one exit and the next, shape (exits,).
        heads: work of each exit's own classifier, shape (exits,).

    Raises:
        BadConfig: naming the field whose shape or values are not as above.
    """

    name: str
    split: str
    names: tuple[str, ...]
    confidence: NDArray[np.float32]
    correct: NDArray[np.bool_]
    stages: Work
    heads: Work

    def __post_init__(self) -> None:
        where = f"exits of {self.name!r}, {self.split}"
        shape = self.confidence.shape
        if len(shape) != 2 or shape[0] < 1 or shape[1] < 2 or self.correct.shape != shape:
            raise BadConfig(
                f"{where}: confidence has shape {shape}, correct {self.correct.shape}; accepted: (samples, exits) "
                "twice, with two exits at least"
            )
        for field, found in (("names", (len(self.names),)), ("stages", self.stages.shape), ("heads", self.heads.shape)):
            if found != shape[1:]:
                raise BadConfig(f"{where}: field {field!r} has shape {found}; accepted: {shape[1:]}, one an exit")
        if not ((self.confidence >= 0) & (self.confidence <= 1)).all():
            raise BadConfig(f"{where}: field 'confidence' holds values outside [0, 1]; accepted: probabilities")

    def __len__(self) -> int:
        return len(self.confidence)

    @property
    def exits(self) -> int:
        """How many there are, the full network included."""
        return len(self.names)

    @cached_property
    def work(self) -> Work:
        """Work up to and including each exit's head, all heads before it computed as well, shape (exits,)."""
        return self.path(np.ones(self.exits, dtype=bool))

    def path(self, placed: NDArray[np.bool_]) -> Work:
        """Work up to and including each exit's head where only the placed ones are computed.

        Args:
            placed: shape (..., exits); the last exit is there whatever it says.

        Returns:
            Shape (..., exits); entries of exits that are not placed are those of the backbone up to there.
        """
        heads = np.array(placed, dtype=bool)
        heads[..., -1] = True

        def column(name: str) -> NDArray[np.float64]:
            return np.cumsum(getattr(self.stages, name) + heads * getattr(self.heads, name), axis=-1)

        return Work(*(column(field.name) for field in fields(Work)))


class ExitRecords(NamedTuple):
    """The same network on both held-out splits."""

    search: ExitRecord
    test: ExitRecord


@dataclass(frozen=True, eq=False)
class Replay:
    """What early exits do to a split.

    Attributes:
        leaving: the exit that each sample leaves by, int64 of shape (..., samples).
        right: whether each sample is classified correctly there, bool of shape (..., samples).
        shares: share of the samples that leave by each exit, (..., exits).
    """

    leaving: NDArray[np.int64]
    right: NDArray[np.bool_]
    shares: NDArray[np.float64]

    @property
    def accuracy(self) -> NDArray[np.float64]:
        """Share of the samples that are classified correctly, (...)."""
        return np.asarray(self.right.mean(-1))


def replay(record: ExitRecord, placed: NDArray[np.bool_], threshold: NDArray[np.float64]) -> Replay:
    """Let every sample leave by the first placed exit that is confident enough, else by the last.

    Args:
        record: the split.
        placed: shape (..., exits).
        threshold: shape (..., exits), or what broadcasts with ``placed``: the confidence that suffices.
    """
    stops = placed[..., None, :] & (record.confidence >= np.asarray(threshold)[..., None, :])  # (..., samples, exits)
    stops[..., -1] = True
    leaving = stops.argmax(-1)
    right = np.take_along_axis(np.broadcast_to(record.correct, stops.shape), leaving[..., None], axis=-1)[..., 0]
    shares = np.stack([(leaving == exit_).mean(-1) for exit_ in range(record.exits)], axis=-1)
    return Replay(leaving, right, shares)
