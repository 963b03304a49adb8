"""Pictures of runs: the design, the front, the learning curve."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from codesign_gym.pareto import nondominated
from codesign_gym.storage import replacing

matplotlib.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

#: Axis label and factor of metrics whose unit reads badly.
AXES = {
    "latency_s": ("latency (us)", 1e6),
    "energy_j": ("energy (uJ)", 1e6),
    "size_bytes": ("weights (kB)", 1e-3),
    "accuracy": ("accuracy on search images (%)", 100.0),
    "loss": ("loss", 1.0),
}


def design(path: Path, choices: Mapping[str, float | str], slots: int = 2) -> None:
    """Bars of the chosen value of every knob, one colour per kind of knob."""
    figure, axes = plt.subplots(figsize=(max(5.0, 0.28 * len(choices)), 3.6))
    names, values = list(choices), [float(v) if not isinstance(v, str) else 0.0 for v in choices.values()]
    for slot in range(slots):
        groups = np.arange(len(names[slot::slots]))
        label = names[slot].rpartition(".")[2].replace("_", " ")
        axes.bar(groups + (slot - (slots - 1) / 2) * 0.8 / slots, values[slot::slots], 0.8 / slots, label=label)
    ticks = [name.rpartition(".")[0] or name for name in names[::slots]]
    axes.set_xticks(np.arange(len(ticks)), ticks, rotation=90, fontsize=7)
    axes.set_ylabel("chosen value")
    axes.legend(fontsize=8, ncols=slots, loc="upper center", bbox_to_anchor=(0.5, 1.16), frameon=False)
    _save(figure, path)


def front(
    path: Path, runs: Mapping[str, pd.DataFrame], x: str, y: str, limit: float | None, reference: Mapping[str, float]
) -> None:
    """Every scored design of each run and the designs that none beats, with the limit and the reference."""
    figure, axes = plt.subplots(figsize=(5.6, 4.2))
    (x_label, x_scale), (y_label, y_scale) = AXES.get(x, (x, 1.0)), AXES.get(y, (y, 1.0))
    for i, (name, table) in enumerate(runs.items()):
        points = table[[x, y]].to_numpy(dtype=float)
        best = points[nondominated(points * [1.0, -1.0 if y == "accuracy" else 1.0])]
        best = best[np.argsort(best[:, 0])]
        axes.scatter(points[:, 0] * x_scale, points[:, 1] * y_scale, s=6, alpha=0.25, color=f"C{i}")
        axes.step(best[:, 0] * x_scale, best[:, 1] * y_scale, where="post", color=f"C{i}", label=name)
    if limit is not None:
        axes.axvline(limit * x_scale, color="0.4", linestyle=":", label="limit")
    if x in reference and y in reference:
        axes.plot(reference[x] * x_scale, reference[y] * y_scale, "k*", label="highest choice everywhere")
    if y == "loss":
        axes.set_yscale("log")
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.legend(fontsize=8)
    _save(figure, path)


def trade_off(path: Path, sample: pd.DataFrame, best: pd.DataFrame, x: str, y: str) -> None:
    """A sample of a sweep's configurations and those that none beats, two of their metrics on logarithmic axes."""
    figure, axes = plt.subplots(figsize=(5.6, 4.2))
    (x_label, x_scale), (y_label, y_scale) = AXES.get(x, (x, 1.0)), AXES.get(y, (y, 1.0))
    edge = best.iloc[nondominated(best[[x, y]].to_numpy(dtype=float))].sort_values(x)  # the others are best in a third
    axes.scatter(sample[x] * x_scale, sample[y] * y_scale, s=4, alpha=0.25, color="0.6", label="a sample of all")
    axes.scatter(best[x] * x_scale, best[y] * y_scale, s=6, color="C0", label="front")
    axes.step(edge[x] * x_scale, edge[y] * y_scale, where="post", color="C0")
    axes.set(xscale="log", yscale="log", xlabel=x_label, ylabel=y_label)
    axes.legend(fontsize=8)
    _save(figure, path)


def learning_curve(path: Path, runs: Mapping[str, pd.DataFrame]) -> None:
    """Best feasible score so far over evaluations."""
    figure, axes = plt.subplots(figsize=(5.6, 3.6))
    for name, table in runs.items():
        scores = table["score"].where(table["feasible"] > 0)
        axes.plot(table["evaluation"] + 1, scores.cummax(), label=name)
        axes.scatter(table["evaluation"] + 1, scores, s=4, alpha=0.2)
    axes.set_xlabel("evaluations")
    axes.set_ylabel("score (best feasible so far)")
    axes.legend(fontsize=8)
    _save(figure, path)


def of_run(folder: Path, table: pd.DataFrame, result: Mapping[str, Any]) -> None:
    """All pictures of one finished run, under ``plots/``."""
    design(folder / "plots" / "design.png", result["design"])
    if table.empty:
        return
    learning_curve(folder / "plots" / "learning_curve.png", {"run": table})
    x, y = axes_of(result)
    front(folder / "plots" / "pareto.png", {"run": table}, x, y, result["constraints"].get(x), result["reference"])


def axes_of(result: Mapping[str, Any]) -> tuple[str, str]:
    """What to draw against what: the cost that is minimised or limited, and how well the network does."""
    metrics = list(result["metrics"])
    scored = next((m for m in metrics if m in ("accuracy", "loss")), metrics[0])
    costs = [m for m in metrics if m != scored]
    limited = [m for m in costs if m in result["constraints"]]
    x = result["objective"] if result["objective"] in costs else (limited or costs or [scored])[0]
    return x, scored


def agreement(path: Path, panels: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]]) -> None:
    """Predictions over references on logarithmic axes, a panel a title; both of shape (rows,)."""
    across = min(3, len(panels))
    down = -(-len(panels) // across)
    figure, grid = plt.subplots(down, across, figsize=(4.2 * across, 4 * down), squeeze=False)
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    for axes, (title, (reference, predicted)) in zip(grid.flat, panels.items(), strict=False):
        drawn = (reference > 0) & (predicted > 0)
        axes.loglog(reference[drawn], predicted[drawn], ".", markersize=4, alpha=0.6)
        if drawn.any():
            ends = [reference[drawn].min(), reference[drawn].max()]
            axes.loglog(ends, ends, color="grey", linewidth=0.8)
        axes.set_title(title, fontsize=9)
        axes.set_xlabel("reference")
        axes.set_ylabel("predicted")
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    figure.tight_layout()
    with replacing(path) as aside:
        figure.savefig(aside, dpi=130, format="png")
    plt.close(figure)
