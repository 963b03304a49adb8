"""The cores that walk a design problem, as agents see them and as environments make them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from codesign_gym.envs.core.actions import view
from codesign_gym.envs.core.arguments import Arguments, Only
from codesign_gym.envs.core.construct import ConstructCore, TerminalReward
from codesign_gym.envs.core.enforcement import enforcement as enforcement_of
from codesign_gym.envs.core.observers import DecisionObserver
from codesign_gym.envs.core.preferences import Preferences
from codesign_gym.envs.core.problem import DesignProblem
from codesign_gym.envs.core.refine import RefineCore
from codesign_gym.errors import BadConfig

DesignCore = ConstructCore | RefineCore

#: How a design comes about: knob by knob, or by local moves from a complete one.
Mode = Literal["construct", "refine"]
#: Where the weights on the objectives come from.
Weights = Literal["fixed", "sampled"]


class Walk(Arguments):
    """How designs come about, which every environment of such a core leaves to the user; plain data.

    Attributes:
        mode: ``construct`` a design knob by knob, or ``refine`` a random one by local moves.
        steps: moves of an episode of ``refine``.
        preferences: ``fixed`` weights on the objectives, or ``sampled``: drawn for every episode and shown to the
            agent, which takes two objectives or more.
        enforcement: ``mask``, ``price``, both joined by ``+``, or ``none``; with tables ``project``, too.
        action: ``discrete``, ``multidiscrete`` or ``box``.
    """

    mode: Mode = "construct"
    steps: int = Field(default=20, ge=1, le=10_000)
    preferences: Weights = "fixed"
    enforcement: str = "mask"
    action: str = "discrete"


#: Arguments of a walk that mean something in one mode alone, and those of tables, which only ``construct`` uses.
REFINED = Only(("steps",), lambda chosen: chosen["mode"] == "refine", "with mode='refine'")
CONSTRUCTED = Only(("reward", "observation"), lambda chosen: chosen["mode"] == "construct", "with mode='construct'")


def design_core(problem: DesignProblem, walk: Walk) -> DesignCore:
    """A core that walks a problem without tables: decisions so far are seen, and what a finished design earns is paid.

    Raises:
        Infeasible: if no design keeps within the constraints; names the tightest one.
        UnknownName: for a view or an enforcement that does not exist.
        BadConfig: for what does not go together.
    """
    means, weights = enforcement_of(walk.enforcement), preferences_on(problem, walk.preferences)
    if walk.mode == "refine":
        return RefineCore.of(problem, means, walk.steps, walk.action, weights)
    return ConstructCore(
        problem=problem,
        observer=DecisionObserver(problem),
        reward=TerminalReward(),
        enforcement=means,
        actions=view(walk.action, (problem.space.choices,)),
        preferences=weights,
    )


def preferences_on(problem: DesignProblem, weights: Weights) -> Preferences | None:
    """Weights that are drawn for every episode, or None where they are fixed.

    Raises:
        BadConfig: for weights to draw where there is one objective.
    """
    objectives = [objective.metric for objective in problem.objectives]
    if weights == "sampled" and len(objectives) < 2:
        raise BadConfig(f"preferences is 'sampled', but there is one objective, {objectives[0]}; accepted: fixed")
    return Preferences(len(objectives)) if weights == "sampled" else None
