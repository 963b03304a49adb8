"""The batched core that every environment is, and the states it moves through.

A core is a frozen record of pure functions over a leading batch axis. Its three views
(:class:`~codesign_gym.envs.core.views.CodesignEnv`, :class:`~codesign_gym.envs.core.views.CodesignVectorEnv`
and the Stable-Baselines3 adapter in :mod:`codesign_gym.agents`) add nothing but bookkeeping.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, Protocol, TypeVar

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

S = TypeVar("S")


class Core(Protocol[S]):
    """What an environment computes; ``S`` is a frozen dataclass of arrays with a leading batch axis."""

    @property
    def observation_space(self) -> gym.spaces.Box:
        """One environment's observations, float32 of shape (features,)."""
        ...

    @property
    def action_space(self) -> gym.Space[Any]:
        """One environment's actions."""
        ...

    @property
    def horizon(self) -> int:
        """Steps of an episode."""
        ...

    @property
    def objectives(self) -> Sequence[str]:
        """Names of the reward's terms that are wanted for their own sake; what keeps constraints is none of them."""
        ...

    def with_actions(self, name: str) -> Core[S]:
        """The same environment with actions expressed another way; raises :class:`UnknownName`."""
        ...

    def initial(self, generators: Sequence[np.random.Generator], previous: S | None) -> S:
        """States at the start of an episode, one per generator.

        ``previous`` holds the same environments' finished episodes (or is None after a seeded
        reset), from which anything that outlives an episode is carried over.
        """
        ...

    def transition(self, state: S, actions: NDArray[Any]) -> S:
        """The states that ``actions`` of shape (batch, ...) lead to; finished states may be stepped, to no effect."""
        ...

    def observation(self, state: S) -> NDArray[np.float32]:
        """Observations of shape (batch, features)."""
        ...

    def reward_terms(self, before: S, after: S) -> Mapping[str, NDArray[np.float64]]:
        """Named, already weighted parts of the reward, each of shape (batch,)."""
        ...

    def terminal(self, state: S) -> NDArray[np.bool_]:
        """Whether each episode has ended by its own rules, shape (batch,)."""
        ...

    def truncated(self, state: S) -> NDArray[np.bool_]:
        """Whether each episode was cut off, shape (batch,)."""
        ...

    def action_mask(self, state: S) -> NDArray[np.bool_]:
        """Which actions are legal, shape (batch, actions); all true for a space without masks."""
        ...

    def info(self, state: S) -> Mapping[str, NDArray[Any]]:
        """What else is known of each environment, arrays with a leading batch axis."""
        ...

    def render(self, state: S) -> NDArray[np.uint8]:
        """An RGB image of the first environment of the batch, shape (height, width, 3)."""
        ...


def take(state: S, index: NDArray[Any]) -> S:
    """The states of some environments of a batch."""
    return type(state)(*(getattr(state, field.name)[index] for field in fields(state)))  # type: ignore[arg-type]


def put(state: S, index: NDArray[Any], part: S) -> S:
    """The batch with some environments' states replaced by those of ``part``."""

    def merged(name: str) -> Any:
        column = getattr(state, name).copy()
        column[index] = getattr(part, name)
        return column

    return type(state)(*(merged(field.name) for field in fields(state)))  # type: ignore[arg-type]
