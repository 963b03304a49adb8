"""Steps a second of the native vector environment of runtime control, beside CartPole's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import pytest
from interleaved import speed

import codesign_gym  # noqa: F401  (registers the environments)

ENVIRONMENTS = 1024
STEPS = 201  # an episode, and the step that begins the next
BAR = 0.15

OPTIONS = {
    "default": {},
    "periodic": {"arrivals": "periodic"},
    "randomised": {"ambient_c": (15.0, 35.0), "capacitance": 0.2},
}


def episode(name: str, **options: Any) -> Callable[[], None]:
    """A function that takes random steps, sampled beforehand, in all environments."""
    env = gym.make_vec(name, ENVIRONMENTS, vectorization_mode="vector_entry_point", **options)
    env.action_space.seed(0)
    actions = [env.action_space.sample() for _ in range(STEPS)]
    env.reset(seed=0)

    def steps() -> None:
        for action in actions:
            env.step(action)

    return steps


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_a_step_beside_cartpoles(report, options: dict[str, Any]) -> None:
    ours = episode("codesign/Dvfs-v0", **options)
    ratio = speed(ours, episode("CartPole-v1"), repeats=9)
    report("rate of steps, Dvfs over CartPole", ratio, BAR, ours)
    assert ratio >= BAR
