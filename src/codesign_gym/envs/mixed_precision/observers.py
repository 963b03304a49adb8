"""What an agent sees of a half-quantized network."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from codesign_gym.envs.core.construct import ConstructState
from codesign_gym.envs.mixed_precision.problem import MixedPrecisionProblem

PREVIOUS_ACTION = 8  # the column that changes as the episode goes


@dataclass(frozen=True)
class HaqObserver:
    """HAQ's ten numbers (Wang et al., CVPR 2019, section 3.1), each scaled to [0, 1] over the network's layers.

    Columns: depthwise flag, input channels, output channels, stride, kernel, weights, input pixels,
    layer index, previous bitwidth / highest, weight-or-activation flag.
    """

    problem: MixedPrecisionProblem

    @property
    def space(self) -> gym.spaces.Box:
        """``Box(0, 1, (10,), float32)``."""
        return gym.spaces.Box(0.0, 1.0, (10,), np.float32)

    @cached_property
    def _table(self) -> NDArray[np.float32]:
        """The columns that only depend on the step, shape (knobs, 10)."""
        layers = self.problem.network.layers
        count = len(self.problem.network)
        columns = np.stack(
            [
                layers.depthwise,
                layers.in_channels,
                layers.out_channels,
                layers.stride,
                layers.kernel_height,
                layers.weights,
                layers.in_height * layers.in_width,
                np.arange(count),
                np.zeros(count),
                np.zeros(count),
            ],
            axis=-1,
        ).astype(np.float64)
        low, high = columns.min(0), columns.max(0)
        table = np.repeat((columns - low) / np.where(high > low, high - low, 1.0), 2, axis=0)
        table[1::2, 9] = 1.0
        return table.astype(np.float32)

    @cached_property
    def _bit_share(self) -> NDArray[np.float32]:
        return (np.asarray(self.problem.bit_values) / self.problem.bit_values[-1]).astype(np.float32)

    def __call__(self, state: ConstructState) -> NDArray[np.float32]:
        """Observations of shape (batch, 10); before the first decision the previous bitwidth is 0."""
        at = np.minimum(state.step, len(self._table) - 1)
        observation = self._table[at]
        rows = np.arange(len(at))
        previous = self._bit_share[state.design[rows, np.maximum(state.step, 1) - 1]]
        observation[:, PREVIOUS_ACTION] = np.where(state.step > 0, previous, 0.0)
        return observation


@dataclass(frozen=True)
class RichObserver:
    """HAQ's ten numbers, and what a designer would look at before deciding.

    Behind the ten: the logarithm of the knob's predicted loss at every bitwidth, the logarithm of the
    usage of each constraint that every choice adds beyond the cheapest (both in standard deviations
    over the network, clipped at three), and the share of each constraint that is left beyond the
    least that must still be spent.
    """

    problem: MixedPrecisionProblem

    @cached_property
    def _haq(self) -> HaqObserver:
        return HaqObserver(self.problem)

    @property
    def space(self) -> gym.spaces.Box:
        """``Box(-3, 3, (10 + bitwidths + constraints * (bitwidths + 1),), float32)``."""
        bits, constraints = len(self.problem.bit_values), len(self.problem.constraints)
        return gym.spaces.Box(-SPREAD, SPREAD, (10 + bits + constraints * (bits + 1),), np.float32)

    @cached_property
    def _loss(self) -> NDArray[np.float32]:
        """Predicted loss of every choice, shape (knobs, bitwidths)."""
        table = self.problem.sensitivities.reshape(-1, len(self.problem.bit_values))
        return _standard_log(table, axis=0)

    @cached_property
    def _cost(self) -> NDArray[np.float32]:
        """Usage of every choice beyond the cheapest, shape (knobs, prefixes, constraints * bitwidths)."""
        change = self.problem.separable.typical.change[:, :, 1:, :]  # (knobs, prefixes, constraints, bitwidths)
        finite = np.isfinite(change)
        cheapest = np.where(finite, change, np.inf).min(axis=-1, keepdims=True)
        beyond = np.where(finite, change, 0.0) - np.where(finite, cheapest, 0.0)
        scaled = _standard_log(beyond, axis=(0, 1))
        return np.asarray(scaled.reshape(*scaled.shape[:2], -1))

    def __call__(self, state: ConstructState) -> NDArray[np.float32]:
        """Observations of shape (batch, features)."""
        at = np.minimum(state.step, len(self._loss) - 1)
        left = np.minimum(np.maximum(1.0 - state.bound, -1.0), 1.0)
        features = (self._haq(state), self._loss[at], self._cost[at, state.prefix], left.astype(np.float32))
        return np.concatenate(features, axis=1)


SPREAD = 3.0  # standard deviations that are told apart


def _standard_log(values: NDArray[np.float64], axis: int | tuple[int, ...]) -> NDArray[np.float32]:
    """Logarithms in standard deviations from their mean over ``axis``; what is zero counts as the least.

    A knob's best bitwidth depends on the logarithms of its sensitivity and of its cost, and networks
    and devices differ in their scale.
    """
    positive = np.where(values > 0, values, np.nan)
    logs = np.log(np.where(np.isnan(positive), 1.0, positive))
    known = ~np.isnan(positive)
    count = np.maximum(known.sum(axis, keepdims=True), 1)
    mean = np.where(known, logs, 0.0).sum(axis, keepdims=True) / count
    deviation = np.sqrt((np.where(known, logs - mean, 0.0) ** 2).sum(axis, keepdims=True) / count)
    scaled = (logs - mean) / np.where(deviation > 0, deviation, 1.0)
    return np.where(known, np.clip(scaled, -SPREAD, SPREAD), -SPREAD).astype(np.float32)


OBSERVERS: dict[str, type[HaqObserver] | type[RichObserver]] = {"haq": HaqObserver, "rich": RichObserver}
