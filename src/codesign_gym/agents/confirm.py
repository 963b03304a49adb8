"""What predictions guided is measured before it is reported."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from codesign_gym.agents.recorder import Limits, Recorder
from codesign_gym.envs.core.problem import DesignProblem, Values, feasible, predicted_loss, score, usage

CANDIDATES = 16


@dataclass(frozen=True)
class Confirmed:
    """The design to report.

    Attributes:
        design: choice indices, shape (knobs,).
        metrics: shape (metrics,), measured where the problem can be.
        measured: designs that were measured for it.
    """

    design: NDArray[np.int64]
    metrics: Values
    measured: int


def confirm(recorder: Recorder, candidates: int = CANDIDATES) -> Confirmed | None:
    """The design to report of all that a search has scored; None if none is feasible.

    Where scores were measured all along, it is the recorder's choice. Where they were predicted, the
    leading candidates are measured: under budgets those of the best predicted score; under a floor on
    the score, the cheapest design whose measured score keeps it, by bisection along the designs that
    no other beats in both cost and predicted loss.
    """
    real = recorder.problem.measurable
    if real is None:
        chosen = recorder.chosen()
        return None if chosen is None else Confirmed(*chosen, recorder.evaluations if recorder.measured else 0)
    if not recorder.evaluations:
        return None
    judge = Recorder(real, Limits(candidates, 4 * candidates))
    predicted = any(bound.metric == real.metrics[0].name for bound in real.constraints)
    (_bisect if predicted else _leaders)(recorder, judge, candidates)
    chosen = judge.chosen()
    return None if chosen is None else Confirmed(*chosen, judge.evaluations)


def _leaders(recorder: Recorder, judge: Recorder, candidates: int) -> None:
    """Measure the feasible designs of the best predicted score."""
    designs, values = np.array(recorder.designs), recorder.known_metrics
    losses = predicted_loss(recorder.problem, designs)
    order = np.lexsort((losses, -score(recorder.problem, values)))
    order = order[feasible(recorder.problem, values)[order]][:candidates]
    if len(order):
        judge.evaluate(designs[order])


def _bisect(recorder: Recorder, judge: Recorder, candidates: int) -> None:
    """Measure along the front of cost and predicted usage until the cheapest design that keeps the floor is found."""
    designs, values = np.array(recorder.designs), recorder.known_metrics
    worth = score(recorder.problem, values)
    tables = recorder.separable
    used = (usage(recorder.problem, values) if tables is None else tables.totals(designs)[:, 1:]).max(-1)
    order = np.lexsort((used, -worth))  # cheapest first
    front = order[np.minimum.accumulate(used[order]) == used[order]]  # ever safer as it gets dearer
    front = front[np.r_[True, np.diff(used[front]) < 0]]
    low, high = 0, len(front) - 1
    while low < high and judge.evaluations < candidates - 1:
        middle = (low + high) // 2
        if _keeps(judge.problem, judge.evaluate(designs[front[[middle]]])):
            high = middle
        else:
            low = middle + 1
    judge.evaluate(designs[front[[high]]])


def _keeps(problem: DesignProblem, metrics: Values) -> bool:
    return bool((usage(problem, metrics) <= 1 + 1e-9).all())
