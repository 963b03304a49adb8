"""Small synthetic design problems whose optimum can be enumerated, and a task around them."""

from __future__ import annotations

from dataclasses import dataclass

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from problem_samples import Tabled

from codesign_gym.agents.interface import Agent, Task, search
from codesign_gym.agents.recorder import Limits, Recorder
from codesign_gym.envs.core.actions import view
from codesign_gym.envs.core.construct import ConstructCore, ConstructState, TerminalReward
from codesign_gym.envs.core.enforcement import enforcement
from codesign_gym.envs.core.problem import Values
from codesign_gym.envs.core.separable import Separable
from codesign_gym.envs.core.space import Designs, DesignSpace, Knob


@dataclass(frozen=True, eq=False)
class TableProblem(Tabled):
    """Measured usages are the predicted ones times ``bias``."""

    tables: Separable
    space: DesignSpace
    bias: float = 1.0

    def evaluate(self, designs: Designs) -> Values:
        totals = super().evaluate(designs)
        return np.concatenate([totals[:, :1], totals[:, 1:] * self.bias], axis=-1)


@dataclass(frozen=True)
class Blind:
    """Sees nothing: search baselines do not look."""

    @property
    def space(self) -> gym.spaces.Box:
        return gym.spaces.Box(0.0, 1.0, (1,), np.float32)

    def __call__(self, state: ConstructState) -> NDArray[np.float32]:
        return np.zeros((len(state.step), 1), dtype=np.float32)


def table_problem(
    seed: int,
    groups: int = 4,
    slots: int = 2,
    choices: int = 3,
    constraints: int = 1,
    pinned: bool = True,
    bias: float = 1.0,
) -> TableProblem:
    """Losses that fall and usages that rise with every choice; limits between the least and the most of a design."""
    generator = np.random.default_rng(seed)
    shape = (groups, *[choices] * slots)

    def rising(count: int) -> NDArray[np.float64]:
        table = generator.random((count, *shape))
        for axis in range(2, 2 + slots):
            table = table.cumsum(axis)
        return table

    loss, usage = rising(1)[0][(slice(None), *[slice(None, None, -1)] * slots)], rising(constraints)
    space = DesignSpace(
        tuple(
            Knob(f"k{i}", tuple(range(choices)), choices - 1 if pinned and i == 0 else None)
            for i in range(groups * slots)
        )
    )
    ends = Separable(loss, usage, space.allowed).totals(np.where(space.allowed[:, 0], 0, choices - 1)[None])[0, 1:]
    most = usage.reshape(constraints, groups, choices**slots)[..., -1].sum(-1)
    limit = (ends + 0.5 * (most - ends)).reshape(-1, *[1] * (1 + slots))
    separable = Separable(loss / groups, usage / limit, space.allowed)
    return TableProblem(separable, space, bias)


def opposed(seed: int) -> TableProblem:
    """A budget that asks for low choices and a floor that asks for high ones, with room between them."""
    base = table_problem(seed, groups=4, slots=1, choices=5, pinned=False)
    budget = base.separable.usage[0]
    floor = base.separable.loss[None] / base.separable.loss[:, 2].sum()
    usage = np.concatenate([budget[None] / budget[:, 3].sum(), floor])
    generator = np.random.default_rng(seed)
    return TableProblem(Separable(generator.random(base.separable.loss.shape), usage, base.space.allowed), base.space)


def run(
    agent: Agent,
    problem: TableProblem,
    evaluations: int = 60,
    seed: int = 0,
    means: str = "project",
    known: Recorder | None = None,
    count: int = 0,
) -> Recorder:
    """What an agent leaves behind of a grant, if the first ``count`` designs of ``known`` were scored before."""
    recorder = Recorder(problem, Limits.of(evaluations))
    if known is not None:
        recorder.remember(np.stack(known.designs)[:count], known.known_metrics[:count])
    core = ConstructCore(
        recorder, Blind(), TerminalReward(), enforcement(means), view("discrete", (problem.space.choices,))
    )
    search(agent, Task(core=core, meter=recorder, seed=seed))
    return recorder


def optimum(problem: TableProblem) -> float:
    """The least loss of any design within the measured limits, by enumeration; inf if there is none."""
    metrics = problem.evaluate(problem.space.enumerate(0, problem.space.size))
    kept = (metrics[:, 1:] <= 1 + 1e-9).all(-1)
    return float(metrics[kept, 0].min(initial=np.inf))
