"""The same choice for every knob: what a designer without a search would try."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from codesign_gym.agents.interface import Task
from codesign_gym.envs.core.enforcement import TOLERANCE, uniform_designs
from codesign_gym.envs.core.separable import Separable
from codesign_gym.envs.core.space import Designs


@dataclass(frozen=True)
class Uniform:
    """Scores every uniform design once, the one predicted to be the best feasible one first."""

    def run(self, task: Task) -> None:
        """Spend one evaluation per choice, or what is granted."""
        task.recorder.evaluate(ranked(task.separable))


def ranked(separable: Separable) -> Designs:
    """The uniform designs by predicted excess over the limits, then by predicted loss, shape (choices, knobs)."""
    designs = uniform_designs(separable)
    totals = separable.totals(designs)
    excess = np.maximum(totals[:, 1:] - 1.0 - TOLERANCE, 0.0).sum(-1)
    return designs[np.lexsort((totals[:, 0], excess))]
