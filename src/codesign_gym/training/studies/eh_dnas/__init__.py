"""EH-DNAS (Jiang, Zhang, Chen, Do and Yeh, arXiv:2111.12299): cells searched through a predictor of performance."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Console

from codesign_gym.training.studies.eh_dnas import searches
from codesign_gym.training.studies.eh_dnas.searches import AWARE, BLIND, LOOKUP, Found, Search
from codesign_gym.training.studies.jobs import run_all
from codesign_gym.training.studies.part import middle
from codesign_gym.training.studies.study import WORST, Claim, Report, Table, at_least, decides, judged

SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class Scale:
    """How much is done.

    Attributes:
        networks: simulated ones that the predictor is made from; a fifth is held out.
        epochs: of its training.
        evaluations: of every search.
    """

    networks: int
    epochs: int
    evaluations: int


SCALES = {"small": Scale(6000, 15, 180), "full": Scale(20_000, 30, 400)}

NOTES = (
    "Accuracy is a table: operators lose points as assumed in the study's problem (log-normal, a table a seed), so "
    "that what is compared is how searches deal with the hardware. Networks have eight cells of 16 channels, for 32x32 "
    "images.",
    "The pipeline gives each of some 200 stages a share of 2,520 multipliers; a depthwise stage handles one window "
    "element of all channels in a cycle, so that a single 5x5 operator on full resolution bounds every network's pace. "
    "It was taken (a ZCU102's) after 3,072 had been tried: there half of the networks tie at that bound, and predictor "
    "and fitted table both reach a correlation of .92.",
)


def study(scale: str, chosen: str | None, console: Console) -> Report:
    """Fit predictors, compare them with tables, and search.

    Args:
        scale: ``small`` or ``full``.
        chosen: not used: the study compares searches of its own.
        console: where progress is shown.
    """
    size = SCALES[scale]
    jobs = [Search(seed, size.networks, size.epochs, size.evaluations) for seed in SEEDS]
    found = run_all(searches.run, jobs, "eh-dnas", console)
    claims = (_ranks(found), _gains(found), _signs(found))
    return Report("eh-dnas", scale, claims, (_predictions(found), _searches(found)), NOTES)


def _ranks(found: list[Found]) -> Claim:
    predictor = [one.spearman["predictor, pipeline"] for one in found]
    table = [one.spearman["table of operators alone, pipeline"] for one in found]
    fitted = [one.spearman["additive table, fitted, pipeline"] for one in found]
    return Claim(
        "(a) pipeline: the predictor ranks unseen networks with a Spearman of .95, the table with .9 at most",
        "",
        f"{middle(predictor):.3f} against {middle(table):.3f}",
        f"{min(predictor):.3f} against {max(table):.3f}",
        min(predictor) >= 0.95 and max(table) <= 0.9,
        f"the paper's table sums what operators take alone; one fitted to as many networks has {middle(fitted):.3f}",
        decides(WORST, len(found)),
    )


def _gains(found: list[Found]) -> Claim:
    gains = [one.interval_us[BLIND] / one.interval_us[AWARE] for one in found]
    lost = [one.accuracy[BLIND] - one.accuracy[AWARE] for one in found]
    return Claim(
        "(b) search through the predictor: 1.3x the throughput of hardware-blind search at one point lost at most",
        "1.4x custom, 1.6x existing accelerators",
        f"{middle(gains):.2f}x at {middle(lost):.2f} points",
        f"{min(gains):.2f}x at {max(lost):.2f} points",
        min(gains) >= 1.3 and max(lost) <= 1.0,
        by=decides(WORST, len(found)),
    )


def _signs(found: list[Found]) -> Claim:
    return judged(
        "(c) the predictor's gradient has the sign of the simulated change on at least 80 % of operator swaps",
        [100 * one.agreeing for one in found],
        at_least(80),
        "{:.1f} %",
        note=f"of swaps that change the simulated interval, {100 * middle([one.moving for one in found]):.0f} % of all",
    )


def _predictions(found: list[Found]) -> Table:
    rows = []
    for name in found[0].spearman:
        ranks = [one.spearman[name] for one in found]
        rows.append((name, f"{middle(ranks):.3f}", f"{min(ranks):.3f}"))
    return Table("Spearman correlation with simulated throughput, 2,000 networks", ("", "median", "worst"), tuple(rows))


def _searches(found: list[Found]) -> Table:
    rows = []
    for name in found[0].accuracy:
        accuracy = [one.accuracy[name] for one in found]
        images = [1e6 / one.interval_us[name] for one in found]
        score = [one.score(name) for one in found]
        label = f"{name} search" if name in (AWARE, LOOKUP, BLIND) else name
        row = (
            label,
            f"{middle(accuracy):.2f} %",
            f"{middle(images):,.0f} /s",
            f"{middle(score):.2f}",
            f"{min(score):.2f}",
        )
        rows.append((-middle(score), row))
    headings = ("search", "accuracy", "throughput", "score, median", "score, worst")
    title = (
        f"searches at equal evaluations, {len(found)} tables of accuracy; a microsecond is worth {searches.RATE} points"
    )
    return Table(title, headings, tuple(row for _, row in sorted(rows, key=lambda pair: pair[0])))
