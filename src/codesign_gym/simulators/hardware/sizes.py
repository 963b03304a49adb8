"""Costs at sizes between those that hardware comes in, where a search or a compiler works at the latter only.

What is decided (a mapping, tiles, packed rows) is decided at sizes that there are. Between them its costs are mixed, so
that nothing jumps where the decision changes, and a number of processing elements has a gradient even where
it enters by the decision alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial, reduce
from operator import mul
from typing import Any, NamedTuple, TypeVar

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import NDArray

from codesign_gym.errors import BadConfig
from codesign_gym.simulators.hardware.host import beside, outside_graphs, plain
from codesign_gym.simulators.hardware.model import Costs
from codesign_gym.simulators.hardware.rounding import Exact, Rounding
from codesign_gym.simulators.networks.layers import Array

Model = TypeVar("Model")
Sizes = NDArray[np.float64]

#: From sizes to the nearest ones that there are: not above, and above.
Grid = Callable[[Sizes], tuple[Sizes, Sizes]]


def whole_numbers(size: Sizes) -> tuple[Sizes, Sizes]:
    """Every whole number from 1."""
    low = np.maximum(np.floor(size), 1)
    return low, low + 1


def powers_of_two(size: Sizes) -> tuple[Sizes, Sizes]:
    """1, 2, 4, ..."""
    low = np.maximum(2.0 ** np.floor(np.log2(size)), 1)
    return low, 2 * low


class _Cell(NamedTuple):
    """Where the free sizes of a model lie in their grids, NumPy arrays of shape (sizes, ...)."""

    low: Sizes
    high: Sizes
    rank: NDArray[np.intp]  # of a size among the others of its design, 0 for the one nearest to its high


def between_sizes(model: Model, grids: Mapping[str, Grid], rounding: Rounding, at: Callable[[Model], Costs]) -> Costs:
    """Costs of a model whose sizes may be real where rounding is relaxed: mixed of what is decided around them.

    The cell of the grid is cut into simplices (Kuhn, 1960; the Lovasz extension): for n sizes that are real or carry
    a gradient n + 1 corners are asked, the mixture is continuous, and at sizes that there are it is what is there.

    Args:
        model: a frozen record with the sizes as fields, numbers or arrays that broadcast against (..., layers).
        grids: name of a field to the sizes that there are.
        rounding: exact, or relaxed for sizes between those that there are.
        at: costs of the model by what is decided for another one, whose sizes are all on the grids.

    Raises:
        BadConfig: for a size that there is none of and exact rounding, naming the nearest.
    """
    check_sizes(model, grids, rounding)
    if isinstance(rounding, Exact):
        return at(model)
    free = {name: grid for name, grid in grids.items() if _is_free(getattr(model, name), grid)}
    if not free:
        return at(model)
    values = [getattr(model, name) for name in free]
    cell = _cell(values, list(free.values()))
    weights = _weights(values, cell)
    corners = []
    for corner, weight in enumerate(weights):
        sizes = np.where(cell.rank < corner, cell.high, cell.low)
        costs = at(replace(model, **dict(zip(free, sizes, strict=True))))  # type: ignore[type-var]
        corners.append(costs.map(partial(mul, weight)))
    return reduce(Costs.plus, corners)


@outside_graphs
def check_sizes(model: object, grids: Mapping[str, Grid], rounding: Rounding) -> None:
    """Refuse sizes that there are none of, unless rounding is relaxed; arguments as of :func:`between_sizes`.

    Raises:
        BadConfig: naming the first, and the nearest that there are.
    """
    for name, grid in grids.items() if isinstance(rounding, Exact) else ():
        size = plain(getattr(model, name)).astype(np.float64)
        low, high = grid(size)
        if (low != size).any():
            first = tuple(np.argwhere(low != size)[0])
            raise BadConfig(
                f"parameter {name!r} is {size[first]:g}; accepted: {low[first]:g} or {high[first]:g}, and what lies "
                "between them where rounding is relaxed"
            )


@outside_graphs
def _is_free(size: Array, grid: Grid) -> bool:
    """Whether a size lies between those that there are, in any design, or is asked for its gradient."""
    values = plain(size).astype(np.float64)
    return bool(getattr(size, "requires_grad", False) or (grid(values)[0] != values).any())


@outside_graphs
def _cell(values: list[Array], grids: list[Grid]) -> _Cell:
    sizes = np.stack(np.broadcast_arrays(*(plain(value).astype(np.float64) for value in values)))
    ends = [grid(own) for grid, own in zip(grids, sizes, strict=True)]
    low, high = (np.stack(own) for own in zip(*ends, strict=True))
    rank = np.argsort(np.argsort(-(sizes - low) / (high - low), axis=0, kind="stable"), axis=0)
    return _Cell(low, high, rank)


def _weights(values: list[Any], cell: _Cell) -> list[Array]:
    """Of every corner, arrays of the sizes' shape and library; they add up to 1."""
    like = next((value for value in values if hasattr(value, "detach")), np.float64(0))
    low, span, order = (beside(part, like) for part in (cell.low, cell.high - cell.low, np.argsort(cell.rank, axis=0)))
    xp = array_namespace(low)
    shares = xp.stack([(value - low[i]) / span[i] for i, value in enumerate(values)])
    falling = xp.take_along_axis(shares, order, axis=0)
    ends = [1.0, *(falling[i] for i in range(len(values))), 0.0]
    return [ends[i] - ends[i + 1] for i in range(len(values) + 1)]
