"""Something that acts, and a walk with it through an episode."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from codesign_gym.envs.core.core import Core

S = TypeVar("S")


class Policy(Protocol):
    """From what is seen to what is done."""

    def __call__(self, observation: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[Any]:
        """Actions of shape (batch, ...).

        Args:
            observation: shape (batch, features).
            mask: legal actions, shape (batch, actions).
        """
        ...


def walk(core: Core[S], policy: Policy, generators: Sequence[np.random.Generator]) -> S:
    """The states at the end of an episode per generator, in which a policy acts."""
    state = core.initial(generators, None)
    while not (core.terminal(state) | core.truncated(state)).all():
        state = core.transition(state, policy(core.observation(state), core.action_mask(state)))
    return state
