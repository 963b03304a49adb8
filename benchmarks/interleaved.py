"""Ratios of rates: two callables timed in turn, so that other work on the machine slows both alike."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np


def seconds(work: Callable[[], object]) -> float:
    """How long one call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def speed(ours: Callable[[], object], theirs: Callable[[], object], repeats: int) -> float:
    """Median over repeats of their time over ours: how many times as fast ours is, for calls of equal work."""
    ours(), theirs()
    ratios = []
    for _ in range(repeats):
        before, ours_s, after = seconds(theirs), seconds(ours), seconds(theirs)
        ratios.append((before + after) / 2 / ours_s)
    return float(np.median(ratios))
