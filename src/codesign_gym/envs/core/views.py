"""Two of the three views of a core: ``gymnasium.Env`` (a batch of one) and ``gymnasium.vector.VectorEnv``.

Both give the generators of environment ``i`` the seed ``seed + i``, so that n single environments and
one vector environment of n agree bit by bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from codesign_gym.envs.core.actions import sampled_by
from codesign_gym.envs.core.core import Core, put, take
from codesign_gym.errors import BadConfig

Infos = dict[str, Any]

#: A core, or a function that makes it, which is what is pickled then; a core with torch modules needs one.
CoreOrRecipe = Core[Any] | Callable[[], Core[Any]]


class _Pickled:
    """Leaves out of a pickle a core that can be made again."""

    core: Core[Any]
    _recipe: Callable[[], Core[Any]] | None

    def _set_core(self, core: CoreOrRecipe) -> Core[Any]:
        self._recipe = core if callable(core) else None
        self.core = core() if callable(core) else core
        return self.core

    def __getstate__(self) -> dict[str, Any]:
        state = dict(vars(self))
        if self._recipe is not None:
            del state["core"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        if self._recipe is not None:
            self.core = self._recipe()


class CodesignEnv(_Pickled, gym.Env[Any, Any]):
    """A core as a single Gymnasium environment.

    It can be pickled in the middle of an episode and goes on bit by bit.

    Masks, in ``info["action_mask"]`` and of :meth:`action_masks`, are int8: what Gymnasium's spaces sample by and
    sb3-contrib takes. A random legal action of ``Discrete`` is ``env.action_space.sample(info["action_mask"])``; of
    ``MultiDiscrete`` with one choice ``env.action_space.sample((info["action_mask"],))``.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 4}  # noqa: RUF012  (Gymnasium's own form)

    def __init__(self, core: CoreOrRecipe, render_mode: str | None = None) -> None:
        """Wrap a core.

        Args:
            core: the environment's functions, or a function that makes them.
            render_mode: None or ``"rgb_array"``.
        """
        _check_render_mode(render_mode)
        core = self._set_core(core)
        self.render_mode = render_mode
        self.observation_space = core.observation_space
        self.action_space = core.action_space
        self._state: Any = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, Infos]:
        """Start an episode; a seed also forgets whatever outlived earlier episodes."""
        super().reset(seed=seed)
        self._state = self.core.initial([self.np_random], None if seed is not None else self._state)
        return self.core.observation(self._state)[0], _single(_told(self.core, self._state))

    def step(self, action: Any) -> tuple[Any, float, bool, bool, Infos]:
        """Take one action."""
        before, self._state = self._state, self.core.transition(self._state, np.asarray(action)[None])
        terms = self.core.reward_terms(before, self._state)
        return (
            self.core.observation(self._state)[0],
            float(_total(terms, 1)[0]),
            bool(self.core.terminal(self._state)[0]),
            bool(self.core.truncated(self._state)[0]),
            _single({**_told(self.core, self._state), "reward_terms": terms}),
        )

    def action_masks(self) -> NDArray[np.int8]:
        """Which actions are legal now, 1 or 0, shape (actions,); the name that sb3-contrib looks for."""
        return np.array(sampled_by(self.core.action_mask(self._state)[0]))

    def render(self) -> Any:
        """The state as an RGB array, or None without a render mode."""
        return self.core.render(self._state) if self.render_mode == "rgb_array" else None


