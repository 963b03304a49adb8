"""Operator problems with a made-up quality, whose exact optimum at any latency is known."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codesign_gym.agents.baselines.integer_program import solve
from codesign_gym.envs.core.problem import column
from codesign_gym.envs.core.separable import Separable
from codesign_gym.envs.layer_ops.factory import Options, layer_ops_problem
from codesign_gym.envs.layer_ops.problem import LayerOpsProblem

EXACT = 1e-4  # gap of the optimum, relative to its loss


@dataclass(frozen=True)
class Setting:
    """Where operators are chosen, but for the seed of the quality.

    Attributes:
        space: id of the operator space.
        device: id of a device, or the name of one in ``cost_file``.
        limit_ms: budget on the latency.
        cost_file: measured operators, in place of a device's model.
    """

    space: str
    device: str
    limit_ms: float
    cost_file: str | None = None

    def options(self, seed: int) -> dict[str, Any]:
        """Of the environment."""
        measured = {"cost_file": self.cost_file, "cost_column": self.device}
        costs = measured if self.cost_file else {"device": self.device}
        return {"space": self.space, **costs, "budget": {"latency": f"{self.limit_ms} ms"}, "seed": seed}


@cache
def problem(setting: Setting, seed: int) -> LayerOpsProblem:
    """The problem of a setting."""
    return layer_ops_problem(Options(**setting.options(seed)))


def tables(made: LayerOpsProblem) -> Separable:
    """The tables of a problem that is made of sums."""
    assert made.separable is not None, "a made-up quality and tabulated latencies are sums"
    return made.separable


def measure(made: LayerOpsProblem, design: NDArray[np.int64]) -> tuple[float, float]:
    """Latency in seconds, and quality, of a design of shape (knobs,)."""
    metrics = made.evaluate(design[None])[0]
    return float(metrics[column(made, "latency_s")]), float(metrics[column(made, "quality")])


def best_quality(made: LayerOpsProblem, latency_s: float) -> float:
    """The highest quality of any design within a latency."""
    scale = latency_s / made.constraints[0].limit
    return measure(made, solve(tables(made), scale * (1 + 1e-9), gap=EXACT))[1]


def fastest(made: LayerOpsProblem, quality: float) -> NDArray[np.int64]:
    """The design of shape (knobs,) of the least latency of any whose quality is as high."""
    lost = made.quality.losses
    assert lost is not None, "a made-up quality is a sum"
    latency = tables(made).usage[0]
    return solve(Separable(latency, lost[None] / (1.0 - quality), made.space.allowed), gap=EXACT)
