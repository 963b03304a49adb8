"""The main job on the embedded default: agents beside equal-budget baselines, on really measured accuracy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from codesign_gym.training.compare import compare
from codesign_gym.training.config import RunConfig, configure

NETWORK, DEVICE, LATENCY = "digits-cnn", "bitfusion", 0.5
AGENTS = ("ppo", "random", "evolutionary", "greedy", "milp", "uniform")


def demonstrate(
    path: Path, evaluations: int, console: Console, runner: Callable[[RunConfig, Path], dict[str, Any]]
) -> list[dict[str, Any]]:
    """Run every agent of the demonstration and compare them.

    Args:
        path: folder of the runs.
        evaluations: distinct designs for each agent.
        console: where it tells what it does.
        runner: runs a configuration in a folder.

    Returns:
        The rows of :func:`~codesign_gym.training.compare.compare`.
    """
    console.print(
        f"{NETWORK} (trained now, on scikit-learn's digits) on {DEVICE}: bitwidths of weights and activations "
        f"for every layer, at most {LATENCY:g} of the latency of 8 bits everywhere, "
        f"{evaluations} measured designs an agent",
        highlight=False,
    )
    options: dict[str, Any] = {"network": NETWORK, "device": DEVICE, "budget": {"latency": LATENCY}}
    for agent in AGENTS:
        result = runner(configure("codesign/MixedPrecision-v0", options, agent, evaluations), path / agent)
        gain = result["reference"]["latency_s"] / result["metrics"]["latency_s"]
        claims = result["claims"]
        console.print(
            f"  {agent:12s} {gain:.2f}x faster than 8 bits, {100 * claims['test_accuracy']:.1f} % on test images "
            f"({claims['test_change_points']:+.1f} points, {claims['test_change_low_points']:+.1f} to "
            f"{claims['test_change_high_points']:+.1f})",
            highlight=False,
        )
    return compare([path / agent for agent in AGENTS], path / "comparison")
