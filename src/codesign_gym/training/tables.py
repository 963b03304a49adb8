"""Numbers as a person reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

#: Metric to heading, factor and format.
COLUMNS = {
    "accuracy": ("accuracy %", 100.0, ".2f"),
    "loss": ("loss", 1.0, ".5g"),
    "latency_s": ("latency us", 1e6, ".4g"),
    "energy_j": ("energy uJ", 1e6, ".4g"),
    "size_bytes": ("weights kB", 1e-3, ".4g"),
}


def metric(name: str, value: float) -> str:
    """A value in its readable unit."""
    _, factor, form = COLUMNS.get(name, (name, 1.0, ".5g"))
    return f"{value * factor:{form}}"


def heading(name: str) -> str:
    """A metric's heading."""
    return COLUMNS.get(name, (name, 1.0, ""))[0]


def table(title: str, headings: Sequence[str], rows: Sequence[Sequence[Any]], words: int = 1) -> Table:
    """A rich table; the first columns, of ``words``, are left-aligned, numbers right."""
    made = Table(title=title, title_justify="left", header_style="bold")
    for i, name in enumerate(headings):
        made.add_column(name, justify="left" if i < words else "right", overflow="fold")
    for row in rows:
        made.add_row(*(str(cell) for cell in row))
    return made


def result_rows(result: Mapping[str, Any]) -> list[list[str]]:
    """Best design against the highest choice everywhere, a row per metric."""
    rows = []
    for name, value in result["metrics"].items():
        base = result["reference"][name]
        limit = result["constraints"].get(name)
        change = f"{100 * (value - base):+.2f} pt" if name == "accuracy" else (f"{base / value:.2f}x" if value else "")
        rows.append(
            [
                heading(name),
                metric(name, value),
                metric(name, base),
                change,
                "" if limit is None else metric(name, limit),
            ]
        )
    return rows
