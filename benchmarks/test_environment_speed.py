"""Steps a second of the native vector environment, beside those of Gymnasium's fastest."""

from __future__ import annotations

from typing import Any

import pytest
from interleaved import episode, speed

import codesign_gym  # noqa: F401  (registers the environments)

ENVIRONMENTS = 1024
STEPS = 106  # an episode of MobileNetV2's 53 layers: two decisions each
BAR = 0.1

OPTIONS = {
    "default": {"enforcement": "project", "observation": "haq", "reward": "terminal"},
    "richest": {"enforcement": "price+project", "observation": "rich", "reward": "dense"},
    "masked": {"enforcement": "mask", "observation": "haq", "reward": "terminal"},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_a_step_beside_cartpoles(report, options: dict[str, Any]) -> None:
    ours = episode(
        "codesign/MixedPrecision-v0",
        ENVIRONMENTS,
        STEPS,
        network="mobilenetv2-imagenet100",
        device="haq-cloud",
        accuracy="tabular",
        budget={"latency": 0.6},
        **options,
    )
    ratio = speed(ours, episode("CartPole-v1", ENVIRONMENTS, STEPS), repeats=15)
    report("rate of steps, MixedPrecision over CartPole", ratio, BAR, ours)
    assert ratio >= BAR
