"""Runs side by side: agents at equal evaluations, median and worst over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from codesign_gym.envs.registration import completed
from codesign_gym.errors import BadConfig
from codesign_gym.training import plots, tables
from codesign_gym.training.config import RunConfig
from codesign_gym.training.folder import RunFolder

#: Options that say how an agent comes to a design of a problem, and not which problem it is.
WALKED = ("mode", "steps", "preferences", "enforcement", "reward", "observation", "action")


def compare(paths: Sequence[Path], out: Path) -> list[dict[str, Any]]:
    """A row per agent, and a Pareto plot and learning curves in ``out``.

    Args:
        paths: finished run folders of one problem.
        out: folder of the pictures.

    Returns:
        Per agent: runs, evaluations granted and used, median and worst score, and the metrics and
        claims of the run of median score (the lower of two). Under several objectives also the median and
        worst hypervolume of the fronts (see :mod:`codesign_gym.training.front`) and what it is measured from;
        None where runs do not measure it alike, or older ones not at all.

    Raises:
        StorageError: if a folder holds no finished run.
        BadConfig: if the runs are of different problems.
    """
    paths = list({path.resolve(): path for path in paths}.values())  # a folder named twice is one run
    folders = [RunFolder(path) for path in paths]
    configs, results = [folder.config() for folder in folders], [folder.result() for folder in folders]
    for path, config, result in zip(paths, configs, results, strict=True):
        this, first = _problem(config, result), _problem(configs[0], results[0])
        for name in {**first, **this}:
            if this.get(name) != first.get(name):
                raise BadConfig(
                    f"{path} is a run of another problem than {paths[0]}: {name} {this.get(name)} there, "
                    f"{first.get(name)} here; compare runs of one problem"
                )
    for i, config in enumerate(configs):
        if config in configs[:i]:
            raise BadConfig(
                f"{paths[i]} and {paths[configs.index(config)]} are the same run, seed {config.seed}; compare each once"
            )
    of: dict[str, list[int]] = {}
    for i, config in enumerate(configs):
        of.setdefault(config.agent, []).append(i)
    rows: list[dict[str, Any]] = []
    curves: dict[str, pd.DataFrame] = {}
    for agent, mine in of.items():
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
    if len(tables.objectives(results[0])) > 1:
        rows = [{**row, **_hypervolumes(results, of[row["agent"]])} for row in rows]
    if curves:
        plots.front(out / "pareto.png", curves, results[0])
        plots.learning_curve(out / "learning_curves.png", curves)
    return rows


def _hypervolumes(results: Sequence[dict[str, Any]], mine: Sequence[int]) -> dict[str, Any]:
    """Median and worst of some of the runs, if all runs measure them from one point in the same units."""
    fronts = [result.get("front") or {"hypervolume": None} for result in results]
    origins = [{part: front.get(part) for part in ("reference_point", "unit")} for front in fronts]
    if any(front["hypervolume"] is None for front in fronts) or any(origin != origins[0] for origin in origins):
        return {"hypervolume_median": None, "hypervolume_worst": None, "hypervolume_from": None}
    volumes = np.array([fronts[i]["hypervolume"] for i in mine])
    median, worst = float(np.median(volumes)), float(volumes.min())
    return {"hypervolume_median": median, "hypervolume_worst": worst, "hypervolume_from": origins[0]}


def _problem(config: RunConfig, result: dict[str, Any]) -> dict[str, Any]:
    """What runs of one problem have in common.

    A network and a device show in what the highest choice costs; where it is no landmark, the options tell.
    """
    options = {} if result["reference"] else completed(config.env, config.options)
    return {
        "environment": config.env,
        "objective": result["objective"],
        "limits": result["constraints"],
        "metrics of the highest choice": result["reference"],
        **{f"option {name}": value for name, value in options.items() if name not in WALKED},
        "knobs": list(result["design"]),
    }
