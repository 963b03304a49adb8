"""Run an agent on an environment, from a configuration to a finished run folder."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from codesign_gym.agents import interface
from codesign_gym.agents.confirm import confirm
from codesign_gym.agents.interface import Agent, Task
from codesign_gym.agents.recorder import Limits, Recorder
from codesign_gym.agents.sb3.agent import CHECKPOINT, Sb3Agent
from codesign_gym.envs.core.core import Core
from codesign_gym.envs.core.designing import DesignCore
from codesign_gym.envs.core.problem import DesignProblem, Values, feasible, score, usage
from codesign_gym.envs.core.space import Designs
from codesign_gym.envs.registration import specification
from codesign_gym.errors import BadConfig, CodesignError, Infeasible, StorageError
from codesign_gym.training import control
from codesign_gym.training.config import RunConfig, agent_of
from codesign_gym.training.folder import RunFolder
from codesign_gym.training.front import Front

#: Rows of modelled designs that are kept one by one; measured ones all are.
MODELLED_ROWS = 100_000


@dataclass(frozen=True)
class Progress:
    """What a run tells while it goes on.

    Attributes:
        evaluations: distinct designs so far.
        proposals: designs proposed so far.
        best: metrics of the best feasible design so far by name, or None.
        choices: values of its knobs by name.
    """

    evaluations: int
    proposals: int
    best: dict[str, float] | None
    choices: dict[str, float | str]


Listener = Callable[[Progress], None]
Scalars = Callable[[dict[str, float], int], None]


def core_of(env: str, options: dict[str, Any]) -> DesignCore:
    """The core of a registered environment that builds designs; errors as in :func:`any_core_of`."""
    core = any_core_of(env, options)
    if not isinstance(core, DesignCore):
        raise BadConfig(f"environment {specification(env).id} is controlled step by step; accepted: one that designs")
    return core


def any_core_of(env: str, options: dict[str, Any]) -> Core[Any]:
    """The core of a registered environment.

    Raises:
        UnknownName: for an id that is not registered, with the nearest.
        BadConfig: for options it does not take, or an environment that is not built on our core.
    """
    name = specification(env).id
    try:
        made = gym.make(name, **options).unwrapped
    except TypeError as error:
        raise BadConfig(f"environment {name}: {str(error).split('__init__() ')[-1]}") from error
    core: Core[Any] | None = getattr(made, "core", None)
    if core is None:
        raise BadConfig(f"environment {name} is not built on codesign_gym's core, which agents and the ledger need")
    return core


def train(
    config: RunConfig, folder: RunFolder, listener: Listener = lambda _: None, scalars: Scalars = lambda *_: None
) -> dict[str, Any]:
    """Run, or go on with, a configuration in a folder.

    Args:
        config: what to run.
        folder: where; may hold an interrupted run of the same configuration.
        listener: told of progress after every batch of evaluations.
        scalars: takes (name to value, evaluation) for TensorBoard.

    Returns:
        The content of ``result.json``.

    Raises:
        CodesignError: whatever is wrong with the configuration or the folder, before anything runs.
    """
    agent = agent_of(config)
    core = any_core_of(config.env, config.options)
    with folder.locked():
        if folder.open(config) and folder.finished:
            return folder.result()
        if isinstance(core, DesignCore):
            return _train(config, agent, core, folder, listener, scalars)
        tell = lambda steps, found: listener(Progress(steps, steps, found, {}))  # noqa: E731
        return control.train(config, agent, control.control_core(core), folder, tell, scalars)


def _train(
    config: RunConfig, agent: Agent, core: DesignCore, folder: RunFolder, listener: Listener, scalars: Scalars
) -> dict[str, Any]:
    recorder = Recorder(core.problem, Limits(config.evaluations, config.proposals))
    earlier_s = _recall(recorder, folder)
    log = _Log(recorder, folder, listener, scalars, time.monotonic() - earlier_s)
    recorder.on_new = log
    task = Task(
        replace(core, problem=recorder), recorder, config.seed, folder, lambda s: scalars(dict(s), recorder.evaluations)
    )
    try:
        interface.search(agent, task)
    except BadConfig:  # such as a setting that the algorithm does not have
        if not recorder.evaluations:
            folder.forget()
        raise
    saved = folder.read(CHECKPOINT)
    if isinstance(agent, Sb3Agent) and saved is not None:
        folder.save_policy(*agent.policy(*saved))
    result = finish(core.problem, recorder, folder, time.monotonic() - log.began)
    folder.write("result.json", result)
    return result


def _recall(recorder: Recorder, folder: RunFolder) -> float:
    """Hand the recorder what an interrupted run has scored; returns the seconds it had taken."""
    table, designs = folder.evaluations()
    if not len(designs):
        return 0.0
    names, space = [metric.name for metric in recorder.metrics], recorder.space
    if designs.shape[1] != len(space):
        raise StorageError(f"{folder.rows} is damaged: designs have {designs.shape[1]} knobs, not {len(space)}")
    if not set(names) < set(table) or not ((designs >= 0) & (designs < space.choices)).all():
        raise StorageError(f"{folder.rows} is damaged: it lacks one of {', '.join(names)}, or a choice is out of range")
    recorder.remember(designs, table[names].to_numpy(dtype=np.float64))
    return float(table["seconds"].iloc[-1])


def finish(problem: DesignProblem, recorder: Recorder, folder: RunFolder, seconds: float) -> dict[str, Any]:
    """The best design, measured on data that the search did not see, under several objectives the front, the ledger."""
    confirmed = confirm(recorder)
    if confirmed is None:
        raise Infeasible(_nothing_kept(problem, recorder.known_metrics))
    design, metrics = confirmed.design, confirmed.metrics
    searched, problem = problem, problem.measurable or problem
    names = [metric.name for metric in problem.metrics]
    return {
        "metrics": dict(zip(names, map(float, metrics), strict=True)),
        "maximized": maximized(problem),
        "score": float(score(problem, metrics[None])[0]),
        "objective": " + ".join(objective.metric for objective in problem.objectives),
        "claims": problem.claim(design),
        "preparation": searched.preparation,
        "reference": reference(problem),
        "constraints": {bound.metric: bound.limit for bound in problem.constraints},
        "design": choices(problem, design),
        "choices": [int(choice) for choice in design],
        "highest": [int(choice) for choice in problem.space.highest],
        "ledger": {
            "accuracy_evaluations": confirmed.measured,
            "simulator_evaluations": recorder.evaluations,
            "proposals": recorder.proposals,
            "seconds": round(seconds, 3),
        },
        **_front(searched, recorder.known_metrics),
    }


def _front(problem: DesignProblem, metrics: Values) -> dict[str, Any]:
    """Of designs as they were scored, metrics (designs, metrics); nothing under one objective."""
    if len(problem.objectives) == 1:
        return {}
    front = Front(problem)
    front.add(metrics)
    return {"front": front.as_dict()}


def _nothing_kept(problem: DesignProblem, metrics: Values) -> str:
    """Why none of the designs scored, with metrics (designs, metrics), can be reported, and what to do."""
    limits = ", ".join(f"{bound.metric} {bound.limit:.6g}" for bound in problem.constraints)
    none = f"none of {len(metrics)} designs that were scored keeps within {limits}"
    if not len(metrics):
        return f"{none}; give it more evaluations"
    least = usage(problem, metrics).min(0)
    tightest = int(least.argmax())
    if feasible(problem, metrics).any():
        why = "some were predicted to, and measured do not"
    elif least[tightest] > 1:
        name = problem.constraints[tightest].metric
        why = f"the tightest is {name}, of which each uses {least[tightest]:.4g} times what is granted or more"
    else:
        why = "some design keeps each limit, but none keeps all"
    return f"{none}: {why}; give it more evaluations, or grant more"


def maximized(problem: DesignProblem) -> list[str]:
    """Names of the metrics of which more is better."""
    return [metric.name for metric in problem.metrics if not metric.minimize]


def reference(problem: DesignProblem) -> dict[str, float]:
    """Metrics of the last uniform design, every knob at its highest choice.

    Empty for a problem without sums over knobs: the highest choices of an accelerator or a mapping are no landmark.
    """
    if problem.separable is None:
        return {}
    last = np.array([[np.flatnonzero(row).max() for row in problem.space.allowed]])
    return dict(zip((m.name for m in problem.metrics), map(float, problem.evaluate(last)[0]), strict=True))


def choices(problem: DesignProblem, design: NDArray[np.int64]) -> dict[str, float | str]:
    """Knob name to chosen value."""
    return {knob.name: knob.values[choice] for knob, choice in zip(problem.space.knobs, design, strict=True)}


@dataclass
class _Log:
    """Writes, shows and logs every batch of new designs."""

    recorder: Recorder
    folder: RunFolder
    listener: Listener
    scalars: Scalars
    began: float
    front: Front = field(init=False)
    seen: int = 0

    def __post_init__(self) -> None:
        self.front = Front(self.recorder.problem)

    def __call__(self, designs: Designs, metrics: Values) -> None:
        problem, recorder = self.recorder.problem, self.recorder
        names = tuple(metric.name for metric in problem.metrics)
        start = recorder.evaluations - len(designs)
        scores, ok = score(problem, metrics), feasible(problem, metrics)
        if problem.measured or start < MODELLED_ROWS:
            values = np.column_stack([scores, ok.astype(float), metrics])
            self.folder.append(start, ("score", "feasible", *names), values, designs, time.monotonic() - self.began)
        best = None if recorder.best is None else dict(zip(names, map(float, recorder.best[1]), strict=True))
        picked = {} if recorder.best is None else choices(problem, recorder.best[0])
        self.listener(Progress(recorder.evaluations, recorder.proposals, best, picked))
        logged = {f"batch/{name}": float(column.mean()) for name, column in zip(names, metrics.T, strict=True)}
        logged |= {f"best/{name}": value for name, value in (best or {}).items()}
        logged |= {f"design/{name}": float(value) for name, value in picked.items() if not isinstance(value, str)}
        self.scalars(logged | self._hypervolume(), recorder.evaluations)

    def _hypervolume(self) -> dict[str, float]:
        """Under several objectives, that of all designs so far, what a resumed run remembers among them."""
        if len(self.front.problem.objectives) == 1:
            return {}
        self.front.add(np.array(self.recorder.values[self.seen :]))
        self.seen = self.recorder.evaluations
        volume = self.front.hypervolume
        return {} if volume is None else {"front/hypervolume": volume}


__all__ = [
    "CodesignError",
    "Progress",
    "any_core_of",
    "choices",
    "core_of",
    "finish",
    "maximized",
    "reference",
    "train",
]
