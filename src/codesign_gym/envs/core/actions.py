"""One adapter for actions: a choice among n values, or several at once, as Discrete, MultiDiscrete or Box."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from codesign_gym.errors import CodesignError, UnknownName


class BadAction(CodesignError):
    """Actions that are not in the action space."""


class ActionView(Protocol):
    """A way to express one choice among ``choices`` ordered values."""

    @property
    def choices(self) -> int:
        """Number of values."""
        ...

    @property
    def space(self) -> gym.Space[Any]:
        """The space of one environment's actions."""
        ...

    def decode(self, actions: NDArray[Any]) -> NDArray[np.int64]:
        """Value indices of shape (batch,) from actions of shape (batch, ...)."""
        ...


@dataclass(frozen=True)
class DiscreteView:
    """The value's index."""

    choices: int

    @property
    def space(self) -> gym.Space[Any]:
        """``Discrete(choices)``."""
        return gym.spaces.Discrete(self.choices)

    def decode(self, actions: NDArray[Any]) -> NDArray[np.int64]:
        """Actions are the indices; raises :class:`BadAction` for others."""
        return _indices(actions, self.choices).reshape(-1)


@dataclass(frozen=True)
class MultiDiscreteView:
    """The value's index, as a vector of one."""

    choices: int

    @property
    def space(self) -> gym.Space[Any]:
        """``MultiDiscrete([choices])``."""
        return gym.spaces.MultiDiscrete([self.choices])

    def decode(self, actions: NDArray[Any]) -> NDArray[np.int64]:
        """Actions hold the index in their only column; raises :class:`BadAction` for others."""
        return _indices(actions, self.choices).reshape(-1)


@dataclass(frozen=True)
class BoxView:
    """A real number in [-1, 1], cut into equal intervals, one per value.

    Shifted to [0, 1] this is HAQ's map from an actor's output to a bitwidth (Wang et al., CVPR 2019,
    section 3.1), with its end points clipped.
    """

    choices: int

    @property
    def space(self) -> gym.Space[Any]:
        """``Box(-1, 1, (1,), float32)``."""
        return gym.spaces.Box(-1.0, 1.0, (1,), np.float32)

    def decode(self, actions: NDArray[Any]) -> NDArray[np.int64]:
        """The interval that each action lies in; NaN counts as the lowest."""
        return _intervals(actions, self.choices).reshape(-1)


class SeveralView(Protocol):
    """A way to express several choices at once, each among ``sizes[i]`` ordered values."""

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of values of each choice."""
        ...

    @property
    def space(self) -> gym.Space[Any]:
        """The space of one environment's actions."""
        ...

    def decode(self, actions: NDArray[Any]) -> NDArray[np.int64]:
        """Value indices of shape (batch, choices) from actions of shape (batch, ...)."""
        ...


@dataclass(frozen=True)
class SeveralDiscreteView:
    """One index of the whole combination, the last choice fastest."""

    sizes: tuple[int, ...]

    @property
    def space(self) -> gym.Space[Any]:
        """``Discrete`` of the product of the sizes."""
        return gym.spaces.Discrete(prod(self.sizes))

    def decode(self, actions: NDArray[Any]) -> NDArray[np.int64]:
        """Actions are the indices; raises :class:`BadAction` for others."""
        joint = _indices(actions, prod(self.sizes)).reshape(-1)
        return np.stack(np.unravel_index(joint, self.sizes), -1).astype(np.int64)


@dataclass(frozen=True)
class SeveralMultiDiscreteView:
    """An index per choice."""

    sizes: tuple[int, ...]

    @property
    def space(self) -> gym.Space[Any]:
        """``MultiDiscrete(sizes)``."""
        return gym.spaces.MultiDiscrete(list(self.sizes))

    def decode(self, actions: NDArray[Any]) -> NDArray[np.int64]:
        """Actions are the indices; raises :class:`BadAction` for others."""
        return _indices(actions, np.array(self.sizes))


@dataclass(frozen=True)
class SeveralBoxView:
    """A real number in [-1, 1] per choice, cut into equal intervals as in :class:`BoxView`."""

    sizes: tuple[int, ...]

    @property
    def space(self) -> gym.Space[Any]:
        """``Box(-1, 1, (choices,), float32)``."""
        return gym.spaces.Box(-1.0, 1.0, (len(self.sizes),), np.float32)

    def decode(self, actions: NDArray[Any]) -> NDArray[np.int64]:
        """The interval that each action lies in; NaN counts as the lowest."""
        return _intervals(actions, np.array(self.sizes))


def _intervals(actions: NDArray[Any], choices: int | NDArray[np.int64]) -> NDArray[np.int64]:
    """Which of equal intervals of [-1, 1] each number lies in; ``choices`` broadcasts against the last axis."""
    wanted = np.asarray(actions, dtype=np.float64)
    bounded = np.minimum(np.fmax(wanted, -1.0), 1.0)  # fmax takes the number where the other is NaN
    return np.asarray(np.minimum((bounded + 1.0) / 2.0 * choices, choices - 1), dtype=np.int64)


def _indices(actions: NDArray[Any], choices: int | NDArray[np.int64]) -> NDArray[np.int64]:
    """Actions as indices, checked: one that is out of range would pick another knob's value.

    ``choices`` broadcasts against the last axis.
    """
    indices = np.asarray(actions)
    if indices.dtype.kind not in "iub" or not ((indices >= 0) & (indices < choices)).all():
        raise BadAction(
            f"actions are {indices.tolist()!s:.60}; accepted: whole numbers from 0 to {np.subtract(choices, 1)}"
        )
    return indices.astype(np.int64, copy=False)


VIEWS: dict[str, Callable[[int], ActionView]] = {
    "discrete": DiscreteView,
    "multidiscrete": MultiDiscreteView,
    "box": BoxView,
}


def view(name: str, choices: int) -> ActionView:
    """The action view of a name; raises :class:`UnknownName`."""
    if name not in VIEWS:
        raise UnknownName("action view", name, VIEWS)
    return VIEWS[name](choices)


SEVERAL_VIEWS: dict[str, Callable[[tuple[int, ...]], SeveralView]] = {
    "discrete": SeveralDiscreteView,
    "multidiscrete": SeveralMultiDiscreteView,
    "box": SeveralBoxView,
}


def several_view(name: str, sizes: tuple[int, ...]) -> SeveralView:
    """The view of several choices of a name; raises :class:`UnknownName`."""
    if name not in SEVERAL_VIEWS:
        raise UnknownName("action view", name, SEVERAL_VIEWS)
    return SEVERAL_VIEWS[name](sizes)


def nearest_legal(choice: NDArray[np.int64], mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The legal choice nearest to each choice (the lower of two equally near).

    Args:
        choice: shape (batch,).
        mask: which choices are legal, shape (batch, choices), none of its rows empty.
    """
    rows = np.arange(len(choice))
    if mask[rows, choice].all():
        return choice
    distance = np.abs(np.arange(mask.shape[1]) - choice[:, None])
    return np.asarray(np.where(mask, distance, mask.shape[1]).argmin(-1), dtype=np.int64)
