"""How a cost model rounds: a value passed in, exact for figures or relaxed for gradients.

Hardware works in whole tiles, folds and packets, so cost models round up; a gradient through that is
zero almost everywhere. A model that offers gradients takes a :class:`Rounding` as its last argument
and rounds, and takes maxima, through it alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from array_api_compat import array_namespace

from codesign_gym.simulators.networks.layers import Array


class Rounding(Protocol):
    """The two operations of a cost model that have no useful gradient."""

    def ceil_div(self, whole: Array, part: Array) -> Array:
        """How many parts cover the whole, both positive."""
        ...

    def maximum(self, left: Array, right: Array) -> Array:
        """The larger one, both non-negative."""
        ...


@dataclass(frozen=True)
class Exact:
    """What the hardware does, in int64 or float64."""

    def ceil_div(self, whole: Array, part: Array) -> Array:
        """Exact for integers, and for floats below 2**53."""
        return -(-whole // part)

    def maximum(self, left: Array, right: Array) -> Array:
        """The larger one."""
        return _namespace(left, right).maximum(left, right)


@dataclass(frozen=True)
class Relaxed:
    """Smooth in sizes, bitwidths, bandwidths and clocks.

    Parts may be broken, but at least one is needed, and maxima are bent: both are p-norms, of the ratio
    and 1 and of the two numbers. They overstate the unrounded value by at most a factor 2**(1/p), where
    the two are equal.
    """

    p: float = 16.0

    def ceil_div(self, whole: Array, part: Array) -> Array:
        """``whole / part``, bent to stay above 1."""
        ratio = whole / part
        return self.maximum(ratio, ratio * 0 + 1)

    def maximum(self, left: Array, right: Array) -> Array:
        """The p-norm of the two, scaled by the larger so that no power overflows."""
        xp = _namespace(left, right)
        larger, smaller = xp.maximum(left, right), xp.minimum(left, right)
        share = smaller / xp.where(larger > 0, larger, larger * 0 + 1)
        return larger * (1 + share**self.p) ** (1 / self.p)


EXACT: Rounding = Exact()
RELAXED: Rounding = Relaxed()


def _namespace(*arrays: Array) -> Any:
    return array_namespace(*(array for array in arrays if hasattr(array, "dtype")))
