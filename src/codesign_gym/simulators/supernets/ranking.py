"""Whether a supernet ranks designs as trainings of their own do: rank correlations with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap, kendalltau, spearmanr

from codesign_gym.errors import BadConfig
from codesign_gym.simulators.supernets.measuring import Designs, Measurer

#: Designs below which an interval says nothing.
FEWEST = 4


@dataclass(frozen=True)
class Correlation:
    """A rank correlation with its percentile bootstrap interval over designs.

    Attributes:
        value: in [-1, 1].
        low, high: ends of the interval.
        confidence: probability that it is meant to cover.
    """

    value: float
    low: float
    high: float
    confidence: float


@dataclass(frozen=True, eq=False)
class Ranking:
    """Accuracies of the same designs with shared weights and with their own.

    Attributes:
        designs: shape (designs, layers).
        shared: with shared weights, on the search split, shape (designs,).
        own: trained by themselves, on the test split, mean over trainings, shape (designs,).
        kendall: tau-b between the two.
        spearman: rho between the two.
        agreement: mean Spearman's rho between two trainings of a design with different seeds: what the supernet could
            reach at best is about its root; NaN where each was trained once.
    """

    designs: Designs
    shared: NDArray[np.float64]
    own: NDArray[np.float64]
    kendall: Correlation
    spearman: Correlation
    agreement: float


def rank(
    shared: Measurer, own: Sequence[Measurer], count: int, generator: np.random.Generator, resamples: int = 2000
) -> Ranking:
    """Compare both on designs drawn uniformly without repetition.

    Args:
        shared: the supernet.
        own: trainings of single designs, one a seed.
        count: how many designs.
        generator: draws the designs and the resamples.
        resamples: of the bootstrap.

    Raises:
        BadConfig: for fewer than four designs or no training; and as :meth:`Measurer.accuracy`.
    """
    designs = draw(shared.trained.sizes, count, generator)
    predicted = shared.accuracy(designs)
    found = np.array([measurer.accuracy(designs, "test") for measurer in own])  # (trainings, designs)
    if len(found) == 0:
        raise BadConfig("rank correlation: there is no training to compare with; accepted: one or more")
    truth = found.mean(0)
    pairs = [(a, b) for b in range(len(found)) for a in range(b)]
    agreement = [spearmanr(found[a], found[b]).statistic for a, b in pairs]
    return Ranking(
        designs,
        predicted,
        truth,
        correlation(kendalltau, predicted, truth, generator, resamples),
        correlation(spearmanr, predicted, truth, generator, resamples),
        float(np.mean(agreement)) if pairs else float("nan"),
    )


def draw(sizes: tuple[int, ...], count: int, generator: np.random.Generator) -> Designs:
    """Different designs drawn uniformly, shape (count, layers), from layers of so many operators.

    Raises:
        BadConfig: if there are fewer in the space, or fewer than four are asked for.
    """
    size = int(np.prod(sizes))
    if not FEWEST <= count <= size:
        raise BadConfig(f"rank correlation: designs is {count}; accepted: {FEWEST} to the space's {size}")
    numbers = generator.choice(size, count, replace=False)
    return np.stack(np.unravel_index(numbers, sizes), axis=-1).astype(np.int64)


def correlation(
    statistic: Callable[[NDArray[np.float64], NDArray[np.float64]], object],
    one: NDArray[np.float64],
    other: NDArray[np.float64],
    generator: np.random.Generator,
    resamples: int = 2000,
    confidence: float = 0.95,
) -> Correlation:
    """A rank correlation of paired values (n,), with the percentile bootstrap over the pairs.

    Args:
        statistic: ``scipy.stats.kendalltau`` or ``spearmanr``.
        one: shape (n,).
        other: likewise.
        generator: of the resamples.
        resamples: how many.
        confidence: in (0, 1).
    """

    def value(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
        return float(statistic(first, second).statistic)  # type: ignore[attr-defined]

    found = bootstrap(
        (one, other), value, paired=True, vectorized=False, n_resamples=resamples, confidence_level=confidence,
        method="percentile", rng=generator,
    )  # fmt: skip
    interval = found.confidence_interval
    return Correlation(value(one, other), float(interval.low), float(interval.high), confidence)
