"""The integer program beside enumeration, and on spaces of published size."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from rich.console import Console

from codesign_gym.agents.baselines import dynamic_programming
from codesign_gym.agents.baselines.integer_program import solve
from codesign_gym.envs.core.separable import Separable
from codesign_gym.training.studies.jobs import run_all
from codesign_gym.training.studies.lana.case import DEVICES, NETWORKS, SEEDS, Case
from codesign_gym.training.studies.lana.problem import replaced
from codesign_gym.training.studies.part import Part, middle
from codesign_gym.training.studies.study import WORST, Claim, Table, at_most, decides, judged

SMALL = (6, 5)
#: FBNet's layers and blocks; and LANA's 197 operators on as many layers as an EfficientNet-B2 has blocks, twice.
LARGE = ((22, 9), (46, 197))
SECONDS = 5.0
ROUNDING = 1e-9


@dataclass(frozen=True)
class Solved:
    """One made-up program.

    Attributes:
        size: layers and operators.
        seconds: of one core, until the integer program's optimum was proven.
        below: what dynamic programming's bound leaves possible below it, relative.
        programming_s: the same of dynamic programming.
        above: how far that ends above the integer program, relative.
    """

    size: tuple[int, int]
    seconds: float
    below: float
    programming_s: float
    above: float


def run(scale: str, console: Console) -> Part:
    """Enumeration of parts of the real tables, and made-up tables of published sizes."""
    teachers = [Case(NETWORKS[scale][0], DEVICES[scale][0], seed) for seed in SEEDS]
    apart = run_all(enumerated, teachers, "enumerations", console)
    solved = run_all(large, [(size, seed) for size in LARGE for seed in SEEDS], "integer programs", console)
    rows = tuple(
        (
            f"{s.size[0]} x {s.size[1]}",
            f"{s.seconds:.2f}",
            f"{s.programming_s:.2f}",
            f"{s.above:+.1e}",
            f"{s.below:.1e}",
        )
        for s in solved
    )
    headings = ("layers x operators", "MILP, s", "dynamic programming, s", "its loss beside MILP's", "its bound below")
    seconds = [s.seconds for s in solved]
    claims = (
        judged(
            "the integer program finds what enumeration finds, 6 layers x 5 operators",
            apart,
            at_most(ROUNDING),
            "difference {:.1e}",
            paper="exact",
            note="measured tables of the teacher, layers and operators drawn by the seed",
        ),
        Claim(
            f"proven optimum in less than {SECONDS:g} s of one core at 22 x 9 and 46 x 197",
            "seconds",
            f"{middle(seconds):.2f} s",
            f"{max(seconds):.2f} s",
            max(seconds) < SECONDS and all(s.above >= -1e-6 and s.below <= 1e-2 for s in solved),
            "gap 0 by HiGHS (its absolute tolerance is 1e-6); dynamic programming bounds it from both sides",
            decides(WORST, len(seconds), "programs"),
        ),
    )
    return Part(claims, (Table("made-up tables of published size, a seed a row", headings, rows),))


def enumerated(case: Case) -> float:
    """Loss of the integer program less that of the best of all designs, in nats."""
    found, generator = replaced(case.network, case.device, case.seed), np.random.default_rng(case.seed)
    layers, count = SMALL
    sites = generator.permutation(len(found.kept))[:layers]
    chosen = [np.sort(generator.permutation(found.measurer.trained.sizes[site])[:count]) for site in sites]
    loss, latency = (
        np.stack([table[site, own] for site, own in zip(sites, chosen, strict=True)])
        for table in (found.loss_changes, found.latency_s)
    )
    limit = 0.5 * (latency.min(1).sum() + latency.max(1).sum())
    separable = Separable(loss, latency[None] / limit, np.ones(loss.shape, dtype=bool))
    designs = np.stack(np.unravel_index(np.arange(count**layers), (count,) * layers), axis=-1)
    totals = separable.totals(designs)
    best = totals[totals[:, 1] <= 1 + ROUNDING, 0].min()
    return abs(float(separable.totals(solve(separable))[0] - best))


def large(given: tuple[tuple[int, int], int]) -> Solved:
    """One made-up program: layers of lognormal weight, operators that lose with what they save, and by chance."""
    size, seed = given
    generator = np.random.default_rng(seed)
    weight, work = generator.lognormal(0.0, 1.0, (2, size[0], 1))
    cost = generator.random(size)
    cost[:, 0] = 0.0
    loss = weight * (1 - cost) ** 2 * generator.lognormal(0.0, 0.3, size)
    usage = work * cost / (0.4 * work.sum())
    separable = Separable(loss / loss.mean(1).sum(), usage[None], np.ones(size, dtype=bool))
    start = time.process_time()
    optimum = float(separable.totals(solve(separable, gap=0.0))[0])
    middle_s = time.process_time()
    by_programming = float(separable.totals(dynamic_programming.solve(separable, np.ones(1)))[0])
    end = time.process_time()
    bound = dynamic_programming.lower_bound(separable, np.ones(1))
    return Solved(
        size, middle_s - start, (optimum - bound) / optimum, end - middle_s, (by_programming - optimum) / optimum
    )
