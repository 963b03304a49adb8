"""Designs as points of a box, in which a surrogate has gradients; and the way back to the nearest new design."""

from __future__ import annotations

from collections.abc import Iterator, Set
from dataclasses import dataclass
from functools import cached_property
from heapq import heappop, heappush

import numpy as np
from numpy.typing import NDArray

from codesign_gym.envs.core.space import Designs, DesignSpace

Points = NDArray[np.float64]  # (batch, features), each in [0, 1]


@dataclass(frozen=True)
class Encoding:
    """Ordered knobs as a number from 0 to 1, evenly spaced over their choices; others one-hot; pinned ones not at all.

    Positions stand for choices and not values: the values of a knob are often powers of two.

    Attributes:
        space: the design space.
    """

    space: DesignSpace

    @cached_property
    def features(self) -> int:
        """Length of a point."""
        return sum(self._widths)

    @cached_property
    def table(self) -> Points:
        """What each choice adds to a point, zero outside its knob's own features; (knobs, choices, features)."""
        table = np.zeros((len(self.space), self.space.choices, self.features))
        start = 0
        for knob, width in enumerate(self._widths):
            options = np.flatnonzero(self.space.allowed[knob])
            if width == 1:
                table[knob, options, start] = np.linspace(0.0, 1.0, len(options))
            else:
                table[knob, options, start + np.arange(width)] = 1.0
            start += width
        return table

    def points(self, designs: Designs) -> Points:
        """Points of shape (batch, features) of designs (batch, knobs)."""
        return np.asarray(self.table[np.arange(len(self.space)), designs].sum(1))

    def nearest(self, point: Points) -> Iterator[NDArray[np.int64]]:
        """Allowed designs (knobs,) from the nearest to a point (features,) to the farthest, in squared distance.

        The distance is a sum over knobs, so the next nearest design differs from one already found in one knob's next
        nearest choice.
        """
        order, steps = self._ranked(point)
        start = (0,) * len(self.space)
        heap, met = [(0.0, start)], {start}
        while heap:
            distance, ranks = heappop(heap)
            yield order[np.arange(len(ranks)), ranks]
            for knob in np.flatnonzero(np.isfinite(steps[np.arange(len(ranks)), ranks])):
                following = (*ranks[:knob], ranks[knob] + 1, *ranks[knob + 1 :])
                if following not in met:
                    met.add(following)
                    heappush(heap, (distance + steps[knob, ranks[knob]], following))

    def nearest_new(self, point: Points, known: Set[bytes]) -> NDArray[np.int64] | None:
        """The nearest allowed design (knobs,) whose bytes are not among the known ones; None if all are."""
        return next((design for design in self.nearest(point) if design.tobytes() not in known), None)

    def _ranked(self, point: Points) -> tuple[NDArray[np.int64], Points]:
        """Each knob's choices from the nearest on, and how much farther the next one is; inf after the last."""
        owned = (self.table > 0).any(axis=1, keepdims=True)  # (knobs, 1, features)
        squares: Points = (owned * (point - self.table) ** 2).sum(-1)
        distance = np.where(self.space.allowed, squares, np.inf)
        order = distance.argsort(axis=1, kind="stable").astype(np.int64)
        ranked = np.take_along_axis(distance, order, axis=1)
        following = np.append(ranked[:, 1:], np.full((len(ranked), 1), np.inf), axis=1)
        return order, following - np.where(np.isfinite(ranked), ranked, 0.0)

    @cached_property
    def _widths(self) -> tuple[int, ...]:
        """Features of each knob."""
        counts = self.space.allowed.sum(1)
        return tuple(
            0 if count == 1 else 1 if knob.ordered or count == 2 else int(count)
            for knob, count in zip(self.space.knobs, counts, strict=True)
        )
