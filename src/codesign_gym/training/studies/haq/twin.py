"""Part (b): the tabular twin of MobileNetV2, whose optimum is known exactly."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from codesign_gym.training.studies.jobs import Job, Outcome, run_all
from codesign_gym.training.studies.jobs import run as run_job
from codesign_gym.training.studies.part import Part, middle
from codesign_gym.training.studies.study import Claim, Table

PROBLEM: dict[str, Any] = {
    "network": "mobilenetv2-imagenet100",
    "device": "haq-cloud",
    "accuracy": "tabular",
    "budget": {"latency": 0.6},
}

#: HAQ's formulation of the environment: nothing before the last decision, then a repaired design's score.
SPARSE = {"reward": "terminal", "observation": "haq", "enforcement": "project"}

SEEDS = {"small": (0, 1, 2), "full": (0, 1, 2, 3, 4)}
EPISODES = 600  # HAQ's own number


def jobs(scale: str) -> list[Job]:
    """The formulations at HAQ's number of episodes, and at five times as many in full."""
    found = []
    for seed in SEEDS[scale]:
        options = {**PROBLEM, "seed": seed}
        found.append(Job("ppo", options, EPISODES, seed, "PPO, dense reward, price"))
        found.append(Job("random", {**options, **SPARSE}, EPISODES, seed, "random + projection"))
        if scale == "full":
            found.append(Job("ppo", options, 5 * EPISODES, seed, "PPO, dense reward, price"))
            found.append(Job("ppo", {**options, **SPARSE}, EPISODES, seed, "PPO, terminal reward, projection"))
            found.append(Job("haq-ddpg", options, EPISODES, seed, "HAQ's DDPG, terminal reward, projection"))
    return found


def report(outcomes: list[Outcome]) -> Part:
    """Claims on PPO at 600 episodes, and a table of all formulations."""
    groups: dict[tuple[str, int], list[Outcome]] = {}
    for outcome in outcomes:
        groups.setdefault((outcome.job.label, outcome.job.evaluations), []).append(outcome)

    def ratios(group: list[Outcome]) -> list[float]:
        return [o.predicted / o.optimum if o.metrics else float("inf") for o in group]

    rows = tuple(
        (label, episodes, len(group), f"{middle(ratios(group)):.3f}x", f"{max(ratios(group)):.3f}x")
        for (label, episodes), group in groups.items()
    )
    dense = groups[("PPO, dense reward, price", EPISODES)]
    to_optimum = ratios(dense)
    to_uniform = [o.predicted / o.uniform for o in dense]
    uniform = [o.uniform / o.optimum for o in dense]
    table = Table(
        "twin of MobileNetV2 on haq-cloud at .6 of the 8-bit latency: loss against the exact optimum "
        "(sensitivities lognormal, sigma 1)",
        ("formulation", "episodes", "seeds", "median", "worst"),
        (
            *rows,
            (
                "best uniform bitwidth within the budget",
                7,
                len(dense),
                f"{middle(uniform):.3f}x",
                f"{max(uniform):.3f}x",
            ),
        ),
    )
    return Part(
        (
            Claim(
                f"(b) twin: loss at most 1.25x the optimum after {EPISODES} episodes (aim 1.05x)",
                "",
                f"{middle(to_optimum):.3f}x",
                f"{max(to_optimum):.3f}x",
                max(to_optimum) <= 1.25,
            ),
            Claim(
                "(b) twin: at most .3x the loss of the best uniform bitwidth within the budget",
                "",
                f"{middle(to_uniform):.3f}x",
                f"{max(to_uniform):.3f}x",
                max(to_uniform) <= 0.3,
            ),
        ),
        (table,),
    )


def run(scale: str, console: Console) -> Part:
    """The part at a scale."""
    return report(run_all(run_job, jobs(scale), "tabular twin", console))
