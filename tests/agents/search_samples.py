"""A small co-design problem that is no sum over knobs and whose optimum and front can be enumerated, and a task."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from codesign_gym.agents.interface import Agent, Task, search
from codesign_gym.agents.recorder import Limits, Recorder
from codesign_gym.envs.core.actions import view
from codesign_gym.envs.core.construct import ConstructCore, TerminalReward
from codesign_gym.envs.core.enforcement import enforcement
from codesign_gym.envs.core.outlook import Completion
from codesign_gym.envs.core.problem import (
    Computed,
    Constraint,
    Metric,
    Objective,
    Values,
    feasible,
    reference_point,
    rewards,
    score,
)
from codesign_gym.envs.core.space import Designs, DesignSpace, Knob
from codesign_gym.pareto import hypervolume

WIDTHS = (4, 6, 8, 12, 16, 24)
LANES = (1, 2, 3, 4, 6, 8)
#: Work and lost accuracy of each kind of cell; neighbours in this list have nothing in common.
CELLS = ((1.0, 0.30), (2.5, 0.05), (0.6, 0.45), (1.8, 0.12), (3.0, 0.02))


@dataclass(frozen=True)
class Engine(Computed):
    """A cell, two widths and two numbers of lanes; latency rounds up, lanes multiply, one knob is pinned."""

    objectives: tuple[Objective, ...] = (
        Objective("error", -1.0, 0.5, worst=0.35),
        Objective("latency", -0.01, 50.0, worst=20.0),
    )
    constraints: tuple[Constraint, ...] = (Constraint("multipliers", 16.0),)
    space: DesignSpace = field(
        default=DesignSpace(
            (
                Knob("cell", tuple(f"cell{i}" for i in range(len(CELLS))), ordered=False),
                Knob("first", WIDTHS),
                Knob("second", WIDTHS),
                Knob("pinned", (0, 1, 2), pinned=1),
                Knob("rows", LANES),
                Knob("columns", LANES),
            )
        )
    )

    @property
    def metrics(self) -> tuple[Metric, ...]:
        return (Metric("error"), Metric("latency"), Metric("multipliers"))

    @property
    def outlook(self) -> Completion:  # type: ignore[override]
        least = np.zeros((len(self.constraints), len(self.space)), dtype=np.int64)
        return Completion(_multipliers, least, self.space.sizes)

    def evaluate(self, designs: Designs) -> Values:
        work, lost = np.array(CELLS)[designs[:, 0]].T
        (first, second), (rows, columns) = np.array(WIDTHS)[designs[:, 1:3]].T, np.array(LANES)[designs[:, 4:]].T
        error = lost + 0.5 / first + 0.8 / second
        latency = work * np.ceil(first / rows) * np.ceil(second / columns)
        return np.stack([error, latency, rows * columns], axis=-1)


def _multipliers(designs: Designs) -> NDArray[np.float64]:
    """Share of the limit, shape (batch, 1)."""
    return np.array(LANES, dtype=float)[designs[:, 4:]].prod(-1, keepdims=True) / 16.0


@dataclass(frozen=True)
class Blind:
    """Sees nothing: search baselines do not look."""

    @property
    def space(self) -> gym.spaces.Box:
        return gym.spaces.Box(0.0, 1.0, (1,), np.float32)

    def __call__(self, state: object) -> NDArray[np.float32]:
        raise AssertionError("no search looks")


def core_of(problem: Engine, means: str = "mask") -> ConstructCore:
    return ConstructCore(
        problem, Blind(), TerminalReward(), enforcement(means), view("discrete", (problem.space.choices,))
    )


def run(
    agent: Agent,
    core: ConstructCore,
    evaluations: int = 60,
    seed: int = 0,
    known: Recorder | None = None,
    proposals: int | None = None,
) -> Recorder:
    """What an agent leaves behind of a grant, if half of what is ``known`` was scored before."""
    recorder = Recorder(core.problem, Limits.of(evaluations, proposals))
    if known is not None:
        half = known.evaluations // 2
        recorder.remember(np.stack(known.designs)[:half], known.known_metrics[:half])
    search(agent, Task(core=replace(core, problem=recorder), meter=recorder, seed=seed))
    return recorder


def everything(problem: Engine) -> Values:
    """Metrics of the feasible designs of the whole space."""
    values = problem.evaluate(problem.space.enumerate(0, problem.space.size))
    return values[feasible(problem, values)]


def volume(problem: Engine, values: Values) -> float:
    """Hypervolume of the feasible rows of metrics, as a share of that of the whole space."""

    def of(rows: Values) -> float:
        return hypervolume(-rewards(problem, rows), -reference_point(problem))

    return of(values[feasible(problem, values)]) / of(everything(problem))


def regret(problem: Engine, recorder: Recorder) -> float:
    """By how much the best score misses the optimum; inf where nothing feasible was found."""
    best = score(problem, everything(problem)).max()
    return np.inf if recorder.best is None else float(best - score(problem, recorder.best[1][None])[0])
