"""Part (d): progressive pretraining of shared weights against the plain mixture, at equal steps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from codesign_gym.simulators import operators
from codesign_gym.training.studies.jobs import run_all
from codesign_gym.training.studies.nasa.mapping import SMALL
from codesign_gym.training.studies.part import FULL_ONLY, Part, middle
from codesign_gym.training.studies.study import Claim, Table

TEXT = "(d) without progressive pretraining, hybrids are worse in 4 of 5 seeds"

SEEDS = (0, 1, 2, 3, 4)
SEEDS_WORSE = 4

#: Of each pretraining: a short one, and one that the search works with.
SHORT, EPOCHS = 30, 75

#: Hybrids whose accuracy with shared weights is averaged, the same for all; drawn with this seed.
HYBRIDS, DRAWN = 24, 100


@dataclass(frozen=True)
class Job:
    """One pretraining."""

    epochs: int
    seed: int
    progressive: bool


def run(scale: str, console: Console) -> Part:
    """Both ways, every seed, short and long."""
    if scale == "small":
        why = f"{FULL_ONLY}: {2 * len(SEEDS)} pretrainings take minutes of a core"
        return Part(tuple(Claim(f"{TEXT}, {epochs} epochs", "", "", "", None, why) for epochs in (SHORT, EPOCHS)))
    jobs = [Job(epochs, seed, way) for epochs in (SHORT, EPOCHS) for seed in SEEDS for way in (True, False)]
    accuracies = dict(zip(jobs, run_all(measured, jobs, "pretraining", console), strict=True))
    claims = tuple(_claim(epochs, accuracies) for epochs in (SHORT, EPOCHS))
    rows = tuple(
        (
            job.epochs,
            job.seed,
            *(f"{100 * accuracies[j].mean():.1f} %, {100 * accuracies[j].min():.1f} %" for j in pair),
        )
        for job, pair in ((job, (job, Job(job.epochs, job.seed, False))) for job in jobs[::2])
    )
    title = f"(d) {HYBRIDS} random hybrids of {SMALL} with shared weights: mean and worst accuracy on search images"
    return Part(claims, (Table(title, ("epochs", "seed", "progressive", "mixed"), rows),))


def _claim(epochs: int, accuracies: dict[Job, NDArray[np.float64]]) -> Claim:
    gains = [
        100 * float((accuracies[Job(epochs, seed, True)] - accuracies[Job(epochs, seed, False)]).mean())
        for seed in SEEDS
    ]
    worse = sum(gain > 0 for gain in gains)
    note = f"mean of {HYBRIDS} random hybrids on search images, with shared weights; equal steps and learning rates"
    if worse < SEEDS_WORSE:
        note += "; a third of the steps trains convolutions alone, which the mixture has for all operators"
    return Claim(
        f"{TEXT}, {epochs} epochs",
        "",
        f"{middle(gains):+.1f} points with it; {worse} of {len(SEEDS)}",
        f"{min(gains):+.1f} points",
        worse >= SEEDS_WORSE,
        note,
        f"{SEEDS_WORSE} of {len(SEEDS)} seeds",
    )


def measured(job: Job) -> NDArray[np.float64]:
    """Accuracy of each hybrid on the search split, (hybrids,)."""
    from codesign_gym.simulators.accuracy.memo import Memo
    from codesign_gym.simulators.hybrid.pretraining import MIXED, PROGRESSIVE, pretrained
    from codesign_gym.simulators.supernets.measuring import SharedWeights

    sizes = [len(layer.operators) for layer in operators.load(SMALL).layers]
    designs = np.random.default_rng(DRAWN).integers(0, sizes, (HYBRIDS, len(sizes)))
    trained = pretrained(SMALL, PROGRESSIVE if job.progressive else MIXED, job.epochs, job.seed)
    return SharedWeights(trained, memo=Memo.default()).accuracy(designs)
