"""Whether bounds can be kept, where nothing but evaluations tells."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from codesign_gym.envs.core.problem import Constraint, Values
from codesign_gym.envs.core.space import Designs, DesignSpace
from codesign_gym.errors import Infeasible


def check_reachable(
    space: DesignSpace,
    bounds: Iterable[Constraint],
    measure: Callable[[str, Designs], Values],
    starts: int = 64,
    passes: int = 3,
) -> None:
    """Look for a design within each bound by turns over the knobs, from many random designs.

    Args:
        space: the knobs.
        bounds: to be looked at one by one.
        measure: a metric, by name, of designs (batch, knobs), (batch,).
        starts: designs that are improved together.
        passes: over the knobs.

    Raises:
        Infeasible: if a bound is kept by none that was found; the tightest is named.
    """
    tightest, most = None, 1 + 1e-9
    for bound in bounds:
        used = _least_found(space, bound, measure, starts, passes)
        tightest, most = (bound, used) if used > most else (tightest, most)
    if tightest is not None:
        value = tightest.reference + most * (tightest.limit - tightest.reference)
        raise Infeasible(
            f"no design keeps {tightest.metric} within {tightest.limit:.6g}; the least of any that was found is "
            f"{value:.6g}, {most:.4g} times the limit"
        )


def _least_found(
    space: DesignSpace, bound: Constraint, measure: Callable[[str, Designs], Values], starts: int, passes: int
) -> float:
    """The least usage of a bound that turns over the knobs find."""
    designs = space.sample(np.random.default_rng(0), starts)
    least = np.inf
    for _ in range(passes):
        for index in range(len(space)):
            options = np.flatnonzero(space.allowed[index])
            if len(options) < 2:
                continue
            tried = np.repeat(designs[:, None], len(options), axis=1)  # (starts, options, knobs)
            tried[:, :, index] = options
            used = bound.usage(measure(bound.metric, tried.reshape(-1, len(space)))).reshape(starts, -1)
            designs[:, index] = options[used.argmin(-1)]
            least = min(least, float(used.min()))
        if least <= 1:
            break
    return least
