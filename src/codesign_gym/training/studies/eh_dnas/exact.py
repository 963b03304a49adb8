"""The best cells there are: integer programs over pieces of the range of intervals."""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heappop, heappush

import numpy as np
from numpy.typing import NDArray

from codesign_gym.agents.baselines.integer_program import solve
from codesign_gym.envs.core.separable import Separable
from codesign_gym.errors import Infeasible
from codesign_gym.simulators.e2e_perf.accelerators import Pipeline
from codesign_gym.simulators.e2e_perf.cells import Skeleton
from codesign_gym.training.studies.eh_dnas.problem import KNOBS

#: Points by which the design that is found may fall short of the best there is.
GAP = 0.01


@dataclass(frozen=True, eq=False)
class _Within:
    """The least points lost among networks whose interval is no more than some."""

    loss_table: NDArray[np.float64]
    pipeline: Pipeline
    skeleton: Skeleton

    def __call__(self, interval_us: float) -> NDArray[np.int64] | None:
        """The design of shape (knobs,), or None if there is none.

        At a given interval every stage has a number of multipliers of its own, and the sum over choices decides
        whether they fit; so do weights that come from memory, and a stage that no multipliers speed up.
        """
        pipeline, work, fixed = self.pipeline, self.skeleton.table, self.skeleton.fixed
        cycles, interval_s = interval_us * 1e-6 * pipeline.clock_hz, interval_us * 1e-6
        room = (interval_s * pipeline.memory_bytes_per_s + pipeline.on_chip_bytes) / pipeline.number_bytes
        taken = np.stack([(work.count * np.ceil(work.macs / cycles)).sum(-1), (work.count * work.weights).sum(-1)])
        always = np.array([(fixed.count * np.ceil(fixed.macs / cycles)).sum(), (fixed.count * fixed.weights).sum()])
        left = np.array([pipeline.multipliers, room]) - always
        slowest = np.where(work.macs > 0, work.positions, work.positions / pipeline.pooled).max(-1)
        allowed = slowest <= cycles  # (knobs, operators)
        if fixed.positions.max() > cycles or (left <= 0).any() or not allowed.any(1).all():
            return None
        try:
            return solve(Separable(self.loss_table, taken / left[:, None, None], allowed))
        except Infeasible:
            return None


def optimum(loss_table: NDArray[np.float64], rate: float, start: NDArray[np.int64]) -> NDArray[np.int64]:
    """A design that loses at most :data:`GAP` points more than any, its interval charged.

    Branch and bound: between two intervals no design loses less than the best of the longer, charged for the shorter.

    Args:
        loss_table: points that every choice gives up, shape (28, operators).
        rate: points that a microsecond is worth.
        start: any design, of shape (28,).

    Returns:
        Shape (28,).
    """
    pipeline, skeleton = Pipeline(), Skeleton()
    within = _Within(loss_table, pipeline, skeleton)

    def lost(design: NDArray[np.int64]) -> float:
        return float(loss_table[np.arange(KNOBS), design].sum())

    def charged(design: NDArray[np.int64]) -> float:
        return lost(design) + rate * 1e6 * float(pipeline.interval_s(skeleton.work(design[None]))[0])

    fastest, best = 0.0, start
    longest = charged(start) / rate  # whatever takes longer is charged more than the start's all
    free = within(longest)
    assert free is not None, "the start is within"
    ranges = [(lost(free), fastest, longest, lost(free))]  # bound, from, to, least lost up to there
    best = min(best, free, key=charged)
    while ranges:
        bound, low, high, least = heappop(ranges)
        if bound >= charged(best) - GAP:
            break
        middle = (low + high) / 2
        found = within(middle)
        heappush(ranges, (least + rate * middle, middle, high, least))
        if found is not None:
            best = min(best, found, key=charged)
            heappush(ranges, (lost(found) + rate * low, low, middle, lost(found)))
    return best
