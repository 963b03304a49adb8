"""HAQ's credit assignment as a replay buffer: the final reward is copied to every step of its episode."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.buffers import ReplayBuffer


class CreditCopyingReplayBuffer(ReplayBuffer):
    """When an episode ends, its sum of rewards becomes the reward of each of its transitions.

    The environment is left as it is; Wang et al. (CVPR 2019) do the same in their training loop.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """As Stable-Baselines3's replay buffer."""
        super().__init__(*args, **kwargs)
        self._length = np.zeros(self.n_envs, dtype=np.int64)  # steps of the running episode of each environment

    def add(
        self,
        obs: NDArray[Any],
        next_obs: NDArray[Any],
        action: NDArray[Any],
        reward: NDArray[Any],
        done: NDArray[Any],
        infos: list[dict[str, Any]],
    ) -> None:
        """Store one step of every environment, and settle the episodes that ended."""
        at = self.pos
        super().add(obs, next_obs, action, reward, done, infos)
        self._length += 1
        for env in np.flatnonzero(done):
            steps = (at - np.arange(min(int(self._length[env]), self.buffer_size))) % self.buffer_size
            self.rewards[steps, env] = self.rewards[steps, env].sum()
            self._length[env] = 0
