"""What an agent sees of a half-decided design, for any problem."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from codesign_gym.envs.core.construct import ConstructState, Observer
from codesign_gym.envs.core.problem import DesignProblem
from codesign_gym.envs.core.separable import Separable
from codesign_gym.errors import BadConfig

SPREAD = 3.0  # standard deviations that are told apart


@dataclass(frozen=True)
class DecisionObserver:
    """Which knob is next, what was chosen so far, and what is left of each grant.

    Columns: one a knob, 1 for the next one; one a knob, the choice made as a share of its highest, -1 where undecided;
    one a constraint, the share of the grant that remains beyond the least that must still be used.
    """

    problem: DesignProblem

    @property
    def space(self) -> gym.spaces.Box:
        """``Box(-1, 1, (2 * knobs + constraints,), float32)``."""
        features = 2 * len(self.problem.space) + len(self.problem.constraints)
        return gym.spaces.Box(-1.0, 1.0, (features,), np.float32)

    def __call__(self, state: ConstructState) -> NDArray[np.float32]:
        """Observations of shape (batch, features)."""
        knobs = np.arange(len(self.problem.space))
        chosen = np.where(knobs < state.step[:, None], state.design / self.problem.space.highest, -1.0)
        left = np.clip(1.0 - state.bound, -1.0, 1.0)
        return np.concatenate([knobs == state.step[:, None], chosen, left], axis=1).astype(np.float32)


@dataclass(frozen=True)
class PositionObserver:
    """How far the design is, and the previous choice as a share of its knob's highest: two columns in [0, 1]."""

    problem: DesignProblem

    @property
    def space(self) -> gym.spaces.Box:
        """``Box(0, 1, (2,), float32)``."""
        return gym.spaces.Box(0.0, 1.0, (2,), np.float32)

    def __call__(self, state: ConstructState) -> NDArray[np.float32]:
        """Observations of shape (batch, 2)."""
        last = np.maximum(state.step, 1) - 1
        previous = state.design[np.arange(len(last)), last] / self.problem.space.highest[last]
        columns = (state.step / len(self.problem.space.highest), np.where(state.step > 0, previous, 0.0))
        return np.stack(columns, axis=-1).astype(np.float32)


@dataclass(frozen=True)
class RichObserver:
    """Another observer's columns, and what a designer would look at before deciding.

    Behind the columns: the logarithm of the knob's predicted loss at every choice, the logarithm of the usage of each
    constraint that every choice adds beyond the cheapest (both in standard deviations over the knobs, clipped at
    three), and the share of each constraint that is left beyond the least that must still be spent. Their number does
    not depend on the number of knobs, so that a policy can act on another network.

    Attributes:
        problem: gives the constraints.
        tables: the problem's.
        base: the columns in front.
        loss: predicted loss of every choice, (knobs, prefixes, choices); 1 prefix where earlier choices do not matter.
    """

    problem: DesignProblem
    tables: Separable
    base: Observer
    loss: NDArray[np.float64]

    @property
    def space(self) -> gym.spaces.Box:
        """``Box(-3, 3, (columns + choices + constraints * (choices + 1),), float32)``."""
        choices, constraints = self.tables.choices, len(self.problem.constraints)
        features = self.base.space.shape[0] + choices + constraints * (choices + 1)
        return gym.spaces.Box(-SPREAD, SPREAD, (features,), np.float32)

    @cached_property
    def _loss(self) -> NDArray[np.float32]:
        """Shape (knobs, prefixes, choices)."""
        return standard_log(self.loss, axis=(0, 1))

    @cached_property
    def _cost(self) -> NDArray[np.float32]:
        """Usage of every choice beyond the cheapest, shape (knobs, prefixes, constraints * choices)."""
        scaled = standard_log(beyond_least(self.tables.typical.change[:, :, 1:, :]), axis=(0, 1))
        return np.asarray(scaled.reshape(*scaled.shape[:2], -1))

    def __call__(self, state: ConstructState) -> NDArray[np.float32]:
        """Observations of shape (batch, features)."""
        at = np.minimum(state.step, len(self._loss) - 1)
        left = np.minimum(np.maximum(1.0 - state.bound, -1.0), 1.0)
        loss = self._loss[at, state.prefix if self._loss.shape[1] > 1 else 0]
        features = (self.base(state), loss, self._cost[at, state.prefix], left.astype(np.float32))
        return np.concatenate(features, axis=1)


def choices_observer(problem: DesignProblem) -> RichObserver:
    """Position and previous choice, with everything that the problem's tables tell of the next one.

    Raises:
        BadConfig: if the problem has no tables.
    """
    tables = problem.separable
    if tables is None:
        raise BadConfig("observation 'rich' shows sums over knobs, which this problem has none of; try 'decisions'")
    return RichObserver(problem, tables, PositionObserver(problem), beyond_least(tables.typical.change[:, :, 0, :]))


def beyond_least(change: NDArray[np.float64]) -> NDArray[np.float64]:
    """What every choice (last axis) adds beyond the least; 0 for choices that are not allowed (inf)."""
    finite = np.isfinite(change)
    least = np.where(finite, change, np.inf).min(axis=-1, keepdims=True)
    return np.where(finite, change, 0.0) - np.where(finite, least, 0.0)


def standard_log(values: NDArray[np.float64], axis: tuple[int, ...]) -> NDArray[np.float32]:
    """Logarithms in standard deviations from their mean over ``axis``; what is zero counts as the least.

    A knob's best choice depends on the logarithms of its loss and of its cost, and networks and devices differ in
    their scale.
    """
    positive = np.where(values > 0, values, np.nan)
    logs = np.log(np.where(np.isnan(positive), 1.0, positive))
    known = ~np.isnan(positive)
    count = np.maximum(known.sum(axis, keepdims=True), 1)
    mean = np.where(known, logs, 0.0).sum(axis, keepdims=True) / count
    deviation = np.sqrt((np.where(known, logs - mean, 0.0) ** 2).sum(axis, keepdims=True) / count)
    scaled = (logs - mean) / np.where(deviation > 0, deviation, 1.0)
    return np.where(known, np.clip(scaled, -SPREAD, SPREAD), -SPREAD).astype(np.float32)
