"""Three-phase co-design (Fan et al., ASP-DAC 2022): sample, fit Gaussian processes, search them genetically."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.console import Console

from codesign_gym.agents import interface
from codesign_gym.errors import UnknownName
from codesign_gym.training.studies.jobs import run_all
from codesign_gym.training.studies.part import middle
from codesign_gym.training.studies.study import MEDIAN, Claim, Report, Table, at_least, decides, judged
from codesign_gym.training.studies.three_phase_gp.problem import ACCURACY, LATENCY_S, POWER_W
from codesign_gym.training.studies.three_phase_gp.searches import (
    Case,
    Fit,
    Found,
    Sample,
    Search,
    everything,
    fitted,
    search,
    shares,
)

OURS, RANDOM = "three-phase-gp", "random"


@dataclass(frozen=True)
class Scale:
    """How much is run.

    Attributes:
        case: the space.
        agents: compared, beside :data:`OURS` and :data:`RANDOM`.
        seeds: of every search and sample.
    """

    case: Case
    agents: tuple[str, ...]
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)


SCALES = {
    "small": Scale(Case((2, 4, 8, 16), 1), ("nsga2",), (0, 1, 2)),
    "full": Scale(Case((2, 4, 6, 8, 12, 16), 3), ("nsga2", "nsga3", "ppo", "maskable-ppo", "annealing")),
}

SAMPLE = 100  # designs at most that surfaces may be fitted to, in the claims on their fit
SHARE = 0.01  # of the space that a search may score
FITTED, RANKED, REACHED, AHEAD = 0.95, 0.8, 0.95, 0.03

NOTES = (
    "Accuracy is that of networks really trained on digits, on search images (test images for the last column); "
    "latency and power are those of the FPGA engine's model on an Ultra96 at 8 bits, for 64 x 64 pixels.",
    f"Reference point of all hypervolumes: accuracy {ACCURACY}, {1e3 * LATENCY_S:g} ms an image, {POWER_W:g} W; each "
    "axis is the way from there to perfection. The score of single-objective agents (PPO, annealing) is the sum of the "
    "three ways; their hypervolume is that of all designs they scored.",
    "All agents walk one environment, whose masks offer only what the board has DSPs and block RAMs for. "
    "bayesian-multi, which takes minutes of a core for every seed at scale full, joins with --agents.",
)


def study(scale: str, chosen: str | None, console: Console) -> Report:
    """Fit surfaces to samples, then compare searches at 1 % of the space.

    Args:
        scale: ``small`` or ``full``.
        chosen: agents to compare; None for the scale's own, else ids joined by commas.
        console: where progress is shown.

    Raises:
        UnknownName: for an unknown agent.
    """
    sized = SCALES[scale]
    names = _agents(sized, chosen)  # a wrong name is told before the networks are trained
    space = sized.case.problem().space.size
    evaluations = int(SHARE * space)
    fits = run_all(fitted, [Sample(sized.case, SAMPLE, seed) for seed in sized.seeds], "surfaces", console)
    jobs = [Search(sized.case, name, evaluations, seed) for name in names for seed in sized.seeds]
    found = run_all(search, jobs, "searches", console)
    title = f"hypervolume found with {evaluations} of {space} designs, of which {len(everything(sized.case)[0])} fit"
    claims = (*_fit_claims(fits), *_front_claims(found))
    return Report("three-phase-gp", scale, claims, (_table(title, found, names),), NOTES)


def _agents(sized: Scale, chosen: str | None) -> tuple[str, ...]:
    wanted = sized.agents if chosen is None else tuple(chosen.split(","))
    known = interface.CATALOG.names()
    for name in wanted:
        if name not in known:
            raise UnknownName("agent", name, known)
    return tuple(dict.fromkeys((OURS, RANDOM, *wanted)))


def _fit_claims(fits: Sequence[Fit]) -> tuple[Claim, ...]:
    """One claim a metric, on the median over the samples."""

    def claim(text: str, of: Callable[[Fit], float], bar: float, note: str = "") -> Claim:
        values = [of(fit) for fit in fits]
        return judged(text, values, at_least(bar), "{:.3f}", by=MEDIAN, of="samples", note=note)

    logs = [fit.latency_log for fit in fits]
    note = f"in seconds; of its logarithm, as it is modelled, {middle(logs):.3f}, {min(logs):.3f}"
    held = f"{SAMPLE} designs, held-out ones"
    return (
        claim(f"latency: R2 at least {FITTED:g} ({held})", lambda fit: fit.latency, FITTED, note),
        claim(f"power: R2 at least {FITTED:g} ({held})", lambda fit: fit.power, FITTED, "in watts"),
        claim(
            f"accuracy: Spearman at least {RANKED:g} ({held})",
            lambda fit: fit.accuracy,
            RANKED,
            "held-out designs, but hardly a network that no sampled design has",
        ),
    )


def _front_claims(found: Sequence[Found]) -> tuple[Claim, ...]:
    ours, random = shares(found, OURS), shares(found, RANDOM)
    ahead = [one - other for one, other in zip(ours, random, strict=True)]
    lead = middle(ours) - middle(random)
    return (
        judged(
            f"front: at least {REACHED:.0%} of the whole space's hypervolume with {SHARE:.0%} of it scored",
            ours,
            at_least(REACHED),
            "{:.1%}",
            by=MEDIAN,
            paper="up to 5 % more accurate and 3x faster than ResNet-101; 2-6 % and 2-26x against other co-designs",
            note="the paper's figures are against other networks and accelerators",
        ),
        Claim(
            f"front: at least {100 * AHEAD:g} points ahead of random search at equal evaluations",
            "",
            f"{100 * lead:.1f} points",
            f"{100 * min(ahead):.1f} points",
            lead >= AHEAD,
            "the lead of the medians; worst: the seed with the least lead",
            decides(MEDIAN, len(ahead)),
        ),
    )


def _table(title: str, found: Sequence[Found], names: Sequence[str]) -> Table:
    rows = []
    for name in names:
        mine = [one for one in found if one.search.agent == name]
        values, tested = shares(found, name), [one.claimed for one in mine]
        used, front = max(one.evaluations for one in mine), middle([one.front for one in mine])
        row = (name, used, f"{middle(values):.1%}", f"{min(values):.1%}", f"{front:g}", f"{middle(tested):.1%}")
        rows.append((-middle(values), row))
    ordered = tuple(row for _, row in sorted(rows, key=lambda pair: pair[0]))
    headings = ("agent", "evaluations", "median", "worst", "designs of the front", "median, test images")
    return Table(title, headings, ordered)
