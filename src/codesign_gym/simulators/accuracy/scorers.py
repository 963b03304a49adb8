"""Ways to say how well a network does at given bitwidths, behind one method."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from codesign_gym.simulators.accuracy.quantized import QuantizedNetwork
from codesign_gym.simulators.accuracy.surrogate import Surrogate


@dataclass(frozen=True, eq=False)
class MeasuredAccuracy:
    """Share of the search split that the quantized network gets right."""

    quantized: QuantizedNetwork
    metric_name: str = "accuracy"
    measured: bool = True

    @property
    def images(self) -> int:
        """Images of the search split."""
        return len(self.quantized.trained.splits.search)

    def score(self, bits: NDArray[np.int64]) -> NDArray[np.float64]:
        """Shape (batch,), for bits of shape (batch, layers, 2)."""
        return np.asarray(self.quantized.accuracy(bits))


@dataclass(frozen=True, eq=False)
class PredictedAccuracy:
    """A surrogate's guess at the measured accuracy; designs that it guided are to be measured."""

    surrogate: Surrogate
    metric_name: str = "accuracy"
    measured: bool = False
    images: int = 0

    @property
    def mae_points(self) -> float:
        """The surrogate's mean absolute error on designs left out, in percentage points."""
        return self.surrogate.mae_points

    @property
    def spearman(self) -> float:
        """Its rank correlation with measurements left out."""
        return self.surrogate.spearman

    def score(self, bits: NDArray[np.int64]) -> NDArray[np.float64]:
        """Shape (batch,), for bits of shape (batch, layers, 2)."""
        return np.asarray(self.surrogate.predict(bits), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class AdditiveLoss:
    """The sum of a table's entries: exact for a tabular twin, a prediction for a real network.

    Attributes:
        table: loss of every knob at every bitwidth, shape (layers, 2, bitwidths).
        least_bits: the bitwidth of the table's first column; the others follow one by one.
    """

    table: NDArray[np.float64]
    least_bits: int
    metric_name: str = "loss"
    measured: bool = False
    images: int = 0

    def score(self, bits: NDArray[np.int64]) -> NDArray[np.float64]:
        """Shape (batch,), for bits of shape (batch, layers, 2)."""
        layers = np.arange(bits.shape[1])
        column = bits - self.least_bits
        return np.asarray(
            (self.table[layers, 0, column[..., 0]] + self.table[layers, 1, column[..., 1]]).sum(-1), dtype=np.float64
        )
