"""Steps a second of the native vector environment of runtime control, beside CartPole's."""

from __future__ import annotations

from typing import Any

import pytest
from interleaved import episode, speed

import codesign_gym  # noqa: F401  (registers the environments)

ENVIRONMENTS = 1024
STEPS = 201  # an episode, and the step that begins the next
BAR = 0.15

OPTIONS = {
    "default": {},
    "periodic": {"arrivals": "periodic"},
    "randomised": {"ambient_c": (15.0, 35.0), "capacitance": 0.2},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_a_step_beside_cartpoles(report, options: dict[str, Any]) -> None:
    ours = episode("codesign/Dvfs-v0", ENVIRONMENTS, STEPS, **options)
    ratio = speed(ours, episode("CartPole-v1", ENVIRONMENTS, STEPS), repeats=9)
    report("rate of steps, Dvfs over CartPole", ratio, BAR, ours)
    assert ratio >= BAR
