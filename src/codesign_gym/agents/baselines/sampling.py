"""Designs drawn at random under the same enforcement as the environment's."""

from __future__ import annotations

import numpy as np

from codesign_gym.envs.core.designing import DesignCore
from codesign_gym.envs.core.enforcement import project
from codesign_gym.envs.core.problem import DesignProblem
from codesign_gym.envs.core.sampling import legal_designs
from codesign_gym.envs.core.space import Designs


def sample(core: DesignCore, generator: np.random.Generator, batch: int) -> Designs:
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
    return project(problem.separable, designs) if core.enforcement.project and problem.separable else designs


def sample_legal(problem: DesignProblem, generator: np.random.Generator, batch: int) -> Designs:
    """Decide knob by knob, uniformly among the choices from which every constraint can still be met.

    Returns:
        Shape (batch, knobs).
    """
    return legal_designs(problem, generator.random((batch, len(problem.space), problem.space.choices)))
