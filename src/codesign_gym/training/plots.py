"""Pictures of runs: the design, the front, the learning curve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import matplotlib
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from codesign_gym.pareto import nondominated
from codesign_gym.storage import replacing
from codesign_gym.training import tables

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
#: How the knobs of a layer's bitwidths are called after its name.
BITS = (".weight_bits", ".activation_bits")
#: Knobs of a picture that are labelled, and its greatest width in inches.
LABELS, WIDEST = 60, 17.0


def design(path: Path, choices: Mapping[str, float | str], shares: NDArray[np.float64]) -> None:
    """The choices of a design by knob; ``shares`` are the choices as shares of the highest, shape (knobs,)."""
    layers = [name.removesuffix(BITS[0]) for name in list(choices)[::2]]
    if list(choices) == [layer + kind for layer in layers for kind in BITS]:
        _bitwidths(path, layers, [float(value) for value in choices.values()])
    else:
        _knobs(path, choices, shares)


def _bitwidths(path: Path, layers: Sequence[str], bits: Sequence[float]) -> None:
    """Two bars a layer; the bitwidths alternate like :data:`BITS`."""
    figure, axes = plt.subplots(figsize=(max(5.0, 0.56 * len(layers)), 3.6))
    for slot, kind in enumerate(BITS):
        label = kind.lstrip(".").replace("_", " ")
        axes.bar(np.arange(len(layers)) + 0.4 * slot - 0.2, bits[slot::2], 0.4, label=label)
    axes.set_xticks(np.arange(len(layers)), layers, rotation=90, fontsize=7)
    axes.set_ylabel("chosen value")
    axes.legend(fontsize=8, ncols=2, loc="upper center", bbox_to_anchor=(0.5, 1.16), frameon=False)
    _save(figure, path)


def _knobs(path: Path, choices: Mapping[str, float | str], shares: NDArray[np.float64]) -> None:
    """A bar a knob, with the chosen value above it; of many knobs only some are labelled."""
    figure, axes = plt.subplots(figsize=(min(max(5.0, 0.28 * len(choices)), WIDEST), 4.2))
    positions, every = np.arange(len(choices)), -(-len(choices) // LABELS)
    axes.bar(positions, shares, 0.8)
    for position, value in list(enumerate(choices.values()))[::every]:
        text = value if isinstance(value, str) else f"{value:.7g}"
        axes.text(position, shares[position] + 0.02, text, rotation=90, fontsize=6, ha="center", va="bottom")
    axes.set_xticks(positions[::every], list(choices)[::every], rotation=90, fontsize=7)
    axes.set_ylim(0.0, 1.35)
    axes.set_yticks([0.0, 0.5, 1.0])
    axes.set_ylabel("choice as a share of the highest")
    _save(figure, path)


def front(path: Path, runs: Mapping[str, pd.DataFrame], result: Mapping[str, Any]) -> None:
    """Every scored design of each run and the designs that none beats, with the limit and the reference of a result.

    Of several objectives two are drawn, and designs that break a limit, which may be on neither, are not in the front.
    """
    figure, axes = plt.subplots(figsize=(5.6, 4.2))
    x, y = axes_of(result)
    limit, reference, more = result["constraints"].get(x), result["reference"], tables.maximized(result)
    (x_label, x_scale), (y_label, y_scale) = AXES.get(x, (x, 1.0)), AXES.get(y, (y, 1.0))
    signs = np.array([-1.0 if name in more else 1.0 for name in (x, y)])
    where: Literal["pre", "post"] = "pre" if x in more else "post"
    several = len(tables.objectives(result)) > 1
    for i, (name, table) in enumerate(runs.items()):
        points = table[[x, y]].to_numpy(dtype=float)
        best = (tables.feasible_rows(table) if several else table)[[x, y]].to_numpy(dtype=float)
        best = best[nondominated(best * signs)]
        best = best[np.argsort(best[:, 0])]
        axes.scatter(points[:, 0] * x_scale, points[:, 1] * y_scale, s=6, alpha=0.25, color=f"C{i}")
        axes.step(best[:, 0] * x_scale, best[:, 1] * y_scale, where=where, color=f"C{i}", label=name)
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
    chosen = np.array(result["choices"], dtype=np.float64)
    shares = chosen / result.get("highest", max(chosen.max(), 1.0))  # early results did not say
    design(folder / "plots" / "design.png", result["design"], shares)
    if table.empty:
        return
    learning_curve(folder / "plots" / "learning_curve.png", {"run": table})
    front(folder / "plots" / "pareto.png", {"run": table}, result)


def axes_of(result: Mapping[str, Any]) -> tuple[str, str]:
    """What to draw against what, x and y: of several objectives the second and the first.

    Else the cost that is minimised or limited, and how well the network does.
    """
    metrics, wanted = list(result["metrics"]), tables.objectives(result)
    if len(wanted) > 1:
        return wanted[1], wanted[0]
    scored = next((m for m in metrics if m in ("loss", *tables.maximized(result))), metrics[0])
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
