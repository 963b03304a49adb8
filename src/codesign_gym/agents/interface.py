"""What an agent is: something that spends what it was granted on a task.

Learners walk the task's environment; search baselines ask its problem directly. Neither knows which
environment or problem it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from pydantic import Field

from codesign_gym.agents.meter import BudgetSpent, Meter
from codesign_gym.agents.recorder import Limits, Recorder
from codesign_gym.catalog import Catalog, attribute
from codesign_gym.envs.core.core import Core
from codesign_gym.envs.core.designing import DesignCore
from codesign_gym.envs.core.separable import Separable
from codesign_gym.errors import BadConfig
from codesign_gym.records import Record, read_record

CATALOG = Catalog(kind="agent", folder="agents")


class Checkpoints(Protocol):
    """Where an agent keeps what it needs to go on after an interruption."""

    def save(self, name: str, arrays: Mapping[str, np.ndarray], state: Mapping[str, Any]) -> None:
        """Replace a named checkpoint by arrays and JSON-able state, wholly or not at all."""
        ...

    def read(self, name: str) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
        """The named checkpoint, or None if there is none."""
        ...


@dataclass(frozen=True)
class Task:
    """What an agent is given.

    Attributes:
        core: the environment's core, which spends from the meter; where designs are built, its problem is the
            recorder.
        meter: what was granted and is gone: a recorder of designs, or a counter of steps.
        seed: the source of all of the agent's randomness.
        checkpoints: where to keep what a resumed run needs, or None.
        log: takes scalars by name after every iteration, e.g. for TensorBoard.
    """

    core: Core[Any]
    meter: Meter
    seed: int
    checkpoints: Checkpoints | None = None
    log: Callable[[Mapping[str, float]], None] = lambda scalars: None

    @property
    def recorder(self) -> Recorder:
        """The problem, counted and limited; raises :class:`BadConfig` where nothing is designed."""
        if not isinstance(self.meter, Recorder):
            raise BadConfig("this agent searches designs, and this environment is controlled step by step; try 'ppo'")
        return self.meter

    @property
    def designed(self) -> DesignCore:
        """The core of an environment that builds or refines designs; raises :class:`BadConfig` for another."""
        if not isinstance(self.core, DesignCore):
            raise BadConfig("this agent builds designs, and this environment is controlled step by step; try 'ppo'")
        return self.core

    @property
    def separable(self) -> Separable:
        """The problem's tables; raises :class:`BadConfig` where it has none."""
        tables = self.recorder.separable
        if tables is None:
            raise BadConfig(
                "this agent needs losses that are sums over knobs, which this problem has none of; try 'ga'"
            )
        return tables

    def with_actions(self, name: str) -> Task:
        """The same task with choices expressed another way."""
        return replace(self, core=self.core.with_actions(name))


class Agent(Protocol):
    """Any frozen record with this method is an agent; its fields are the ``parameters`` of its file."""

    def run(self, task: Task) -> None:
        """Propose designs through ``task.recorder`` or ``task.core`` until done.

        Raises:
            BudgetSpent: when the recorder says so; :func:`search` takes it as the end.
        """
        ...


class AgentFile(Record):
    """The content of ``configs/agents/<id>.yaml``.

    Attributes:
        title: one line.
        source: where the algorithm and its numbers come from.
        agent: the agent's class as ``"module:attribute"``.
        parameters: the fields of that class.
        environment: environment options that suit the agent, used where the user names none.
        evaluations: what it is granted where the user says nothing; None for the environment's default.
    """

    title: str
    source: str
    agent: str
    parameters: dict[str, Any] = Field(default_factory=dict)
    environment: dict[str, Any] = Field(default_factory=dict)
    evaluations: int | None = Field(default=None, gt=0)


def read(name: str) -> AgentFile:
    """The file of an agent's id or path.

    Raises:
        UnknownName: with the nearest id.
        BadConfig: naming the file and the field.
    """
    found = CATALOG.locate(name)
    if isinstance(found, AgentFile):
        return found
    if isinstance(found, type):
        return AgentFile(title=name, source=name, agent=name)
    return read_record(AgentFile, found)


def build(content: AgentFile) -> Agent:
    """The agent that a file describes; raises :class:`BadConfig` for parameters it does not have."""
    kind = attribute(content.agent)
    if not (isinstance(kind, type) and callable(getattr(kind, "run", None))):
        raise BadConfig(
            f"agent {content.title!r}: field 'agent' is {content.agent!r}; accepted: a class with a method run"
        )
    try:
        agent: Agent = kind(**content.parameters)
    except TypeError as error:
        raise BadConfig(f"agent {content.title!r}: parameters: {error}") from error
    return agent


def search(agent: Agent, task: Task) -> None:
    """Run an agent until it stops or its grant is spent."""
    try:
        agent.run(task)
    except BudgetSpent:
        return


def searched(agent: Agent, core: DesignCore, limits: Limits, seed: int) -> Recorder:
    """All that an agent scored of a core's problem within what it was granted."""
    recorder = Recorder(core.problem, limits)
    search(agent, Task(replace(core, problem=recorder), recorder, seed))
    return recorder
