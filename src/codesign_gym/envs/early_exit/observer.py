"""What an agent sees of a half-decided design."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from codesign_gym.envs.core.construct import ConstructState
from codesign_gym.envs.early_exit.problem import EarlyExitProblem


@dataclass(frozen=True)
class DecisionObserver:
    """Which knob is next, what was chosen so far, and what is left of each grant.

    Columns: one a knob, 1 for the next one; one a knob, the choice made as a share of its highest, -1 where undecided;
    one a constraint, the share of the grant that remains beyond the least that must still be used.
    """

    problem: EarlyExitProblem

    @property
    def space(self) -> gym.spaces.Box:
        """``Box(-1, 1, (2 * knobs + constraints,), float32)``."""
        features = 2 * len(self.problem.space) + len(self.problem.constraints)
        return gym.spaces.Box(-1.0, 1.0, (features,), np.float32)

    @cached_property
    def _highest(self) -> NDArray[np.int64]:
        """The highest choice of each knob, at least 1, shape (knobs,)."""
        return np.array([max(len(knob.values) - 1, 1) for knob in self.problem.space.knobs])

    def __call__(self, state: ConstructState) -> NDArray[np.float32]:
        """Observations of shape (batch, features)."""
        knobs = np.arange(len(self.problem.space))
        chosen = np.where(knobs < state.step[:, None], state.design / self._highest, -1.0)
        left = np.clip(1.0 - state.bound, -1.0, 1.0)
        return np.concatenate([knobs == state.step[:, None], chosen, left], axis=1).astype(np.float32)
