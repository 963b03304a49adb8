"""Random designs that keep within what is known of the constraints."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from codesign_gym.envs.core.enforcement import legal
from codesign_gym.envs.core.problem import DesignProblem
from codesign_gym.envs.core.space import Designs


def legal_designs(problem: DesignProblem, keys: NDArray[np.float64]) -> Designs:
    """Decide knob by knob among the choices from which every constraint can still be met.

    Args:
        problem: gives the space and what is known of half-built designs.
        keys: shape (batch, knobs, choices); of the legal choices the one with the highest key is taken.

    Returns:
        Shape (batch, knobs).
    """
    outlook, allowed, choices = problem.outlook, problem.space.allowed, problem.space.choices
    batch, rows = len(keys), np.arange(len(keys))
    start = outlook.start()[1 + len(problem.constraints) :]
    bound = np.tile(start, (batch, 1))  # (batch, constraints) least usage still in reach
    prefix = np.zeros(batch, dtype=np.int64)
    designs = np.zeros((batch, len(allowed)), dtype=np.int64)
    for knob in range(len(allowed)):
        change = outlook.changes(designs, np.full(batch, knob), prefix)  # (batch, constraints, choices)
        mask = legal(np.broadcast_to(allowed[knob], (batch, choices)), bound, change)
        choice = np.where(mask, keys[:, knob], -1.0).argmax(-1)
        designs[:, knob] = choice
        bound = bound + change[rows, :, choice]
        group_done = (knob + 1) % outlook.slots == 0
        prefix = np.zeros_like(prefix) if group_done else prefix * choices + choice
    return designs
