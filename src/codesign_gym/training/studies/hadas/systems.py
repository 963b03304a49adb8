"""Savings of joint design, and of what a search finds of them, per family of networks, device and rail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.progress import track

from codesign_gym.agents import interface
from codesign_gym.agents.recorder import Limits
from codesign_gym.envs.core.construct import ConstructCore
from codesign_gym.envs.early_exit.factory import Options, build
from codesign_gym.envs.early_exit.problem import EarlyExitProblem
from codesign_gym.training.studies.hadas import designs
from codesign_gym.training.studies.hadas.designs import (
    CONVENTIONAL,
    DVFS_ONLY,
    EXITS_ONLY,
    JOINT,
    SAME_BACKBONE,
    System,
    compared,
    hypervolume,
    saved,
)
from codesign_gym.training.studies.hadas.searches import agents
from codesign_gym.training.studies.part import FULL_ONLY, Part, absent, middle
from codesign_gym.training.studies.study import Claim, Table

#: Backbones of each family, first the reference: the most accurate one on search images. At scale small, of digits
#: alone, the first three.
FAMILIES = {
    "digits": (
        "digits-exits-deep",
        "digits-exits",
        "digits-exits-shallow",
        "digits-exits-narrow",
        "digits-exits-tiny",
        "digits-exits-wide",
    ),
    "fashion": ("fashion-exits", "fashion-exits-middle", "fashion-exits-shallow"),
}
BACKBONES_SMALL = 3

#: Device and rail. On AGX Xavier, whose power is not measured but assumed, the board alone.
TARGETS = (("jetson-tx2", "board"), ("jetson-tx2", "gpu"), ("jetson-agx-xavier", "board"))

SEEDS = (0, 1, 2, 3, 4)
EVALUATIONS = {"small": 1000, "full": 2000}

#: Of the saving that exhaustive search attains.
REACHED = 0.9
SAVED = 0.25
LOSS_POINTS = 0.5
#: By how much the joint design needs less than each search alone.
AHEAD = 0.05
SEEDS_AHEAD = 4

BILEVEL = "backbone, exits and DVFS: bi-level search, worst seed"
HEADINGS = (
    "system",
    "energy",
    "saved",
    "mean latency",
    "worst latency",
    "points lost, search",
    "points lost, test (95 %)",
    "saved, test",
    "choices",
)


@dataclass(frozen=True, eq=False)
class Found:
    """What was found for one family on one target.

    Attributes:
        where: family, device and rail, readable.
        problem: the design problem.
        systems: by label, each the best of its kind.
        best: the bi-level search's design of each seed.
        volumes: hypervolume of each search, by name, one a seed.
    """

    where: str
    problem: EarlyExitProblem
    systems: dict[str, System]
    best: list[System]
    volumes: dict[str, list[float]]


def run(scale: str, console: Console) -> Part:
    """Every family on every target."""
    claims: list[Claim] = []
    tables: list[Table] = []
    for family in FAMILIES:
        reason = FULL_ONLY if family == "fashion" and scale == "small" else absent(family)
        if reason is not None:
            claims += [
                Claim(text, "", "", "", None, reason)
                for soc, rail in TARGETS
                for text in _texts(f"{family} on {soc}, {rail}")
            ]
            continue
        for soc, rail in track(TARGETS, f"hadas, {family}", console=console, disable=not console.is_terminal):
            found = _find(family, soc, rail, scale)
            claims += _claims(found)
            tables.append(_table(found))
    return Part(tuple(claims), tuple(tables))


def backbones(family: str, scale: str) -> tuple[str, ...]:
    """The networks of a family at a scale."""
    return FAMILIES[family][: BACKBONES_SMALL if scale == "small" else None]


def _find(family: str, soc: str, rail: str, scale: str) -> Found:
    core = build(Options(backbones=backbones(family, scale), device=soc, rail=rail))
    problem = core.problem
    assert isinstance(problem, EarlyExitProblem)
    systems = compared(problem)
    best, volumes = _searches(core, problem, systems[CONVENTIONAL].energy_j, scale)
    return Found(f"{family} on {soc}, {rail}", problem, systems, best, volumes)


def _searches(
    core: ConstructCore, problem: EarlyExitProblem, reference_j: float, scale: str
) -> tuple[list[System], dict[str, list[float]]]:
    """The bi-level search's best designs, and the hypervolumes of both searches, one a seed."""
    best: list[System] = []
    volumes: dict[str, list[float]] = {}
    for name, agent in agents().items():
        for seed in SEEDS:
            recorder = interface.searched(agent, core, Limits.of(EVALUATIONS[scale]), seed)
            volumes.setdefault(name, []).append(hypervolume(problem, recorder.known_metrics, reference_j))
            if name == "bi-level" and recorder.best is not None:
                best.append(designs.system(problem, f"seed {seed}", recorder.best[0]))
    return best, volumes


