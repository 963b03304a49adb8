"""Agents on one operator problem at equal evaluations, beside random search and the exact optimum."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich.console import Console

from codesign_gym.agents import interface
from codesign_gym.errors import UnknownName
from codesign_gym.training.studies.fbnet.problems import Setting, best_quality, problem
from codesign_gym.training.studies.jobs import Job, Outcome, run_all
from codesign_gym.training.studies.jobs import run as run_job
from codesign_gym.training.studies.study import Table

SEEDS = (0, 1, 2)
BASELINES = ("random", "evolutionary", "milp")


def agents_of(chosen: str | None, usual: Sequence[str]) -> tuple[str, ...]:
    """The agents to compare: those chosen by ids joined by commas, and the baselines.

    Raises:
        UnknownName: for an agent that there is not.
    """
    wanted = tuple(usual) if chosen is None else tuple(chosen.split(","))
    known = interface.CATALOG.names()
    for name in wanted:
        if name not in known:
            raise UnknownName("agent", name, known)
    return (*wanted, *(name for name in BASELINES if name not in wanted))


def compared(setting: Setting, names: Sequence[str], evaluations: int, console: Console) -> Table:
    """Quality of the best design within the budget, as a share of the optimum; repeated proposals count too."""
    jobs = [
        Job(name, setting.options(seed), evaluations, seed, env="codesign/LayerOps-v0")
        for name in names
        for seed in SEEDS
    ]
    outcomes = run_all(run_job, jobs, "agents", console)
    rows = []
    for name in names:
        mine = [outcome for outcome in outcomes if outcome.job.agent == name]
        shares = [_share(setting, outcome) for outcome in mine]
        used = max(outcome.evaluations for outcome in mine)
        rows.append((float(np.median(shares)), (name, used, f"{np.median(shares):.2%}", f"{min(shares):.2%}")))
    ordered = tuple(row for _, row in sorted(rows, key=lambda pair: -pair[0]))
    title = (
        f"{setting.space} on {setting.device} within {setting.limit_ms} ms: quality of the best design as a share of "
        f"the exact optimum's, {evaluations} proposals, {len(SEEDS)} seeds"
    )
    return Table(title, ("agent", "designs scored", "median", "worst"), ordered)


def _share(setting: Setting, outcome: Outcome) -> float:
    """0 where nothing was found."""
    if not outcome.metrics:
        return 0.0
    return outcome.metrics["quality"] / best_quality(problem(setting, outcome.job.seed), setting.limit_ms * 1e-3)
