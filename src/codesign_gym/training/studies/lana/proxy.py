"""How well the sum of single replacements' losses ranks designs with many."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from rich.console import Console
from scipy.stats import spearmanr

from codesign_gym.simulators.replacement.space import patched
from codesign_gym.training.studies.jobs import run_all
from codesign_gym.training.studies.lana.case import SEEDS
from codesign_gym.training.studies.part import Part
from codesign_gym.training.studies.study import Table, at_least, judged

DESIGNS = 100
LEAST = 0.8


@dataclass(frozen=True)
class Ranked:
    """Rank correlations of the predicted loss with what was measured on search images."""

    network: str
    seed: int
    accuracy: float
    loss: float


def run(scale: str, console: Console, networks: tuple[str, ...]) -> Part:
    """One claim a network."""
    ranked = run_all(rank, [(name, seed) for name in networks for seed in SEEDS], "swaps measured", console)
    claims = []
    for name in networks:
        mine = [r.accuracy for r in ranked if r.network == name]
        text = f"{name}: Spearman of the sum of loss changes with the true accuracy, {DESIGNS} random swaps: {LEAST:g}"
        claims.append(judged(text, mine, at_least(LEAST), "{:.3f}", paper="additive"))
    rows = tuple((r.network, r.seed, f"{r.accuracy:.3f}", f"{r.loss:.3f}") for r in ranked)
    return Part(tuple(claims), (Table("rank correlation", ("network", "seed", "accuracy", "loss"), rows),))


def rank(given: tuple[str, int]) -> Ranked:
    """Random designs: 1 to all layers replaced, each by any other operator."""
    network, seed = given
    measurer, generator = patched(network, seed), np.random.default_rng(seed)
    unchanged = measurer.trained.unchanged
    layers = len(unchanged)
    count = generator.integers(1, layers, size=(DESIGNS, 1), endpoint=True)
    chosen = generator.random((DESIGNS, layers)).argsort(-1) < count  # (designs, layers)
    designs = np.where(chosen, generator.integers(0, unchanged, size=(DESIGNS, layers)), unchanged)
    predicted = measurer.loss_changes()[np.arange(layers), designs].sum(-1)
    accuracy, loss = measurer.accuracy(designs), measurer.loss(designs)
    return Ranked(
        network,
        seed,
        float(spearmanr(-predicted, accuracy).statistic),
        float(spearmanr(predicted, loss).statistic),
    )
