"""Part (a): really trained networks, measured on test images that no search saw.

As in the paper, what the search picks without training is trained briefly before it is reported; so is the 8-bit
network beside it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from rich.console import Console

from codesign_gym.training.studies.jobs import Job, Outcome, run_all
from codesign_gym.training.studies.jobs import run as run_job
from codesign_gym.training.studies.part import FULL_ONLY, Part, absent, middle
from codesign_gym.training.studies.study import Claim, Table

DEVICES = ("bitfusion", "bismo-edge")
NETWORKS = {"small": ("digits-cnn",), "full": ("digits-cnn", "fashion-resnet8")}
#: Shares of the 8-bit latency, tightest first; .51 is the paper's 1.95x.
BUDGETS = {"small": (0.6,), "full": (0.45, 0.51, 0.6, 0.7)}
EPISODES = {"small": 120, "full": 600}
SEEDS = (0, 1, 2)

#: Points that may be lost on test; a budget is taken if the loss on search images, and a standard error, stay within.
LOSS_POINTS = 0.5

#: Mini-batches that a reported design, and the 8-bit network, are trained on.
FINE_TUNE_STEPS = 50

HEADINGS = (
    "network",
    "device",
    "seed",
    "budget",
    "speed-up",
    "test loss untrained, points (95 %)",
    "test loss, points (95 %)",
    "uniform width as accurate",
)


def run(scale: str, console: Console, networks: tuple[str, ...] | None = None) -> Part:
    """Speed-up at no more than half a point of loss on test, per network and device.

    Args:
        scale: ``small`` or ``full``.
        console: where progress is shown.
        networks: those to run; by default the scale's.
    """
    wanted = NETWORKS[scale] if networks is None else networks
    claims: list[Claim] = []
    rows: list[tuple[Any, ...]] = []
    for network in NETWORKS["full"]:
        reason = absent(network) if network in wanted else FULL_ONLY
        if reason is not None:
            claims += [Claim(_text(network, device), "1.4-1.95x", "", "", None, reason) for device in DEVICES]
            continue
        jobs = [
            Job("ppo", {**_problem(network, device), "budget": {"latency": share}}, EPISODES[scale], seed)
            for device in DEVICES
            for seed in SEEDS
            for share in BUDGETS[scale]
        ]
        outcomes = run_all(run_job, jobs, f"measured, {network}", console)
        picked = [_pick([o for o in outcomes if _is(o, device, seed)]) for device in DEVICES for seed in SEEDS]
        tuned = run_all(fine_tuned, picked, f"fine-tuned, {network}", console)
        claims += [
            _claim(network, device, [o for o in tuned if o.job.options["device"] == device]) for device in DEVICES
        ]
        rows += [_row(before, after) for before, after in zip(picked, tuned, strict=True)]
    table = Table("(a) designs chosen on search images, measured on test images", HEADINGS, tuple(rows))
    return Part(tuple(claims), (table,))


def fine_tuned(outcome: Outcome) -> Outcome:
    """The outcome with the claims of its design after a short training."""
    from codesign_gym.envs.mixed_precision.factory import Options, quantized_network
    from codesign_gym.simulators.accuracy.claims import TestAccuracy

    if not outcome.design:
        return outcome
    options = Options(network=outcome.job.options["network"], fine_tune=FINE_TUNE_STEPS)
    low, high = options.bits
    judge = TestAccuracy(quantized_network(options), high)
    return replace(outcome, claims=judge.claim(np.array(outcome.design).reshape(-1, 2) + low))


def _text(network: str, device: str) -> str:
    return f"(a) {network} on {device}: at least 1.4x faster than 8 bits at no more than .5 point loss on test"


def _problem(network: str, device: str) -> dict[str, Any]:
    """Rewards from sensitivities; the leading designs are then measured on search images."""
    return {"network": network, "device": device, "accuracy": "sensitivity"}


def _is(outcome: Outcome, device: str, seed: int) -> bool:
    return outcome.job.options["device"] == device and outcome.job.seed == seed


def _share(outcome: Outcome) -> float:
    return float(outcome.job.options["budget"]["latency"])


def _pick(outcomes: list[Outcome]) -> Outcome:
    """The tightest budget whose design surely keeps its accuracy on search images, else the loosest."""
    for outcome in sorted(outcomes, key=_share):
        claims = outcome.claims
        if claims and claims["search_change_error_points"] - claims["search_change_points"] <= LOSS_POINTS:
            return outcome
    return max(outcomes, key=_share)


def _speedup(outcome: Outcome) -> float:
    return outcome.reference["latency_s"] / outcome.metrics["latency_s"] if outcome.metrics else 0.0


def _claim(network: str, device: str, picked: list[Outcome]) -> Claim:
    speed = [_speedup(outcome) for outcome in picked]
    loss = [-outcome.claims.get("test_change_points", -100.0) for outcome in picked]
    met = all(o.metrics and o.metrics["latency_s"] <= _share(o) * o.reference["latency_s"] * (1 + 1e-9) for o in picked)
    return Claim(
        _text(network, device),
        "1.4-1.95x",
        f"{middle(speed):.2f}x, {middle(loss):+.2f} pt",
        f"{min(speed):.2f}x, {max(loss):+.2f} pt",
        bool(met and min(speed) >= 1.4 and max(loss) <= LOSS_POINTS),
        f"{100 * middle(speed) / 1.95:.0f} % of 1.95x; budget met by every design" if met else "budget missed",
    )


def _row(before: Outcome, after: Outcome) -> tuple[Any, ...]:
    name, ratio = _uniform(before)
    return (
        before.job.options["network"],
        before.job.options["device"],
        before.job.seed,
        _share(before),
        f"{_speedup(before):.2f}x",
        _loss(before.claims),
        _loss(after.claims),
        f"{name}, {ratio:.2f}x" if name else "none",
    )


def _loss(claims: dict[str, float]) -> str:
    """Points lost on test with their interval; a gain is negative."""
    lost, least, most = (0.0 - claims[f"test_change_{end}points"] for end in ("", "high_", "low_"))
    return f"{lost:+.2f} ({least:+.2f} to {most:+.2f})"


def _uniform(outcome: Outcome) -> tuple[str, float]:
    """The fastest uniform bitwidth no less accurate on search images than the design, and its speed-up, if any."""
    from codesign_gym.envs.mixed_precision.factory import Options, mixed_precision_problem

    options = {key: outcome.job.options[key] for key in ("network", "device")}
    problem = mixed_precision_problem(Options(**options))
    designs = np.concatenate([problem.uniform(bits) for bits in problem.bit_values])
    values = problem.evaluate(designs)  # (bitwidths, metrics): accuracy, latency_s, ...
    kept = values[:, 0] >= outcome.metrics["accuracy"]
    latency = np.where(kept, values[:, 1], np.inf)
    best = int(latency.argmin())
    if not kept.any():
        return "", float("nan")
    return f"{problem.bit_values[best]} bits", outcome.reference["latency_s"] / float(latency[best])
