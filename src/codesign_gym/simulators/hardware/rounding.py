"""How a cost model rounds: a value passed in, exact for figures or relaxed for gradients.

Hardware works in whole tiles, folds and packets, and data either fit a buffer or do not: cost models
round up and compare, and a gradient through that is zero almost everywhere. A model that offers
gradients takes a :class:`Rounding` as its last argument and rounds, compares and takes maxima through
it alone. Operands are arrays, or numbers beside arrays (at least one of a pair is an array).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from array_api_compat import array_namespace

from codesign_gym.simulators.networks.layers import NUMBERS, Array


class Rounding(Protocol):
    """The operations of a cost model that have no useful gradient."""

    def ceil_div(self, whole: Array, part: Array) -> Array:
        """How many parts cover the whole, both positive."""
        ...

    def maximum(self, left: Array, right: Array) -> Array:
        """The larger one, both non-negative."""
        ...

    def minimum(self, left: Array, right: Array) -> Array:
        """The smaller one, both non-negative."""
        ...

    def exceeds(self, whole: Array, limit: Array) -> Array:
        """1 where the whole is beyond the limit, else 0; both positive."""
        ...


@dataclass(frozen=True)
class Exact:
    """What the hardware does, in int64 or float64."""

    def ceil_div(self, whole: Array, part: Array) -> Array:
        """Exact for integers, and for whole numbers below 2**53 in float64 (whose quotient rounds past no integer)."""
        if _integral(whole) and _integral(part):
            return -(-whole // part)
        return _namespace(whole, part).ceil(whole / part)

    def maximum(self, left: Array, right: Array) -> Array:
        """The larger one."""
        left, right = _arrays(left, right)
        return _namespace(left, right).maximum(left, right)

    def minimum(self, left: Array, right: Array) -> Array:
        """The smaller one."""
        left, right = _arrays(left, right)
        return _namespace(left, right).minimum(left, right)

    def exceeds(self, whole: Array, limit: Array) -> Array:
        """The comparison, bool."""
        return whole > limit


@dataclass(frozen=True)
class Relaxed:
    """Smooth in sizes, bitwidths, bandwidths and clocks.

    Parts may be broken, but at least one is needed, and maxima are bent: both are p-norms, of the ratio
    and 1 and of the two numbers. They overstate the unrounded value by at most a factor 2**(1/p), where
    the two are equal; minima understate it as much. A comparison becomes a logistic curve over the
    logarithm of the ratio, a half where the two are equal.
    """

    p: float = 16.0

    def ceil_div(self, whole: Array, part: Array) -> Array:
        """``whole / part``, bent to stay above 1."""
        return self.maximum(whole / part, 1)

    def maximum(self, left: Array, right: Array) -> Array:
        """The p-norm of the two, scaled by the larger so that no power overflows."""
        larger, bend = self._bent(left, right)
        return larger * bend

    def minimum(self, left: Array, right: Array) -> Array:
        """The product of the two over :meth:`maximum`."""
        larger, bend = self._bent(left, right)
        return left * right / (_or_one(larger) * bend)

    def exceeds(self, whole: Array, limit: Array) -> Array:
        """``whole**p / (whole**p + limit**p)``, written so that no power overflows."""
        xp = _namespace(whole, limit)
        return (1 + xp.tanh(self.p / 2 * xp.log(whole / limit))) / 2

    def _bent(self, left: Array, right: Array) -> tuple[Array, Array]:
        """The larger of the two, and by what factor their p-norm is above it."""
        left, right = _arrays(left, right)
        xp = _namespace(left, right)
        larger, smaller = xp.maximum(left, right), xp.minimum(left, right)
        return larger, (1 + (smaller / _or_one(larger)) ** self.p) ** (1 / self.p)


EXACT: Rounding = Exact()
RELAXED: Rounding = Relaxed()


def _namespace(left: Array, right: Array) -> Any:
    array = right if isinstance(left, NUMBERS) else left
    # Asking takes longer than a small ceil; NumPy's float64 is a number of Python's, too.
    return np if isinstance(array, (np.ndarray, *NUMBERS)) else array_namespace(array)


def _arrays(left: Array, right: Array) -> tuple[Array, Array]:
    """A number beside an array as an array of its library, on its device: torch's maxima take no numbers."""
    if isinstance(left, NUMBERS):
        return right * 0 + left, right
    return left, left * 0 + right if isinstance(right, NUMBERS) else right


def _or_one(value: Array) -> Array:
    """The value, or 1 where it is 0."""
    return _namespace(value, value).where(value > 0, value, value * 0 + 1)


def _integral(operand: Array) -> bool:
    if isinstance(operand, np.ndarray):
        return operand.dtype.kind in "iu"
    if isinstance(operand, NUMBERS):
        return isinstance(operand, int)
    return bool(array_namespace(operand).isdtype(operand.dtype, "integral"))
