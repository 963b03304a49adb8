"""What an agent sees of a running device: named columns, some of which may be hidden."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from codesign_gym.errors import BadConfig, UnknownName

if TYPE_CHECKING:
    from codesign_gym.envs.dvfs.core import DvfsCore
    from codesign_gym.envs.dvfs.state import DvfsState

Columns = NDArray[np.float32]

#: Requests in an interval at which the columns of demand and exits reach 1.
FULL = 8.0

#: Junction temperature, degrees Celsius, at which its column is 0; it is 1 where throttling engages.
COOL_C = 25.0


@dataclass(frozen=True)
class Observer:
    """Columns in [-1, 1], by name; larger quantities saturate.

    Attributes:
        domains: names of the clock domains.
        exits: names of the exits.
        hidden: groups of columns that are left out, see :attr:`groups`.
    """

    domains: tuple[str, ...]
    exits: tuple[str, ...]
    hidden: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in self.hidden:
            if name not in self.groups:
                raise UnknownName("group of observations", name, self.groups)
        if len(set(self.hidden)) == len(self.groups):
            raise BadConfig("hidden names every group of observations; accepted: at least one is left")

    @cached_property
    def groups(self) -> dict[str, tuple[str, ...]]:
        """Group to its columns, in order."""
        return {
            "queue": ("waiting", "in_service"),
            "deadline": ("slack",),
            "demand": ("arrived", "demand"),
            "temperature": ("temperature", "throttled"),
            "power": tuple(f"power_{rail}" for rail in (*self.domains, "rest")),
            "utilisation": tuple(f"utilisation_{domain}" for domain in self.domains),
            "clocks": (*(f"clock_{domain}" for domain in self.domains), "threshold"),
            "exits": tuple(f"left_by_{name}" for name in self.exits),
        }

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns that are seen."""
        return tuple(name for group, names in self.groups.items() if group not in self.hidden for name in names)

    @cached_property
    def space(self) -> gym.spaces.Box:
        """``Box(-1, 1, (columns,), float32)``."""
        return gym.spaces.Box(-1.0, 1.0, (len(self.columns),), np.float32)

    def scale(self, core: DvfsCore) -> Columns:
        """What the columns' quantities are multiplied by, shape (columns, 1)."""
        of_column = {
            "waiting": 1 / core.capacity,
            "slack": -1 / core.deadline_s,
            "arrived": 1 / FULL,
            "demand": 1 / FULL,
            "temperature": 1 / (core.tables.soc.thermal.engage_c - COOL_C),
            **dict.fromkeys(self.groups["power"], core.interval_s / core.full_power_j),
            **dict(zip(self.groups["clocks"], 1 / np.maximum(np.array(core.choices) - 1, 1), strict=True)),
            **dict.fromkeys(self.groups["exits"], 1 / FULL),
        }
        return np.array([[of_column.get(name, 1.0)] for name in self.columns], dtype=np.float32)

    def __call__(self, core: DvfsCore, state: DvfsState, scale: Columns) -> NDArray[np.float32]:
        """Observations of shape (batch, columns); ``scale`` as of :meth:`scale`."""
        seen: Columns = np.empty((len(self.columns), len(state.step)), dtype=np.float32)
        for name, part in self._parts:
            getattr(self, f"_{name}")(core, state, seen[part])
        seen *= scale
        np.minimum(seen, np.float32(1), out=seen)
        for row in self._signed:
            np.maximum(seen[row], np.float32(-1), out=seen[row])
        return seen.T  # columns in one piece each

    @cached_property
    def _parts(self) -> tuple[tuple[str, slice], ...]:
        """The groups that are seen, and their columns."""
        seen = [(name, len(names)) for name, names in self.groups.items() if name not in self.hidden]
        ends = np.cumsum([length for _, length in seen]).tolist()
        return tuple((name, slice(end - length, end)) for (name, length), end in zip(seen, ends, strict=True))

    @cached_property
    def _signed(self) -> tuple[int, ...]:
        """The columns that may be below 0."""
        return tuple(self.columns.index(name) for name in ("slack", "temperature") if name in self.columns)

    # Each group writes what its columns are of, (columns, batch).

    def _queue(self, core: DvfsCore, state: DvfsState, seen: Columns) -> None:
        seen[0], seen[1] = state.waiting, state.left

    def _deadline(self, core: DvfsCore, state: DvfsState, seen: Columns) -> None:
        """Time that the oldest open request is overdue.

        The next request is the oldest where none is open; it is yet to come, so more than the deadline is left, and
        the column saturates at 1.
        """
        oldest = np.where(state.left > 0, state.running, state.head)
        oldest += np.arange(0, state.arrival_s.size, state.arrival_s.shape[1])
        since_s = state.step * core.interval_s - core.deadline_s
        np.subtract(since_s, state.arrival_s.take(oldest), out=seen[0], casting="same_kind")

    def _demand(self, core: DvfsCore, state: DvfsState, seen: Columns) -> None:
        seen[0], seen[1] = state.came, state.demand

    def _temperature(self, core: DvfsCore, state: DvfsState, seen: Columns) -> None:
        np.subtract(state.temperature_c[:, 0], COOL_C, out=seen[0], casting="same_kind")
        seen[1] = state.throttled

    def _power(self, core: DvfsCore, state: DvfsState, seen: Columns) -> None:
        seen[:] = state.power_w.T

    def _utilisation(self, core: DvfsCore, state: DvfsState, seen: Columns) -> None:
        seen[:] = state.utilisation.T

    def _clocks(self, core: DvfsCore, state: DvfsState, seen: Columns) -> None:
        seen[:-1], seen[-1] = state.index.T, state.level

    def _exits(self, core: DvfsCore, state: DvfsState, seen: Columns) -> None:
        seen[:] = state.recent.T
