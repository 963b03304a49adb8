"""The exact optimum of the predicted loss, by integer programming."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from codesign_gym.agents.baselines.checks import number, whole
from codesign_gym.agents.baselines.integer_program import Cuts, solve
from codesign_gym.agents.baselines.tightening import loosest
from codesign_gym.agents.interface import Task
from codesign_gym.errors import Infeasible

__all__ = ["Cuts", "Milp", "solve"]

#: Relative; below the error of any prediction of a real loss. Exact next best solutions took three times as long.
FURTHER_GAP = 1e-3


@dataclass(frozen=True)
class Milp:
    """Scores the predicted optimum and, after it, the next best ones: the best measured one wins.

    Where limits are only predicted they are bisected first. Further solutions, each different from
    all before, are LANA's way around errors of the prediction (Molchanov et al., ECCV 2022), which
    asks for about 30 % of the layers to differ.

    Attributes:
        rounds: designs to try at most while limits are bisected.
        solutions: further solutions to score.
        differing: groups in which each of them differs at least from every other.
        time_limit_s: for one solution.

    Raises:
        BadConfig: if a field is out of range.
    """

    rounds: int = 32
    solutions: int = 8
    differing: int = 1
    time_limit_s: float = 60.0

    def __post_init__(self) -> None:
        whole("milp", 1, rounds=self.rounds, differing=self.differing)
        whole("milp", 0, solutions=self.solutions)
        number("milp", 1e-3, 1e9, time_limit_s=self.time_limit_s)

    def run(self, task: Task) -> None:
        """Spend up to ``rounds + solutions`` evaluations; ``1 + solutions`` where the tables are exact.

        Raises:
            Infeasible: if no design is predicted to keep the constraints.
            BadConfig: if a solution takes longer than ``time_limit_s``.
            BudgetSpent: if the grant ends before.
        """
        separable = task.separable
        found = loosest(
            task.recorder, separable, partial(solve, separable, time_limit_s=self.time_limit_s), self.rounds
        )
        if found is None:
            return
        limits, design = found
        earlier = [design]
        for _ in range(self.solutions):
            cuts = Cuts(np.stack(earlier), self.differing)
            try:
                earlier.append(solve(separable, limits, cuts, self.time_limit_s, FURTHER_GAP))
            except Infeasible:
                return
            task.recorder.evaluate(earlier[-1][None])
