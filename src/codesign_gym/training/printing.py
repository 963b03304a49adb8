"""Results as a user reads them."""

from __future__ import annotations

import sys
from typing import Any

from rich.console import Console

from codesign_gym.training import tables

console = Console(width=None if sys.stdout.isatty() else 140)
errors = Console(stderr=True)
#: Knobs of a design up to which their names are printed.
NAMED = 16


def print_result(title: str, result: dict[str, Any]) -> None:
    """``result.json``'s content: a design, beside the highest choices if it has them, what unseen data say, choices."""
    console.print(tables.result_table(title, result))
    claims = result["claims"]
    if "test_change_points" not in claims:
        for name, value in claims.items():
            console.print(f"{name}: {tables.metric(name, value)}", highlight=False)
    else:
        console.print(
            f"on {claims['test_images']:.0f} test images: {100 * claims['test_accuracy']:.2f} %, "
            f"{claims['test_change_points']:+.2f} points against the highest choice "
            f"(95 % interval {claims['test_change_low_points']:+.2f} to {claims['test_change_high_points']:+.2f})",
            highlight=False,
        )
        floor, highest = result["constraints"].get("accuracy"), result["reference"].get("accuracy")
        if None not in (floor, highest) and 100 * (highest - floor) < -claims["test_change_low_points"]:
            console.print("the floor was met on search images; on test images the loss may exceed it", style="yellow")
    told = {name: value if isinstance(value, str) else f"{value:.7g}" for name, value in result["design"].items()}
    named = len(told) <= NAMED
    chosen = " ".join(f"{name}={value}" if named else value for name, value in told.items())
    console.print(f"design: {chosen}{'' if named else ' (result.json names the knobs)'}", highlight=False, markup=False)


def print_control(title: str, result: dict[str, Any]) -> None:
    """Policies that acted in a controlled environment, one a row."""
    rows = [
        [name, *(tables.metric(n, row[n]) if n in row else "" for n in result["metrics"])]
        for name, row in result["rows"].items()
    ]
    console.print(tables.table(title, ["policy", *map(tables.heading, result["metrics"])], rows))


def print_comparison(rows: list[dict[str, Any]]) -> None:
    """Agents at equal evaluations, one a row."""
    metrics = list(rows[0]["metrics"])
    tested = any("test_accuracy" in row["claims"] for row in rows)
    point = rows[0].get("hypervolume_from")
    body = [
        [
            row["agent"],
            row["runs"],
            f"{row['used']}/{row['granted']}",
            f"{row['score_median']:.4g}",
            f"{row['score_worst']:.4g}",
            *([f"{row[f'hypervolume_{of}']:.5g}" for of in ("median", "worst")] if point else []),
            *(tables.metric(name, row["metrics"][name]) for name in metrics),
            *(
                [f"{100 * row['claims']['test_accuracy']:.2f}" if "test_accuracy" in row["claims"] else ""]
                if tested
                else []
            ),
        ]
        for row in rows
    ]
    volumes = ["hypervolume median", "worst"] if point else []
    headings = ["agent", "runs", "evaluations", "score median", "worst", *volumes, *map(tables.heading, metrics)]
    console.print(tables.table("agents at equal evaluations", [*headings, *(["test %"] if tested else [])], body))
    if point:
        console.print(f"hypervolume: {tables.measured_from(point)}", highlight=False, markup=False, soft_wrap=True)
    elif "hypervolume_from" in rows[0]:
        told = "no hypervolume: the runs state no reference point, or not the same one"
        console.print(told, style="yellow", highlight=False)
