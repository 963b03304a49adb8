"""The optimum of a separable loss under one budget by dynamic programming, exact up to the budget's resolution."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from codesign_gym.agents.baselines.checks import whole
from codesign_gym.agents.baselines.tightening import loosest
from codesign_gym.agents.interface import Task
from codesign_gym.envs.core.enforcement import TOLERANCE
from codesign_gym.envs.core.separable import Separable, Table
from codesign_gym.envs.core.space import Designs
from codesign_gym.errors import BadConfig, Infeasible


@dataclass(frozen=True)
class DynamicProgramming:
    """Scores the design that :func:`solve` finds; where limits are only predicted, bisects them first.

    How far its predicted loss can lie above the optimum is logged as ``gap_bound``, in units of the loss.

    Attributes:
        resolution: equal steps that the room between the least usage and the limit is divided into.
        rounds: designs to try at most while limits are bisected.

    Raises:
        BadConfig: if a field is out of range.
    """

    resolution: int = 50_000
    rounds: int = 32

    def __post_init__(self) -> None:
        whole("dynamic-programming", 1, resolution=self.resolution, rounds=self.rounds)

    def run(self, task: Task) -> None:
        """Spend one evaluation where the tables are exact, else up to ``rounds``.

        Raises:
            Infeasible: if no design is predicted to keep the constraint.
            BadConfig: where there are several constraints, or no tables.
            BudgetSpent: if the grant ends before the bisection.
        """
        separable = task.separable
        names = [bound.metric for bound in task.recorder.constraints]
        if len(names) > 1:
            raise BadConfig(
                f"dynamic-programming: the problem has {len(names)} constraints ({', '.join(names)}); accepted: one; "
                "try 'milp'"
            )
        propose = partial(solve, separable, resolution=self.resolution)
        found = loosest(task.recorder, separable, propose, self.rounds)
        if found is not None:
            limits, design = found
            loss = float(separable.totals(design)[0])
            gap = loss - lower_bound(separable, limits, self.resolution)
            task.log({"predicted_loss": loss, "gap_bound": gap})


def solve(separable: Separable, limits: Table, resolution: int = 50_000) -> Designs:
    """The design of least loss among those whose usages, each rounded up to the grid, keep the limit.

    It keeps the limit itself, and no design that stays ``groups`` grid steps below the limit has less loss.

    Args:
        separable: tables with one constraint, or none.
        limits: what the usage may reach, shape (constraints,).
        resolution: grid steps between the least usage and the limit.

    Returns:
        Shape (knobs,).

    Raises:
        Infeasible: if there is no such design.
    """
    loss, steps = _grid(separable, limits, resolution, np.ceil)
    best = np.zeros(resolution + 1)  # least loss of the groups so far by what they may use
    chosen = np.empty((separable.groups, resolution + 1), dtype=np.int32)
    for group in range(separable.groups):
        front = _front(loss[group], steps[group])
        options = _options(best, loss[group, front], steps[group, front])
        chosen[group] = front[options.argmin(0)]
        best = options.min(0)
    joint, left = np.empty(separable.groups, dtype=np.int64), resolution
    for group in reversed(range(separable.groups)):
        joint[group] = chosen[group, left]
        left -= steps[group, joint[group]]
    return separable.knobs(joint)


def lower_bound(separable: Separable, limits: Table, resolution: int = 50_000) -> float:
    """A loss that no design within the limit goes below: the optimum with usages rounded down.

    Arguments and errors as in :func:`solve`.
    """
    loss, steps = _grid(separable, limits, resolution, np.floor)
    best = np.zeros(resolution + 1)
    for group in range(separable.groups):
        front = _front(loss[group], steps[group])
        best = _options(best, loss[group, front], steps[group, front]).min(0)
    return float(best[-1])


def _grid(
    separable: Separable, limits: Table, resolution: int, rounding: Callable[[Table], Table]
) -> tuple[Table, NDArray[np.int64]]:
    """Losses, and usages beyond the group's least in grid steps, both (groups, joint choices).

    What is not allowed, or could not be afforded if all other groups used their least, has an infinite loss.
    """
    allowed = separable.joint_allowed
    loss = np.where(allowed, separable.columns[0], np.inf)
    if len(limits) == 0:
        return loss, np.zeros(loss.shape, dtype=np.int64)
    usage = np.where(allowed, separable.columns[1], np.inf)
    least = usage.min(-1, keepdims=True)
    room = float(limits[0] - least.sum())
    if room < -TOLERANCE:
        raise Infeasible(f"no design uses at most {limits[0]:.6g} of its limit; the least is {least.sum():.6g}")
    # A step is never so small that rounding errors of sums would fill it.
    width = max(room / resolution, TOLERANCE / resolution)
    steps = rounding(np.minimum((usage - least) / width, resolution + 1.0))
    within = steps <= resolution
    return np.where(within, loss, np.inf), np.where(within, steps, 0).astype(np.int64)


def _front(loss: Table, steps: NDArray[np.int64]) -> NDArray[np.int64]:
    """Choices that lose less than every other of as few steps, from the fewest; no optimum needs the rest."""
    order = np.lexsort((loss, steps))
    before = np.minimum.accumulate(np.r_[np.inf, loss[order][:-1]])
    return order[loss[order] < before]


def _options(best: Table, loss: Table, steps: NDArray[np.int64]) -> Table:
    """Least loss with each choice of one more group by what may be used, shape (joint choices, resolution + 1)."""
    left = np.arange(len(best)) - steps[:, None]
    return np.where(left >= 0, best[left], np.inf) + loss[:, None]
