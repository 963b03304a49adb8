"""Part (c): a design made for one device is not the fastest on another."""

from __future__ import annotations

from typing import Any

import numpy as np
from rich.console import Console

from codesign_gym.envs.mixed_precision.factory import Options, mixed_precision_problem
from codesign_gym.envs.mixed_precision.problem import MixedPrecisionProblem
from codesign_gym.training.studies.jobs import Job, Outcome, run_all
from codesign_gym.training.studies.jobs import run as run_job
from codesign_gym.training.studies.part import FULL_ONLY, Part, absent
from codesign_gym.training.studies.study import Claim, Table

DEVICES = ("bitfusion", "bismo-edge", "haq-cloud")
NETWORK = "fashion-resnet8"
EPISODES = 600
SEEDS = (0, 1, 2)
FLOOR_POINTS = 1.0
FLOOR: dict[str, Any] = {"floor": FLOOR_POINTS, "accuracy": "sensitivity"}

#: Published latencies in ms: the device's own policy and those of the other two (Wang et al. 2019, table 4).
PAPER = "16.29 (19.95/19.94), 64.29 (85.24/66.15), 99.68 (117.44/108.64) ms"


def run(scale: str, console: Console) -> Part:
    """Every device's design on every device, at one accuracy floor."""
    network = NETWORK
    text = f"(c) {network}: at an equal accuracy floor each device's own design is the fastest on it"
    reason = absent(network) if scale == "full" else FULL_ONLY
    if reason is not None:
        return Part((Claim(text, PAPER, "", "", None, reason),))
    floors = {device: mixed_precision_problem(Options(network=network, device=device, **FLOOR)) for device in DEVICES}
    limit = min(problem.loss_limit or 0.0 for problem in floors.values())
    options = {**FLOOR, "network": network, "loss_limit": limit}
    jobs = [Job("ppo", {**options, "device": device}, EPISODES, seed) for device in DEVICES for seed in SEEDS]
    outcomes = run_all(run_job, jobs, "swap matrix", console)
    matrices = np.array([_matrix([o for o in outcomes if o.job.seed == seed], floors) for seed in SEEDS])
    wins = [int((matrix.argmin(axis=1) == np.arange(len(DEVICES))).sum()) for matrix in matrices]
    median = np.median(matrices, axis=0)
    measured = floors[DEVICES[0]].measurable
    assert measured is not None
    accuracy = measured.evaluate(np.array([o.guided for o in outcomes]))[:, 0]
    lost = 100 * (measured.constraints[0].reference - accuracy)
    rows: list[tuple[Any, ...]] = [
        (f"on {device}", *(f"{median[i, j] / median[i, i]:.3f}" for j in range(len(DEVICES))))
        for i, device in enumerate(DEVICES)
    ]
    table = Table(
        f"(c) latency against the own design's, median of {len(SEEDS)} seeds, at one predicted loss",
        ("", *(f"design for {device}" for device in DEVICES)),
        tuple(rows),
    )
    own = bool((median.argmin(axis=1) == np.arange(len(DEVICES))).all())
    return Part(
        (
            Claim(
                text,
                PAPER,
                f"own fastest on {int(np.median(wins))} of {len(DEVICES)}",
                f"{min(wins)} of {len(DEVICES)}",
                own and min(wins) == len(DEVICES),
                f"floor: predicted loss {limit:.3g} nats; measured {lost.min():+.1f} to {lost.max():+.1f} pt lost",
            ),
        ),
        (table,),
    )


def _matrix(outcomes: list[Outcome], problems: dict[str, MixedPrecisionProblem]) -> np.ndarray:
    """Latency in seconds of each device's design (columns) on each device (rows)."""
    matrix = np.full((len(DEVICES), len(DEVICES)), np.inf)
    made = {o.job.options["device"]: np.array([o.guided]) for o in outcomes if o.guided}
    for i, row in enumerate(DEVICES):
        for j, column in enumerate(DEVICES):
            if column in made:
                matrix[i, j] = problems[row].costs_of(made[column])["latency_s"][0]
    return matrix
