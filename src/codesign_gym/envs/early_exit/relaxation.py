"""Sums over knobs that bound what is no sum: the tables that masks, prices and dense rewards need.

Expected energy, latency and accuracy of early exits are not sums over knobs. Their best additive approximation in the
mean square over a full grid is the sum of the knobs' main effects (the means at each choice). Predictions of usage
are then shifted until the feasible design that is predicted to use the most is predicted to use exactly the whole
grant: no mask made of them ever excludes a feasible design, which is verified over the whole space, not assumed.
What they let through may still be infeasible.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def main_effects(values: Floats) -> list[Floats]:
    """The knobs' main effects.

    Args:
        values: one axis a knob; an axis of length 1 is a knob that changes nothing.

    Returns:
        An array per knob, shape (choices,), with equal shares of the overall mean; they sum to the approximation.
    """
    mean, knobs = values.mean(), values.ndim
    axes = range(knobs)
    return [values.mean(axis=tuple(a for a in axes if a != axis)) - mean + mean / knobs for axis in axes]


def predicted(effects: list[Floats]) -> Floats:
    """The approximation over the whole grid, one axis a knob."""
    knobs = len(effects)
    shaped = [effect.reshape([-1 if a == axis else 1 for a in range(knobs)]) for axis, effect in enumerate(effects)]
    total = shaped[0]
    for part in shaped[1:]:
        total = total + part
    return total


def relaxed(effects: list[Floats], feasible: NDArray[np.bool_]) -> list[Floats]:
    """Effects shifted so that the most that a feasible design is predicted to use is 1.

    Args:
        effects: of a constraint's usage, an array per knob, of length 1 where the knob changes nothing.
        feasible: over the whole grid; at least one design is.
    """
    most = np.where(feasible, predicted(effects), -np.inf).max()
    return [effect + (1.0 - most) / len(effects) for effect in effects]


def table(effects: list[Floats], choices: tuple[int, ...]) -> Floats:
    """Effects as rows of equal length, (knobs, most choices); 0 beyond a knob's own choices, which are not allowed."""
    rows = np.zeros((len(choices), max(choices)))
    for row, effect, count in zip(rows, effects, choices, strict=True):
        row[:count] = effect
    return rows