def _texts(where: str) -> tuple[str, str, str, str]:
    return (
        f"{where}: bi-level search reaches 90 % of the saving of exhaustive search",
        f"{where}: it saves at least 25 % on test images at no more than .5 point loss there",
        f"{where}: exits and DVFS together need 5 % less than either alone, same backbone",
        f"{where}: bi-level hypervolume at least that of sequential search in 4 of 5 seeds",
    )


def _claims(found: Found) -> list[Claim]:
    texts, systems = _texts(found.where), found.systems
    base = systems[CONVENTIONAL]
    possible = saved(systems[JOINT].energy_j, base.energy_j)
    reached = [saved(system.energy_j, base.energy_j) / possible for system in found.best]
    reached += [0.0] * (len(SEEDS) - len(found.best))  # seeds that found nothing feasible
    on_test = [saved(system.claims["test_energy_j"], base.claims["test_energy_j"]) for system in found.best] or [0.0]
    lost = [-system.claims["test_change_points"] for system in found.best] or [100.0]
    alone = {
        label: saved(systems[SAME_BACKBONE].energy_j, systems[label].energy_j) for label in (EXITS_ONLY, DVFS_ONLY)
    }
    ours, other = found.volumes["bi-level"], found.volumes["sequential"]
    won = sum(one >= two for one, two in zip(ours, other, strict=True))
    met = min(on_test) >= SAVED and max(lost) <= LOSS_POINTS
    return [
        Claim(
            texts[0], "", f"{middle(reached):.1%}", f"{min(reached):.1%}", min(reached) >= REACHED, f"of {possible:.1%}"
        ),
        Claim(
            texts[1],
            "57 %",
            f"{middle(on_test):.1%}, {middle(lost):+.2f} pt",
            f"{min(on_test):.1%}, {max(lost):+.2f} pt",
            met,
            _reason(found, max(lost)),
        ),
        Claim(
            texts[2],
            "",
            ", ".join(f"{gain:.1%}" for gain in alone.values()),
            f"{min(alone.values()):.1%}",
            min(alone.values()) >= AHEAD,
            "against exits only, DVFS only",
            "worst of 2 comparisons",
        ),
        Claim(
            texts[3],
            "",
            f"{middle(ours):.4f} against {middle(other):.4f}",
            f"{min(ours):.4f} against {min(other):.4f}",
            won >= SEEDS_AHEAD,
            f"{won} of {len(SEEDS)} seeds",
            f"{SEEDS_AHEAD} of {len(SEEDS)} seeds",
        ),
    ]


def _reason(found: Found, lost: float) -> str:
    """What the same backbone alone saves, and why more is lost on test images than may be."""
    systems = found.systems
    alone = saved(systems[SAME_BACKBONE].energy_j, systems[CONVENTIONAL].energy_j)
    note = f"the same backbone alone: {alone:.1%} on search images"
    if lost <= LOSS_POINTS or not found.best:
        return note
    worst = min(found.best, key=lambda system: system.claims["test_change_points"])
    seen = 100 * (found.problem.constraints[0].reference - worst.metrics["accuracy"])
    least, most = (0.0 - worst.claims[f"test_change_{end}_points"] for end in ("high", "low"))
    return f"{note}; search images showed {seen:+.2f} pt, test images {lost:+.2f} ({least:+.2f} to {most:+.2f})"


def _table(found: Found) -> Table:
    base = found.systems[CONVENTIONAL]
    rows = [_row(found.problem, system.label, system, base) for system in found.systems.values()]
    if found.best:
        rows.append(_row(found.problem, BILEVEL, max(found.best, key=lambda system: system.energy_j), base))
    return Table(found.where, HEADINGS, tuple(rows))


def _row(problem: EarlyExitProblem, label: str, system: System, base: System) -> tuple[Any, ...]:
    metrics, claims = system.metrics, system.claims
    reference = problem.constraints[0].reference
    lost, least, most = (0.0 - claims[f"test_change_{end}points"] for end in ("", "high_", "low_"))
    return (
        label,
        f"{1e3 * metrics['energy_j']:.3f} mJ",
        f"{saved(system.energy_j, base.energy_j):.1%}",
        f"{1e3 * metrics['latency_s']:.3f} ms",
        f"{1e3 * metrics['worst_latency_s']:.3f} ms",
        f"{100 * (reference - metrics['accuracy']):+.2f}",
        f"{lost:+.2f} ({least:+.2f} to {most:+.2f})",
        f"{saved(claims['test_energy_j'], base.claims['test_energy_j']):.1%}",
        _choices(problem, system),
    )


def _choices(problem: EarlyExitProblem, system: System) -> str:
    """Backbone, exits, threshold and clocks, short."""
    picked = {knob.name: knob.values[c] for knob, c in zip(problem.space.knobs, system.design, strict=True)}
    exits = "+".join(name.removeprefix("exit") for name, value in picked.items() if name.startswith("exit") and value)
    clocks = "/".join(f"{float(value) / 1e6:.0f}" for name, value in picked.items() if name.endswith("_hz"))
    return f"{picked.get('backbone', '')} exits {exits or 'none'} at {picked['threshold']:g}, {clocks} MHz"
