"""A made-up quality of operators and bitwidths together, whose best is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from codesign_gym.simulators.accuracy.twin import lognormal_sensitivities
from codesign_gym.simulators.operators.quality import additive_quality
from codesign_gym.simulators.operators.space import OperatorSpace

#: Bitwidth at which a network of one width everywhere loses a tenth of the best quality.
TENTH_AT_BITS = 4


@dataclass(frozen=True, eq=False)
class TabularQuality:
    """Sums of tables: what operators bring, less what narrow bitwidths take away.

    Attributes:
        brought: by every operator of every layer, shape (layers, operators).
        taken: by every bitwidth of a layer's weights and activations, shape (layers, 2, bitwidths).
        bit_values: the bitwidths.
    """

    brought: NDArray[np.float64]
    taken: NDArray[np.float64]
    bit_values: tuple[int, ...]
    metric_name: str = "quality"
    measured: bool = False
    images: int = 0

    @classmethod
    def drawn(cls, space: OperatorSpace, bit_values: tuple[int, ...], seed: int) -> TabularQuality:
        """Operators by :func:`additive_quality` of a seed; bitwidths by :func:`lognormal_sensitivities` of the next.

        Both are this project's own; the sensitivities are scaled so that four bits everywhere take a tenth.
        """
        layers = len(space)
        raw = lognormal_sensitivities(layers, (*bit_values, TENTH_AT_BITS), seed + 1)
        taken = 0.1 * raw[:, :, :-1] / raw[:, :, -1].sum()
        return cls(additive_quality(space, seed).table, taken, bit_values)

    def score(self, operators: NDArray[np.int64], bits: NDArray[np.int64]) -> NDArray[np.float64]:
        """Qualities of shape (batch,) of operators (batch, layers) at bitwidths (batch, layers, 2)."""
        layers = np.arange(len(self.brought))
        choice = np.searchsorted(self.bit_values, bits)  # (batch, layers, 2)
        taken = np.ascontiguousarray(self.taken[layers[:, None], np.arange(2), choice]).reshape(len(choice), -1)
        return np.asarray(np.ascontiguousarray(self.brought[layers, operators]).sum(-1) - taken.sum(-1))

    def claim(self, operators: NDArray[np.int64], bits: NDArray[np.int64]) -> dict[str, float]:
        """Nothing is measured."""
        return {}
