"""Sums over groups of knobs: the structure that masks, projections, dense rewards and exact solvers use.

A total is separable when it is a sum over groups (a network's layers) of an entry of a table over the
group's own knobs (the layer's weight and activation bitwidth). Deciding knob by knob then has a
running estimate and an exact lower bound of the final total.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from codesign_gym.envs.core.space import Designs

Table = NDArray[np.float64]


@dataclass(frozen=True)
class Separable:
    """Tables of the objective's loss and of the constraints' usage.

    Knobs are ordered group by group: knob ``g * slots + j`` is slot ``j`` of group ``g``.

    Attributes:
        loss: predicted loss to minimise, shape (groups, choices, ..., choices) with one axis per
            slot; in units in which the loss of a typical good design is about 1.
        usage: share of each constraint's limit, shape (constraints, groups, choices, ..., choices).
        allowed: which choices each knob may take, shape (knobs, choices).
    """

    loss: Table
    usage: Table
    allowed: NDArray[np.bool_]

    @property
    def groups(self) -> int:
        """Number of groups."""
        return int(self.loss.shape[0])

    @property
    def slots(self) -> int:
        """Knobs per group."""
        return self.loss.ndim - 1

    @property
    def choices(self) -> int:
        """Choices per knob."""
        return int(self.loss.shape[-1])

    @cached_property
    def columns(self) -> Table:
        """Loss and usages as one table over a group's joint choices, (1 + constraints, groups, choices ** slots)."""
        stacked = np.concatenate([self.loss[None], self.usage])
        return stacked.reshape(len(stacked), self.groups, -1)

    @cached_property
    def joint_allowed(self) -> NDArray[np.bool_]:
        """Which joint choices a group may take, shape (groups, choices ** slots)."""
        rows = self.allowed.reshape(self.groups, self.slots, self.choices)
        joint = rows[:, 0]
        for slot in range(1, self.slots):
            joint = (joint[:, :, None] & rows[:, slot, None, :]).reshape(self.groups, -1)
        return joint

    def joint(self, designs: Designs) -> NDArray[np.int64]:
        """Joint choice of every group, shape (..., groups), for designs of shape (..., knobs)."""
        parts = designs.reshape(*designs.shape[:-1], self.groups, self.slots)
        joint = parts[..., 0]
        for slot in range(1, self.slots):
            joint = joint * self.choices + parts[..., slot]
        return joint

    def knobs(self, joint: NDArray[np.int64]) -> Designs:
        """The inverse of :meth:`joint`: designs of shape (..., knobs)."""
        digits = np.stack(np.unravel_index(joint, (self.choices,) * self.slots), axis=-1)
        return digits.reshape(*joint.shape[:-1], self.groups * self.slots).astype(np.int64)

    def totals(self, designs: Designs) -> Table:
        """Loss and usages of complete designs, shape (..., 1 + constraints)."""
        picked = self.columns[:, np.arange(self.groups), self.joint(designs)]  # (1 + constraints, ..., groups)
        return np.moveaxis(picked.sum(-1), 0, -1)

    @cached_property
    def least(self) -> Walk:
        """Decision by decision, the least total that can still be reached."""
        return self._walk(lambda part: np.nanmin(part, axis=-1))

    @cached_property
    def typical(self) -> Walk:
        """Decision by decision, the total if each group went on with the median of what it still may add."""
        return self._walk(lambda part: np.nanmedian(part, axis=-1))

    @cached_property
    def joint_bound(self) -> tuple[float, int]:
        """A usage that every design has, of one constraint or another, at least; and the constraint that is tightest.

        Whatever weights of sum 1 the constraints are given, the largest usage of a design is no less than its weighted
        mean, whose minimum is found group by group. The weights with the greatest bound are the duals of a linear
        program over mixtures of choices.
        """
        from scipy.optimize import linprog
        from scipy.sparse import csr_array

        group, choice = np.nonzero(self.joint_allowed)
        usage, entries = np.where(self.joint_allowed, self.columns[1:], 0.0), np.arange(len(group))
        mixed = csr_array((np.ones(len(group)), (group, entries)), shape=(self.groups, len(group) + 1))
        solved = linprog(
            np.append(np.zeros(len(group)), 1.0),  # the largest usage
            A_ub=np.column_stack([usage[:, group, choice], -np.ones(len(usage))]),
            b_ub=np.zeros(len(usage)),
            A_eq=mixed,
            b_eq=np.ones(self.groups),
            bounds=[*[(0.0, None)] * len(group), (None, None)],
        )
        weights = -solved.ineqlin.marginals if solved.success else np.ones(len(usage))
        weights = np.maximum(weights, 0.0) / np.maximum(weights, 0.0).sum()
        mean = np.where(self.joint_allowed, np.tensordot(weights, usage, 1), np.inf)  # (groups, joint choices)
        return float(mean.min(-1).sum()), int(weights.argmax())

    def _walk(self, reduce: Callable[[Table], Table]) -> Walk:
        masked = np.where(self.joint_allowed, self.columns, np.nan)
        levels = [masked]  # levels[j]: the table when the group's first j slots are decided
        for _ in range(self.slots):
            with np.errstate(all="ignore"):
                part = levels[0].reshape(*levels[0].shape[:2], -1, self.choices)
                levels.insert(0, _quiet(reduce, part))
        prefixes = self.choices ** (self.slots - 1)
        steps = np.full((self.groups, self.slots, prefixes, len(masked), self.choices), np.inf)
        for slot in range(self.slots):
            before = levels[slot][..., None]
            after = levels[slot + 1].reshape(*before.shape[:-1], self.choices)
            change = np.moveaxis(after - before, 0, 2)  # (groups, prefixes of this slot, columns, choices)
            steps[:, slot, : change.shape[1]] = np.where(np.isnan(change), np.inf, change)
        start = levels[0][..., 0].sum(-1)
        return Walk(start, steps.reshape(-1, prefixes, len(masked), self.choices))


@dataclass(frozen=True)
class Walk:
    """An estimate of the totals that is updated with every decision.

    Attributes:
        start: the estimate before any decision, shape (1 + constraints,).
        change: what a choice adds, shape (knobs, prefixes, 1 + constraints, choices), where the
            prefix is the joint index of the group's earlier choices; inf for what is not allowed.
    """

    start: Table
    change: Table

    @cached_property
    def _rows(self) -> Table:
        """The changes of one choice side by side, shape (knobs * prefixes * choices, 1 + constraints)."""
        return np.ascontiguousarray(np.moveaxis(self.change, 2, -1)).reshape(-1, self.change.shape[2])

    def added(self, knob: NDArray[np.int64], prefix: NDArray[np.int64], choice: NDArray[np.int64]) -> Table:
        """What one choice in each design adds, shape (batch, 1 + constraints), for indices of shape (batch,)."""
        _, prefixes, _, choices = self.change.shape
        return np.asarray(self._rows.take((knob * prefixes + prefix) * choices + choice, axis=0))


def _quiet(reduce: Callable[[Table], Table], part: Table) -> Table:
    """Reduce with NaN for what is not allowed; a slice without any allowed entry gives NaN."""
    empty = np.asarray(np.isnan(part).all(-1))
    return np.where(empty, np.nan, reduce(np.where(empty[..., None], 0.0, part)))
