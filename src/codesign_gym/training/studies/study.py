"""Claims, how they are run, and how they are reported.

A claim has one rule: it passes if its bar is met by the worst of what it was tried on (seeds, unless it names runs,
networks, layers ...). Where the claim is about a typical search, as the published one is, the median decides, and the
claim says so beside its text; so it does where a count of seeds or the end of an interval decides. A bar of several
figures (so much faster at so little loss) is met if every figure meets its own. :func:`judged` makes a claim of one
figure by that rule, so that its text and its verdict cannot disagree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape

from codesign_gym.catalog import attribute
from codesign_gym.errors import UnknownName
from codesign_gym.training import tables
from codesign_gym.training.studies import STUDIES

SCALES = ("small", "full")

WORST, MEDIAN = "worst", "median"
RULE = (
    "Verdicts: a claim passes if the worst of what it was tried on meets its bar (every figure of it, where there are "
    "several); where its line names something else (the median, a count of seeds, an interval's end), that has to."
)
NO_FIGURE = "A dash under paper: the publication, as far as we know it, states no figure for this."


@dataclass(frozen=True)
class Claim:
    """One statement that an experiment bears out or not.

    Attributes:
        text: what is claimed, with its bar.
        paper: the published figure, where there is one.
        median: ours over the seeds, readable.
        worst: ours, of the worst seed.
        passed: whether the bar was met; None where the claim was not run.
        note: what else a reader should know, such as why it was not run.
        by: what decides, such as "worst of 5 seeds".
    """

    text: str
    paper: str
    median: str
    worst: str
    passed: bool | None
    note: str = ""
    by: str = f"{WORST} seed"

    @property
    def statement(self) -> str:
        """What is claimed, and by what it is judged."""
        return f"{self.text} [{self.by}]"


@dataclass(frozen=True)
class Bar:
    """What a figure has to reach, or not to exceed.

    Attributes:
        limit: in the figure's unit.
        least: whether more is better.
    """

    limit: float
    least: bool

    def worst(self, figures: Sequence[float]) -> float:
        """The figure that is furthest on the wrong side; NaN if one is."""
        return float(np.min(figures) if self.least else np.max(figures))

    def met(self, figure: float) -> bool:
        """Whether a figure is on the right side."""
        return bool(figure >= self.limit if self.least else figure <= self.limit)


def at_least(limit: float) -> Bar:
    """A bar to reach."""
    return Bar(limit, least=True)


def at_most(limit: float) -> Bar:
    """A bar not to exceed."""
    return Bar(limit, least=False)


def decides(by: str, count: int, of: str = "seeds") -> str:
    """How a claim is judged, in words."""
    return f"{by} of {count} {of}" if count != 1 else f"one {of.removesuffix('s')}"


def judged(
    text: str,
    figures: Sequence[float],
    bar: Bar,
    form: str,
    *,
    by: str = WORST,
    of: str = "seeds",
    paper: str = "",
    note: str = "",
) -> Claim:
    """A claim of one figure.

    Args:
        text: what is claimed, with its bar.
        figures: ours, one of each seed.
        bar: to be met.
        form: how a figure is written, such as ``"{:.2f}x"``.
        by: :data:`WORST` or :data:`MEDIAN`.
        of: what the figures are of.
        paper: the published figure, where there is one.
        note: as in :class:`Claim`.
    """
    median, worst = float(np.median(figures)), bar.worst(figures)
    passed = bar.met(worst if by == WORST else median)
    return Claim(text, paper, form.format(median), form.format(worst), passed, note, decides(by, len(figures), of))


@dataclass(frozen=True)
class Table:
    """A table that a study prints beside its claims."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


@dataclass(frozen=True)
class Report:
    """What a study has found."""

    name: str
    scale: str
    claims: tuple[Claim, ...]
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = field(default=())

    @property
    def passed(self) -> bool:
        """Whether every claim that ran met its bar."""
        return all(claim.passed is not False for claim in self.claims)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return {**asdict(self), "passed": self.passed}


def run_study(name: str, scale: str, agents: str | None, console: Console) -> Report:
    """Run a study.

    Raises:
        UnknownName: for an unknown study or scale.
    """
    if name not in STUDIES:
        raise UnknownName("study", name, STUDIES)
    if scale not in SCALES:
        raise UnknownName("scale", scale, SCALES)
    report: Report = attribute(STUDIES[name][1])(scale, agents, console)
    return report


def print_report(report: Report, console: Console) -> None:
    """Tables, then the claims, and below them the rule of their verdicts."""
    for made in report.tables:
        console.print(tables.table(made.title, made.headings, made.rows))
    verdict = {True: "pass", False: "FAIL", None: "not run"}
    rows: Sequence[Sequence[str]] = [
        [
            escape(claim.statement if claim.passed is not None else claim.text),
            claim.paper or "-",
            claim.median,
            claim.worst,
            verdict[claim.passed],
            claim.note,
        ]
        for claim in report.claims
    ]
    headings = ["claim", "paper", "ours, median", "ours, worst", "verdict", "note"]
    console.print(tables.table(f"study {report.name}, scale {report.scale}", headings, rows))
    for note in (RULE, *([NO_FIGURE] if any(not claim.paper for claim in report.claims) else []), *report.notes):
        console.print(note, highlight=False)
