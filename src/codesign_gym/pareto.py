"""Designs that no other beats, and what they beat together."""

from __future__ import annotations

import moocore
import numpy as np
from numpy.typing import NDArray

from codesign_gym.errors import BadConfig


def nondominated(points: NDArray[np.float64]) -> NDArray[np.int64]:
    """Positions of the rows that no other row equals or beats in every column, sorted by the columns in turn.

    Args:
        points: shape (n, metrics), less is better; of equal rows the first is kept.

    Raises:
        BadConfig: for NaN among the points.
    """
    _refuse_nan("points", points)
    left = np.lexsort(points.T[::-1])
    if points.shape[1] <= 2:  # in this order a row has to improve on the least of the last column so far
        last = points[left, -1]
        return left[np.append(True, last[1:] < np.minimum.accumulate(last)[:-1])] if len(left) else left
    kept = []
    while len(left):  # the first of the rest is beaten by none of it
        kept.append(left[0])
        left = left[(points[left] < points[left[0]]).any(1)]
    return np.array(kept, dtype=np.int64)


def hypervolume(points: NDArray[np.float64], reference: NDArray[np.float64]) -> float:
    """Volume between a reference point and the points that are better than it in every column.

    Args:
        points: shape (n, metrics), less is better.
        reference: shape (metrics,).

    Raises:
        BadConfig: for NaN among the points or in the reference.
    """
    _refuse_nan("points", points)
    _refuse_nan("reference", reference)
    inside = points[(points < reference).all(1)]
    return float(moocore.hypervolume(inside, ref=reference)) if len(inside) else 0.0


def _refuse_nan(field: str, numbers: NDArray[np.float64]) -> None:
    bad = np.argwhere(np.isnan(numbers))
    if len(bad):
        where = " of ".join(f"{axis} {i}" for axis, i in zip(("column", "row"), bad[0][::-1], strict=False))
        raise BadConfig(f"field {field!r} has nan in {where}; accepted: numbers, which can be compared")
