"""The one currency: an evaluation is one distinct design scored.

A :class:`Recorder` stands in front of a problem. Environments and search baselines alike score
designs through it, so every agent is counted, limited and logged the same way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from codesign_gym.envs.core.problem import Constraint, DesignProblem, Objective, Values, feasible, score
from codesign_gym.envs.core.separable import Separable
from codesign_gym.envs.core.space import Designs, DesignSpace


class BudgetSpent(Exception):
    """The agent asked for more evaluations than it was granted."""


@dataclass(frozen=True)
class Limits:
    """What an agent may spend.

    Attributes:
        evaluations: distinct designs.
        proposals: designs, repeated ones included; keeps an agent that only repeats itself from
            running on for ever.
    """

    evaluations: int
    proposals: int

    @classmethod
    def of(cls, evaluations: int, proposals: int | None = None) -> Limits:
        """Limits with the default of four proposals per evaluation."""
        return cls(evaluations, 4 * evaluations if proposals is None else proposals)


@dataclass
class Recorder:
    """A problem that counts, remembers and reports what is asked of it.

    It has the parts of a :class:`~codesign_gym.envs.core.problem.DesignProblem` and can replace one.

    Attributes:
        problem: the problem behind it.
        limits: what may be spent; :class:`BudgetSpent` is raised beyond.
        on_new: called with every batch of new designs and their metrics, at once.
        proposals: designs asked for so far, repeated ones included.
        designs, metrics: every distinct design so far and its metrics, in order.
    """

    problem: DesignProblem
    limits: Limits
    on_new: Callable[[Designs, Values], None] = lambda designs, metrics: None
    proposals: int = 0
    designs: list[NDArray[np.int64]] = field(default_factory=list)
    metrics: list[Values] = field(default_factory=list)
    _row: dict[bytes, int] = field(default_factory=dict)
    _best: int | None = None

    @property
    def space(self) -> DesignSpace:
        """The problem's."""
        return self.problem.space

    @property
    def known_metrics(self) -> Values:
        """Metrics of every distinct design, shape (evaluations, metrics)."""
        return np.array(self.metrics).reshape(-1, len(self.problem.metrics))

    @property
    def objective(self) -> Objective:
        """The problem's."""
        return self.problem.objective

    @property
    def constraints(self) -> tuple[Constraint, ...]:
        """The problem's."""
        return self.problem.constraints

    @property
    def separable(self) -> Separable:
        """The problem's."""
        return self.problem.separable

    @property
    def evaluations(self) -> int:
        """Distinct designs scored."""
        return len(self.designs)

    @property
    def remaining(self) -> int:
        """Evaluations still granted."""
        return self.limits.evaluations - self.evaluations

    @property
    def best(self) -> tuple[NDArray[np.int64], Values] | None:
        """The feasible design with the highest score so far and its metrics, or None."""
        return None if self._best is None else (self.designs[self._best], self.metrics[self._best])

    def evaluate(self, designs: Designs) -> Values:
        """Score designs; known ones are remembered, new ones count.

        Args:
            designs: shape (batch, knobs).

        Returns:
            Metrics of shape (batch, metrics).

        Raises:
            BudgetSpent: when the limits leave no room for the whole batch; what there was room for
                is scored and recorded first.
        """
        room = self.limits.proposals - self.proposals
        keys = [row.tobytes() for row in np.ascontiguousarray(designs, dtype=np.int64)[: max(room, 0)]]
        fresh = {key: i for i, key in reversed(list(enumerate(keys))) if key not in self._row}
        new = sorted(fresh.values())[: self.remaining]
        if new:
            self._record(designs[new], self.problem.evaluate(designs[new]))
        self.proposals += len(keys)
        if len(keys) < len(designs) or len(new) < len(fresh):
            raise BudgetSpent
        return np.stack([self.metrics[self._row[key]] for key in keys])

    def remember(self, designs: Designs, metrics: Values) -> None:
        """Take in designs that an interrupted run had already scored, without counting them again as new."""
        silent, self.on_new = self.on_new, lambda designs, metrics: None
        self._record(designs, metrics)
        self.on_new = silent

    def _record(self, designs: Designs, metrics: Values) -> None:
        scores, ok = score(self.problem, metrics), feasible(self.problem, metrics)
        for design, row, value, kept in zip(designs, metrics, scores, ok, strict=True):
            key = np.ascontiguousarray(design, dtype=np.int64).tobytes()
            if key in self._row:
                continue
            self._row[key] = len(self.designs)
            self.designs.append(np.asarray(design))
            self.metrics.append(row)
            if kept and (self._best is None or value > self._best_score):
                self._best, self._best_score = len(self.designs) - 1, float(value)
        self.on_new(designs, metrics)

    _best_score: float = -np.inf
