"""Steps from known designs to others that may be proposed: what local searches, genetic operators and acquisitions use.

Ordered knobs step to the next allowed value on either side, unordered ones to any other; a pinned knob never moves.
"""

from __future__ import annotations

from collections.abc import Set

import numpy as np
from numpy.typing import NDArray

from codesign_gym.agents.baselines.sampling import sample
from codesign_gym.envs.core.designing import DesignCore
from codesign_gym.envs.core.enforcement import project, within
from codesign_gym.envs.core.space import Designs, DesignSpace

Mask = NDArray[np.bool_]
ATTEMPTS = 8  # draws of random designs before known ones are put up with: in a space that is used up all are known


def steps(space: DesignSpace) -> Mask:
    """Which choice of a knob is one step from which, shape (knobs, from, to)."""
    allowed = space.allowed
    rank = allowed.cumsum(-1)
    apart = np.abs(rank[:, :, None] - rank[:, None, :])
    ordered = np.array([knob.ordered for knob in space.knobs])[:, None, None]
    other = ~np.eye(space.choices, dtype=bool)
    return np.asarray(np.where(ordered, apart == 1, other) & allowed[:, :, None] & allowed[:, None, :] & other)


def neighbours(space: DesignSpace, design: NDArray[np.int64]) -> Designs:
    """Every design that is one step of one knob away from a design of shape (knobs,), shape (neighbours, knobs)."""
    knob, choice = np.nonzero(steps(space)[np.arange(len(space)), design])
    around = np.tile(design, (len(knob), 1))
    around[np.arange(len(knob)), knob] = choice
    return around


def mutated(
    space: DesignSpace, designs: Designs, generator: np.random.Generator, changes: float, near: float
) -> Designs:
    """Designs of shape (batch, knobs) with some knobs changed, one at least where any is free; shape as given.

    Args:
        space: of the designs.
        designs: to change.
        generator: source of randomness.
        changes: knobs that change on average.
        near: share of the changes that are a step; the others draw any other allowed choice.
    """
    free = space.allowed.sum(-1) > 1
    chance = np.where(free, generator.random(designs.shape), np.inf)
    hit = free & ((chance < changes / max(int(free.sum()), 1)) | (chance == chance.min(-1, keepdims=True)))
    knobs = np.arange(len(space))
    key = generator.random((*designs.shape, space.choices))
    reached = steps(space)[knobs, designs]  # (batch, knobs, choices)
    other = space.allowed & (np.arange(space.choices) != designs[..., None])
    small = (generator.random(designs.shape) < near) & reached.any(-1)
    drawn = np.where(np.where(small[..., None], reached, other), key, -1.0).argmax(-1)
    return np.where(hit, drawn, designs)


def repaired(core: DesignCore, designs: Designs) -> Designs:
    """Designs as the environment would leave them: projected where it projects."""
    tables = core.problem.separable
    return project(tables, designs) if core.enforcement.project and tables is not None else designs


def let_through(core: DesignCore, designs: Designs) -> Mask:
    """Which complete designs the environment's masks would have let through, shape (batch,)."""
    problem = core.problem
    if not (core.enforcement.mask and problem.constraints):
        return np.ones(len(designs), dtype=bool)
    return within(problem.outlook.usage(designs))


def unknown(designs: Designs, known: Set[bytes]) -> Mask:
    """Which designs are neither known nor repeat an earlier row, shape (batch,)."""
    seen, new = set(known), np.empty(len(designs), dtype=bool)
    for i, key in enumerate(keys(designs)):
        new[i] = key not in seen
        seen.add(key)
    return new


def keys(designs: Designs) -> list[bytes]:
    """What tells designs apart, one a row."""
    return [row.tobytes() for row in np.ascontiguousarray(designs, dtype=np.int64)]


def admitted(core: DesignCore, designs: Designs, known: Set[bytes]) -> Designs:
    """The designs, repaired, that are legal, distinct and not known, shape (some, knobs)."""
    made = repaired(core, designs)
    made = made[unknown(made, known)]
    return made[let_through(core, made)]


def fresh(core: DesignCore, generator: np.random.Generator, count: int, known: Set[bytes]) -> Designs:
    """Random designs that are not known, as far as a few draws find any; shape (count, knobs)."""
    found = np.empty((0, len(core.problem.space)), dtype=np.int64)
    drawn = found
    for _ in range(ATTEMPTS):
        if len(found) >= count:
            break
        drawn = sample(core, generator, count)
        found = np.concatenate([found, drawn[unknown(drawn, {*known, *keys(found)})]])
    return np.concatenate([found, drawn])[:count]
