"""Everything that controls the device in the study, measured on the same unseen episodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codesign_gym.agents import interface
from codesign_gym.agents.governors.fixed import BestFixed, Constant
from codesign_gym.agents.interface import Task
from codesign_gym.agents.meter import Metered, StepMeter
from codesign_gym.agents.sb3.agent import CHECKPOINT
from codesign_gym.envs.dvfs.core import DvfsCore
from codesign_gym.envs.dvfs.factory import Options, build
from codesign_gym.records import parse
from codesign_gym.training.control import GOVERNORS, measure, viewed
from codesign_gym.training.studies.dvfs_runtime.scenarios import REWARD, SCENARIOS

#: Behind a governor's name where it leaves the threshold at the lowest that is offered, not at "never early".
EARLY = " + exits"

Row = dict[str, float]  # metrics, see codesign_gym.training.control.metrics


@dataclass(frozen=True)
class Training:
    """One agent's training on one load, and on how many unseen episodes it is measured."""

    load: str
    agent: str
    steps: int
    seed: int
    episodes: int


def core_of(load: str, split: str) -> DvfsCore:
    """The environment of a load."""
    return build(parse(Options, {**SCENARIOS[load], **REWARD, "split": split}, load))


def trained(job: Training) -> Row:
    """Train, and measure on unseen episodes."""
    agent: Any = interface.build(interface.read(job.agent))
    core, memory = core_of(job.load, "search"), _Memory()
    meter = StepMeter(job.steps, core.horizon)
    interface.search(agent, Task(Metered(core, meter), meter, job.seed, memory))
    test = viewed(agent, core_of(job.load, "test"))
    return measure(test, agent.acting(test, *agent.policy(*memory.saved[CHECKPOINT])), job.episodes)[0]


def rivals(load: str, episodes: int) -> dict[str, Row]:
    """The governors as they are and with early exits, and the best fixed settings, found on training episodes."""
    core = core_of(load, "test")
    rows: dict[str, Row] = {}
    for early, threshold in (("", -1), (EARLY, 0)):
        for name in GOVERNORS:
            governor: Any = replace(interface.build(interface.read(name)), threshold=threshold)  # type: ignore[type-var]
            seen = viewed(governor, core)
            rows[name + early] = measure(seen, governor.acting(seen, {}, {}), episodes)[0]
    best = BestFixed()
    choices, energy_j, missed = best.tried(core_of(load, "search"), seed=0)
    for early in ("", EARLY):
        allowed = (missed <= best.misses) & ((choices[:, -1] == choices[:, -1].max()) | bool(early))
        chosen = choices[np.where(allowed, energy_j, np.inf).argmin()]
        rows["best fixed" + early] = measure(core.with_actions("multidiscrete"), Constant(chosen[None]), episodes)[0]
    return rows


@dataclass
class _Memory:
    """Checkpoints that are kept for as long as the process."""

    saved: dict[str, tuple[dict[str, NDArray[Any]], dict[str, Any]]] = field(default_factory=dict)

    def save(self, name: str, arrays: Mapping[str, NDArray[Any]], state: Mapping[str, Any]) -> None:
        """See :class:`~codesign_gym.agents.interface.Checkpoints`."""
        self.saved[name] = dict(arrays), dict(state)

    def read(self, name: str) -> tuple[dict[str, NDArray[Any]], dict[str, Any]] | None:
        """The last one, while there is one."""
        return self.saved.get(name)
