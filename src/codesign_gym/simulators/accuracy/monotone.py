"""From predicted loss to accuracy: a monotone curve through measured designs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.isotonic import IsotonicRegression
from sklearn.model_selection import KFold

from codesign_gym.simulators.accuracy.sensitivity import additive


@dataclass(frozen=True, eq=False)
class PredictedByLoss:
    """Accuracy predicted from the sum of sensitivities, by isotonic regression on measured designs.

    Attributes:
        rises: sensitivities of shape (layers, 2, k), in nats.
        bit_values: the k bitwidths of its last axis.
        curve: fitted regression; never rises with the predicted loss.
        losses: predicted losses that it was fitted to, ascending.
        mae_points: mean absolute error on designs left out, in percentage points of accuracy.
        spearman: rank correlation of predicted loss and measured accuracy, sign turned.
    """

    rises: NDArray[np.float64]
    bit_values: tuple[int, ...]
    curve: IsotonicRegression
    losses: NDArray[np.float64]
    mae_points: float
    spearman: float
    metric_name: str = "accuracy"
    measured: bool = False
    images: int = 0

    @classmethod
    def fit(
        cls,
        bits: NDArray[np.int64],
        accuracy: NDArray[np.float64],
        rises: NDArray[np.float64],
        bit_values: Sequence[int],
    ) -> PredictedByLoss:
        """Fit to measured designs.

        Args:
            bits: shape (n, layers, 2).
            accuracy: measured, shape (n,).
            rises: shape (layers, 2, k).
            bit_values: the k bitwidths of its last axis.
        """
        losses = additive(rises, bit_values, bits)
        guesses = np.empty_like(losses)
        for fitted, left_out in KFold(min(5, len(losses)), shuffle=True, random_state=0).split(losses):
            guesses[left_out] = _curve().fit(losses[fitted], accuracy[fitted]).predict(losses[left_out])
        return cls(
            rises=rises,
            bit_values=tuple(bit_values),
            curve=_curve().fit(losses, accuracy),
            losses=np.sort(losses),
            mae_points=float(100 * np.abs(guesses - accuracy).mean()),
            spearman=-float(spearmanr(losses, accuracy).statistic) if np.ptp(losses) and np.ptp(accuracy) else 0.0,
        )

    def score(self, bits: NDArray[np.int64]) -> NDArray[np.float64]:
        """Predicted accuracy, shape (batch,), for bits of shape (batch, layers, 2)."""
        return np.asarray(self.curve.predict(additive(self.rises, self.bit_values, bits)), dtype=np.float64)

    def largest_loss(self, floor: float) -> float:
        """The largest predicted loss at which the curve still keeps an accuracy; the least seen where it never does."""
        grid = np.geomspace(max(self.losses[0], 1e-6), max(self.losses[-1], 2e-6), 512)
        kept = grid[self.curve.predict(grid) >= floor]
        return float(kept.max()) if len(kept) else float(grid[0])


def _curve() -> IsotonicRegression:
    return IsotonicRegression(increasing=False, out_of_bounds="clip")
