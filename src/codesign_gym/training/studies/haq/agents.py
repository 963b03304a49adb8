"""Part (e): agents at equal evaluations, beside random search and the exact optimum."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from codesign_gym.agents import interface
from codesign_gym.errors import UnknownName
from codesign_gym.training.studies.haq.twin import EPISODES, PROBLEM
from codesign_gym.training.studies.jobs import Job, Outcome, run_all
from codesign_gym.training.studies.jobs import run as run_job
from codesign_gym.training.studies.part import FULL_ONLY, Part, middle
from codesign_gym.training.studies.study import Claim, Table

BASELINES = ("random", "evolutionary", "greedy", "milp", "uniform")
LEARNERS = ("ppo", "maskable-ppo", "ddpg")
SEEDS = (0, 1, 2)
EVALUATIONS = {"small": 40, "full": 200}
MEASURED: dict[str, Any] = {"network": "digits-cnn", "device": "bitfusion", "budget": {"latency": 0.51}}

TEXT = "(e) twin: PPO beats random and evolutionary search at equal evaluations"


def run(scale: str, chosen: str | None, console: Console) -> Part:
    """Two tables: loss against the optimum on the twin, and test accuracy on digits-cnn."""
    if scale == "small" and chosen is None:
        return Part((Claim(TEXT, "", "", "", None, FULL_ONLY),))
    wanted = agents_of(chosen)
    jobs = [
        job
        for name in wanted
        for seed in SEEDS
        for job in (
            Job(name, {**PROBLEM, "seed": seed}, EPISODES, seed, "twin"),
            Job(name, MEASURED, EVALUATIONS[scale], seed, "measured"),
        )
    ]
    outcomes = run_all(run_job, jobs, "agents", console)
    return Part((_claim(outcomes, wanted),), (_twin(outcomes, wanted), _measured(outcomes, wanted, scale)))


def agents_of(chosen: str | None) -> tuple[str, ...]:
    """The agents to compare: those chosen, and every baseline; raises :class:`UnknownName`."""
    known = interface.CATALOG.names()
    if chosen is None:
        return (*LEARNERS, *BASELINES)
    wanted = [name for name in known if name != "exhaustive"] if chosen == "all" else chosen.split(",")
    for name in wanted:
        if name not in known:
            raise UnknownName("agent", name, known)
    return (*wanted, *(name for name in BASELINES if name not in wanted))


def _of(outcomes: list[Outcome], name: str, label: str) -> list[Outcome]:
    return [o for o in outcomes if o.job.agent == name and o.job.label == label]


def _ratios(outcomes: list[Outcome]) -> list[float]:
    return [o.predicted / o.optimum if o.metrics else float("inf") for o in outcomes]


def _twin(outcomes: list[Outcome], names: tuple[str, ...]) -> Table:
    rows = []
    for name in names:
        mine = _of(outcomes, name, "twin")
        ratios = _ratios(mine)
        used = f"{max(o.evaluations for o in mine)} of {EPISODES}"
        rows.append((middle(ratios), (name, used, f"{middle(ratios):.3f}x", f"{max(ratios):.3f}x")))
    ordered = tuple(row for _, row in sorted(rows, key=lambda pair: pair[0]))
    title = f"(e) twin of MobileNetV2: loss against the exact optimum, {len(SEEDS)} seeds"
    return Table(title, ("agent", "evaluations used", "median", "worst"), ordered)


def _measured(outcomes: list[Outcome], names: tuple[str, ...], scale: str) -> Table:
    rows = []
    for name in names:
        mine = [o for o in _of(outcomes, name, "measured") if o.metrics]
        if not mine:
            rows.append((1.0, (name, "", "no feasible design", "", "")))
            continue
        search = [100 * o.metrics["accuracy"] for o in mine]
        test = [100 * o.claims["test_accuracy"] for o in mine]
        used = f"{max(o.evaluations for o in mine)} of {EVALUATIONS[scale]}"
        row = (name, used, f"{middle(search):.2f} %", f"{middle(test):.2f} %", f"{min(test):.2f} %")
        rows.append((-middle(search), row))
    ordered = tuple(row for _, row in sorted(rows, key=lambda pair: pair[0]))
    title = f"(e) digits-cnn on bitfusion at .51 of the 8-bit latency, {len(SEEDS)} seeds"
    return Table(title, ("agent", "evaluations used", "search, median", "test, median", "test, worst"), ordered)


def _claim(outcomes: list[Outcome], names: tuple[str, ...]) -> Claim:
    """PPO against random and evolutionary search on the twin; where the exact solver wins, the note says so."""
    if "ppo" not in names:
        return Claim(TEXT, "", "", "", None, "ppo was not among the agents")
    ppo = _ratios(_of(outcomes, "ppo", "twin"))
    rivals = {name: _ratios(_of(outcomes, name, "twin")) for name in ("random", "evolutionary")}
    best = min(middle(ratios) for ratios in rivals.values())
    ahead = [name for name in names if name != "ppo" and middle(_ratios(_of(outcomes, name, "twin"))) < middle(ppo)]
    return Claim(
        TEXT,
        "",
        f"{middle(ppo):.3f}x against {best:.2f}x",
        f"{max(ppo):.3f}x",
        max(ppo) < min(min(ratios) for ratios in rivals.values()),
        f"ahead of PPO: {', '.join(ahead)}" if ahead else "",
    )
