"""Exploration noise that shrinks with every episode."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.noise import ActionNoise


class DecayingNoise(ActionNoise):
    """Normal noise whose standard deviation is ``start * decay ** episodes`` (HAQ: .5 and .99)."""

    def __init__(self, start: float, decay: float, episodes: Callable[[], int]) -> None:
        """Make the noise.

        Args:
            start: standard deviation in the first episode.
            decay: its factor per episode.
            episodes: how many episodes have ended.
        """
        super().__init__()
        self.start, self.decay, self.episodes = start, decay, episodes

    def __call__(self) -> NDArray[np.float32]:
        """One action's noise, shape (1,); from the global generator that Stable-Baselines3 seeds."""
        deviation = self.start * self.decay ** self.episodes()
        return np.random.normal(0.0, deviation, size=1).astype(np.float32)  # noqa: NPY002
