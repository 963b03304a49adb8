"""Greedy descent: give up the least predicted loss for what has to be saved."""

from __future__ import annotations

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
from codesign_gym.errors import Infeasible

Joint = NDArray[np.int64]  # (groups,) joint choice of every group
TINY = 1e-12  # a smaller change of usage or loss is rounding


@dataclass(frozen=True)
class Greedy:
    """Scores the design that :func:`descend` finds; where limits are only predicted, bisects them.

    Attributes:
        rounds: designs to try at most while limits are bisected.

    Raises:
        BadConfig: if a field is out of range.
    """

    rounds: int = 32

    def __post_init__(self) -> None:
        whole("greedy", 1, rounds=self.rounds)

    def run(self, task: Task) -> None:
        """Spend one evaluation where the tables are exact, else up to ``rounds``.

        Raises:
            Infeasible: if no design was found that is predicted to keep the constraints.
            BudgetSpent: if the grant ends before the bisection.
        """
        loosest(task.recorder, task.separable, partial(descend, task.separable), self.rounds)


@dataclass(frozen=True)
class _Tables:
    """Separable tables over joint choices, with the limits to keep."""

    loss: Table  # (groups, joint choices); inf for what is not allowed
    usage: Table  # (constraints, groups, joint choices); inf for what is not allowed
    limits: Table  # (constraints,)

    def totals(self, joint: Joint) -> Table:
        """Usage of every constraint, shape (constraints,)."""
        return np.asarray(self.usage[:, np.arange(len(joint)), joint].sum(-1))

    def kept(self, joint: Joint) -> bool:
        return bool((self.totals(joint) <= self.limits + TOLERANCE).all())

    def changed(self, joint: Joint) -> tuple[Table, Table]:
        """Loss gained and usages reached by changing one group, (groups, joint) and (constraints, groups, joint)."""
        rows = np.arange(len(joint))
        totals = self.totals(joint)[:, None, None] - self.usage[:, rows, joint][..., None] + self.usage
        return self.loss - self.loss[rows, joint][:, None], totals


def descend(separable: Separable, limits: Table) -> Designs:
    """From the least loss, change one group after another until the limits are kept; then use up the slack.

    Each move is the one that loses least per unit of excess it removes. For one constraint this walks
    the lower convex hulls of the groups' loss against usage, as the greedy method of the
    multiple-choice knapsack problem does (Sinha and Zoltners, Operations Research 27, 1979), and
    always ends within the limit if any design is. With several constraints it may get stuck; it then
    starts again from the design that uses least of all of them together.

    Args:
        separable: the tables.
        limits: on the usages, shape (constraints,).

    Returns:
        Shape (knobs,).

    Raises:
        Infeasible: if no design within the limits was found.
    """
    allowed = separable.joint_allowed
    columns = np.where(allowed, separable.columns, np.inf)
    tables = _Tables(columns[0], columns[1:], limits)
    for start in (columns[0], columns[1:].sum(0)):
        joint = _save(tables, np.where(allowed, start, np.inf).argmin(-1))
        if tables.kept(joint):
            return separable.knobs(_spend(tables, joint))
    excess = float((tables.totals(joint) - limits).max())
    raise Infeasible(
        f"greedy descent found no design within the {len(limits)} constraints; the nearest exceeds one of them by "
        f"{excess:.3g} of its limit"
    )


def _save(tables: _Tables, joint: Joint) -> Joint:
    """Moves that lose least per unit of excess removed, until there is none, or none that removes any."""
    joint = joint.copy()
    while not tables.kept(joint):
        loss, totals = tables.changed(joint)
        over = np.maximum(totals - tables.limits[:, None, None], 0.0).sum(0)  # (groups, joint)
        saved = np.maximum(tables.totals(joint) - tables.limits, 0.0).sum() - over
        rate = np.full(loss.shape, np.inf)
        np.divide(loss, saved, out=rate, where=saved > TINY)
        group, choice = np.unravel_index(rate.argmin(), rate.shape)
        if rate[group, choice] == np.inf:
            break
        joint[group] = choice
    return joint


def _spend(tables: _Tables, joint: Joint) -> Joint:
    """Moves that gain most per unit of usage added, as long as any fits within the limits."""
    joint = joint.copy()
    while True:
        loss, totals = tables.changed(joint)
        fits = (totals <= tables.limits[:, None, None] + TOLERANCE).all(0) & (loss < -TINY)
        if not fits.any():
            return joint
        added = np.maximum(totals - tables.totals(joint)[:, None, None], 0.0).sum(0) + TINY
        rate = np.full(loss.shape, -np.inf)
        np.divide(-loss, added, out=rate, where=fits)
        group, choice = np.unravel_index(rate.argmax(), rate.shape)
        joint[group] = choice
