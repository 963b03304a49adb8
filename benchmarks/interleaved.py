"""Ratios of rates: two callables timed in turn, so that other work on the machine slows both alike."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import gymnasium as gym
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


def episode(name: str, environments: int, steps: int, **options: Any) -> Callable[[], None]:
    """A function that takes so many random steps, sampled beforehand, in all environments of a vector environment."""
    env = gym.make_vec(name, environments, vectorization_mode="vector_entry_point", **options)
    env.action_space.seed(0)
    actions = [env.action_space.sample() for _ in range(steps)]
    env.reset(seed=0)

    def walk() -> None:
        for action in actions:
            env.step(action)

    return walk
