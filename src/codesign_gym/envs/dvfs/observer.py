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
    from codesign_gym.envs.dvfs.core import DvfsCore, DvfsState

Columns = NDArray[np.float32]

#: Requests in an interval at which the columns of demand and exits reach 1.
FULL = 8.0


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

    def __call__(self, core: DvfsCore, state: DvfsState) -> NDArray[np.float32]:
        """Observations of shape (batch, columns)."""
        seen: Columns = np.empty((len(self.columns), len(state.step)), dtype=np.float32).T  # columns in one piece
        for name, part in self._parts:
            getattr(self, f"_{name}")(core, state, seen[:, part])
        np.minimum(seen, np.float32(1), out=seen)
        np.maximum(seen, np.float32(-1), out=seen)
        return seen

    @cached_property
    def _parts(self) -> tuple[tuple[str, slice], ...]:
        """The groups that are seen, and their columns."""
        seen = [(name, len(names)) for name, names in self.groups.items() if name not in self.hidden]
        ends = np.cumsum([length for _, length in seen]).tolist()
        return tuple((name, slice(end - length, end)) for (name, length), end in zip(seen, ends, strict=True))

    # Each group writes its columns, (batch, columns).

    def _queue(self, core: DvfsCore, state: DvfsState, seen: Columns) -> None:
        np.divide(state.waiting, core.capacity, out=seen[:, 0], casting="same_kind")
        seen[:, 1] = state.left

    def _deadline(self, core: DvfsCore, state: DvfsState, seen: Columns) -> None:
        """Time left to the oldest open request, as a share of the deadline; 1 where none is open.

        The next request is the oldest where none is open; it is yet to come, so more than the deadline is left, and
        the column saturates at 1.
        """
        oldest = np.where(state.left > 0, state.running, state.head)
        oldest += np.arange(len(oldest)) * state.arrival_s.shape[1]
        age_s = state.step * core.interval_s - state.arrival_s.take(oldest)
        age_s *= -1 / core.deadline_s
        np.add(age_s, 1, out=seen[:, 0], casting="same_kind")

    def _demand(self, core: DvfsCore, state: DvfsState, seen: Columns) -> None:
        np.multiply(state.came, 1 / FULL, out=seen[:, 0], casting="same_kind")
        np.multiply(state.demand, np.float32(1 / FULL), out=seen[:, 1])

    def _temperature(self, core: DvfsCore, state: DvfsState, seen: Columns) -> None:
        """1 where throttling engages, 0 at 25 degrees Celsius."""
        seen[:, 0] = (state.temperature_c[:, 0] - 25.0) / (core.tables.soc.thermal.engage_c - 25.0)
        seen[:, 1] = state.throttled

    def _power(self, core: DvfsCore, state: DvfsState, seen: Columns) -> None:
        np.multiply(state.power_w, core.interval_s / core.full_power_j, out=seen, casting="same_kind")

    def _utilisation(self, core: DvfsCore, state: DvfsState, seen: Columns) -> None:
        seen[:] = state.utilisation

    def _clocks(self, core: DvfsCore, state: DvfsState, seen: Columns) -> None:
        """Positions, as shares of the highest."""
        share = core.position_share
        np.multiply(state.index, share[:-1], out=seen[:, :-1], casting="same_kind")
        np.multiply(state.level, share[-1], out=seen[:, -1], casting="same_kind")

    def _exits(self, core: DvfsCore, state: DvfsState, seen: Columns) -> None:
        np.multiply(state.recent, np.float32(1 / FULL), out=seen)
