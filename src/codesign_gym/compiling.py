"""Functions that numba compiles at their first call and keeps on disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., object])


def compiled(function: F) -> F:
    """The function, compiled at its first call and kept on disk, where there is a place to write to.

    Rounding is IEEE 754's, so that bits are the same in every batch.
    """
    try:
        return cast(F, numba.njit(cache=True, error_model="numpy", inline="always")(function))
    except RuntimeError:  # numba finds no folder that it can write to
        return cast(F, numba.njit(error_model="numpy", inline="always")(function))
