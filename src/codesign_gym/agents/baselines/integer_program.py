"""The exact minimum of a separable loss within separable limits, as an integer program.

A binary for every allowed joint choice of every group, one of them chosen per group, and a row per
constraint: a multiple-choice knapsack problem, which HiGHS solves through scipy.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, OptimizeResult, linprog, milp
from scipy.sparse import csr_array

from codesign_gym.envs.core.enforcement import TOLERANCE
from codesign_gym.envs.core.separable import Separable, Table
from codesign_gym.envs.core.space import Designs
from codesign_gym.errors import BadConfig, Infeasible

#: How far above the relaxation's bound to look, one after another, in units of loss. On twins of MobileNetV2 the
#: first holds the optimum 22 times of 24, with about 100 binaries of 2501.
REACH = (0.0003, 0.001, 0.003, 0.03, np.inf)
OUT_OF_TIME, NO_SOLUTION = 1, 2  # scipy.optimize.OptimizeResult.status of milp and linprog

Joint = NDArray[np.int64]  # (..., groups) joint choice of every group


@dataclass(frozen=True)
class Cuts:
    """Designs that a solution has to differ from.

    Attributes:
        designs: shape (cuts, knobs).
        differing: groups in which it differs at least from each of them.
    """

    designs: Designs
    differing: int = 1


def solve(
    separable: Separable,
    scale: float | Table = 1.0,
    cuts: Cuts | None = None,
    time_limit_s: float = 60.0,
    gap: float = 1e-6,
) -> Designs:
    """The design of least predicted loss within the limits.

    Args:
        separable: the tables; a good design's loss is of order one.
        scale: what the usages may reach, for all constraints or of shape (constraints,).
        cuts: designs to differ from.
        time_limit_s: for each call of HiGHS, of which there are two as a rule, six at most.
        gap: how far the loss may lie above the optimum, relative to it; HiGHS's absolute gap is 1e-6.

    Returns:
        Shape (knobs,).

    Raises:
        Infeasible: if there is no such design.
        BadConfig: if HiGHS needs more time.
    """
    limits = np.broadcast_to(np.asarray(scale, dtype=np.float64), (len(separable.usage),))
    avoided = np.empty((0, separable.groups), dtype=np.int64)
    shared = np.empty(0)
    if cuts is not None and len(cuts.designs):
        avoided = separable.joint(cuts.designs)
        shared = np.full(len(avoided), separable.groups - cuts.differing)
    while True:
        program = _program(separable, limits, avoided, shared)
        joint = _optimum(program, time_limit_s, gap)
        if joint is None:
            raise _infeasible(separable, limits, cuts)
        design = separable.knobs(joint)
        if (separable.totals(design)[1:] <= limits + TOLERANCE).all():
            return design
        # HiGHS keeps rows to about 1e-6 only; what it let through is cut off, which is exact.
        avoided, shared = np.vstack([avoided, joint]), np.append(shared, separable.groups - 1)


@dataclass(frozen=True)
class _Program:
    """Minimise ``cost @ x`` with ``rows @ x <= bounds`` and one x of each group equal to 1, the others 0."""

    group: NDArray[np.int64]  # (binaries,)
    choice: NDArray[np.int64]  # (binaries,) joint choice within the group
    cost: Table  # (binaries,)
    rows: Table  # (rows, binaries)
    bounds: Table  # (rows,)

    @property
    def members(self) -> csr_array:
        """Which binaries belong to which group, shape (groups, binaries)."""
        return csr_array((np.ones(len(self.group)), (self.group, np.arange(len(self.group)))))

    def take(self, kept: NDArray[np.bool_]) -> _Program:
        """The program with some of its binaries."""
        return _Program(self.group[kept], self.choice[kept], self.cost[kept], self.rows[:, kept], self.bounds)


def _program(separable: Separable, limits: Table, avoided: Joint, shared: Table) -> _Program:
    """Limits, and at most ``shared`` (cuts,) groups in common with ``avoided`` (cuts, groups)."""
    group, choice = np.nonzero(separable.joint_allowed)
    columns = separable.columns[:, group, choice]
    rows = np.vstack([columns[1:], avoided[:, group] == choice])
    return _Program(group, choice, columns[0], rows, np.concatenate([limits, shared]))


def _optimum(program: _Program, time_limit_s: float, gap: float) -> Joint | None:
    """The optimal joint choices, shape (groups,), or None if there are none.

    The linear relaxation's multipliers bound the loss of every design with a given choice from below
    (Lagrange). Only choices whose bound is within reach of the best bound are handed to the integer
    solver; an optimum within that reach is one of the whole program. So any solution tells which reach suffices.
    """
    bound, reduced = _relaxation(program, time_limit_s)
    if reduced is None:
        return None
    for reach in REACH:
        joint, loss = _integer(program.take(reduced <= reach), time_limit_s, gap)
        if joint is not None:
            enough = loss - bound + TOLERANCE
            return joint if enough <= reach else _integer(program.take(reduced <= enough), time_limit_s, gap)[0]
    return None


def _relaxation(program: _Program, time_limit_s: float) -> tuple[float, Table | None]:
    """A lower bound of the loss, and by how much each binary raises it, (binaries,); None where infeasible."""
    groups = int(program.group[-1]) + 1
    constraints = {"A_ub": program.rows, "b_ub": program.bounds} if len(program.bounds) else {}
    found = linprog(
        program.cost,
        **constraints,
        A_eq=program.members,
        b_eq=np.ones(groups),
        method="highs",
        options={"time_limit": time_limit_s},
    )
    if not _solved(found, time_limit_s):
        return np.inf, None
    multipliers = np.maximum(-found.ineqlin.marginals, 0.0)  # (rows,)
    priced = program.cost + multipliers @ program.rows
    least = np.full(groups, np.inf)
    np.minimum.at(least, program.group, priced)
    return float(least.sum() - multipliers @ program.bounds), priced - least[program.group]


def _integer(program: _Program, time_limit_s: float, gap: float) -> tuple[Joint | None, float]:
    """The optimal joint choices, shape (groups,), and their loss; None if there are none."""
    constraints = [LinearConstraint(program.members, 1, 1)]
    if len(program.bounds):
        constraints.append(LinearConstraint(program.rows, -np.inf, program.bounds))
    with _silent():
        found = milp(
            program.cost,
            integrality=np.ones(len(program.cost)),
            bounds=Bounds(0, 1),
            constraints=constraints,
            # What is within reach is small; and undoing its presolve costs HiGHS more than it saves.
            options={"mip_rel_gap": gap, "time_limit": time_limit_s, "presolve": False},
        )
    if not _solved(found, time_limit_s):
        return None, np.inf
    chosen = np.flatnonzero(found.x > 0.5)  # one per group, in the order of the groups
    return program.choice[chosen], float(program.cost[chosen].sum())


def _solved(found: OptimizeResult, time_limit_s: float) -> bool:
    """Whether HiGHS proved an optimum; False if it proved that there is none."""
    if found.status == OUT_OF_TIME:
        raise BadConfig(f"milp: field 'time_limit_s' is {time_limit_s:g}; HiGHS needs longer for this problem")
    if found.status not in (0, NO_SOLUTION):
        raise RuntimeError(f"HiGHS failed: {found.message}")
    return bool(found.status == 0)


def _infeasible(separable: Separable, limits: Table, cuts: Cuts | None) -> Infeasible:
    """One line with what was asked for and the least that each constraint alone could be brought to."""
    apart = f" and differs from {len(cuts.designs)} others in {cuts.differing} groups" if cuts else ""
    listed = [", ".join(f"{share:.6g}" for share in shares) for shares in (limits, separable.least.start[1:])]
    return Infeasible(
        f"no design uses at most [{listed[0]}] of its limits{apart}; the least of each alone is [{listed[1]}]"
    )


@contextmanager
def _silent() -> Iterator[None]:
    """Nothing on the process's standard output: HiGHS 1.12 may print debug lines there, past Python's own."""
    sys.stdout.flush()
    output = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        yield
    finally:
        os.dup2(output, 1)
        os.close(output)
        os.close(nowhere)
