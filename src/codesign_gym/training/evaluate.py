"""Evaluate a finished run: its design for real, or its policy where it was not trained, or where it acts."""

from __future__ import annotations

from typing import Any

import numpy as np

from codesign_gym.agents.sb3.agent import Sb3Agent
from codesign_gym.envs.core.enforcement import project
from codesign_gym.envs.core.problem import feasible, score
from codesign_gym.envs.core.space import Designs, DesignSpace
from codesign_gym.errors import BadConfig, StorageError
from codesign_gym.training import control
from codesign_gym.training.config import agent_of
from codesign_gym.training.folder import POLICY, RunFolder
from codesign_gym.training.train import choices, core_of, maximized, reference


def evaluate(folder: RunFolder, changes: dict[str, Any]) -> dict[str, Any]:
    """Measure what a run has found.

    Without changes this is the run's best design; with them (another device, network or budget) it is
    the design that the trained policy builds there, or, for an agent without a policy, the best
    design itself; both repaired to the new limits where the problem has tables to do it by.

    Args:
        folder: a finished run.
        changes: environment options to replace.

    Returns:
        Metrics, claims, reference, constraints and design, as in ``result.json``, and ``source``.

    Raises:
        StorageError: if the folder holds no finished run, or a learner's without its policy.
        BadConfig: if the policy or the design does not fit the changed environment.
    """
    config, result = folder.config(), folder.result()
    if result.get("kind") == "control":
        return control.evaluate(folder, changes)
    core = core_of(config.env, {**config.options, **changes})
    problem = core.problem
    agent = agent_of(config)
    saved = folder.policy()
    if changes and isinstance(agent, Sb3Agent):
        if saved is None:
            raise StorageError(f"{folder.path} has lost its {POLICY}, which would act elsewhere; train it again")
        source = "policy"
        design = agent.designs(core, *saved)
    else:
        source = "design"
        design = _translated(config.agent, list(result["design"].values()), problem.space)
    if changes and problem.separable is not None:
        design = project(problem.separable, design)
    metrics = problem.evaluate(design)
    return {
        "source": source,
        "options": {**config.options, **changes},
        "metrics": dict(zip((m.name for m in problem.metrics), map(float, metrics[0]), strict=True)),
        "maximized": maximized(problem),
        "feasible": bool(feasible(problem, metrics)[0]),
        "score": float(score(problem, metrics)[0]),
        "claims": problem.claim(design[0]),
        "reference": reference(problem),
        "constraints": {bound.metric: bound.limit for bound in problem.constraints},
        "design": choices(problem, design[0]),
    }


def _translated(agent: str, values: list[float | str], space: DesignSpace) -> Designs:
    """The design of a run as choices of another space, shape (1, knobs)."""
    if len(values) != len(space):
        raise BadConfig(
            f"agent {agent!r} leaves no policy, and its design of {len(values)} knobs does not fit a problem of "
            f"{len(space)}; evaluate a run of a learning agent on another network"
        )
    for knob, value in zip(space.knobs, values, strict=True):
        if value not in knob.values or knob.pinned not in (None, knob.values.index(value)):
            accepted = knob.values if knob.pinned is None else knob.values[knob.pinned : knob.pinned + 1]
            raise BadConfig(
                f"agent {agent!r} leaves no policy, and its design has {value!r} for {knob.name!r}; accepted here: "
                f"{', '.join(map(str, accepted))}"
            )
    return np.array([[knob.values.index(v) for knob, v in zip(space.knobs, values, strict=True)]], dtype=np.int64)
