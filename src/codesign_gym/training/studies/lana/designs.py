"""LANA's search itself: diverse solutions of the integer program, measured, the best of them trained and claimed."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from codesign_gym.agents.baselines.milp import FURTHER_GAP, Cuts, solve
from codesign_gym.envs.core.separable import Separable
from codesign_gym.envs.core.space import Designs
from codesign_gym.errors import Infeasible
from codesign_gym.simulators.replacement.patched import Patched
from codesign_gym.simulators.replacement.quality import MeasuredQuality
from codesign_gym.simulators.replacement.tuning import Tuning
from codesign_gym.training.studies.jobs import run_all
from codesign_gym.training.studies.lana.case import SHARES, Case, cases
from codesign_gym.training.studies.lana.problem import replaced, tables
from codesign_gym.training.studies.part import Part, middle
from codesign_gym.training.studies.study import MEDIAN, WORST, Claim, Table, at_least, decides, judged

SOLUTIONS = 20
#: Share of the layers that a solution may have in common with any before (LANA's O).
OVERLAP = 0.7
LOSS_POINTS = 1.0
SPEEDUP = 1.5


@dataclass(frozen=True)
class Chosen:
    """The outcome of one search.

    Attributes:
        case: what was searched.
        solutions: how many there were.
        speedup: of the chosen one against the teacher.
        first, best: accuracy as fitted, on test images, of the optimum and of the solution best on search images.
        gain_points: how much more of the search images the latter gets right, in percentage points.
        claims: of the latter after its training, as a quality states them.
    """

    case: Case
    solutions: int
    speedup: float
    first: float
    best: float
    gain_points: float
    claims: dict[str, float]


def run(scale: str, console: Console, networks: tuple[str, ...]) -> Part:
    """Two claims a network: speed at little loss, and what diverse solutions bring."""
    found = run_all(searched, cases(scale, networks, SHARES[scale]), "diverse solutions", console)
    claims: list[Claim] = []
    for network in networks:
        mine = [f for f in found if f.case.network == network]
        claims += [_fast(network, mine), _diverse(network, mine)]
    headings = (
        "network",
        "device",
        "seed",
        "share",
        "speed-up",
        "top 1, test",
        "best of K, test",
        "trained: loss on test, points (95 %)",
    )
    return Part(tuple(claims), (Table("designs chosen on search images", headings, tuple(map(_row, found))),))


def searched(case: Case) -> Chosen:
    """Solve, measure, choose, train."""
    made = replaced(case.network, case.device, case.seed)
    designs = made.numbered(diverse(tables(made.problem(case.share)), SOLUTIONS))
    accuracy, loss = made.measurer.accuracy(designs), made.measurer.loss(designs)
    best = int(np.lexsort((loss, -accuracy))[0])
    first, chosen = made.measurer.accuracy(designs[[0, best]], "test")
    given = made.measurer
    quality = MeasuredQuality(given, Patched(given.trained, given.memo, Tuning(seed=case.seed)), case.seed)
    return Chosen(
        case,
        len(designs),
        float(made.latency(made.unchanged)[0] / made.latency(designs[[best]])[0]),
        float(first),
        float(chosen),
        float(100 * (accuracy[best] - accuracy[0])),
        quality.claim(designs[best]),
    )


def diverse(separable: Separable, count: int) -> Designs:
    """The optimum, then solutions that share at most :data:`OVERLAP` of the groups with each before, (count, knobs).

    Fewer where there are no more.
    """
    designs: list[NDArray[np.int64]] = [solve(separable)]
    differing = separable.groups - int(OVERLAP * separable.groups)
    while len(designs) < count:
        try:
            designs.append(solve(separable, 1.0, Cuts(np.stack(designs), differing), gap=FURTHER_GAP))
        except Infeasible:
            break
    return np.stack(designs)


def _fast(network: str, found: list[Chosen]) -> Claim:
    """For each device and seed the fastest design that surely keeps its accuracy on search images."""
    groups = groupby(found, lambda f: (f.case.device, f.case.seed))
    picked = [_pick(list(own)) for _, own in groups]
    speed = [f.speedup for f in picked]
    loss = [0.0 - f.claims["test_change_points"] for f in picked]
    return Claim(
        f"{network}: at least {SPEEDUP}x faster at no more than {LOSS_POINTS:g} point loss on test, shortly trained",
        "up to 5x, no drop",
        f"{middle(speed):.2f}x, {middle(loss):+.2f} pt",
        f"{min(speed):.2f}x, {max(loss):+.2f} pt",
        min(speed) >= SPEEDUP and max(loss) <= LOSS_POINTS,
        "accuracy in floating point, latency at 8 bits",
        decides(WORST, len(picked), "searches"),
    )


def _pick(found: list[Chosen]) -> Chosen:
    """The tightest share that loses at most the bar and a standard error on search images, else the loosest."""
    ordered = sorted(found, key=lambda f: f.case.share)
    kept = [
        f for f in ordered if f.claims["search_change_error_points"] - f.claims["search_change_points"] <= LOSS_POINTS
    ]
    return (kept or ordered[-1:])[0]


def _diverse(network: str, found: list[Chosen]) -> Claim:
    gain = [100 * (f.best - f.first) for f in found]
    searched = [f.gain_points for f in found]
    return judged(
        f"{network}: the best of {SOLUTIONS} diverse solutions on search images is as accurate on test as the optimum",
        gain,
        at_least(0.0),
        "{:+.2f} pt",
        by=MEDIAN,
        of="searches",
        paper="diverse solutions help",
        note=f"before any training; on the search images themselves {middle(searched):+.2f} pt (never less, by choice)",
    )


def _row(found: Chosen) -> tuple[object, ...]:
    lost, least, most = (0.0 - found.claims[f"test_change_{end}points"] for end in ("", "high_", "low_"))
    return (
        found.case.network,
        found.case.device,
        found.case.seed,
        found.case.share,
        f"{found.speedup:.2f}x",
        f"{100 * found.first:.1f} %",
        f"{100 * found.best:.1f} % of {found.solutions}",
        f"{lost:+.2f} ({least:+.2f} to {most:+.2f})",
    )
