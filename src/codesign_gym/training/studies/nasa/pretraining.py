"""Part (d): progressive pretraining of shared weights against the plain mixture, at equal steps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from codesign_gym.simulators import operators
from codesign_gym.training.studies.haq.part import FULL_ONLY, Part, middle
from codesign_gym.training.studies.jobs import run_all
from codesign_gym.training.studies.nasa.mapping import SMALL
from codesign_gym.training.studies.study import Claim, Table

TEXT = "(d) without progressive pretraining, hybrids are worse in 4 of 5 seeds"

SEEDS = (0, 1, 2, 3, 4)
SEEDS_WORSE = 4
EPOCHS = 120

#: Hybrids whose accuracy with shared weights is averaged, the same for all; drawn with this seed.
HYBRIDS, DRAWN = 24, 100


@dataclass(frozen=True)
class Job:
    """One pretraining."""

    progressive: bool
    seed: int


def run(scale: str, console: Console) -> Part:
    """Both ways, every seed."""
    if scale == "small":
        return Part((Claim(TEXT, "", "", "", None, FULL_ONLY),))
    jobs = [Job(progressive, seed) for seed in SEEDS for progressive in (True, False)]
    accuracies = run_all(measured, jobs, "pretraining", console)
    progressive, mixed = accuracies[::2], accuracies[1::2]
    gains = [100 * float((p - m).mean()) for p, m in zip(progressive, mixed, strict=True)]
    worse = sum(gain > 0 for gain in gains)
    claim = Claim(
        TEXT,
        "",
        f"{middle(gains):+.1f} points with it, {worse} of {len(SEEDS)}",
        f"{min(gains):+.1f} points",
        worse >= SEEDS_WORSE,
        f"mean of {HYBRIDS} random hybrids on search images, with shared weights, after {EPOCHS} epochs of either",
    )
    rows = tuple(
        (seed, f"{100 * p.mean():.1f} %", f"{100 * m.mean():.1f} %", f"{100 * p.min():.1f} %", f"{100 * m.min():.1f} %")
        for seed, p, m in zip(SEEDS, progressive, mixed, strict=True)
    )
    title = f"(d) accuracy of {HYBRIDS} random hybrids of {SMALL} with shared weights"
    return Part((claim,), (Table(title, ("seed", "progressive", "mixed", "worst of progressive", "of mixed"), rows),))


def measured(job: Job) -> NDArray[np.float64]:
    """Accuracy of each hybrid on the search split, (hybrids,)."""
    from codesign_gym.simulators.accuracy.memo import Memo
    from codesign_gym.simulators.hybrid.pretraining import MIXED, PROGRESSIVE, pretrained
    from codesign_gym.simulators.supernets.measuring import SharedWeights

    sizes = [len(layer.operators) for layer in operators.load(SMALL).layers]
    designs = np.random.default_rng(DRAWN).integers(0, sizes, (HYBRIDS, len(sizes)))
    trained = pretrained(SMALL, PROGRESSIVE if job.progressive else MIXED, EPOCHS, job.seed)
    return SharedWeights(trained, memo=Memo.default()).accuracy(designs)
