"""Small random design problems, and environments around them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import product

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from problem_samples import Tabled

from codesign_gym.envs.core.actions import view
from codesign_gym.envs.core.construct import ConstructCore, ConstructState, DenseReward, Reward
from codesign_gym.envs.core.enforcement import enforcement
from codesign_gym.envs.core.separable import Separable
from codesign_gym.envs.core.space import Designs, DesignSpace, Knob


@dataclass(frozen=True, eq=False)
class RandomProblem(Tabled):
    """Every group's knobs from 0 on, some of them pinned."""

    tables: Separable
    pinned: tuple[int | None, ...]

    @cached_property
    def space(self) -> DesignSpace:
        values = tuple(range(self.tables.choices))
        return DesignSpace(tuple(Knob(f"k{i}", values, pin) for i, pin in enumerate(self.pinned)))


@dataclass(frozen=True)
class StepObserver:
    """Sees how far it is."""

    knobs: int

    @property
    def space(self) -> gym.spaces.Box:
        return gym.spaces.Box(0.0, 1.0, (1,), np.float32)

    def __call__(self, state: ConstructState) -> NDArray[np.float32]:
        return (state.step[:, None] / self.knobs).astype(np.float32)


def random_problem(
    seed: int,
    groups: int = 3,
    slots: int = 2,
    choices: int = 3,
    constraints: int = 1,
    tightness: float = 0.5,
    rising: bool = True,
) -> RandomProblem:
    """Random tables; some knobs are pinned to their highest choice.

    Args:
        seed: of the tables.
        groups: e.g. layers.
        slots: knobs per group.
        choices: values per knob.
        constraints: how many.
        tightness: where each limit lies between the least (0) and the greatest usage (1) of a design.
        rising: whether usage rises with every choice.
    """
    generator = np.random.default_rng(seed)
    shape = (groups, *[choices] * slots)
    loss, usage = generator.random(shape), generator.random((constraints, *shape)) + 0.01
    for axis in range(2, 2 + slots) if rising else ():
        usage = usage.cumsum(axis)
    pinned = tuple(choices - 1 if i > 0 and generator.random() < 0.2 else None for i in range(groups * slots))
    allowed = np.array([[pin is None or pin == c for c in range(choices)] for pin in pinned])
    least = Separable(loss, usage, allowed).least.start[1:]
    greatest = -Separable(loss, -usage, allowed).least.start[1:]
    limits = least + tightness * (greatest - least)
    return RandomProblem(Separable(loss, usage / limits.reshape(-1, *[1] * (1 + slots)), allowed), pinned)


def core_of(
    problem: RandomProblem, means: str = "project", reward: Reward | None = None, actions: str = "discrete"
) -> ConstructCore:
    """An environment's core around a problem."""
    return ConstructCore(
        problem=problem,
        observer=StepObserver(len(problem.space)),
        reward=reward or DenseReward(),
        enforcement=enforcement(means),
        actions=view(actions, (problem.space.choices,)),
    )


def every_design(problem: RandomProblem) -> Designs:
    """All allowed designs, by plain enumeration, shape (designs, knobs)."""
    options = [np.flatnonzero(row).tolist() for row in problem.separable.allowed]
    return np.array(list(product(*options)), dtype=np.int64)


def plain_total(problem: RandomProblem, design: NDArray[np.int64]) -> list[float]:
    """Loss and usages of one design, summed in plain Python."""
    separable = problem.separable
    cells = [tuple(design[g * separable.slots : (g + 1) * separable.slots]) for g in range(separable.groups)]
    tables = [separable.loss, *separable.usage]
    return [float(sum(float(table[(g, *cell)]) for g, cell in enumerate(cells))) for table in tables]


def walk(core: ConstructCore, choices: NDArray[np.int64]) -> list[ConstructState]:
    """The states of a batch that asks for choices of shape (batch, knobs), the first one included."""
    states = [core.initial([np.random.default_rng(i) for i in range(len(choices))], None)]
    for column in choices.T:
        states.append(core.transition(states[-1], column))
    return states
