"""FBNet's search on look-up tables: how good its nets are at their own latency, and on another device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from rich.console import Console

from codesign_gym.agents import interface
from codesign_gym.agents.differentiable.gumbel import Gumbel
from codesign_gym.agents.differentiable.mixture import subject
from codesign_gym.agents.differentiable.search import Schedule, epochs
from codesign_gym.training.studies.fbnet.problems import Setting, best_quality, fastest, measure, problem
from codesign_gym.training.studies.jobs import run_all
from codesign_gym.training.studies.study import WORST, Claim, Table, at_least, decides, judged

SEEDS = {"small": (0, 1, 2), "full": (0, 1, 2, 3, 4)}
STEPS = {"small": 5, "full": 60}  # gradient steps in each of 90 epochs
#: Quality that nets are tuned to, a share of the space's; what is worth comparing at least, as a search may end with
#: hardly more than skips; and the bounds of the exponent by which nets are tuned.
QUALITY, USEFUL = 0.7, 0.5
BETAS = (2.5, 12.0)
TUNINGS = {"small": 4, "full": 7}

REACHED, FASTER = 0.98, 1.1
PAPER_QUALITY = "74.1 % of ImageNet at 23.1 ms on the Samsung S8; its optimum is not known"
PAPER = "iPhone-tuned net 1.4x faster on the iPhone than the one for the Samsung S8"


@dataclass(frozen=True)
class Tuning:
    """Searches on one device whose exponent is bisected until their net has a given quality."""

    setting: Setting
    seed: int
    scale: str


@dataclass(frozen=True)
class Net:
    """What one search has found.

    Attributes:
        beta: exponent of the latency's logarithm in the loss.
        design: operators' numbers.
        latency_s: of the design.
        quality: of the design.
        share: of the highest quality of any design as fast.
    """

    beta: float
    design: tuple[int, ...]
    latency_s: float
    quality: float
    share: float


def tune(tuning: Tuning) -> list[Net]:
    """Every net on the way; the exponent has to be found by searching again and again, as FBNet does by hand."""
    low, high = np.log(BETAS)
    nets = []
    for _ in range(TUNINGS[tuning.scale]):
        middle = (low + high) / 2
        net = _search(tuning, float(np.exp(middle)))
        nets.append(net)
        low, high = (middle, high) if net.quality > QUALITY else (low, middle)
    return nets


def _search(tuning: Tuning, beta: float) -> Net:
    """One search, from its first to its last epoch."""
    agent = interface.build(interface.read("gumbel"))
    assert isinstance(agent, Gumbel)
    made = problem(tuning.setting, tuning.seed)
    schedule = Schedule(agent.epochs, STEPS[tuning.scale], agent.epochs)
    *_, last = epochs(replace(agent, beta=beta), subject(made), schedule, tuning.seed)
    latency_s, quality = measure(made, last.design)
    share = quality / best_quality(made, latency_s)
    return Net(beta, tuple(int(choice) for choice in last.design), latency_s, quality, share)


def run(settings: Sequence[Setting], where: str, scale: str, console: Console) -> tuple[tuple[Claim, ...], Table]:
    """Claims on a pair of devices, and a table of the tuned nets.

    Args:
        settings: the same space on two devices.
        where: begins the claims.
        scale: ``small`` or ``full``.
        console: where progress is shown.
    """
    seeds = SEEDS[scale]
    tunings = [Tuning(setting, seed, scale) for setting in settings for seed in seeds]
    nets = run_all(tune, tunings, f"DNAS {where}", console)
    found = dict(zip(((t.setting.device, t.seed) for t in tunings), nets, strict=True))
    devices = [setting.device for setting in settings]
    pairs = {seed: equals(*(found[device, seed] for device in devices)) for seed in seeds}
    chosen = {(device, seed): net for seed, pair in pairs.items() for device, net in zip(devices, pair, strict=True)}
    apart = max(abs(one.quality - other.quality) for one, other in pairs.values())
    shares = [net.share for tuned in nets for net in tuned]
    gains = np.array([[_gain(settings, chosen, own, seed) for seed in seeds] for own in (0, 1)])  # (devices, seeds)
    claims = (
        judged(
            f"{where}: at least {REACHED:.0%} of the best quality of any net as fast",
            shares,
            at_least(REACHED),
            "{:.2%}",
            of="searches",
            paper=PAPER_QUALITY,
            note=f"{len(seeds)} seeds, exponents bisected to a quality of {QUALITY}",
        ),
        Claim(
            f"{where}: each device's net at least {FASTER}x faster on it than the other's, at equal quality",
            PAPER,
            " and ".join(f"{gain:.2f}x" for gain in np.median(gains, axis=1)),
            f"{gains.min():.2f}x",
            bool(gains.min() >= FASTER),
            f"each seed's two nets nearest in quality, at most {apart:.3f} apart; exact optima at that: "
            + " and ".join(f"{np.median(exact):.2f}x" for exact in _exact_gains(settings, pairs)),
            decides(WORST, len(seeds)),
        ),
    )
    return claims, _table(settings, chosen, seeds, where)


def equals(here: Sequence[Net], there: Sequence[Net]) -> tuple[Net, Net]:
    """One net of each device, whose qualities are the nearest of all pairs of useful ones."""
    pairs = list(product(here, there))
    useful = [pair for pair in pairs if min(net.quality for net in pair) >= USEFUL]
    return min(useful or pairs, key=lambda pair: abs(pair[0].quality - pair[1].quality))


def _gain(settings: Sequence[Setting], chosen: dict[tuple[str, int], Net], own: int, seed: int) -> float:
    """Latency of the other device's net on one of the devices, against that of its own."""
    here, there = settings[own], settings[1 - own]
    net = np.array(chosen[there.device, seed].design)
    return measure(problem(here, seed), net)[0] / chosen[here.device, seed].latency_s


def _exact_gains(settings: Sequence[Setting], pairs: Mapping[int, tuple[Net, Net]]) -> list[list[float]]:
    """The same of the fastest nets there are at the quality of each seed's pair, by device and seed."""
    gains = []
    for here, there in (settings, settings[::-1]):
        row = []
        for seed, pair in pairs.items():
            own, away, quality = problem(here, seed), problem(there, seed), min(net.quality for net in pair)
            row.append(measure(own, fastest(away, quality))[0] / measure(own, fastest(own, quality))[0])
        gains.append(row)
    return gains


def _table(settings: Sequence[Setting], chosen: dict[tuple[str, int], Net], seeds: Sequence[int], where: str) -> Table:
    rows = []
    for setting in settings:
        nets = {seed: chosen[setting.device, seed] for seed in seeds}
        on = [
            1e3 * float(np.median([measure(problem(other, s), np.array(n.design))[0] for s, n in nets.items()]))
            for other in settings
        ]
        quality = float(np.median([net.quality for net in nets.values()]))
        beta = float(np.median([net.beta for net in nets.values()]))
        rows.append((f"net for {setting.device}", f"{beta:.1f}", f"{quality:.3f}", *(f"{ms:.3g} ms" for ms in on)))
    headings = ("", "exponent", "quality", *(f"on {setting.device}" for setting in settings))
    return Table(f"{where}: nets of equal quality, medians of {len(seeds)} seeds", headings, tuple(rows))
