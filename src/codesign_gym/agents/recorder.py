"""The one currency: an evaluation is one distinct design scored.

A :class:`Recorder` stands in front of a problem. Environments and search baselines alike score
designs through it, so every agent is counted, limited and logged the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from codesign_gym.agents.meter import BudgetSpent
from codesign_gym.envs.core.outlook import Outlook
from codesign_gym.envs.core.problem import (
    Constraint,
    DesignProblem,
    Metric,
    Objective,
    Values,
    feasible,
    predicted_loss,
    score,
)
from codesign_gym.envs.core.separable import Separable
from codesign_gym.envs.core.space import Designs, DesignSpace

if TYPE_CHECKING:
    from codesign_gym.envs.core.relaxed import Relaxed


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
        designs, values: every distinct design so far and its metrics, in order.
        remembered: what an interrupted run had scored, in order, by the design's bytes; a design counts
            once it is asked for again, so that a resumed run sees what an uninterrupted one does.
    """

    problem: DesignProblem
    limits: Limits
    on_new: Callable[[Designs, Values], None] = lambda designs, metrics: None
    proposals: int = 0
    designs: list[NDArray[np.int64]] = field(default_factory=list)
    values: list[Values] = field(default_factory=list)
    remembered: dict[bytes, Values] = field(default_factory=dict)
    _row: dict[bytes, int] = field(default_factory=dict)
    _best: int | None = None
    _best_rank: tuple[float, float] = (-np.inf, -np.inf)

    @property
    def space(self) -> DesignSpace:
        """The problem's."""
        return self.problem.space

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The problem's."""
        return self.problem.metrics

    @property
    def known_metrics(self) -> Values:
        """Metrics of every distinct design, shape (evaluations, metrics)."""
        return np.array(self.values).reshape(-1, len(self.problem.metrics))

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """The problem's."""
        return self.problem.objectives

    @property
    def constraints(self) -> tuple[Constraint, ...]:
        """The problem's."""
        return self.problem.constraints

    @property
    def separable(self) -> Separable | None:
        """The problem's."""
        return self.problem.separable

    @property
    def outlook(self) -> Outlook:
        """The problem's."""
        return self.problem.outlook

    @property
    def relaxed(self) -> Relaxed | None:
        """The problem's."""
        return self.problem.relaxed

    @property
    def measured(self) -> bool:
        """The problem's."""
        return self.problem.measured

    @property
    def preparation(self) -> dict[str, float]:
        """The problem's."""
        return self.problem.preparation

    def claim(self, design: NDArray[np.int64]) -> dict[str, float]:
        """The problem's; nothing is counted, since no search sees it."""
        return self.problem.claim(design)

    @property
    def evaluations(self) -> int:
        """Distinct designs scored."""
        return len(self.designs)

    @property
    def remaining(self) -> int:
        """Evaluations still granted."""
        return self.limits.evaluations - self.evaluations

    @property
    def spent(self) -> float:
        """Share of the evaluations or of the proposals that is gone, whichever is more."""
        return min(max(self.evaluations / self.limits.evaluations, self.proposals / self.limits.proposals), 1.0)

    @property
    def episodes(self) -> int:
        """A proposal is an episode's design."""
        return self.proposals

    @property
    def progress(self) -> int:
        """Evaluations so far."""
        return self.evaluations

    @property
    def best(self) -> tuple[NDArray[np.int64], Values] | None:
        """The feasible design with the highest score (of equals the least predicted loss) and its metrics, or None."""
        return None if self._best is None else (self.designs[self._best], self.values[self._best])

    def chosen(self) -> tuple[NDArray[np.int64], Values] | None:
        """The design to report, and its metrics; None if none is feasible.

        The best of many noisy scores is partly luck. Of the feasible designs within one standard error
        of the best score, the one with the least predicted loss is taken (the one-standard-error rule
        of Breiman et al., Classification and Regression Trees, 1984); where scores are exact that is
        the best.
        """
        if self._best is None:
            return None
        values = self.known_metrics
        scores, met = score(self.problem, values), feasible(self.problem, values)
        error = float(self.problem.standard_error(values[[self._best]])[0])
        near = np.flatnonzero(met & (scores >= scores[self._best] - error))
        predicted = predicted_loss(self.problem, np.array(self.designs)[near])
        row = int(near[np.lexsort((-scores[near], predicted))[0]])
        return (self.designs[row], self.values[row]) if error > 0 else self.best

    @property
    def measurable(self) -> DesignProblem | None:
        """The problem's."""
        return self.problem.measurable

    def standard_error(self, metrics: Values) -> Values:
        """The problem's."""
        return self.problem.standard_error(metrics)

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
        designs = np.ascontiguousarray(designs, dtype=np.int64)
        room = max(self.limits.proposals - self.proposals, 0)
        keys = [row.tobytes() for row in designs[:room]]
        fresh = {key: i for i, key in reversed(list(enumerate(keys))) if key not in self._row}
        new = sorted(fresh.values())[: self.remaining]
        if new:
            self._score(designs[new], [keys[i] for i in new])
        self.proposals += len(keys)
        if len(keys) < len(designs) or len(new) < len(fresh):
            raise BudgetSpent
        return np.array([self.values[self._row[key]] for key in keys]).reshape(-1, len(self.problem.metrics))

    def charge(self, proposals: int) -> None:
        """Spend proposals on something other than a design, such as a gradient of a mixture of designs.

        Raises:
            BudgetSpent: when fewer are left; those are spent.
        """
        self.proposals += min(proposals, max(self.limits.proposals - self.proposals, 0))
        if self.proposals >= self.limits.proposals:
            raise BudgetSpent

    def remember(self, designs: Designs, metrics: Values) -> None:
        """Take in what an interrupted run had scored: it is not scored, nor ``on_new`` told of it, a second time."""
        rows = np.ascontiguousarray(designs, dtype=np.int64)
        self.remembered = {row.tobytes(): values for row, values in zip(rows, metrics, strict=True)}

    def counts(self) -> dict[str, int]:
        """Evaluations and proposals so far."""
        return {"evaluations": self.evaluations, "proposals": self.proposals}

    def go_on(self, counts: Mapping[str, int]) -> bool:
        """Count the first remembered designs at once, as an agent's checkpoint has it.

        Returns:
            Whether there were so many; if not, nothing is changed.
        """
        evaluations, proposals = int(counts["evaluations"]), int(counts["proposals"])
        if evaluations > len(self.remembered):
            return False
        first = dict(islice(self.remembered.items(), evaluations))
        if first:
            designs = np.stack([np.frombuffer(key, dtype=np.int64) for key in first])
            self._record(designs, np.stack(list(first.values())))
        self.proposals = proposals
        return True

    def _score(self, designs: Designs, keys: list[bytes]) -> None:
        """Record new designs of shape (batch, knobs); only those that are not remembered are evaluated and told."""
        unknown = np.array([key not in self.remembered for key in keys])
        metrics = np.empty((len(keys), len(self.problem.metrics)))
        if unknown.any():
            metrics[unknown] = self.problem.evaluate(designs[unknown])
        for i in np.flatnonzero(~unknown):
            metrics[i] = self.remembered[keys[i]]
        self._record(designs, metrics)
        if unknown.any():
            self.on_new(designs[unknown], metrics[unknown])

    def _record(self, designs: Designs, metrics: Values) -> None:
        scores, met = score(self.problem, metrics), feasible(self.problem, metrics)
        predicted = predicted_loss(self.problem, np.asarray(designs, dtype=np.int64))
        for i, key in enumerate(row.tobytes() for row in np.ascontiguousarray(designs, dtype=np.int64)):
            if key in self._row:
                continue
            self._row[key] = len(self.designs)
            self.designs.append(np.array(designs[i], dtype=np.int64))
            self.values.append(np.array(metrics[i]))
            rank = (float(scores[i]), -float(predicted[i]))
            if met[i] and rank > self._best_rank:
                self._best, self._best_rank = len(self.designs) - 1, rank
