"""The best setting that never changes, by trying every one on the same training episodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codesign_gym.agents.governors.governor import ACTIONS
from codesign_gym.agents.interface import Task
from codesign_gym.agents.meter import StepMeter
from codesign_gym.agents.policy import Policy, walk
from codesign_gym.agents.sb3.agent import CHECKPOINT
from codesign_gym.envs.core.clocked import clocked
from codesign_gym.envs.core.core import Core
from codesign_gym.errors import BadConfig

#: Settings that run in step, few enough for the memory of a laptop.
TOGETHER = 2048


@dataclass(frozen=True)
class BestFixed:
    """Of all combinations of clocks and threshold, the one with the least energy that misses few enough requests.

    Attributes:
        episodes: training episodes that every combination is tried on, the same for all.
        misses: share of the requests that may be late, dropped or overdue; if no combination keeps it, the one that
            misses least is taken.
    """

    episodes: int = 2
    misses: float = 0.01

    def run(self, task: Task) -> None:
        """Try every combination.

        Raises:
            BadConfig: if the steps granted do not suffice, with how many do.
        """
        if task.checkpoints is not None and task.checkpoints.read(CHECKPOINT) is not None:
            return
        sizes = clocked(task.core).choices
        needed = prod(sizes) * self.episodes * task.core.horizon
        if isinstance(task.meter, StepMeter) and needed > task.meter.limit:
            raise BadConfig(
                f"evaluations is {task.meter.limit}; accepted: {needed} or more, {prod(sizes)} combinations on "
                f"{self.episodes} episodes of {task.core.horizon} steps"
            )
        choices, energy_j, missed = self.tried(task.core, task.seed)
        kept = missed <= self.misses
        best = choices[np.where(kept, energy_j, np.inf).argmin() if kept.any() else missed.argmin()]
        if task.checkpoints is not None:
            task.checkpoints.save(CHECKPOINT, {"choice": best}, {"episodes": self.episodes})

    def tried(self, core: Core[Any], seed: int) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
        """All combinations (combinations, choices), and their mean energy and share of misses, (combinations,)."""
        sizes, core = clocked(core).choices, core.with_actions(ACTIONS)
        choices = np.stack(np.meshgrid(*map(np.arange, sizes), indexing="ij"), -1).reshape(-1, len(sizes))
        energy_j, missed = np.zeros(len(choices)), np.zeros(len(choices))
        for episode in range(self.episodes):
            for first in range(0, len(choices), TOGETHER):
                part = slice(first, first + TOGETHER)
                generators = [np.random.default_rng([seed, episode]) for _ in choices[part]]
                last = walk(core, Constant(choices[part]), generators)
                told = core.info(last)
                energy_j[part] += told["energy_j"].sum(-1) / self.episodes
                missed[part] += clocked(core).missed(last) / np.maximum(told["arrived"], 1) / self.episodes
        return choices, energy_j, missed

    def policy(
        self, arrays: Mapping[str, NDArray[Any]], state: Mapping[str, Any]
    ) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """What acting needs of a checkpoint: all of it."""
        return dict(arrays), dict(state)

    def acting(self, core: Core[Any], arrays: Mapping[str, NDArray[Any]], state: Mapping[str, Any]) -> Policy:
        """The setting that was found; raises :class:`BadConfig` where it does not fit the environment."""
        choice, sizes = np.asarray(arrays["choice"]), clocked(core).choices
        if len(choice) != len(sizes) or not (choice < np.array(sizes)).all():
            raise BadConfig(f"the setting {choice.tolist()} does not fit choices of {list(sizes)} values")
        return Constant(choice[None])


@dataclass(frozen=True, eq=False)
class Constant:
    """Always the same actions, one row for all environments or one each."""

    choices: NDArray[np.int64]

    def __call__(self, observation: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[Any]:
        """The choices, shape (batch, choices)."""
        return np.broadcast_to(self.choices, (len(observation), self.choices.shape[1]))
