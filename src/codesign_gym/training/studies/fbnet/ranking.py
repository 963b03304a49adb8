"""Whether accuracies with shared weights order designs as trainings of their own do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console

from codesign_gym.training.studies.jobs import run_all
from codesign_gym.training.studies.part import FULL_ONLY, Part, absent
from codesign_gym.training.studies.study import Claim, Table

if TYPE_CHECKING:
    from codesign_gym.simulators.supernets.ranking import Correlation


@dataclass(frozen=True)
class Supernet:
    """What is compared on one space.

    Attributes:
        space: its id.
        designs: drawn at random, each trained by itself.
        trainings: of each design, with seeds of their own.
    """

    space: str
    designs: int
    trainings: int


SUPERNETS = (Supernet("digits-supernet", 24, 3), Supernet("fashion-supernet", 12, 1))


@dataclass(frozen=True)
class Ranked:
    """What was found.

    Attributes:
        supernet: what was compared.
        kendall, spearman: rank correlations, and the ends of their 95 % bootstrap intervals over designs.
        agreement: Spearman's between two trainings of the same designs; NaN for one training.
        shared: accuracies with shared weights on the search split, median and range.
        own: of trainings by themselves on the test split, likewise.
    """

    supernet: Supernet
    kendall: tuple[float, float, float]
    spearman: tuple[float, float, float]
    agreement: float
    shared: tuple[float, float]
    own: tuple[float, float]


def run(scale: str, console: Console) -> Part:
    """The part at a scale; only at scale full, for the trainings."""
    why = {one: FULL_ONLY if scale == "small" else absent(one.space) for one in SUPERNETS}
    left = [Claim(_text(one), "", "", "", None, reason) for one, reason in why.items() if reason]
    found = run_all(compare, [one for one, reason in why.items() if not reason], "rankings", console)
    return Part((*(_claim(one) for one in found), *left), (_table(found),) if found else ())


def compare(supernet: Supernet) -> Ranked:
    """Train the designs by themselves, and correlate."""
    from codesign_gym.simulators.accuracy.memo import Memo
    from codesign_gym.simulators.supernets.library import load
    from codesign_gym.simulators.supernets.measuring import OwnTraining, OwnWeights, SharedWeights
    from codesign_gym.simulators.supernets.ranking import rank

    trained, memo = load(supernet.space), Memo.default()
    own = [OwnWeights(trained, OwnTraining.like(trained, seed), memo) for seed in range(supernet.trainings)]
    found = rank(SharedWeights(trained, memo=memo), own, supernet.designs, np.random.default_rng(0))

    return Ranked(
        supernet,
        _interval(found.kendall),
        _interval(found.spearman),
        found.agreement,
        (float(np.median(found.shared)), float(np.ptp(found.shared))),
        (float(np.median(found.own)), float(np.ptp(found.own))),
    )


def _interval(one: Correlation) -> tuple[float, float, float]:
    return one.value, one.low, one.high


def _text(supernet: Supernet) -> str:
    return f"{supernet.space}: accuracies with shared weights order designs as trainings of their own do (interval > 0)"


def _claim(found: Ranked) -> Claim:
    value, low, _ = found.spearman
    return Claim(
        _text(found.supernet),
        "",
        f"Spearman {value:.2f}",
        f"{low:.2f}, lower end of the interval",
        low > 0,
        f"{found.supernet.designs} designs drawn at random, {found.supernet.trainings} trainings of each",
        "lower end of the interval",
    )


def _table(found: Sequence[Ranked]) -> Table:
    headings = (
        "supernet",
        "Kendall (95 % interval)",
        "Spearman (95 % interval)",
        "Spearman of two trainings",
        "shared weights, search: median (range)",
        "own weights, test: median (range)",
    )
    rows = tuple(
        (
            one.supernet.space,
            *("{:.2f} ({:.2f} to {:.2f})".format(*interval) for interval in (one.kendall, one.spearman)),
            f"{one.agreement:.2f}" if np.isfinite(one.agreement) else "",
            *(f"{100 * middle:.1f} ({100 * spread:.1f})" for middle, spread in (one.shared, one.own)),
        )
        for one in found
    )
    return Table("supernets against trainings of single designs, accuracies in per cent", headings, rows)