class CodesignVectorEnv(_Pickled, gym.vector.VectorEnv[Any, Any, Any]):
    """A core as a native vector environment, in any of Gymnasium's autoreset modes.

    Infos are arrays over environments (with Gymnasium's ``_name`` masks where only some have a
    value). In SAME_STEP mode ``final_obs`` and ``final_info`` hold the last observations and infos of
    the episodes that ended. It can be pickled like the single environment.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 4}  # noqa: RUF012

    def __init__(
        self,
        core: CoreOrRecipe,
        num_envs: int = 1,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        render_mode: str | None = None,
    ) -> None:
        """Wrap a core.

        Args:
            core: the environment's functions, or a function that makes them.
            num_envs: how many environments run in step.
            autoreset_mode: one of Gymnasium's.
            render_mode: None or ``"rgb_array"``.
        """
        _check_render_mode(render_mode)
        if num_envs < 1:
            raise BadConfig(f"num_envs is {num_envs}; at least 1 is needed")
        core = self._set_core(core)
        self.num_envs = num_envs
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {**self.metadata, "autoreset_mode": self.autoreset_mode}
        self.render_mode = render_mode
        self.single_observation_space = core.observation_space
        self.single_action_space = core.action_space
        self.observation_space = batch_space(core.observation_space, num_envs)
        self.action_space = batch_space(core.action_space, num_envs)
        self._generators: list[np.random.Generator] = []
        self._state: Any = None
        self._done = np.zeros(num_envs, dtype=bool)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, Infos]:
        """Start episodes in all environments, or in those of ``options["reset_mask"]``.

        Args:
            seed: environment ``i`` gets ``seed + i``; a sequence gives each its own.
            options: ``reset_mask``, a bool array of shape (num_envs,).
        """
        mask = _reset_mask(options, self.num_envs)
        seeds = [seed] * self.num_envs if seed is None else seed
        seeds = [seeds + i for i in range(self.num_envs)] if isinstance(seeds, int | np.integer) else list(seeds)
        if len(seeds) != self.num_envs:
            raise ValueError(f"{len(seeds)} seeds for {self.num_envs} environments")
        if not self._generators:
            self._generators = [seeding.np_random(s)[0] for s in seeds]
        else:
            fresh = zip(self._generators, seeds, mask, strict=True)
            self._generators = [g if s is None or not m else seeding.np_random(s)[0] for g, s, m in fresh]
        if self._state is None:
            self._state = self.core.initial(self._generators, None)
        else:
            seeded = np.array([s is not None for s in seeds])
            self._restart(mask & seeded, forget=True)
            self._restart(mask & ~seeded)
        self._done = self._done & ~mask
        return self.core.observation(self._state), _told(self.core, self._state)

    def step(self, actions: Any) -> tuple[Any, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], Infos]:
        """Take one action in every environment."""
        core, restart = self.core, self._done
        before, any_restart = self._state, bool(restart.any())
        if any_restart and self.autoreset_mode is AutoresetMode.DISABLED:
            raise ValueError(f"environments {np.flatnonzero(restart).tolist()} have ended and were not reset")
        if any_restart and restart.all():
            return self._restarted()
        self._state = core.transition(before, np.asarray(actions))
        terms = core.reward_terms(before, self._state)
        if any_restart:
            self._restart(restart)
            terms = {name: np.where(restart, 0.0, term) for name, term in terms.items()}
        terminated, truncated = core.terminal(self._state), core.truncated(self._state)
        done = terminated | truncated
        infos: Infos = {}
        if self.autoreset_mode is AutoresetMode.SAME_STEP and done.any():
            infos = {
                "final_obs": core.observation(self._state),
                "final_info": {**_told(core, self._state), "reward_terms": terms},
                "_final_obs": done,
                "_final_info": done,
            }
            self._restart(done)
            self._done = np.zeros_like(done)
        else:
            self._done = done
        infos.update(_told(core, self._state), reward_terms=terms)
        return core.observation(self._state), _total(terms, self.num_envs), terminated, truncated, infos

    def action_masks(self) -> NDArray[np.int8]:
        """Which actions are legal now, 1 or 0, shape (num_envs, actions)."""
        return sampled_by(self.core.action_mask(self._state))

    def render(self) -> tuple[Any, ...] | None:
        """The first environment's state as an RGB array, or None without a render mode."""
        return (self.core.render(self._state),) if self.render_mode == "rgb_array" else None

    def snapshot(self) -> tuple[Any, list[dict[str, Any]]]:
        """The core's state and the generators' states, from which :meth:`restore` goes on bit by bit."""
        return self._state, [dict(generator.bit_generator.state) for generator in self._generators]

    def restore(self, state: Any, generators: Sequence[Mapping[str, Any]]) -> None:
        """Go on from a :meth:`snapshot`."""
        self._state = state
        self._generators = [seeding.np_random(0)[0] for _ in generators]
        for generator, saved in zip(self._generators, generators, strict=True):
            generator.bit_generator.state = dict(saved)
        self._done = np.zeros(self.num_envs, dtype=bool)

    def _restarted(self) -> tuple[Any, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], Infos]:
        """NEXT_STEP's answer where every environment only resets."""
        self._restart(self._done)
        self._done = np.zeros(self.num_envs, dtype=bool)
        none = np.zeros(self.num_envs, dtype=bool)
        infos = _told(self.core, self._state)
        return self.core.observation(self._state), np.zeros(self.num_envs), none, none.copy(), infos

    def _restart(self, mask: NDArray[np.bool_], forget: bool = False) -> None:
        if mask.all():
            self._state = self.core.initial(self._generators, None if forget else self._state)
            return
        index = np.flatnonzero(mask)
        if not len(index):
            return
        previous = None if forget else take(self._state, index)
        self._state = put(self._state, index, self.core.initial([self._generators[i] for i in index], previous))


def _told(core: Core[Any], state: Any) -> Infos:
    """A core's infos, with the mask as Gymnasium's spaces take it."""
    infos = dict(core.info(state))
    return infos | {"action_mask": sampled_by(infos["action_mask"])} if "action_mask" in infos else infos


def _total(terms: Mapping[str, NDArray[np.float64]], batch: int) -> NDArray[np.float64]:
    total = np.zeros(batch)
    for term in terms.values():
        total += term
    return total


def _single(infos: Mapping[str, Any]) -> Infos:
    """The infos of a batch of one; copies, since a caller may keep and change them."""
    return {n: _single(column) if isinstance(column, Mapping) else np.array(column[0]) for n, column in infos.items()}


def _check_render_mode(mode: str | None) -> None:
    if mode not in (None, "rgb_array"):
        raise BadConfig(f"render_mode is {mode!r}; accepted: None, 'rgb_array'")


def _reset_mask(options: dict[str, Any] | None, num_envs: int) -> NDArray[np.bool_]:
    mask = (options or {}).get("reset_mask")
    if mask is None:
        return np.ones(num_envs, dtype=bool)
    if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.shape != (num_envs,) or not mask.any():
        raise ValueError(f"options['reset_mask'] must be a bool array of shape ({num_envs},) with a True, got {mask!r}")
    return mask
