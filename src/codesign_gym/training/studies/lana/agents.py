"""Agents on LANA's objective at equal evaluations, beside the exact optimum."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from rich.console import Console

from codesign_gym.agents import interface
from codesign_gym.agents.baselines.integer_program import solve
from codesign_gym.errors import UnknownName
from codesign_gym.training.studies.jobs import run_all
from codesign_gym.training.studies.lana.case import Case, cases
from codesign_gym.training.studies.lana.problem import replaced, search, tables
from codesign_gym.training.studies.part import Part, middle
from codesign_gym.training.studies.study import MEDIAN, Claim, Table, at_most, judged

#: Operators are names, not amounts: a categorical policy over legal ones. At scale full one with a Gaussian beside it.
LEARNER = "maskable-ppo"
LEARNERS = {"small": (LEARNER,), "full": (LEARNER, "ppo")}
BASELINES = ("random", "evolutionary", "greedy", "milp", "dynamic-programming")
EVALUATIONS = 600
#: Shares of the latency at which agents search.
SHARES = {"small": (0.4,), "full": (0.3, 0.5)}
WITHIN = 1.02
#: Nats; optima nearer to zero are taken for this, or ratios would mean nothing.
LEAST = 1e-3


@dataclass(frozen=True)
class Found:
    """An agent's best: its sum of loss changes, the least there is (both in nats), and evaluations used."""

    case: Case
    loss: float
    optimum: float
    evaluations: int

    @property
    def ratio(self) -> float:
        """Beside the optimum; infinite where nothing feasible was found."""
        return 1 + (self.loss - self.optimum) / max(self.optimum, LEAST)


def run(scale: str, chosen: str | None, console: Console, networks: tuple[str, ...]) -> Part:
    """A table, and the learner's claim."""
    names = agents_of(chosen, scale)
    jobs = [
        replace(case, agent=name, evaluations=EVALUATIONS)
        for case in cases(scale, networks, SHARES[scale])
        for name in names
    ]
    found = run_all(searched, jobs, "agents", console)
    rows = []
    for name in names:
        mine = [f for f in found if f.case.agent == name]
        ratios = [f.ratio for f in mine]
        used = max(f.evaluations for f in mine)
        rows.append((middle(ratios), (name, used, f"{middle(ratios):.3f}x", f"{max(ratios):.3f}x")))
    ordered = tuple(row for _, row in sorted(rows, key=lambda row: row[0]))
    title = f"sum of loss changes beside the optimum, {EVALUATIONS} evaluations granted"
    table = Table(title, ("agent", "evaluations used", "median", "worst"), ordered)
    return Part((_claim(found, names),), (table,))


def searched(case: Case) -> Found:
    """One agent's search."""
    made = replaced(case.network, case.device, case.seed)
    problem = made.problem(case.share)
    recorder = search(case.agent, problem, case.evaluations, case.seed)
    optimum = float(made.change(made.numbered(solve(tables(problem))[None]))[0])
    best = recorder.best
    loss = np.inf if best is None else float(made.change(made.numbered(best[0][None]))[0])
    return Found(case, loss, optimum, recorder.evaluations)


def agents_of(chosen: str | None, scale: str) -> tuple[str, ...]:
    """The agents to compare: the scale's learners or those chosen, and the baselines.

    Raises:
        UnknownName: for an agent that does not exist.
    """
    if chosen is None or chosen == "all":
        return (*LEARNERS[scale], *BASELINES)
    known = interface.CATALOG.names()
    wanted = tuple(chosen.split(","))
    for name in wanted:
        if name not in known:
            raise UnknownName("agent", name, known)
    return (*wanted, *(name for name in BASELINES if name not in wanted))


def _claim(found: list[Found], names: tuple[str, ...]) -> Claim:
    text = f"{LEARNER} within 2 % of the integer program's loss in {EVALUATIONS} evaluations"
    mine = [f for f in found if f.case.agent == LEARNER]
    if not mine:
        return Claim(text, "", "", "", None, f"{LEARNER} was not among the agents")
    ratios = [f.ratio for f in mine]
    hits = sum(ratio <= WITHIN for ratio in ratios)
    note = f"{hits} of {len(ratios)} searches; operators that another beats in latency and loss are left out for all"
    return judged(text, ratios, at_most(WITHIN), "{:.3f}x", by=MEDIAN, of="searches", note=note)
