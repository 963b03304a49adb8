"""Design spaces: named choices, and batches of designs as integer index arrays."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from codesign_gym.errors import BadConfig

Designs = NDArray[np.int64]  # (batch, knobs): the index of the value chosen for each knob


@dataclass(frozen=True)
class Knob:
    """One decision.

    Attributes:
        name: unique within its space.
        values: what can be chosen, from least to most where the knob is ordered.
        pinned: the index of the only value allowed, or None.
        ordered: whether neighbouring values are alike.
    """

    name: str
    values: tuple[float | str, ...]
    pinned: int | None = None
    ordered: bool = True

    def __post_init__(self) -> None:
        if not self.values:
            raise BadConfig(f"knob {self.name!r} has no values")
        if self.pinned is not None and not 0 <= self.pinned < len(self.values):
            raise BadConfig(f"knob {self.name!r} is pinned to value {self.pinned} of {len(self.values)}")


@dataclass(frozen=True)
class DesignSpace:
    """An ordered tuple of knobs; a design is one value index per knob."""

    knobs: tuple[Knob, ...]

    def __len__(self) -> int:
        return len(self.knobs)

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Number of values of each knob."""
        return tuple(len(knob.values) for knob in self.knobs)

    @cached_property
    def highest(self) -> NDArray[np.int64]:
        """What choices are told as a share of: each knob's last one, and 1 where there is but one; shape (knobs,)."""
        return np.asarray(np.maximum(np.array(self.sizes) - 1, 1))

    @cached_property
    def choices(self) -> int:
        """The largest number of values of any knob."""
        return max(self.sizes)

    @cached_property
    def allowed(self) -> NDArray[np.bool_]:
        """Which value indices each knob may take, shape (knobs, choices)."""
        allowed = np.zeros((len(self), self.choices), dtype=bool)
        for row, knob in zip(allowed, self.knobs, strict=True):
            row[: len(knob.values)] = True
            if knob.pinned is not None:
                row[:] = False
                row[knob.pinned] = True
        allowed.setflags(write=False)
        return allowed

    @cached_property
    def values(self) -> NDArray[np.float64]:
        """The knobs' values, NaN where a knob has fewer, shape (knobs, choices); numeric knobs only."""
        table = np.full((len(self), self.choices), np.nan)
        for row, knob in zip(table, self.knobs, strict=True):
            row[: len(knob.values)] = knob.values
        table.setflags(write=False)
        return table

    @property
    def size(self) -> int:
        """How many designs there are."""
        size = 1
        for row in self.allowed:
            size *= int(row.sum())
        return size

    def check(self, designs: Designs) -> None:
        """Refuse what are no designs of the space; one look at all of them.

        Raises:
            BadConfig: naming the shape or type, or the first knob that takes what it does not have, with its row.
        """
        found = np.asarray(designs)
        if found.ndim != 2 or found.shape[1] != len(self) or found.dtype.kind not in "iu":
            accepted = f"whole numbers of shape (batch, {len(self)})"
            raise BadConfig(f"designs are {found.dtype} of shape {found.shape}; accepted: {accepted}")
        if found.dtype != np.int64:
            found = found.astype(np.int64)
        if (found.view(np.uint64) < self._sizes).all():  # what is below 0 is large there
            return
        row, knob = np.argwhere((found < 0) | (found >= self._sizes.astype(np.int64)))[0]
        raise BadConfig(
            f"designs: knob {self.knobs[knob].name!r} of row {row} is {found[row, knob]}; accepted: the position of a "
            f"value, 0 to {self.sizes[knob] - 1}"
        )

    @cached_property
    def _sizes(self) -> NDArray[np.uint64]:
        return np.array(self.sizes, dtype=np.uint64)

    def sample(self, generator: np.random.Generator, batch: int) -> Designs:
        """Designs drawn uniformly, shape (batch, knobs)."""
        keys = np.where(self.allowed, generator.random((batch, len(self), self.choices)), -1.0)
        return np.asarray(keys.argmax(-1), dtype=np.int64)

    def enumerate(self, start: int, stop: int) -> Designs:
        """Designs number ``start`` to ``stop`` in a fixed order of the whole space, shape (stop - start, knobs)."""
        remaining = np.arange(start, stop)
        designs = np.empty((len(remaining), len(self)), dtype=np.int64)
        for knob in reversed(range(len(self))):
            options = np.flatnonzero(self.allowed[knob])
            remaining, digit = np.divmod(remaining, len(options))
            designs[:, knob] = options[digit]
        return designs
