"""A model of a network's accuracy fitted to real measurements, which states how far off it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import spearmanr
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.model_selection import KFold

from codesign_gym.errors import BadConfig
from codesign_gym.simulators.accuracy.sensitivity import additive

#: Trees, and measured designs in a leaf: on 600 designs of digits-cnn and 300 of fashion-resnet8 extremely
#: randomised trees had the smallest cross-validated error among ridge, Gaussian processes and boosting.
TREES, LEAF = 200, 2

FOLDS = 5


@dataclass(frozen=True, eq=False)
class Surrogate:
    """Predicts accuracy from bitwidths; what it guided must be measured before it is reported.

    Attributes:
        model: fitted trees over :func:`features`.
        rises: sensitivities of shape (layers, 2, k), in nats.
        bit_values: the k bitwidths of ``rises``.
        seen: bitwidths of the measured designs per knob: smallest and largest, shape (2, layers, 2).
        designs: number of different measured designs.
        mae_points: mean absolute error on designs left out, in percentage points of accuracy.
        spearman: rank correlation of prediction and measurement on designs left out.
    """

    model: ExtraTreesRegressor
    rises: np.ndarray
    bit_values: tuple[int, ...]
    seen: np.ndarray
    designs: int
    mae_points: float
    spearman: float

    @classmethod
    def fit(
        cls,
        bits: np.ndarray,
        accuracy: np.ndarray,
        rises: np.ndarray,
        bit_values: Sequence[int],
        seed: int = 0,
    ) -> Surrogate:
        """Fit to measured designs, and estimate the error by five-fold cross-validation.

        A design measured more than once counts once, so that no copy of it is on both sides of a fold.

        Args:
            bits: shape (n, layers, 2).
            accuracy: measured, shape (n,), in [0, 1].
            rises: shape (layers, 2, k), of :func:`~codesign_gym.simulators.accuracy.sensitivity.sensitivities`.
            bit_values: the k bitwidths of its last axis.
            seed: of the folds and the trees.

        Raises:
            BadConfig: on shapes that do not fit, fewer than ten different designs, or values out of range.
        """
        designs, measured = _checked(bits, accuracy)
        x = features(designs, rises, bit_values)
        guesses = np.empty_like(measured)
        for fitted, left_out in KFold(FOLDS, shuffle=True, random_state=seed).split(x):
            guesses[left_out] = _trees(seed).fit(x[fitted], measured[fitted]).predict(x[left_out])
        return cls(
            model=_trees(seed).fit(x, measured),
            rises=rises,
            bit_values=tuple(bit_values),
            seen=np.stack([designs.min(axis=0), designs.max(axis=0)]),
            designs=len(designs),
            mae_points=float(100 * np.abs(guesses - measured).mean()),
            spearman=float(spearmanr(guesses, measured).statistic) if np.ptp(guesses) and np.ptp(measured) else 0.0,
        )

    def predict(self, bits: np.ndarray) -> np.ndarray:
        """Predicted accuracy, shape (...), of designs of shape (..., layers, 2).

        Raises:
            BadConfig: if a knob has fewer or more bits than any measured design gave it.
        """
        designs = np.asarray(bits)
        if designs.ndim < 2 or designs.shape[-2:] != self.seen.shape[1:]:
            raise BadConfig(f"bits have shape {designs.shape}; expected (..., {self.seen.shape[1]}, 2)")
        outside = (designs < self.seen[0]) | (designs > self.seen[1])
        if outside.any():
            where = np.argwhere(outside)[0]
            layer, knob = int(where[-2]), int(where[-1])
            low, high = self.seen[:, layer, knob]
            raise BadConfig(
                f"bits[..., {layer}, {knob}] is {designs[tuple(where)]}; the surrogate was fitted to {low} to {high} "
                "there"
            )
        flat = designs.reshape(-1, *designs.shape[-2:])
        predicted = self.model.predict(features(flat, self.rises, self.bit_values)) if len(flat) else np.empty(0)
        return np.asarray(predicted).reshape(designs.shape[:-2])


def features(bits: np.ndarray, rises: np.ndarray, bit_values: Sequence[int]) -> np.ndarray:
    """What the surrogate sees of designs of shape (n, layers, 2).

    Per knob the power of its quantization noise, which falls as 4^-bits; the additive prediction of
    the loss, on a logarithmic scale; and the accuracy-like share exp(-loss) it leaves.

    Returns:
        Shape (n, 2 * layers + 2).
    """
    loss = additive(rises, bit_values, bits)
    noise = 4.0 ** -bits.reshape(len(bits), -1).astype(float)
    # A thousandth of a nat is below what a split of a thousand images resolves.
    return np.column_stack([noise, np.log(loss + 1e-3), np.exp(-loss)])


def _trees(seed: int) -> ExtraTreesRegressor:
    return ExtraTreesRegressor(TREES, min_samples_leaf=LEAF, random_state=seed)


def _checked(bits: np.ndarray, accuracy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Different designs (n, layers, 2) with their accuracy (n,)."""
    designs, measured = np.asarray(bits), np.asarray(accuracy, dtype=float)
    if designs.ndim != 3 or designs.shape[2] != 2 or measured.shape != designs.shape[:1]:
        raise BadConfig(f"bits have shape {designs.shape}, accuracy {measured.shape}; expected (n, layers, 2) and (n,)")
    if not ((measured >= 0) & (measured <= 1)).all():
        raise BadConfig("an accuracy is outside [0, 1]")
    different, first = np.unique(designs, axis=0, return_index=True)
    if len(different) < 2 * FOLDS:
        raise BadConfig(f"{len(different)} different designs were measured; a surrogate needs at least {2 * FOLDS}")
    return different, measured[first]
