"""What an environment offers whose actions set clocks, so that governors need to know no environment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from codesign_gym.envs.core.core import Core
from codesign_gym.errors import BadConfig

S = TypeVar("S")


@runtime_checkable
class Clocked(Core[S], Protocol[S]):
    """A core whose actions are a clock for every domain, in the order of ``clock_hz``, and further choices behind them.

    Governors go by the columns ``clock_<domain>``, the clock's last position as a share of the highest,
    ``utilisation_<domain>``, its busy share, and ``waiting``, open requests as a share of what may wait. Infos hold at
    least ``energy_j``, of shape (batch, rails), and ``arrived``, the requests that have come, of shape (batch,).
    """

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the observation's columns."""
        ...

    @property
    def clock_hz(self) -> Mapping[str, NDArray[np.float64]]:
        """Each domain's clocks, ascending, shape (steps,)."""
        ...

    @property
    def choices(self) -> tuple[int, ...]:
        """How many values each choice of an action has: steps of every domain, then those of the other choices."""
        ...

    def missed(self, state: S) -> NDArray[np.int64]:
        """Requests that were not answered in time, shape (batch,)."""
        ...


def clocked(core: Core[Any]) -> Clocked[Any]:
    """The core of an environment with clocks, also behind what counts its steps; raises :class:`BadConfig`."""
    inner = getattr(core, "core", core)
    inner = getattr(inner, "core", inner)
    if not isinstance(inner, Clocked):
        raise BadConfig("a governor sets clocks, and this environment has none; try it on 'codesign/Dvfs-v0'")
    return inner
