"""The cores that walk a design problem, as agents see them and as environments make them."""

from __future__ import annotations

from typing import Literal

from codesign_gym.envs.core.actions import view
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


def design_core(
    problem: DesignProblem,
    mode: Mode,
    steps: int,
    enforcement: str,
    action: str,
    preferences: Literal["fixed", "sampled"] = "fixed",
) -> DesignCore:
    """A core that walks a problem without tables: decisions so far are seen, and what a finished design earns is paid.

    Args:
        problem: the problem.
        mode: ``construct`` or ``refine``.
        steps: moves of an episode of ``refine``.
        enforcement: its name.
        action: name of the view of actions.
        preferences: whether weights on the objectives are drawn for every episode of ``construct``.

    Raises:
        Infeasible: if no design keeps within the constraints; names the tightest one.
        UnknownName: for a view or an enforcement that does not exist.
        BadConfig: for what does not go together.
    """
    means = enforcement_of(enforcement)
    if mode == "refine":
        if preferences == "sampled":
            raise BadConfig("preferences is 'sampled'; mode 'refine' accepts: fixed")
        return RefineCore.of(problem, means, steps, action)
    return ConstructCore(
        problem=problem,
        observer=DecisionObserver(problem),
        reward=TerminalReward(),
        enforcement=means,
        actions=view(action, (problem.space.choices,)),
        preferences=Preferences(len(problem.objectives)) if preferences == "sampled" else None,
    )
