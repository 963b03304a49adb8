"""The third view of a core: a Stable-Baselines3 ``VecEnv`` over a SAME_STEP vector environment."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvObs, VecEnvStepReturn

from codesign_gym.envs.core.views import CodesignVectorEnv


class CodesignVecEnv(VecEnv):
    """Hands a native vector environment to Stable-Baselines3.

    Info dicts are one shared empty dict except where an episode ends (filling one per environment and
    step costs SB3 microseconds each); there they hold ``terminal_observation``,
    ``TimeLimit.truncated`` and the core's final info.
    """

    def __init__(self, env: CodesignVectorEnv) -> None:
        """Wrap a vector environment.

        Raises:
            ValueError: if the environment's autoreset mode is not SAME_STEP.
        """
        if env.autoreset_mode is not AutoresetMode.SAME_STEP:
            raise ValueError(f"Stable-Baselines3 needs SAME_STEP autoreset, got {env.autoreset_mode}")
        self.env = env
        self._actions: NDArray[Any] | None = None
        self._empty: dict[str, Any] = {}
        super().__init__(env.num_envs, env.single_observation_space, env.single_action_space)

    def reset(self) -> VecEnvObs:
        """Start all episodes, with the seeds that :meth:`seed` left."""
        seeds = None if all(seed is None for seed in self._seeds) else self._seeds
        observation, _ = self.env.reset(seed=seeds)
        self._reset_seeds()
        self._reset_options()
        return np.asarray(observation)

    def step_async(self, actions: NDArray[Any]) -> None:
        """Remember the actions."""
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        """Take the step."""
        observation, reward, terminated, truncated, info = self.env.step(self._actions)
        done = terminated | truncated
        infos = [self._empty] * self.num_envs
        if done.any():
            final, last = info["final_info"], info["final_obs"]
            for i in np.flatnonzero(done):
                infos[i] = {name: column[i] for name, column in final.items() if name != "reward_terms"}
                infos[i]["reward_terms"] = {name: float(term[i]) for name, term in final["reward_terms"].items()}
                infos[i]["terminal_observation"] = last[i]
                infos[i]["TimeLimit.truncated"] = bool(truncated[i] and not terminated[i])
        return observation, reward.astype(np.float32), done, infos

    def close(self) -> None:
        """Close the wrapped environment."""
        self.env.close()

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """An attribute of the wrapped environment, once per index."""
        value = getattr(self.env, attr_name)
        return [value for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set an attribute of the wrapped environment, for all of its parts at once."""
        setattr(self.env, attr_name, value)

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
    ) -> list[Any]:
        """Call a batched method of the wrapped environment; its rows are the environments' answers."""
        answer = getattr(self.env, method_name)(*method_args, **method_kwargs)
        picked: Iterable[int] = self._get_indices(indices)
        return [answer[i] for i in picked] if isinstance(answer, np.ndarray | Sequence) else [answer for _ in picked]

    def env_is_wrapped(self, wrapper_class: type[Any], indices: VecEnvIndices = None) -> list[bool]:
        """Never: wrappers of single environments have no place in a batch."""
        return [False for _ in self._get_indices(indices)]

    def get_images(self) -> Sequence[NDArray[np.uint8] | None]:
        """The first environment's picture."""
        return list(self.env.render() or [])
