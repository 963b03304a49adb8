"""How an environment sees to it that a design keeps within its constraints.

``mask`` offers only choices from which every constraint can still be met, ``project`` repairs the
finished design, ``price`` charges for usage at a rate that adapts, ``none`` leaves it to the agent.
They are values and combine: ``"price+project"`` charges and repairs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from codesign_gym.envs.core.separable import Separable, Table
from codesign_gym.envs.core.space import Designs
from codesign_gym.errors import BadConfig, UnknownName

#: What there is to choose from where repair, which needs sums over knobs, is not possible.
Unrepaired = Literal["mask", "price", "none", "mask+price", "price+mask"]

TOLERANCE = 1e-9  # relative; sums of tables are exact to about 1e-15 per layer


@dataclass(frozen=True)
class Price:
    """A multiplier per constraint that rises while a constraint is exceeded and falls while it is not.

    Attributes:
        rate: the price is multiplied by ``exp(rate * (usage - 1))`` after every episode.
        spread: the price stays within this factor of its start.
    """

    rate: float = 1.0
    spread: float = 1e3

    def start(self, separable: Separable) -> Table:
        """The price at which uniform designs on both sides of the limit look alike, shape (constraints,).

        Uniform designs give every knob the same choice; the slope of loss against usage where they
        cross the limit is a sound first guess of a constraint's shadow price.
        """
        uniform = separable.totals(uniform_designs(separable))
        prices = np.ones(len(separable.usage))
        for k in range(len(prices)):
            order = np.argsort(uniform[:, 1 + k])
            usage, loss = uniform[order, 1 + k], uniform[order, 0]
            above = int(np.clip(np.searchsorted(usage, 1.0), 1, len(usage) - 1)) if len(usage) > 1 else 0
            rise = usage[above] - usage[above - 1]
            if above and rise > 0:
                prices[k] = max((loss[above - 1] - loss[above]) / rise, 1e-3)
        return prices

    def update(self, price: Table, usage: Table, start: Table) -> Table:
        """The next price, shape (batch, constraints), after episodes that used ``usage``."""
        change = np.exp(np.clip(self.rate * (usage - 1.0), -1.0, 1.0))
        return np.clip(price * change, start / self.spread, start * self.spread)


@dataclass(frozen=True)
class Enforcement:
    """Which of the means are used together."""

    mask: bool = False
    project: bool = False
    price: Price | None = None


def enforcement(name: str) -> Enforcement:
    """The enforcement of a name or of names joined by ``+``.

    Raises:
        UnknownName: with the nearest name.
        BadConfig: for ``none`` beside others.
    """
    parts = set(name.split("+"))
    known = ("mask", "project", "price", "none")
    for part in sorted(parts - set(known)):
        raise UnknownName("enforcement", part, known)
    if "none" in parts and len(parts) > 1:
        raise BadConfig(f"enforcement is {name!r}; accepted: 'none' alone, or others joined by '+'")
    return Enforcement("mask" in parts, "project" in parts, Price() if "price" in parts else None)


def uniform_designs(separable: Separable) -> Designs:
    """One design per choice, every knob at that choice where it may be (else at the nearest), (choices, knobs)."""
    wanted = np.arange(separable.choices)[:, None, None]
    distance = np.abs(np.arange(separable.choices) - wanted)  # (choices, 1, choices)
    nearest = np.where(separable.allowed, distance, separable.choices).argmin(-1)
    return np.asarray(nearest, dtype=np.int64)


def best_uniform(separable: Separable) -> float:
    """The loss of the best uniform design that meets the constraints (else of the one nearest to them)."""
    totals = separable.totals(uniform_designs(separable))
    met = within(totals[:, 1:])
    candidates = totals[met, 0] if met.any() else totals[[totals[:, 1:].max(-1).argmin()], 0]
    return max(float(candidates.min()), 1e-12)


def within(usage: Table) -> NDArray[np.bool_]:
    """Whether usages of shape (..., constraints) keep every limit."""
    return np.asarray((usage <= 1 + TOLERANCE).all(-1))


def legal(allowed: NDArray[np.bool_], bound: Table, change: Table) -> NDArray[np.bool_]:
    """Choices from which every constraint can still be met.

    Where several constraints leave none (which tables that are not monotone the same way can bring
    about), the choice that exceeds them least stays legal, so that no mask is ever empty.

    Args:
        allowed: shape (batch, choices).
        bound: least usage that can still be reached, shape (batch, constraints).
        change: what each choice adds to it, shape (batch, constraints, choices).
    """
    worst = (bound[:, :, None] + change).max(1, initial=0.0)  # (batch, choices)
    mask: NDArray[np.bool_] = allowed & (worst <= 1 + TOLERANCE)
    stuck = ~mask.any(-1)
    if stuck.any():
        least = np.where(allowed[stuck], worst[stuck], np.inf).argmin(-1)
        mask[np.flatnonzero(stuck), least] = True
    return mask


def project(separable: Separable, designs: Designs) -> Designs:
    """Repair designs that exceed a constraint, as HAQ does (Wang et al., CVPR 2019, section 3.3).

    Knobs are visited from the last to the first, again and again; each visit moves the knob by one
    choice in the direction that uses less (for a budget on cost: one bit fewer), until every
    constraint is met or nothing moves any more. Constraints are seen to one after another, so that
    of two that pull in opposite directions the last one is met.

    Args:
        separable: the tables.
        designs: shape (batch, knobs).
    """
    designs = designs.copy()
    for constraint in range(len(separable.usage)):
        _lower(separable, designs, constraint)
    return designs


def _lower(separable: Separable, designs: Designs, constraint: int) -> None:
    """Repair designs, in place, as far as one constraint is concerned."""
    direction = _cheaper(separable, constraint)
    end = uniform_designs(separable)[0 if direction < 0 else -1]
    usage = separable.columns[1 + constraint]
    totals = separable.totals(designs)[:, 1 + constraint]
    failing = np.flatnonzero(totals > 1 + TOLERANCE)
    while len(failing) and (designs[failing] != end).any():
        for knob in reversed(range(designs.shape[1])):
            movable = failing[designs[failing, knob] != end[knob]]
            group = knob // separable.slots
            totals[movable] -= usage[group, _group_joint(separable, designs[movable], group)]
            designs[movable, knob] += direction
            totals[movable] += usage[group, _group_joint(separable, designs[movable], group)]
            failing = failing[totals[failing] > 1 + TOLERANCE]
            if not len(failing):
                break


def _group_joint(separable: Separable, designs: Designs, group: int) -> NDArray[np.int64]:
    """One group's joint choice in each design, shape (batch,)."""
    part = designs[:, group * separable.slots : (group + 1) * separable.slots]
    return np.asarray(part @ (separable.choices ** np.arange(separable.slots)[::-1]))


def _cheaper(separable: Separable, constraint: int) -> int:
    """-1 where lower choices use less of a constraint, else +1."""
    ends = separable.totals(uniform_designs(separable)[[0, -1]])[:, 1 + constraint]
    return -1 if ends[0] <= ends[1] else 1
