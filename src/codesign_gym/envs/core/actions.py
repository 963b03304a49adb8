"""One adapter for actions: one choice or several at once, as Discrete, MultiDiscrete or Box."""

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
    """A way to express choices, each among ordered values."""

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
class DiscreteView:
    """One index of the whole combination, the last choice fastest; of a single choice, the value's index."""

    sizes: tuple[int, ...]

    @property
    def space(self) -> gym.Space[Any]:
        """``Discrete`` of the product of the sizes."""
        return gym.spaces.Discrete(prod(self.sizes))

    def decode(self, actions: NDArray[Any]) -> NDArray[np.int64]:
        """Actions are the indices; raises :class:`BadAction` for others."""
        joint = _indices(actions, prod(self.sizes)).reshape(-1)
        if len(self.sizes) == 1:
            return joint[:, None]
        return np.stack(np.unravel_index(joint, self.sizes), -1).astype(np.int64)


@dataclass(frozen=True)
class MultiDiscreteView:
    """An index per choice."""

    sizes: tuple[int, ...]

    @property
    def space(self) -> gym.Space[Any]:
        """``MultiDiscrete(sizes)``."""
        return gym.spaces.MultiDiscrete(list(self.sizes))

    def decode(self, actions: NDArray[Any]) -> NDArray[np.int64]:
        """Actions are the indices; raises :class:`BadAction` for others."""
        indices = np.asarray(actions)
        if indices.size % len(self.sizes):
            raise BadAction(f"actions are {indices.tolist()!s:.60}; accepted: {len(self.sizes)} whole numbers each")
        return _indices(indices.reshape(-1, len(self.sizes)), np.array(self.sizes))


@dataclass(frozen=True)
class BoxView:
    """A real number in [-1, 1] per choice, cut into equal intervals, one per value.

    Shifted to [0, 1] this is HAQ's map from an actor's output to a bitwidth (Wang et al., CVPR 2019,
    section 3.1), with its end points clipped.
    """

    sizes: tuple[int, ...]

    @property
    def space(self) -> gym.Space[Any]:
        """``Box(-1, 1, (choices,), float32)``."""
        return gym.spaces.Box(-1.0, 1.0, (len(self.sizes),), np.float32)

    def decode(self, actions: NDArray[Any]) -> NDArray[np.int64]:
        """The interval that each action lies in; raises :class:`BadAction` for NaN, or for more or fewer numbers."""
        sizes = np.array(self.sizes)[:, None]
        wanted = np.asarray(actions, dtype=np.float64)
        if wanted.size % len(sizes) or np.isnan(wanted).any():
            raise BadAction(f"actions are {wanted.tolist()!s:.60}; accepted: {len(sizes)} numbers from -1 to 1 each")
        place = np.maximum(wanted.reshape(-1, len(sizes)).T, -1.0, order="C")  # a choice in one piece
        np.minimum(place, 1.0, out=place)
        place += 1.0
        place *= sizes / 2.0
        return np.asarray(np.minimum(place.astype(np.int64), sizes - 1).T)


def _indices(actions: NDArray[Any], sizes: int | NDArray[np.int64]) -> NDArray[np.int64]:
    """Actions as indices, checked: one that is out of range would pick another knob's value.

    ``sizes`` broadcasts against the last axis.
    """
    indices = np.asarray(actions)
    if indices.dtype.kind not in "iub" or not ((indices >= 0) & (indices < sizes)).all():
        raise BadAction(
            f"actions are {indices.tolist()!s:.60}; accepted: whole numbers from 0 to {np.subtract(sizes, 1)}"
        )
    return indices.astype(np.int64, copy=False)


VIEWS: dict[str, Callable[[tuple[int, ...]], ActionView]] = {
    "discrete": DiscreteView,
    "multidiscrete": MultiDiscreteView,
    "box": BoxView,
}


def view(name: str, sizes: tuple[int, ...]) -> ActionView:
    """The action view of a name; raises :class:`UnknownName`.

    Args:
        name: ``discrete``, ``multidiscrete`` or ``box``.
        sizes: number of values of each choice.
    """
    if name not in VIEWS:
        raise UnknownName("action view", name, VIEWS)
    return VIEWS[name](sizes)


def sampled_by(mask: NDArray[np.bool_]) -> NDArray[np.int8]:
    """A mask as Gymnasium's ``Space.sample`` takes it, 1 or 0; the same memory."""
    return mask.view(np.int8)


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
