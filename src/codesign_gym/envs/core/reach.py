"""Whether bounds can be kept: by proof where enough is known of half-built designs, else by looking for a design."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from codesign_gym.envs.core.enforcement import TOLERANCE
from codesign_gym.envs.core.outlook import Tables
from codesign_gym.envs.core.problem import Constraint, DesignProblem, Values
from codesign_gym.envs.core.sampling import legal_designs
from codesign_gym.envs.core.space import Designs
from codesign_gym.errors import Infeasible


def check_feasible(problem: DesignProblem) -> None:
    """Raise :class:`Infeasible`, naming the tightest constraint, where what is known says that no design keeps them."""
    bounds = problem.constraints
    least = problem.outlook.start()[1 + len(bounds) :]
    if (least > 1 + TOLERANCE).any():
        raise Infeasible(f"no design {_alone(bounds, least, 'the least that any design needs')}")
    if isinstance(problem.outlook, Tables) and len(bounds) > 1:
        used, tightest = problem.outlook.separable.joint_bound
        if used > 1 + TOLERANCE:
            raise Infeasible(
                f"no design keeps {_listed(bounds)} together; each uses {used:.4g} times what one of them grants, or "
                f"more, and the tightest is {bounds[tightest].metric}"
            )


def check_every(bounds: Sequence[Constraint], usages: Values) -> None:
    """Raise :class:`Infeasible` where none of all designs there are, of usages (designs, bounds), keeps all bounds."""
    _check("no design", bounds, usages)


@dataclass(frozen=True)
class Looks:
    """How hard to look for a design.

    Attributes:
        starts: designs that are improved side by side: one of the highest choices, one of the lowest, others random.
        passes: over the knobs.
    """

    starts: int = 256
    passes: int = 4


#: What to lessen, shape (batch,), of usages (batch, bounds).
Aim = Callable[[Values], Values]


def check_reachable(
    problem: DesignProblem,
    bounds: Sequence[Constraint],
    measure: Callable[[Designs], Mapping[str, Values]],
    looks: Looks = Looks(),
) -> None:
    """Look for a design that keeps bounds which only evaluations tell of, among those that keep the others.

    Designs are improved by turns over the knobs; the first that keeps all bounds is enough. One that is hard to find
    may be missed, so the error says how many were tried.

    Args:
        problem: its space, and what is known of half-built designs; :func:`check_feasible` has its say first.
        bounds: to be kept together.
        measure: metrics by name, each (batch,), of designs (batch, knobs).
        looks: how many are tried.

    Raises:
        Infeasible: if no design that was tried keeps all bounds; the tightest is named.
    """
    check_feasible(problem)

    def used(designs: Designs) -> Values:
        found = measure(designs)
        return np.stack([np.broadcast_to(b.usage(found[b.metric]), (len(designs),)) for b in bounds], axis=-1)

    aims: list[Aim] = [lambda usages: np.maximum(usages, 1.0).sum(-1)] if bounds else []
    if len(bounds) > 1:  # each alone tells which of them it is that cannot be kept
        aims += [partial(np.take, indices=index, axis=-1) for index in range(len(bounds))]
    designs, usages = np.zeros((0, len(problem.space)), dtype=np.int64), np.zeros((0, len(bounds)))
    for aim in aims:
        for tried, found in _turns(problem, used, aim, looks):
            if (found <= 1 + TOLERANCE).all(-1).any():
                return
            designs, usages = np.concatenate([designs, tried]), np.concatenate([usages, found])
    if bounds:
        others = [bound for bound in problem.constraints if bound not in bounds]
        kept = f" that keep {_listed(others)}" if others else ""
        _check(f"of {len(np.unique(designs, axis=0)):,} designs tried{kept} none", bounds, usages)


def _turns(
    problem: DesignProblem, used: Callable[[Designs], Values], aim: Aim, looks: Looks
) -> Iterator[tuple[Designs, Values]]:
    """Designs as they are tried, (batch, knobs), all within what is known, and their usages, (batch, bounds)."""
    space, outlook = problem.space, problem.outlook
    keys = np.random.default_rng(0).random((looks.starts, len(space), space.choices))
    keys[:2] = np.stack([np.arange(space.choices), np.arange(space.choices)[::-1]])[: looks.starts, None]
    designs = legal_designs(problem, keys)
    yield designs, used(designs)
    for knob in np.tile(np.flatnonzero(space.allowed.sum(-1) > 1), looks.passes):
        options = np.flatnonzero(space.allowed[knob])
        tried = np.repeat(designs, len(options), axis=0)  # (starts * options, knobs)
        tried[:, knob] = np.tile(options, looks.starts)
        legal = (outlook.usage(tried) <= 1 + TOLERANCE).all(-1)
        found, worth = used(tried[legal]), np.full(len(tried), np.inf)
        yield tried[legal], found
        worth[legal] = aim(found)
        designs[:, knob] = options[worth.reshape(looks.starts, -1).argmin(-1)]


def _check(subject: str, bounds: Sequence[Constraint], usages: Values) -> None:
    """Raise :class:`Infeasible` of designs, of usages (designs, bounds), if none keeps all bounds."""
    least, worst = usages.min(0), usages.max(-1)
    if (least > 1 + TOLERANCE).any():
        raise Infeasible(f"{subject} {_alone(bounds, least, 'the least of any')}")
    nearest = int(worst.argmin())
    if worst[nearest] > 1 + TOLERANCE:
        tightest = bounds[int(usages[nearest].argmax())]
        raise Infeasible(
            f"{subject} keeps {_listed(bounds)} together; the nearest uses {worst[nearest]:.4g} times what "
            f"{tightest.metric} grants"
        )


def _listed(bounds: Sequence[Constraint]) -> str:
    return " and ".join(f"{bound.metric} within {bound.limit:.6g}" for bound in bounds)


def _alone(bounds: Sequence[Constraint], least: Values, whose: str) -> str:
    """That a bound cannot be kept even alone: the tightest of them, by the least usages there are, (bounds,)."""
    bound, used = bounds[int(least.argmax())], float(least.max())
    value = bound.reference + used * (bound.limit - bound.reference)
    return f"keeps {_listed([bound])}; {whose} is {value:.6g}, {used:.4g} times the limit"
