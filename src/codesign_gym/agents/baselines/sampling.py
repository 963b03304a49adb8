"""Designs drawn at random under the same enforcement as the environment's."""

from __future__ import annotations

import numpy as np

from codesign_gym.envs.core.construct import ConstructCore
from codesign_gym.envs.core.enforcement import legal, project
from codesign_gym.envs.core.problem import DesignProblem
from codesign_gym.envs.core.space import Designs


def sample(core: ConstructCore, generator: np.random.Generator, batch: int) -> Designs:
    """What an agent that acts uniformly at random would build in the environment.

    Args:
        core: its enforcement masks, projects, or leaves designs as they were drawn.
        generator: source of randomness.
        batch: number of designs.

    Returns:
        Shape (batch, knobs).
    """
    problem = core.problem
    masked = core.enforcement.mask and problem.constraints
    designs = sample_legal(problem, generator, batch) if masked else problem.space.sample(generator, batch)
    return project(problem.separable, designs) if core.enforcement.project else designs


def sample_legal(problem: DesignProblem, generator: np.random.Generator, batch: int) -> Designs:
    """Decide knob by knob, uniformly among the choices from which every constraint can still be met.

    Returns:
        Shape (batch, knobs).
    """
    separable, allowed = problem.separable, problem.space.allowed
    bound = np.tile(separable.least.start[1:], (batch, 1))  # (batch, constraints) least usage still in reach
    prefix, rows = np.zeros(batch, dtype=np.int64), np.arange(batch)
    designs = np.empty((batch, len(allowed)), dtype=np.int64)
    for knob in range(len(allowed)):
        change = separable.least.change[knob, prefix, 1:]  # (batch, constraints, choices)
        mask = legal(np.broadcast_to(allowed[knob], (batch, separable.choices)), bound, change)
        choice = np.where(mask, generator.random(mask.shape), -1.0).argmax(-1)
        designs[:, knob] = choice
        bound = bound + change[rows, :, choice]
        group_done = (knob + 1) % separable.slots == 0
        prefix = np.zeros_like(prefix) if group_done else prefix * separable.choices + choice
    return designs
