"""What an agent may spend, and how much of it is gone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from codesign_gym.envs.core.core import Core


class BudgetSpent(Exception):
    """The agent asked for more than it was granted."""


class Meter(Protocol):
    """Counts what an agent spends; whoever spends beyond the grant meets :class:`BudgetSpent`."""

    @property
    def spent(self) -> float:
        """Share of the grant that is gone, 0 to 1."""
        ...

    @property
    def episodes(self) -> int:
        """Episodes that have ended."""
        ...

    @property
    def progress(self) -> int:
        """What was spent, in the unit of the grant; the x axis of logs."""
        ...

    def counts(self) -> dict[str, int]:
        """What :meth:`go_on` needs, as plain data for a checkpoint."""
        ...

    def go_on(self, counts: Mapping[str, int]) -> bool:
        """Count on from a checkpoint; False, and nothing changed, where that is impossible."""
        ...


@dataclass
class StepMeter:
    """Counts environment steps, the currency of control: nothing is designed, everything is experienced.

    Attributes:
        limit: steps granted.
        horizon: steps of an episode.
        steps: steps taken, over all environments.
    """

    limit: int
    horizon: int
    steps: int = 0

    @property
    def spent(self) -> float:
        """Share of the steps that is gone."""
        return min(self.steps / self.limit, 1.0)

    @property
    def episodes(self) -> int:
        """Whole episodes in the steps so far."""
        return self.steps // self.horizon

    @property
    def progress(self) -> int:
        """Steps so far."""
        return self.steps

    def counts(self) -> dict[str, int]:
        """The steps."""
        return {"steps": self.steps}

    def go_on(self, counts: Mapping[str, int]) -> bool:
        """Count on; always possible."""
        self.steps = counts["steps"]
        return True

    def count(self, steps: int) -> None:
        """Spend steps; raises :class:`BudgetSpent` where all are gone."""
        if self.steps >= self.limit:
            raise BudgetSpent
        self.steps += steps


@dataclass(frozen=True)
class Metered:
    """A core whose transitions a :class:`StepMeter` counts; everything else is the core's own."""

    core: Core[Any]
    meter: StepMeter

    def transition(self, state: Any, actions: NDArray[Any]) -> Any:
        """The core's, counted."""
        self.meter.count(len(actions))
        return self.core.transition(state, actions)

    def with_actions(self, name: str) -> Metered:
        """The core's, counted by the same meter."""
        return Metered(self.core.with_actions(name), self.meter)

    def initial(self, generators: Sequence[np.random.Generator], previous: Any) -> Any:
        """The core's."""
        return self.core.initial(generators, previous)

    def __getattr__(self, name: str) -> Any:
        """Everything else is the core's."""
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.core, name)
