"""Any environment built on this package's core, with a vector of rewards: MO-Gymnasium's interface.

```python
import mo_gymnasium
import codesign_gym

env = mo_gymnasium.make("codesign/MultiObjective-v0", env="codesign/Accelerator-v0")
env = mo_gymnasium.wrappers.LinearReward(env)  # any of its wrappers and of its algorithms

envs = gymnasium.make_vec("codesign/MultiObjective-v0", num_envs=64, env="codesign/Accelerator-v0")
envs = mo_gymnasium.wrappers.vector.MORecordEpisodeStatistics(envs)
```

The objectives are those that a core names: of one that designs its problem's, of one that controls the parts of its
reward that have a weight (of `codesign/Dvfs-v0` energy, misses, accuracy, throttling).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from codesign_gym.envs.core.core import Core
from codesign_gym.envs.core.designing import DesignCore
from codesign_gym.envs.core.views import CodesignEnv, CodesignVectorEnv, CoreOrRecipe, Infos
from codesign_gym.envs.registration import specification
from codesign_gym.errors import BadConfig


class MultiObjectiveEnv(CodesignEnv):
    """A core as a single environment whose reward is a vector, one number an objective.

    What is paid for usage of constraints is no objective and stays out of the vector; ``info["usage"]`` and
    ``info["reward_terms"]`` have it.

    Attributes:
        reward_space: ``Box(-inf, inf, (objectives,), float32)``, as MO-Gymnasium expects it.
        reward_dim: number of objectives.
        objectives: their names, in order.
    """

    def __init__(self, core: CoreOrRecipe, render_mode: str | None = None) -> None:
        """Wrap a core.

        Args:
            core: the environment's functions, or a function that makes them.
            render_mode: None or ``"rgb_array"``.

        Raises:
            BadConfig: for a core that names no objectives, or whose reward has no term for each or is weighted.
        """
        super().__init__(core, render_mode)
        self.objectives = _objectives(self.core)
        self.reward_dim = len(self.objectives)
        self.reward_space = _reward_space(self.reward_dim)

    def step(self, action: Any) -> tuple[Any, NDArray[np.float32], bool, bool, Infos]:  # type: ignore[override]
        """Take one action; the reward is of shape (objectives,)."""
        observation, _, terminated, truncated, info = super().step(action)
        return observation, _vector(info["reward_terms"], self.objectives), terminated, truncated, info


class MultiObjectiveVectorEnv(CodesignVectorEnv):
    """A core as a native vector environment whose rewards are of shape (num_envs, objectives).

    Attributes:
        reward_space: of one environment, ``Box(-inf, inf, (objectives,), float32)``, as in MO-Gymnasium's own.
        reward_dim: number of objectives.
        objectives: their names, in order.
    """

    def __init__(
        self,
        core: CoreOrRecipe,
        num_envs: int = 1,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        render_mode: str | None = None,
    ) -> None:
        """Wrap a core; arguments as those of :class:`CodesignVectorEnv`, errors as of :class:`MultiObjectiveEnv`."""
        super().__init__(core, num_envs, autoreset_mode, render_mode)
        self.objectives = _objectives(self.core)
        self.reward_dim = len(self.objectives)
        self.reward_space = _reward_space(self.reward_dim)

    def step(  # type: ignore[override]
        self, actions: Any
    ) -> tuple[Any, NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_], Infos]:
        """Take one action in every environment; rewards are of shape (num_envs, objectives), 0 where it restarts."""
        observation, scalar, terminated, truncated, infos = super().step(actions)
        terms = infos.get("reward_terms", dict.fromkeys(self.objectives, np.zeros_like(scalar)))
        return observation, _vector(terms, self.objectives), terminated, truncated, infos


def make(env: str, render_mode: str | None = None, **options: Any) -> MultiObjectiveEnv:
    """The vector-reward view of a registered environment; errors as its own, and those of the view.

    Args:
        env: its id.
        render_mode: None or ``"rgb_array"``.
        options: its arguments.
    """
    return MultiObjectiveEnv(partial(_core, env, options, render_mode), render_mode)


def make_vec(
    env: str,
    num_envs: int = 1,
    autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
    render_mode: str | None = None,
    **options: Any,
) -> MultiObjectiveVectorEnv:
    """Many such environments that step together; arguments and errors as of :func:`make`."""
    return MultiObjectiveVectorEnv(partial(_core, env, options, render_mode), num_envs, autoreset_mode, render_mode)


def _core(env: str, options: Mapping[str, Any], render_mode: str | None) -> Core[Any]:
    made = gym.make(specification(env).id, render_mode=render_mode, **options).unwrapped
    if not isinstance(made, CodesignEnv):
        raise BadConfig(f"environment {env} is not built on codesign_gym's core, which knows its objectives")
    return made.core


def _reward_space(objectives: int) -> gym.spaces.Box:
    return gym.spaces.Box(-np.inf, np.inf, (objectives,), np.float32)


def _vector(terms: Mapping[str, Any], objectives: list[str]) -> NDArray[np.float32]:
    """The objectives' terms, each of shape (...), as one array of shape (..., objectives)."""
    return np.stack([terms[name] for name in objectives], axis=-1).astype(np.float32)


def _objectives(core: Core[Any]) -> list[str]:
    names = list(getattr(core, "objectives", ()))  # a core from elsewhere may name none
    if not names:
        raise BadConfig("a vector of rewards needs an environment with objectives, and this one's core names none")
    if isinstance(core, DesignCore) and core.preferences is not None:
        raise BadConfig("preferences is 'sampled', which weighs rewards; a vector of rewards accepts: fixed")
    state: Any = core.initial([np.random.default_rng(0)], None)
    terms = core.reward_terms(state, state)
    if missing := [name for name in names if name not in terms]:
        raise BadConfig(
            f"the reward has the terms {', '.join(terms)} and none for {', '.join(missing)}: 'dense' pays for one sum "
            "over all objectives, which is no vector; accepted: reward='terminal'"
        )
    return names
