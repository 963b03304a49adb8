"""Claims, how they are run, and how they are reported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.console import Console

from codesign_gym.catalog import attribute
from codesign_gym.errors import UnknownName
from codesign_gym.training import tables
from codesign_gym.training.studies import STUDIES

SCALES = ("small", "full")


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
    """

    text: str
    paper: str
    median: str
    worst: str
    passed: bool | None
    note: str = ""


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
    """Tables, then the claims."""
    for made in report.tables:
        console.print(tables.table(made.title, made.headings, made.rows))
    verdict = {True: "pass", False: "FAIL", None: "not run"}
    rows: Sequence[Sequence[str]] = [
        [claim.text, claim.paper, claim.median, claim.worst, verdict[claim.passed], claim.note]
        for claim in report.claims
    ]
    headings = ["claim", "paper", "ours, median", "ours, worst", "verdict", "note"]
    console.print(tables.table(f"study {report.name}, scale {report.scale}", headings, rows))
    for note in report.notes:
        console.print(note, highlight=False)
