"""Which lines the caches behind Gemmini lack, found by walking a layer's loops from the inside out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from codesign_gym.simulators.hardware.gemmini.tiling import (
    BATCH,
    COLUMNS,
    INPUTS,
    KERNEL_COLUMNS,
    KERNEL_ROWS,
    OUTPUTS,
    ROWS,
    Ints,
    Work,
)

Floats = NDArray[np.float64]

#: Bytes of a line of the caches; elements are bytes.
LINE_BYTES = 64
#: Transfers for a missing line of inputs, of weights and of outputs, which are fetched and written back.
TRANSFERS = np.array([1, 1, 2])


def missing_lines(loops: Work, tile: Ints, order: Ints, capacity_bytes: Ints | int) -> Floats:
    """Lines moved between a cache and what lies behind it, shape (...).

    While what one iteration of a loop over tiles spans fits the cache, the loop's other iterations miss
    only lines that are new; otherwise they miss everything again. Partial sums stay in the accumulator,
    so that loops over a reduction don't touch the outputs again. A layer whose tensors fit together
    finds them in the cache.

    Args:
        loops: layers, shape (...).
        tile: iterations of every loop in a tile, shape (..., 7).
        order: the loops over tiles from the outermost to the innermost, shape (..., 7) or (7,).
        capacity_bytes: of the cache, shape (...) or a number.
    """
    order = np.broadcast_to(order, tile.shape)
    covered, touched = tile, _lines(loops, tile, strided=True)
    missing = touched
    for level in reversed(range(tile.shape[-1])):
        loop = order[..., level, None]  # (..., 1)
        fits = _lines(loops, covered, strided=False).sum(-1) * LINE_BYTES <= capacity_bytes
        size = np.take_along_axis(loops.extent, loop, -1)
        iterations = size / np.take_along_axis(covered, loop, -1)
        covered = covered.copy()
        np.put_along_axis(covered, loop, size, -1)
        grown = _lines(loops, covered, strided=True)
        again = np.where(fits[..., None], grown / touched, iterations)
        again[..., 2] = np.where(loop[..., 0] >= KERNEL_ROWS, 1, again[..., 2])
        missing, touched = missing * again, grown
    warm = _lines(loops, covered, strided=False).sum(-1) * LINE_BYTES <= capacity_bytes
    return np.where(warm, 0.0, (missing * TRANSFERS).sum(-1))


def _lines(loops: Work, tile: Ints, *, strided: bool) -> Floats:
    """Lines of inputs, weights and outputs of a tile, shape (..., 3).

    A tile with some of a tensor's channels touches parts of rows: ``strided`` counts the lines that it
    touches, otherwise those that it spans. A strided tensor uses only some of a cache's sets, so that
    its span is what competes for the cache.
    """
    weights = tile[..., KERNEL_ROWS] * tile[..., KERNEL_COLUMNS] * tile[..., INPUTS]
    outputs = tile[..., BATCH] * tile[..., ROWS] * tile[..., COLUMNS]
    found = []
    for rows, loop in ((loops.pixels(tile), INPUTS), (weights, OUTPUTS), (outputs, OUTPUTS)):
        part, whole = tile[..., loop], loops.extent[..., loop]
        span = rows * whole / LINE_BYTES
        found.append(np.where(part < whole, rows * np.ceil(part / LINE_BYTES), span) if strided else span)
    return np.stack(found, -1)
