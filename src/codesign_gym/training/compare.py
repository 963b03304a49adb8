"""Runs side by side: agents at equal evaluations, median and worst over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from codesign_gym.errors import BadConfig
from codesign_gym.training import plots
from codesign_gym.training.config import RunConfig
from codesign_gym.training.folder import RunFolder


def compare(paths: Sequence[Path], out: Path) -> list[dict[str, Any]]:
    """A row per agent, and a Pareto plot and learning curves in ``out``.

    Args:
        paths: finished run folders of one problem.
        out: folder of the pictures.

    Returns:
        Per agent: runs, evaluations granted and used, median and worst score, and the metrics and
        claims of the run of median score (the lower of two).

    Raises:
        StorageError: if a folder holds no finished run.
        BadConfig: if the runs are of different problems.
    """
    paths = list({path.resolve(): path for path in paths}.values())  # a folder named twice is one run
    folders = [RunFolder(path) for path in paths]
    configs, results = [folder.config() for folder in folders], [folder.result() for folder in folders]
    for path, config, result in zip(paths, configs, results, strict=True):
        this, first = _problem(config, result), _problem(configs[0], results[0])
        for name, value in first.items():
            if this[name] != value:
                raise BadConfig(
                    f"{path} is a run of another problem than {paths[0]}: {name} {this[name]} there, {value} here; "
                    "compare runs of one problem"
                )
    for i, config in enumerate(configs):
        if config in configs[:i]:
            raise BadConfig(
                f"{paths[i]} and {paths[configs.index(config)]} are the same run, seed {config.seed}; compare each once"
            )
    agents = list(dict.fromkeys(config.agent for config in configs))
    rows = []
    curves: dict[str, pd.DataFrame] = {}
    for agent in agents:
        mine = [i for i, config in enumerate(configs) if config.agent == agent]
        mine.sort(key=lambda i: results[i]["score"])
        middle = mine[(len(mine) - 1) // 2]
        scores = np.array([results[i]["score"] for i in mine])
        rows.append(
            {
                "agent": agent,
                "runs": len(mine),
                "granted": configs[middle].evaluations,
                "used": results[middle]["ledger"]["simulator_evaluations"],
                "score_median": float(np.median(scores)),
                "score_worst": float(scores.min()),
                "metrics": results[middle]["metrics"],
                "claims": results[middle]["claims"],
            }
        )
        table, _ = folders[middle].evaluations()
        if not table.empty:
            curves[agent] = table
    rows.sort(key=lambda row: -row["score_median"])
    if curves:
        x, y = plots.axes_of(results[0])
        plots.front(out / "pareto.png", curves, x, y, results[0]["constraints"].get(x), results[0]["reference"])
        plots.learning_curve(out / "learning_curves.png", curves)
    return rows


def _problem(config: RunConfig, result: dict[str, Any]) -> dict[str, Any]:
    """What runs of one problem have in common; a network and a device show in what the highest choice costs."""
    return {
        "environment": config.env,
        "objective": result["objective"],
        "limits": result["constraints"],
        "metrics of the highest choice": result["reference"],
        "knobs": list(result["design"]),
    }
