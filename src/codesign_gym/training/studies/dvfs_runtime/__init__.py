"""Runtime control of a device's clocks and exits: learned policies beside governors, a fixed setting and an oracle."""

from __future__ import annotations

from rich.console import Console

from codesign_gym.errors import BadConfig
from codesign_gym.training.control import oracle_w
from codesign_gym.training.studies.dvfs_runtime import claims, rivals, tables
from codesign_gym.training.studies.dvfs_runtime.scenarios import SCALES
from codesign_gym.training.studies.jobs import run_all
from codesign_gym.training.studies.study import Report


def study(scale: str, chosen: str | None, console: Console) -> Report:
    """Train on every load, and measure all on the same episodes that no training has seen.

    Args:
        scale: ``small`` or ``full``.
        chosen: nothing; the agents are those of the claims.
        console: where progress is shown.
    """
    if chosen is not None:
        raise BadConfig(f"--agents {chosen!r}: this study has agents of its own; accepted: no --agents")
    size = SCALES[scale]
    jobs = [
        rivals.Training(load, agent, steps, seed, size.episodes)
        for load in size.loads
        for agent, steps in size.steps.items()
        for seed in range(size.seeds)
    ]
    trained = run_all(rivals.trained, jobs, "training", console)
    found = [
        tables.Load(
            name=load,
            rivals=rivals.rivals(load, size.episodes),
            oracle_w=oracle_w(rivals.core_of(load, "test"), size.episodes),
            trained={
                agent: [row for job, row in zip(jobs, trained, strict=True) if (job.load, job.agent) == (load, agent)]
                for agent in size.steps
            },
        )
        for load in size.loads
    ]
    return Report(
        "dvfs-runtime",
        scale,
        claims.of(found),
        tuple(tables.table(load) for load in found),
        tuple(note for load in found for note in tables.notes(load)),
    )
