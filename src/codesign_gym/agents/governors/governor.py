"""What governors have in common: they read named columns of the observation and set positions.

None of them chooses an exit threshold; that stays where it was set.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codesign_gym.agents.interface import Task
from codesign_gym.agents.policy import Policy
from codesign_gym.envs.core.clocked import Clocked, clocked
from codesign_gym.envs.core.core import Core
from codesign_gym.errors import BadConfig

#: The view of actions that governors speak.
ACTIONS = "multidiscrete"

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Seen:
    """What a governor of one clock domain goes by.

    Attributes:
        clock_hz: of the domain's steps, shape (steps,).
        position: of the clock in the last interval, shape (batch,).
        utilisation: busy share of the domain in the last interval, shape (batch,).
        waiting: open requests, as a share of the queue's capacity, shape (batch,).
    """

    clock_hz: Floats
    position: Ints
    utilisation: Floats
    waiting: Floats


@dataclass(frozen=True)
class Governor(ABC):
    """Sets the clock of every domain by one rule.

    Attributes:
        threshold: position of the exit threshold among those offered; negative ones count from the last, which is
            never to leave early.
    """

    threshold: int = -1

    @abstractmethod
    def positions(self, seen: Seen) -> Ints:
        """The next clock of a domain, shape (batch,)."""

    def run(self, task: Task) -> None:
        """Nothing is learned; only checks that the environment tells what the governor goes by."""
        self.acting(task.core.with_actions(ACTIONS), {}, {})

    def acting(self, core: Core[Any], arrays: Mapping[str, NDArray[Any]], state: Mapping[str, Any]) -> Policy:
        """The governor at work.

        Args:
            core: the environment, with :data:`ACTIONS`.
            arrays: nothing is needed.
            state: nothing is needed.

        Raises:
            BadConfig: if the environment has no clocks, or hides what the governor goes by.
        """
        controlled = clocked(core)
        needed = (f"{what}_{domain}" for domain in controlled.clock_hz for what in ("clock", "utilisation"))
        for name in ("waiting", *needed):
            if name not in controlled.columns:
                raise BadConfig(
                    f"a governor needs the observation {name!r}, which is hidden; accepted: hidden without it"
                )
        return _Governing(self, controlled)


@dataclass(frozen=True)
class _Governing:
    governor: Governor
    core: Clocked[Any]

    def __call__(self, observation: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[Any]:
        column = dict(zip(self.core.columns, np.asarray(observation, dtype=np.float64).T, strict=True))
        chosen = [
            self.governor.positions(
                Seen(
                    clock_hz=clock_hz,
                    position=np.rint(column[f"clock_{domain}"] * (len(clock_hz) - 1)).astype(np.int64),
                    utilisation=column[f"utilisation_{domain}"],
                    waiting=column["waiting"],
                )
            )
            for domain, clock_hz in self.core.clock_hz.items()
        ]
        level = np.full(len(observation), self.governor.threshold % self.core.choices[-1])
        return np.stack([*chosen, level], -1)
