"""Any environment that designs, with a vector of rewards: MO-Gymnasium's interface.

```python
import mo_gymnasium
import codesign_gym

env = mo_gymnasium.make("codesign/MultiObjective-v0", env="codesign/Accelerator-v0")
env = mo_gymnasium.wrappers.LinearReward(env)  # any of its wrappers and of its algorithms
```
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from codesign_gym.envs.core.core import Core
from codesign_gym.envs.core.designing import DesignCore
from codesign_gym.envs.core.problem import objective_names
from codesign_gym.envs.core.views import CodesignEnv, CoreOrRecipe, Infos
from codesign_gym.envs.registration import specification
from codesign_gym.errors import BadConfig


class MultiObjectiveEnv(CodesignEnv):
    """A core that designs as a single environment whose reward is a vector, one number an objective.

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
            BadConfig: for a core that does not design, or whose reward has no term per objective.
        """
        super().__init__(core, render_mode)
        self.objectives = _objectives(self.core)
        self.reward_dim = len(self.objectives)
        self.reward_space = gym.spaces.Box(-np.inf, np.inf, (self.reward_dim,), np.float32)

    def step(self, action: Any) -> tuple[Any, NDArray[np.float32], bool, bool, Infos]:  # type: ignore[override]
        """Take one action; the reward is of shape (objectives,)."""
        observation, _, terminated, truncated, info = super().step(action)
        vector = np.array([info["reward_terms"][name] for name in self.objectives], dtype=np.float32)
        return observation, vector, terminated, truncated, info


def make(env: str, render_mode: str | None = None, **options: Any) -> MultiObjectiveEnv:
    """The vector-reward view of a registered environment; errors as its own, and those of the view.

    Args:
        env: its id.
        render_mode: None or ``"rgb_array"``.
        options: its arguments.
    """
    made = gym.make(specification(env).id, **options).unwrapped
    if not isinstance(made, CodesignEnv):
        raise BadConfig(f"environment {env} is not built on codesign_gym's core, which knows its objectives")
    return MultiObjectiveEnv(made.core, render_mode)


def _objectives(core: Core[Any]) -> list[str]:
    if not isinstance(core, DesignCore):
        raise BadConfig("a vector of rewards needs an environment that designs; this one is controlled step by step")
    names = objective_names(core.problem)
    state: Any = core.initial([np.random.default_rng(0)], None)
    missing = set(names) - set(core.reward_terms(state, state))
    if missing:
        raise BadConfig(f"the reward has no term for {', '.join(sorted(missing))}; try reward='terminal'")
    return names
