"""Predicted limits moved until measured ones are just kept."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from codesign_gym.envs.core.enforcement import within
from codesign_gym.envs.core.problem import DesignProblem, usage
from codesign_gym.envs.core.separable import Separable, Table
from codesign_gym.envs.core.space import Designs
from codesign_gym.errors import Infeasible

EXACT = 1e-6  # relative; tables that are sums of the metric itself agree with it to about 1e-13
RESOLUTION = 1e-3  # relative; a bracket this narrow is not halved any more
LEAST_SCALE = 1e-3  # a prediction a thousand times too small is of no use to bisection


def loosest(
    problem: DesignProblem, separable: Separable, propose: Callable[[Table], Designs], rounds: int
) -> tuple[Table, Designs] | None:
    """Bisect a factor on the limits of all constraints whose usage is only predicted.

    A constraint is taken for exact as long as its measured usage is what the tables say; its limit
    stays 1. The others are tightened while the measured metrics exceed them and loosened while there
    is slack, geometrically, between the least and the most that any design is predicted to use.

    Args:
        problem: measures one design a round.
        separable: its tables.
        propose: the design of shape (knobs,) to try within limits of shape (constraints,) on the
            predicted usages; raises Infeasible where there is none.
        rounds: at most so many proposals.

    Returns:
        The loosest limits that were kept and the design proposed there; None if none was kept.

    Raises:
        Infeasible: by the first proposal, within the limits as predicted.
        BudgetSpent: by a :class:`~codesign_gym.agents.recorder.Recorder`.
    """
    kept: tuple[Table, Designs] | None = None
    uncertain = np.zeros(len(problem.constraints), dtype=bool)
    limits = np.ones(len(uncertain))
    low, scale, high = 0.0, 1.0, np.inf
    for turn in range(rounds):
        limits = np.where(uncertain, scale, 1.0)
        try:
            design = propose(limits)
        except Infeasible:
            if turn == 0:
                raise
            low = scale
        else:
            measured = usage(problem, problem.evaluate(design[None]))[0]
            uncertain |= ~np.isclose(measured, separable.totals(design)[1:], rtol=EXACT, atol=EXACT)
            if within(measured):
                kept, low = (limits, design), scale
            else:
                high = scale
        if not uncertain.any():
            break
        least, most = _reach(separable, uncertain)
        low, high = max(low, least), min(high, most)
        if high <= low * (1 + RESOLUTION):
            break
        scale = float(np.sqrt(low * high))
    return kept


def _reach(separable: Separable, uncertain: NDArray[np.bool_]) -> tuple[float, float]:
    """The least and the most that designs are predicted to use of the constraints concerned."""
    allowed = np.where(separable.joint_allowed, separable.columns[1:], -np.inf)
    least = float(separable.least.start[1:][uncertain].max())
    return max(least, LEAST_SCALE), float(allowed.max(-1).sum(-1)[uncertain].max())
