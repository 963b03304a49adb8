"""The bi-level search and the sequential one beside it, at equal evaluations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from codesign_gym.agents import interface
from codesign_gym.agents.baselines.bilevel import Bilevel, Inner, Population, distinct_outer
from codesign_gym.agents.interface import Agent, Task
from codesign_gym.envs.core.problem import DesignProblem, excess, score

CLOCK = "_hz"  # how the names of clock knobs end


@dataclass(frozen=True)
class Sequential:
    """First the backbone as it is, then exits at maximum clocks, then clocks, each fixed before the next is searched.

    Attributes:
        inner: the search of exits, and of clocks.
    """

    inner: Inner

    def run(self, task: Task) -> None:
        """Spend everything, exits and clocks half of it each; raises :class:`BudgetSpent` in the end."""
        problem, generator = task.recorder, np.random.default_rng(task.seed)
        names = [knob.name for knob in problem.space.knobs]
        clocks = np.array([name.endswith(CLOCK) for name in names])
        exits = ~clocks & np.array([name != "backbone" for name in names])
        static = distinct_outer(problem, 1, problem.space.size, generator)
        chosen = _best(problem, Population(static, problem.evaluate(static)))
        half = problem.limits.evaluations // 2
        found = self.inner.first(problem, chosen, exits, generator)
        while problem.evaluations < half and problem.spent < 0.5:
            found = self.inner.improve(problem, found, exits, generator)
        found = self.inner.first(problem, _best(problem, found), clocks, generator)
        while True:
            found = self.inner.improve(problem, found, clocks, generator)


def agents() -> dict[str, Agent]:
    """Both, by name, with the shipped settings."""
    bilevel = interface.build(interface.read("bilevel"))
    assert isinstance(bilevel, Bilevel)
    return {"bi-level": bilevel, "sequential": Sequential(bilevel.inner)}


def _best(problem: DesignProblem, found: Population) -> np.ndarray:
    order = np.lexsort((-score(problem, found.metrics), excess(problem, found.metrics)))
    design: np.ndarray = found.designs[order[0]]
    return design
