"""What an agent sees of a half-quantized network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from codesign_gym.envs.core.construct import ConstructState, Observer
from codesign_gym.envs.core.observers import RichObserver
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


def rich_observer(problem: MixedPrecisionProblem) -> RichObserver:
    """HAQ's ten numbers, then each bitwidth's predicted loss and cost, and what is left of the budgets."""
    loss = problem.sensitivities.reshape(len(problem.space), 1, len(problem.bit_values))
    return RichObserver(problem, problem.separable, HaqObserver(problem), loss)


OBSERVERS: dict[str, Callable[[MixedPrecisionProblem], Observer]] = {"haq": HaqObserver, "rich": rich_observer}
