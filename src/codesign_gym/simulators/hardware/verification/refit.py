"""Constants fitted again without the rows that they are judged by."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

Floats = NDArray[np.float64]
Rows = NDArray[np.bool_]

FOLDS = 8


def fitted(guess: Floats, predict: Callable[[Floats], Floats], reference: Floats, rows: Rows) -> Floats:
    """Positive constants that minimize the mean absolute logarithm of predicted over reference on some rows.

    Args:
        guess: shape (constants,), orders of magnitude; the same for every fold, so that no row shows through it.
        predict: from constants to predictions for all rows, shape (rows,).
        reference: shape (rows,).
        rows: which to fit to, shape (rows,).
    """

    def error(factors: Floats) -> float:
        return float(np.abs(np.log(predict(guess * np.abs(factors))[rows] / reference[rows])).mean())

    factors = np.ones(len(guess))
    for _ in range(2):  # a second start: the simplex may have collapsed
        found = minimize(error, factors, method="Nelder-Mead", options={"maxiter": 800, "xatol": 1e-4, "fatol": 1e-6})
        factors = found.x
    return np.asarray(guess * np.abs(factors))


def unseen(guess: Floats, predict: Callable[[Floats], Floats], reference: Floats, group: NDArray[np.int64]) -> Floats:
    """Predictions by constants fitted to rows of other groups, shape (rows,).

    Args:
        guess: as in :func:`fitted`.
        predict: as in :func:`fitted`.
        reference: as in :func:`fitted`.
        group: which rows belong together, numbered from 0, shape (rows,); groups are dealt to folds at random.
    """
    predicted = np.empty(len(reference))
    fold = np.random.default_rng(0).permutation(group.max() + 1)[group] % FOLDS
    for held in (fold == index for index in range(FOLDS)):
        if held.any():
            predicted[held] = predict(fitted(guess, predict, reference, ~held))[held]
    return predicted
