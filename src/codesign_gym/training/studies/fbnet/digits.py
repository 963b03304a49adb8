"""FBNet's search on a supernet that was really trained: its nets beside random ones of equal latency."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from codesign_gym.agents import interface
from codesign_gym.agents.differentiable.gumbel import Gumbel
from codesign_gym.agents.differentiable.mixture import subject
from codesign_gym.agents.differentiable.search import Schedule, epochs
from codesign_gym.envs.layer_ops.factory import Options, layer_ops_problem
from codesign_gym.training.studies.jobs import run_all
from codesign_gym.training.studies.part import FULL_ONLY, Part
from codesign_gym.training.studies.study import Claim, Table, at_least, judged

SPACE, DEVICE = "digits-supernet", "pixel-3-cpu"
QUALITY = "codesign_gym.simulators.supernets.quality:measured"
SEEDS = (0, 1, 2)
#: Exponents of the latency's logarithm: the published one and larger ones, for smaller nets.
BETAS = (0.6, 2.4, 9.6)
STEPS = 3  # in each of 90 epochs; every step runs all operators on 128 images of the search split
RANDOM, EQUAL = 20, 0.02  # nets to compare with, and how far their latency may be off
POINTS = 1.0
TEXT = f"digits: searched net at least {POINTS:g} pt above random nets of equal latency (median of {RANDOM}), on test"


@dataclass(frozen=True)
class Case:
    """One search."""

    beta: float
    seed: int


@dataclass(frozen=True)
class Compared:
    """Test accuracies, in per cent.

    Attributes:
        case: the search.
        latency_s: of the net that was found.
        peers: random nets of that latency.
        shared: of the net, and the median of the others, with the supernet's weights.
        own: the same, each trained by itself.
    """

    case: Case
    latency_s: float
    peers: int
    shared: tuple[float, float]
    own: tuple[float, float]


def run(scale: str, console: Console) -> Part:
    """The part at a scale; only at scale full, for the trainings."""
    if scale == "small":
        return Part((Claim(TEXT, "", "", "", None, FULL_ONLY),))
    found = run_all(compare, [Case(beta, seed) for beta in BETAS for seed in SEEDS], "digits", console)
    return report(found)


def compare(case: Case) -> Compared:
    """Search, draw random nets, and measure all on test images."""
    from codesign_gym.simulators.accuracy.memo import Memo
    from codesign_gym.simulators.supernets.library import load
    from codesign_gym.simulators.supernets.measuring import OwnTraining, OwnWeights, SharedWeights

    design, designs, latency = _searched(case)
    peers = _peers(designs, latency, design, np.random.default_rng(case.seed))
    nets = np.concatenate([design[None], peers])
    trained = load(SPACE)
    own = OwnWeights(trained, OwnTraining.like(trained, case.seed), Memo.default())
    by = [100 * measurer.accuracy(nets, "test") for measurer in (SharedWeights(trained), own)]
    shared, alone = ((float(one[0]), float(np.median(one[1:]))) for one in by)
    at = float(latency[(designs == design).all(-1)][0])
    return Compared(case, at, len(peers), shared, alone)


def report(found: Sequence[Compared]) -> Part:
    """The claim and its table."""
    gains = {beta: [c.own[0] - c.own[1] for c in found if c.case.beta == beta] for beta in BETAS}
    every = [gain for beta in BETAS for gain in gains[beta]]
    rows = []
    for beta in BETAS:
        mine = [c for c in found if c.case.beta == beta]
        figures = [
            f"{np.median([getattr(c, kind)[i] for c in mine]):.1f}" for kind in ("own", "shared") for i in (0, 1)
        ]
        rows.append((beta, f"{1e6 * np.median([c.latency_s for c in mine]):.0f} us", *figures))
    table = Table(
        f"digits on {DEVICE}: test accuracy in per cent, medians of {len(SEEDS)} seeds",
        ("exponent", "latency", "searched, own weights", "random", "searched, shared weights", "random"),
        tuple(rows),
    )
    by_beta = ", ".join(f"exponent {beta:g}: {np.median(gains[beta]):+.1f} pt" for beta in BETAS)
    claim = judged(TEXT, every, at_least(POINTS), "{:+.1f} pt", of="searches", note=by_beta)
    return Part((claim,), (table,))


def _searched(case: Case) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """The net that a search ends with (layers,), all designs (designs, layers), and the latency of each."""
    made = layer_ops_problem(
        Options(space=SPACE, device=DEVICE, quality=QUALITY, budget={"latency": 0.5}, seed=case.seed)
    )
    agent = interface.build(interface.read("gumbel"))
    assert isinstance(agent, Gumbel)
    agent = replace(agent, beta=case.beta, floor=0.0)  # a cross entropy has a floor of its own
    *_, last = epochs(agent, subject(made), Schedule(agent.epochs, STEPS, agent.epochs), case.seed)
    designs = made.space.enumerate(0, made.space.size)
    return last.design, designs, made.costs.of(designs)[:, made.costs.names.index("latency_s")]


def _peers(
    designs: NDArray[np.int64], latency: NDArray[np.float64], design: NDArray[np.int64], generator: np.random.Generator
) -> NDArray[np.int64]:
    """Other designs of nearly the same latency (else the nearest), as many as are compared with, (peers, layers)."""
    own = (designs == design).all(-1)
    off = np.where(own, np.inf, np.abs(latency / latency[own] - 1))
    near = np.argsort(off, kind="stable")[: max(RANDOM, int((off <= EQUAL).sum()))]
    peers: NDArray[np.int64] = designs[generator.permutation(near)[:RANDOM]]
    return peers
