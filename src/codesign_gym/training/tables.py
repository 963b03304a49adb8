"""Numbers as a person reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table

if TYPE_CHECKING:
    import pandas as pd

#: Metric to heading, factor and format.
COLUMNS = {
    "accuracy": ("accuracy %", 100.0, ".2f"),
    "sure_accuracy": ("sure accuracy %", 100.0, ".2f"),
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


def maximized(result: Mapping[str, Any]) -> list[str]:
    """Names of a result's metrics of which more is better; early results did not say."""
    return list(result.get("maximized", ["accuracy"]))


def objectives(result: Mapping[str, Any]) -> list[str]:
    """Names of the metrics that a result's score is made of."""
    return str(result["objective"]).split(" + ")


def hypervolume(front: Mapping[str, Any]) -> str:
    """A front's hypervolume and what it is measured from and in, as ``result.json`` has them."""
    missing = [name for name, worst in front["reference_point"].items() if worst is None]
    if missing:
        return f"no hypervolume: no worst value is stated for {', '.join(missing)}"
    return f"hypervolume {front['hypervolume']:.5g} {measured_from(front)}"


def measured_from(front: Mapping[str, Any]) -> str:
    """The reference point of a front's hypervolume, and the units that gains over it are counted in."""
    point = front["reference_point"]
    others = {name: unit for name, unit in front["unit"].items() if unit != abs(point[name])}
    start, instead = (", ".join(f"{heading(n)} {metric(n, v)}" for n, v in part.items()) for part in (point, others))
    return f"from {start} (gains are shares of these{f', of {instead} in place of 0' if others else ''})"


def feasible_rows(evaluations: pd.DataFrame) -> pd.DataFrame:
    """The rows of designs that keep within the limits; all, where none does."""
    kept = evaluations["feasible"] > 0
    return evaluations[kept] if kept.any() else evaluations


def result_table(title: str, result: Mapping[str, Any]) -> Table:
    """A row per metric: the best design, where the problem has one the highest choice everywhere, and the limit."""
    compared = ["highest choice", "gain"] if result["reference"] else []
    return table(title, ["metric", "design", *compared, "limit"], result_rows(result))


def result_rows(result: Mapping[str, Any]) -> list[list[str]]:
    """The cells of :func:`result_table`."""
    rows, more = [], maximized(result)
    for name, value in result["metrics"].items():
        limit = result["constraints"].get(name)
        compared = []
        if result["reference"]:
            base = result["reference"][name]
            compared = [metric(name, base), gain(name, value, base, name in more)]
        rows.append([heading(name), metric(name, value), *compared, "" if limit is None else metric(name, limit)])
    return rows


def gain(name: str, value: float, base: float, more: bool) -> str:
    """What is gained over a base: by how much a value rose where more is better, else how many times less it is."""
    if not more:
        return f"{base / value:.2f}x" if base and value else ""
    _, factor, form = COLUMNS.get(name, (name, 1.0, ".5g"))
    return f"{(value - base) * factor:+{form}}{' pt' if factor == 100 else ''}"
