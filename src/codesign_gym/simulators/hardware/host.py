"""Where a cost model leaves the caller's arrays for plain NumPy, and comes back.

Searching a mapping takes branches and tables that no graph holds and no gradient passes: it is done in
NumPy, once for a layer on some hardware, and what it decides becomes arrays beside the caller's own.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import numpy as np
from array_api_compat import array_namespace, device
from numpy.typing import NDArray

from codesign_gym.simulators.networks.layers import Array

P = ParamSpec("P")
T = TypeVar("T")


def plain(array: Array) -> NDArray[Any]:
    """The values of an array or a number in NumPy, without gradients, wherever they lie."""
    if isinstance(array, np.ndarray):
        return array  # as Dynamo traces it, too, to which a NumPy array is a tensor
    return np.asarray(array.detach().cpu() if hasattr(array, "detach") else array)


def beside(column: NDArray[Any], example: Array) -> Array:
    """A NumPy column as an array of the library, and on the processor, of another."""
    if isinstance(example, (np.ndarray, np.generic)):
        return column
    return array_namespace(example).asarray(np.array(column), device=device(example))


def machines(parameters: Mapping[str, Array]) -> tuple[list[dict[str, int | float]], NDArray[np.intp]]:
    """The different machines among parameters that broadcast, each in plain numbers, and which of them is whose.

    Args:
        parameters: name to a number or an array, of any library.

    Returns:
        The machines, and for every element of the parameters' common shape a position among them.
    """
    values = {name: plain(value) for name, value in parameters.items()}
    table = np.stack(np.broadcast_arrays(*(value.astype(np.float64) for value in values.values())), -1)
    distinct, which = np.unique(table.reshape(-1, len(values)), axis=0, return_inverse=True)
    kinds = [int if value.dtype.kind in "iu" else float for value in values.values()]
    found = [dict(zip(values, map(_typed, kinds, row), strict=True)) for row in distinct.tolist()]
    return found, which.reshape(table.shape[:-1])


def _typed(kind: type[int] | type[float], value: float) -> int | float:
    return kind(value)


def outside_graphs(work: Callable[P, T]) -> Callable[P, T]:
    """A function that ``torch.compile`` leaves out of its graphs: it runs as it is, each time, between them."""

    @wraps(work)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        torch = sys.modules.get("torch")
        if torch is None:
            return work(*args, **kwargs)
        # Also when not compiling: behind a break in a graph, Dynamo would trace every frame of the work by itself.
        kept_out: Callable[P, T] = torch.compiler.disable(work)
        return kept_out(*args, **kwargs)

    return run
