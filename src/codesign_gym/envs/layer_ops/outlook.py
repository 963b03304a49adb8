"""Exact bounds for small spaces whose figures are no sums: minima over all completions of a half-built design."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from codesign_gym.envs.core.outlook import Index
from codesign_gym.envs.core.separable import Table
from codesign_gym.envs.core.space import Designs


@dataclass(frozen=True, eq=False)
class Enumerated:
    """The usages of every design, and so the least that any completion uses.

    Nothing is said of the loss; a usage is estimated by its bound.

    Attributes:
        usages: of all designs in order, the last knob fastest, shape (designs, constraints); 0 for what only an
            evaluation tells.
        sizes: choices of each knob, all of them allowed.
    """

    usages: Table
    sizes: tuple[int, ...]

    @property
    def slots(self) -> int:
        """Every knob for itself."""
        return 1

    @cached_property
    def _minima(self) -> tuple[Table, NDArray[np.int64]]:
        """Least usages behind every prefix (prefixes, constraints), shorter ones first; where each length starts."""
        levels = [self.usages]
        for size in reversed(self.sizes):
            levels.insert(0, levels[0].reshape(-1, size, self.usages.shape[1]).min(axis=1))
        starts = np.cumsum([0, *(len(level) for level in levels[:-1])])
        return np.concatenate(levels), starts

    def start(self) -> Table:
        """The least usages of all designs."""
        least = self._minima[0][0]
        return np.concatenate([[0.0], least, least])

    def added(self, design: Designs, knob: Index, prefix: Index, choice: Index) -> Table:
        """How much more the best completion uses."""
        minima, starts = self._minima
        place = self._place(design, knob)
        child = place * np.array(self.sizes)[knob] + choice
        change = minima[starts[knob + 1] + child] - minima[starts[knob] + place]
        return np.concatenate([np.zeros((len(change), 1)), change, change], axis=1)

    def changes(self, design: Designs, knob: Index, prefix: Index) -> Table:
        """The same for every choice; 0 for those that the knob does not have."""
        minima, starts = self._minima
        place, size = self._place(design, knob), np.array(self.sizes)[knob]
        choices = np.arange(max(self.sizes))
        child = place[:, None] * size[:, None] + np.minimum(choices, size[:, None] - 1)
        after = minima[starts[knob + 1][:, None] + child]  # (batch, choices, constraints)
        change = np.where((choices < size[:, None])[:, :, None], after - minima[starts[knob] + place][:, None], 0.0)
        return np.moveaxis(change, 1, 2)

    def usage(self, designs: Designs) -> Table:
        """One look-up."""
        return self.usages[self._place(designs, np.full(len(designs), len(self.sizes)))]

    def totals(self, designs: Designs, used: Table) -> Table:
        """No loss, and the metrics' usages."""
        return np.concatenate([np.zeros((len(used), 1)), used], axis=1)

    def _place(self, design: Designs, knob: Index) -> NDArray[np.int64]:
        """Position of each design's decided knobs among all prefixes of their number, shape (batch,)."""
        place = np.zeros((len(design), len(self.sizes) + 1), dtype=np.int64)
        for number, size in enumerate(self.sizes):
            place[:, number + 1] = place[:, number] * size + design[:, number]
        return np.asarray(place[np.arange(len(design)), knob])
