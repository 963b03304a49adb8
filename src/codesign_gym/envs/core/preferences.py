"""What matters how much, drawn anew for every episode, so that one policy learns the whole trade-off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Preferences:
    """Weights on the objectives, uniform over the simplex at ``concentration`` 1.

    The policy sees them, and its reward is the weighted sum (Abels et al., "Dynamic Weights in Multi-Objective Deep
    Reinforcement Learning", ICML 2019).

    Attributes:
        objectives: how many.
        concentration: of the Dirichlet distribution; below 1 favours single objectives, above 1 even weights.
    """

    objectives: int
    concentration: float = 1.0

    def draw(self, generators: Sequence[np.random.Generator]) -> NDArray[np.float64]:
        """One weight vector per generator, shape (batch, objectives), each adding up to the number of objectives."""
        alpha = np.full(self.objectives, self.concentration)
        return self.objectives * np.stack([generator.dirichlet(alpha) for generator in generators])


def drawn(
    preferences: Preferences | None, objectives: int, generators: Sequence[np.random.Generator]
) -> NDArray[np.float64]:
    """Weights for an episode each, shape (batch, objectives): ones where they are fixed."""
    return np.ones((len(generators), objectives)) if preferences is None else preferences.draw(generators)


def shown(
    preferences: Preferences | None, observation: NDArray[np.float32], weights: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Observations (batch, features), and behind them the weights (batch, objectives) where they vary."""
    if preferences is None:
        return observation
    return np.concatenate([observation, weights.astype(np.float32)], axis=1)


def shown_space(preferences: Preferences | None, space: gym.spaces.Box) -> gym.spaces.Box:
    """The space of :func:`shown`: an observation's, and the weights' in [0, objectives]."""
    if preferences is None:
        return space
    none = np.zeros(preferences.objectives, dtype=np.float32)
    low, high = np.append(space.low, none), np.append(space.high, none + preferences.objectives)
    return gym.spaces.Box(low, high, dtype=np.float32)
