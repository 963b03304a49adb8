"""How sure a difference in accuracy is, given the images it was measured on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from codesign_gym.errors import BadConfig


@dataclass(frozen=True)
class Interval:
    """A difference in accuracy with its bootstrap interval, in percentage points.

    Attributes:
        difference: accuracy of the first design minus that of the second.
        low, high: ends of the interval.
        confidence: probability that it is meant to cover, e.g. 0.95.
    """

    difference: float
    low: float
    high: float
    confidence: float


def paired_difference(
    first: np.ndarray,
    second: np.ndarray,
    generator: np.random.Generator,
    confidence: float = 0.95,
    resamples: int = 10_000,
) -> Interval:
    """Percentile bootstrap of the accuracy difference of two designs on the same images.

    Images are resampled in pairs, so that what is hard for both designs does not widen the interval.
    An image contributes -1, 0 or 1, so a resample is one multinomial draw of three counts (Efron and
    Tibshirani 1993, chapter 13, without the loop).

    Args:
        first: which images the first design got right, bool of shape (n,).
        second: the same of the second design, for the same images in the same order.
        generator: of the resamples.
        confidence: in (0, 1).
        resamples: how many.

    Raises:
        BadConfig: if the shapes differ or are empty, or an option is out of range.
    """
    one, other = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    if one.shape != other.shape or one.ndim != 1 or one.size == 0:
        raise BadConfig(f"results have shapes {one.shape} and {other.shape}; expected the same images, (n,) twice")
    if not 0 < confidence < 1 or resamples < 1:
        raise BadConfig(f"confidence is {confidence}, resamples {resamples}; accepted: in (0, 1), at least 1")
    wins, losses = int((one & ~other).sum()), int((other & ~one).sum())
    shares = np.array([wins, losses, one.size - wins - losses]) / one.size
    counts = generator.multinomial(one.size, shares, size=resamples)  # (resamples, 3)
    points = 100 * (counts[:, 0] - counts[:, 1]) / one.size
    tail = 50 * (1 - confidence)
    low, high = np.percentile(points, [tail, 100 - tail])
    return Interval(100 * (wins - losses) / one.size, float(low), float(high), confidence)
