"""An early-exit core from plain options: the names and numbers that a user types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field

from codesign_gym.envs.core import goal
from codesign_gym.envs.core.actions import view
from codesign_gym.envs.core.arguments import Arguments, Only
from codesign_gym.envs.core.construct import ConstructCore, DenseReward, TerminalReward
from codesign_gym.envs.core.designing import Weights, preferences_on
from codesign_gym.envs.core.enforcement import Unrepaired
from codesign_gym.envs.core.enforcement import enforcement as enforcement_of
from codesign_gym.envs.core.observers import DecisionObserver
from codesign_gym.envs.core.problem import Constraint, Objective
from codesign_gym.envs.early_exit.problem import EarlyExitProblem
from codesign_gym.envs.early_exit.tables import BOARD, Answers, Costs, check_alike, check_reached
from codesign_gym.errors import BadConfig, UnknownName
from codesign_gym.simulators import dvfs
from codesign_gym.simulators.exits import library

REWARDS: dict[str, type[TerminalReward] | type[DenseReward]] = {"terminal": TerminalReward, "dense": DenseReward}

#: Even steps in log-odds where softmax confidences crowd, from an even guess to nearly sure.
THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.925, 0.95, 0.97, 0.98, 0.99, 0.995, 0.998, 0.999)


def _several(names: Any) -> Any:
    """Names as a list, or with commas between them."""
    return tuple(name.strip() for name in names.split(",")) if isinstance(names, str) else names


class Options(Arguments):
    """What can be chosen of an early-exit environment; every field is plain data.

    Attributes:
        backbones: networks with exits (id, YAML file or ``"package.module:records"``); the first is the reference of
            floor, deadline and reward, and where there are several, which to use is a decision, too.
        device: id or YAML file of a system on a chip.
        rail: whose energy is counted: ``board``, or a rail of the device, such as ``gpu``.
        pixels: height and width at which the networks' work is counted; accuracy is that of the images themselves.
        floor: percentage points of accuracy that may be lost against the full first backbone.
        standard_errors: of the change in accuracy on the search images that must stay within the floor as well; 1.645
            makes it the lower end of a one-sided 95 % interval.
        slack: the deadline, as a multiple of the latency of the full first backbone at maximum clocks.
        deadline_s: the deadline in seconds, in place of ``slack``.
        deadline_for: ``every`` sample, the one that goes all the way included, or the ``mean`` one.
        objectives: ``latency`` or ``worst_latency_s`` (of a sample that goes all the way) to the reward that its full
            amount takes away, that of the full first backbone at maximum clocks; ``accuracy`` or ``sure_accuracy`` to
            the reward of a hundred percentage points; as objectives beside the first, the energy.
        preferences: ``fixed`` weights on the objectives, or ``sampled``: drawn for every episode and shown to the
            agent, which takes two objectives or more.
        thresholds: confidences to choose from.
        junction_c: temperature of the chip, which leakage depends on.
        enforcement: ``mask``, ``price``, ``none``, or ``mask+price``.
        reward: ``terminal`` or ``dense``.
        action: ``discrete``, ``multidiscrete`` or ``box``.
    """

    backbones: Annotated[Sequence[str], BeforeValidator(_several)] = ("digits-exits",)
    device: str = "jetson-tx2"
    rail: str = BOARD
    pixels: int | None = Field(default=224, ge=1, le=4096)
    floor: float = Field(default=0.5, gt=0, le=100)
    standard_errors: float = Field(default=1.645, ge=0, le=10)
    slack: float = Field(default=1.25, gt=0, allow_inf_nan=False)
    deadline_s: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    deadline_for: Literal["every", "mean"] = "every"
    objectives: Mapping[str, float] = Field(default_factory=dict)
    preferences: Weights = "fixed"
    thresholds: Sequence[float] = THRESHOLDS
    junction_c: float = Field(default=50.0, ge=-40, le=150)
    enforcement: Unrepaired = "mask+price"
    reward: str = "terminal"
    action: str = "discrete"


#: Arguments that mean something only beside others.
ONLY = (Only(("slack",), lambda chosen: chosen["deadline_s"] is None, "without deadline_s"),)


def build(options: Options, drawn: bool = False) -> ConstructCore:
    """The core of an environment.

    Raises:
        UnknownName: for an id or name that does not exist, with the nearest.
        BadConfig: for an option out of bounds.
        Infeasible: for a floor and a deadline that no design keeps, with the best that is possible.
    """
    reward = _reward(options.reward)
    problem = early_exit_problem(options)
    return ConstructCore(
        problem=problem,
        observer=DecisionObserver(problem),
        reward=reward,
        enforcement=enforcement_of(options.enforcement),
        actions=view(options.action, (problem.space.choices,)),
        preferences=preferences_on(problem, options.preferences),
    )


def early_exit_problem(options: Options, soc: dvfs.Soc | None = None) -> EarlyExitProblem:
    """The design problem alone; errors as in :func:`build`.

    Args:
        options: what to build.
        soc: a device in place of the one that the options name, as for a sensitivity sweep.
    """
    thresholds = _thresholds(options.thresholds)
    if not options.backbones or len(set(options.backbones)) < len(options.backbones):
        raise BadConfig(f"backbones is {list(options.backbones)}; accepted: one network with exits or more, each once")
    records = tuple(library.load(name, options.pixels) for name in options.backbones)
    search = [found.search for found in records]
    check_alike(search)
    for record in search:
        check_reached(record, thresholds)
    device = soc or dvfs.load(options.device)
    costs = Costs.of(search, device, options.rail, options.junction_c)
    at_full = (0, 0, -1, -1)  # no exit but the last, highest clocks
    full_j, full_s = float(costs.energy_j[at_full]), float(costs.latency_s[at_full])
    reference = float(search[0].correct[:, -1].mean())
    floor = Constraint("sure_accuracy", reference - options.floor / 100, reference)
    deadline = options.slack * full_s if options.deadline_s is None else options.deadline_s
    return EarlyExitProblem(
        records=records,
        soc=device,
        thresholds=thresholds,
        answers=Answers.of(search, thresholds),
        costs=costs,
        objectives=_objectives(options.objectives, full_j, full_s, floor, deadline),
        constraints=(
            floor,
            Constraint("worst_latency_s" if options.deadline_for == "every" else "latency_s", deadline),
        ),
        standard_errors=options.standard_errors,
    )


def _objectives(
    weights: Mapping[str, float], full_j: float, full_s: float, floor: Constraint, deadline_s: float
) -> tuple[Objective, ...]:
    """The energy, then what is asked for beside it; reference points are at what the limits grant.

    Args:
        weights: as in :class:`Options`.
        full_j: energy of the full first backbone at maximum clocks.
        full_s: its latency.
        floor: of accuracy.
        deadline_s: of latency; where it is shorter than ``full_s``, that is the reference point's.
    """
    slowest, right = max(full_s, deadline_s), (1.0, floor.reference, floor.limit)
    terms = goal.shares({"energy_j": full_j, "latency_s": full_s, "worst_latency_s": full_s})
    terms |= {name: replace(term, worst=slowest) for name, term in terms.items() if name != "energy_j"}
    terms |= {name: Objective(name, *right) for name in ("accuracy", "sure_accuracy")}
    return goal.objectives(terms["energy_j"], weights, terms, "networks with exits do not tell")


def _thresholds(values: Sequence[float]) -> NDArray[np.float64]:
    thresholds = np.array(values, dtype=np.float64)
    sound = thresholds.size and ((thresholds > 0) & (thresholds <= 1)).all() and (np.diff(thresholds) > 0).all()
    if not sound:
        raise BadConfig(f"thresholds is {list(values)}; accepted: ascending confidences in (0, 1]")
    return thresholds


def _reward(name: str) -> TerminalReward | DenseReward:
    if name not in REWARDS:
        raise UnknownName("reward", name, REWARDS)
    return REWARDS[name]()
