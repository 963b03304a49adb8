"""Searches as independent jobs, spread over processes of one thread each."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from functools import cache
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeVar

from rich.console import Console
from rich.progress import track

from codesign_gym.training.config import DEFAULT_ENVIRONMENT

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from codesign_gym.envs.core.problem import DesignProblem

J = TypeVar("J")
R = TypeVar("R")


@dataclass(frozen=True)
class Job:
    """One agent's search on one design problem.

    Attributes:
        agent: its id.
        options: the environment's arguments; they go before what the agent's own file asks for.
        evaluations: designs it may propose, and so also score: one that it repeats is spent as a new one would be, so
            that an agent which repeats itself has fewer different ones, never more.
        seed: the agent's.
        label: what the study calls it.
        env: the environment's id.
    """

    agent: str
    options: dict[str, Any]
    evaluations: int
    seed: int
    label: str = ""
    env: str = DEFAULT_ENVIRONMENT


@dataclass(frozen=True)
class Outcome:
    """What a job has found.

    Attributes:
        job: the job.
        metrics: of the best design, by name; empty if no design was feasible.
        reference: metrics of the highest bitwidth everywhere.
        design: choice indices of the best design.
        guided: those of the design with the best score during the search, before any measuring.
        claims: figures from images that the search did not see.
        predicted: predicted loss of the best design (a tabular twin's exact loss, in scaled units); NaN without tables.
        optimum: the least predicted loss there is, in the same units; NaN where scores are no sums of the tables.
        uniform: predicted loss of the best uniform design within the constraints; NaN without one.
        feasible: share of scored designs that kept the constraints.
        evaluations: distinct designs scored.
    """

    job: Job
    metrics: dict[str, float]
    reference: dict[str, float]
    design: tuple[int, ...] = ()
    guided: tuple[int, ...] = ()
    claims: dict[str, float] = field(default_factory=dict)
    predicted: float = float("nan")
    optimum: float = float("nan")
    uniform: float = float("nan")
    feasible: float = 0.0
    evaluations: int = 0


def run(job: Job) -> Outcome:
    """Carry out a job in this process."""
    from codesign_gym.agents import interface
    from codesign_gym.agents.confirm import confirm
    from codesign_gym.agents.recorder import Limits
    from codesign_gym.envs.core.problem import feasible
    from codesign_gym.training.config import configure
    from codesign_gym.training.train import core_of, reference

    config = configure(job.env, job.options, job.agent, job.evaluations, job.evaluations, job.seed)
    agent, core = interface.build(config.agent_file), core_of(config.env, config.options)
    problem = core.problem
    recorder = interface.searched(agent, core, Limits(job.evaluations, job.evaluations), job.seed)
    base = reference(problem.measurable or problem)
    kept = float(feasible(problem, recorder.known_metrics).mean()) if recorder.evaluations else 0.0
    confirmed = confirm(recorder)
    if confirmed is None:
        return Outcome(job, {}, base, feasible=kept, evaluations=recorder.evaluations)
    design, metrics = confirmed.design, confirmed.metrics
    return Outcome(
        job=job,
        metrics=dict(zip((m.name for m in problem.metrics), map(float, metrics), strict=True)),
        reference=base,
        design=tuple(int(c) for c in design),
        guided=tuple(int(c) for c in recorder.best[0]) if recorder.best else (),
        claims=problem.claim(design),
        **_by_tables(problem, design),
        feasible=kept,
        evaluations=recorder.evaluations,
    )


def _by_tables(problem: DesignProblem, design: NDArray[np.int64]) -> dict[str, float]:
    """Predicted loss of a design, of the best uniform one, and where nothing is measured, of the best there is."""
    from codesign_gym.agents.baselines.milp import solve
    from codesign_gym.envs.core.enforcement import uniform_designs, within

    separable = problem.separable
    if separable is None:
        return {}
    exact = not problem.measured and problem.measurable is None
    uniform = separable.totals(uniform_designs(separable))
    met = within(uniform[:, 1:])
    return {
        "predicted": float(separable.totals(design)[0]),
        "optimum": float(separable.totals(solve(separable))[0]) if exact else float("nan"),
        "uniform": float(uniform[met, 0].min()) if met.any() else float("nan"),
    }


def run_all(function: Callable[[J], R], jobs: Sequence[J], title: str, console: Console) -> list[R]:
    """``function`` of every job, in order, over as many processes as there are cores (at most four)."""
    workers = min(os.cpu_count() or 1, 4)
    if workers == 1 or len(jobs) == 1:
        return [function(job) for job in track(jobs, title, console=console, disable=not console.is_terminal)]
    futures = [_pool(workers).submit(function, job) for job in jobs]
    for done in track(as_completed(futures), title, len(jobs), console=console, disable=not console.is_terminal):
        done.result()  # a failure is told at once
    return [future.result() for future in futures]


@cache
def _pool(workers: int) -> ProcessPoolExecutor:
    """Kept from one part of a study to the next: a fresh process needs seconds to import torch."""
    return ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_one_thread)


def _one_thread() -> None:
    """One torch thread, and an end with the parent: a killed study leaves no workers behind."""
    import torch

    torch.set_num_threads(1)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
