"""Part (c): a design made for one device is not the fastest on another."""

from __future__ import annotations

from typing import Any

import numpy as np
from rich.console import Console

from codesign_gym.training.studies.haq.part import Part, absent
from codesign_gym.training.studies.jobs import Job, Outcome, run_all
from codesign_gym.training.studies.jobs import run as run_job
from codesign_gym.training.studies.study import Claim, Table

DEVICES = ("bitfusion", "bismo-edge", "haq-cloud")
NETWORK = {"small": "digits-cnn", "full": "fashion-resnet8"}
EPISODES = {"small": 300, "full": 600}
SEEDS = (0, 1, 2)
FLOOR_POINTS = 1.0
FLOOR: dict[str, Any] = {"floor": FLOOR_POINTS, "accuracy": "sensitivity"}

#: Published latencies in ms: the device's own policy and those of the other two (Wang et al. 2019, table 4).
PAPER = "16.29 (19.95/19.94), 64.29 (85.24/66.15), 99.68 (117.44/108.64) ms"


def run(scale: str, console: Console) -> Part:
    """Every device's design on every device, at one accuracy floor."""
    network = NETWORK[scale]
    text = f"(c) {network}: at an equal accuracy floor each device's own design is the fastest on it"
    reason = absent(network)
    if reason is not None:
        return Part((Claim(text, PAPER, "", "", None, reason),))
    jobs = [
        Job("ppo", {**FLOOR, "network": network, "device": device}, EPISODES[scale], seed)
        for device in DEVICES
        for seed in SEEDS
    ]
    outcomes = run_all(run_job, jobs, "swap matrix", console)
    matrices = [_matrix([o for o in outcomes if o.job.seed == seed], network) for seed in SEEDS]
    wins = [int((matrix.argmin(axis=1) == np.arange(len(DEVICES))).sum()) for matrix in matrices]
    median = np.median(matrices, axis=0)
    rows: list[tuple[Any, ...]] = [
        (f"on {device}", *(f"{median[i, j] / median[i, i]:.3f}" for j in range(len(DEVICES))))
        for i, device in enumerate(DEVICES)
    ]
    table = Table(
        f"(c) latency against the own design's, median of {len(SEEDS)} seeds; floor {FLOOR_POINTS:g} point on search",
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
                "judged in every seed",
            ),
        ),
        (table,),
    )


def _matrix(outcomes: list[Outcome], network: str) -> np.ndarray:
    """Latency in seconds of each device's design (columns) on each device (rows)."""
    from codesign_gym.simulators.hardware import device as devices
    from codesign_gym.simulators.networks import load

    layers = load(network).weighted().layers
    made = {o.job.options["device"]: np.array(o.design).reshape(-1, 2) + 2 for o in outcomes if o.metrics}
    matrix = np.full((len(DEVICES), len(DEVICES)), np.inf)
    for i, row in enumerate(DEVICES):
        for j, column in enumerate(DEVICES):
            if column in made:
                matrix[i, j] = float(devices.load(row).cost(layers, made[column]).total().latency_s)
    return matrix
