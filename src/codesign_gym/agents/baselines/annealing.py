"""Simulated annealing over designs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from codesign_gym.agents.baselines.checks import number, whole
from codesign_gym.agents.baselines.evolutionary import ranking
from codesign_gym.agents.baselines.moves import admitted, fresh, keys, mutated
from codesign_gym.agents.interface import Task
from codesign_gym.envs.core.problem import DesignProblem, Values, excess, score
from codesign_gym.envs.core.space import Designs


@dataclass(frozen=True)
class Annealing:
    """Chains that move to a nearby design if it is better, and if it is worse with a chance that cools down.

    The chance is Metropolis's, ``exp(-loss / temperature)`` (Kirkpatrick et al., Science 220, 1983), between designs
    that keep the constraints; one that exceeds them less is always preferred. The temperature falls geometrically with
    the share of the grant that is spent, in units of the standard deviation of the first designs' scores. Moves go to
    designs that are not known yet; where none of ``attempts`` is, to a random one.

    Attributes:
        chains: how many run side by side.
        start: random designs before, of which the chains take the best.
        hot, cold: the temperature at the beginning and in the end.
        changes: knobs that change on average in a move; one changes at least.
        near: share of the changes of ordered knobs that are a step; the others draw any value.
        attempts: moves tried for each chain.

    Raises:
        BadConfig: if a field is out of range.
    """

    chains: int = 2
    start: int = 16
    hot: float = 0.2
    cold: float = 0.002
    changes: float = 1.5
    near: float = 0.7
    attempts: int = 8

    def __post_init__(self) -> None:
        whole("annealing", 1, chains=self.chains, start=self.start, attempts=self.attempts)
        number("annealing", 1e-9, 1e6, hot=self.hot, cold=self.cold)
        number("annealing", 0.0, 1e6, changes=self.changes)
        number("annealing", 0.0, 1.0, near=self.near)

    def run(self, task: Task) -> None:
        """Spend everything.

        Raises:
            BudgetSpent: always, in the end.
        """
        problem, generator = task.recorder, np.random.default_rng(task.seed)
        drawn = fresh(task.designed, generator, max(self.start, self.chains), set())
        values, known = problem.evaluate(drawn), set(keys(drawn))
        best = ranking(problem, values)[: self.chains]
        unit = float(score(problem, values).std()) or 1.0
        here, metrics = drawn[best], values[best]
        while True:
            temperature = unit * self.hot * (self.cold / self.hot) ** problem.spent
            moved = self._moves(task, here, known, generator)
            found = problem.evaluate(moved)
            known.update(keys(moved))
            taken = _accepted(problem, metrics, found, temperature, generator)
            here, metrics = np.where(taken[:, None], moved, here), np.where(taken[:, None], found, metrics)

    def _moves(self, task: Task, here: Designs, known: set[bytes], generator: np.random.Generator) -> Designs:
        """A design for each chain to move to, shape (chains, knobs)."""
        core, taken = task.designed, set(known)
        moves = np.empty_like(here)
        for chain, design in enumerate(here):
            around = np.tile(design, (self.attempts, 1))
            tried = admitted(core, mutated(core.problem.space, around, generator, self.changes, self.near), taken)
            moves[chain] = tried[0] if len(tried) else fresh(core, generator, 1, taken)[0]
            taken.update(keys(moves[[chain]]))
        return moves


def _accepted(
    problem: DesignProblem, before: Values, after: Values, temperature: float, generator: np.random.Generator
) -> NDArray[np.bool_]:
    """Which chains move, shape (chains,), for metrics of shape (chains, metrics)."""
    gain = score(problem, after) - score(problem, before)
    relief = excess(problem, before) - excess(problem, after)
    chance = np.exp(np.minimum(gain / temperature, 0.0))
    return np.asarray((relief > 0) | ((relief == 0) & (generator.random(len(gain)) < chance)))
