"""What an interval earns: named terms, none above 0."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from codesign_gym.envs.dvfs.state import DvfsState


@dataclass(frozen=True)
class Weights:
    """What each part of the reward is worth.

    Attributes:
        energy: of an interval at the highest clocks, always busy.
        misses: of a request that is answered late or dropped.
        accuracy: of a wrong answer.
        throttling: of an interval under throttling.
    """

    energy: float = 1.0
    misses: float = 1.0
    accuracy: float = 0.0
    throttling: float = 0.1

    @property
    def objectives(self) -> tuple[str, ...]:
        """Names of the terms that are not always 0, in order."""
        return tuple(field.name for field in fields(self) if getattr(self, field.name))

    def terms(self, before: DvfsState, after: DvfsState, full_power_j: float) -> Mapping[str, NDArray[np.float64]]:
        """Terms ``energy``, ``misses``, ``accuracy`` and ``throttling``, each of shape (batch,).

        Args:
            before: the interval's start.
            after: its end.
            full_power_j: energy of an interval at the highest clocks, always busy.
        """
        wrong = (after.served - before.served) - (after.correct - before.correct)
        missed = (after.late - before.late) + (after.dropped - before.dropped)
        spent_j = reduce(np.add, (after.energy_j - before.energy_j).T)  # rail by rail, whatever the batch
        return {
            "energy": spent_j * (-self.energy / full_power_j),
            "misses": missed * -self.misses,
            "accuracy": wrong * -self.accuracy,
            "throttling": (after.throttling - before.throttling) * -self.throttling,
        }
