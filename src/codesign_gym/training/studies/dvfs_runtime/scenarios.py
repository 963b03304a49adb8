"""The loads that the study runs, and how much of it at each scale."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: Load to options of the environment; devices and networks are its defaults.
SCENARIOS: dict[str, dict[str, Any]] = {
    "bursty": {"arrivals": "bursty", "load": 0.15, "burst_load": 0.6},
    "poisson": {"arrivals": "poisson", "load": 0.3},
    "periodic": {"arrivals": "periodic", "load": 0.5},
}

#: A request that is missed costs the learning agents as much as five intervals at full power.
REWARD = {"misses": 5.0}


@dataclass(frozen=True)
class Scale:
    """How much is run.

    Attributes:
        loads: ids in :data:`SCENARIOS`.
        steps: learning agent to the steps it is granted.
        seeds: trainings per agent.
        episodes: unseen episodes that all are measured on.
    """

    loads: tuple[str, ...]
    steps: Mapping[str, int]
    seeds: int
    episodes: int


SCALES = {
    "small": Scale(("bursty", "periodic"), {"ppo-control": 40_960}, 1, 8),
    "full": Scale(("bursty", "poisson", "periodic"), {"ppo-control": 256_000, "sac-control": 96_000}, 3, 32),
}
