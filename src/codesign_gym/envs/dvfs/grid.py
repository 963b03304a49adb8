"""Times on a grid on which sums are exact, in whatever order they are made.

Lines of requests are added up over a whole batch at once, and one environment must see the bits that a batch of them
sees. Sums of multiples of a power of two are exact while they are below 2**53 of it. A grid of 2**32 points to an
interval is finer than anything a device is known by, and leaves room for the sums of a million environments.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: Points to an interval, as a power of two.
FINENESS = 32


@dataclass(frozen=True)
class Grid:
    """The grid of a length of time.

    Attributes:
        interval_s: the length.
    """

    interval_s: float

    @cached_property
    def span_s(self) -> float:
        """The least power of two that is no shorter than the interval."""
        return float(2.0 ** np.ceil(np.log2(self.interval_s)))

    def near(self, times_s: ArrayLike) -> NDArray[Any]:
        """The nearest points of the grid; infinity stays."""
        # Beyond this number doubles are as far apart as the grid's points are, so that adding it rounds to them.
        shift_s = 1.5 * 2.0 ** (52 - FINENESS) * self.span_s
        return np.asarray((np.asarray(times_s, dtype=np.float64) + shift_s) - shift_s)
