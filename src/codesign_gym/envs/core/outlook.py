"""What can be said of a half-built design: where its totals will end, and what they will be at least.

Masks come from it. Where totals are sums over knobs, tables answer (:class:`Tables`); where they are not but every
knob has a choice that uses least, completing the design with those does (:class:`Completion`); else nothing is known
before the last decision (:class:`Free`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from codesign_gym.envs.core.separable import Separable, Table, Walk
from codesign_gym.envs.core.space import Designs

Index = NDArray[np.int64]


class Outlook(Protocol):
    """Estimates of the loss and of the usage of every constraint, and lower bounds of those usages.

    A *view* of a design is one row of 1 + 2 * constraints numbers: estimated loss, estimated usages, least usages.
    """

    @property
    def slots(self) -> int:
        """Knobs that are decided together, over which the joint index of earlier choices runs."""
        ...

    def start(self) -> Table:
        """The view before any decision, shape (1 + 2 * constraints,)."""
        ...

    def added(self, design: Designs, knob: Index, prefix: Index, choice: Index) -> Table:
        """How one decision changes the view, shape (batch, 1 + 2 * constraints).

        Args:
            design: choices so far, the one in question included, shape (batch, knobs).
            knob: the knob that is decided, shape (batch,).
            prefix: joint index of its group's earlier choices, shape (batch,).
            choice: shape (batch,).
        """
        ...

    def changes(self, design: Designs, knob: Index, prefix: Index) -> Table:
        """How every choice of the next knob changes the least usages, shape (batch, constraints, choices)."""
        ...

    def usage(self, designs: Designs) -> Table:
        """What is known, before they are evaluated, of the usages of complete designs, shape (batch, constraints)."""
        ...

    def totals(self, designs: Designs, used: Table) -> Table:
        """Loss and usages of complete designs, shape (batch, 1 + constraints); ``used`` is what their metrics say."""
        ...


@dataclass(frozen=True)
class Tables:
    """Totals are sums over groups of knobs: exact bounds, and estimates as if the rest were typical choices."""

    separable: Separable

    @property
    def slots(self) -> int:
        """Those of the tables."""
        return self.separable.slots

    def start(self) -> Table:
        """Typical totals, and the least usages."""
        return np.concatenate([self.separable.typical.start, self.separable.least.start[1:]])

    def added(self, design: Designs, knob: Index, prefix: Index, choice: Index) -> Table:
        """One look-up."""
        return self._walk.added(knob, prefix, choice)

    def changes(self, design: Designs, knob: Index, prefix: Index) -> Table:
        """One look-up."""
        return self.separable.least.change[knob, prefix, 1:]

    def usage(self, designs: Designs) -> Table:
        """What the tables say."""
        return self.separable.totals(designs)[:, 1:]

    def totals(self, designs: Designs, used: Table) -> Table:
        """What the tables say."""
        return self.separable.totals(designs)

    @cached_property
    def _walk(self) -> Walk:
        """What every choice adds to the estimates and, behind them, to the bounds."""
        typical, least = self.separable.typical, self.separable.least
        return Walk(
            np.concatenate([typical.start, least.start[1:]]),
            np.concatenate([typical.change, least.change[:, :, 1:]], axis=2),
        )


@dataclass(frozen=True)
class Completion:
    """Bounds by completing the design with the choices that use least; exact where usages are monotone in every knob.

    Nothing is said of the loss, and a usage is estimated by its bound.

    Attributes:
        used: share of each constraint's limit that complete designs (batch, knobs) use, (batch, constraints); called
            once a decision for every choice, so it should be cheap.
        least: for each constraint the choice of every knob that uses least of it, shape (constraints, knobs).
        sizes: number of values of each knob.
    """

    used: Callable[[Designs], Table]
    least: Designs
    sizes: tuple[int, ...]

    @property
    def slots(self) -> int:
        """Every knob for itself."""
        return 1

    def start(self) -> Table:
        """The usages of the least designs."""
        bound = np.diagonal(self.used(self.least)) if len(self.least) else np.zeros(0)
        return np.concatenate([[0.0], bound, bound])

    def added(self, design: Designs, knob: Index, prefix: Index, choice: Index) -> Table:
        """The change of the completed design's usages."""
        change = self._bound(design, knob + 1) - self._bound(design, knob)
        return np.concatenate([np.zeros((len(change), 1)), change, change], axis=1)

    def changes(self, design: Designs, knob: Index, prefix: Index) -> Table:
        """The usages of the design completed behind every choice, less those behind none."""
        batch, knobs = design.shape
        choices, last = np.arange(max(self.sizes)), np.array(self.sizes) - 1
        tried = np.repeat(design[:, None].astype(np.int64), len(choices), axis=1)  # (batch, choices, knobs)
        # What a knob does not have counts as its last choice; those who ask leave it out.
        tried[np.arange(batch)[:, None], choices, knob[:, None]] = np.minimum(choices, last[knob][:, None])
        after = self._bound(tried.reshape(-1, knobs), np.repeat(knob + 1, len(choices)))
        change = after.reshape(batch, len(choices), len(self.least)) - self._bound(design, knob)[:, None]
        return np.moveaxis(change, 1, 2)

    def usage(self, designs: Designs) -> Table:
        """As given."""
        return self.used(designs)

    def totals(self, designs: Designs, used: Table) -> Table:
        """No loss, and the metrics' usages."""
        return np.concatenate([np.zeros((len(used), 1)), used], axis=1)

    def _bound(self, design: Designs, decided: Index) -> Table:
        """Least usages of designs of which the first knobs are decided, (batch, constraints)."""
        known = np.arange(design.shape[1]) < decided[:, None]  # (batch, knobs)
        completed = np.where(known[:, None], design[:, None], self.least)  # (batch, constraints, knobs)
        batch, constraints, knobs = completed.shape
        used = self.used(completed.reshape(-1, knobs)).reshape(batch, constraints, constraints)
        return np.diagonal(used, axis1=1, axis2=2)


@dataclass(frozen=True)
class Free:
    """Nothing is known before the design is complete.

    Attributes:
        constraints: number of constraints.
        choices: the largest number of values of any knob.
    """

    constraints: int
    choices: int

    @property
    def slots(self) -> int:
        """Every knob for itself."""
        return 1

    def start(self) -> Table:
        """Nothing is used."""
        return np.zeros(1 + 2 * self.constraints)

    def added(self, design: Designs, knob: Index, prefix: Index, choice: Index) -> Table:
        """Nothing."""
        return np.zeros((len(design), 1 + 2 * self.constraints))

    def changes(self, design: Designs, knob: Index, prefix: Index) -> Table:
        """Nothing."""
        return np.zeros((len(design), self.constraints, self.choices))

    def usage(self, designs: Designs) -> Table:
        """Nothing is known to be used."""
        return np.zeros((len(designs), self.constraints))

    def totals(self, designs: Designs, used: Table) -> Table:
        """No loss, and the metrics' usages."""
        return np.concatenate([np.zeros((len(used), 1)), used], axis=1)
