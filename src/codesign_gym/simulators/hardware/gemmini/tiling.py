"""Gemmini's loops: a layer as seven nested loops, their tiles, and how Gemmini's own software picks them.

Genc et al., "Gemmini: Enabling Systematic Deep-Learning Architecture Evaluation via Full-Stack
Integration", DAC 2021; the two heuristics are ``tiled_matmul_auto`` and ``tiled_conv_auto`` of
github.com/ucb-bar/gemmini-rocc-tests, ``include/gemmini.h``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from codesign_gym.errors import BadConfig
from codesign_gym.simulators.hardware.rounding import EXACT
from codesign_gym.simulators.networks.layers import Layers, Op

Ints = NDArray[np.int64]
Fits = Callable[[Ints], NDArray[np.bool_]]

ceil_div = EXACT.ceil_div

#: The loops in Gemmini's own order, outermost first; the last axis of ``extent`` and ``tile``.
LOOPS = ("batch", "rows", "columns", "outputs", "kernel_rows", "kernel_columns", "inputs")
BATCH, ROWS, COLUMNS, OUTPUTS, KERNEL_ROWS, KERNEL_COLUMNS, INPUTS = range(len(LOOPS))
OWN_ORDER = np.arange(len(LOOPS))

#: Bytes of an accumulator's element.
ACCUMULATOR_BYTES = 4


@dataclass(frozen=True, eq=False)
class Work:
    """Layers as loops.

    Attributes:
        extent: iterations of each of :data:`LOOPS`, int64 of shape (..., 7). A matrix product has its
            rows as ``columns``: both are unrolled over the array's height.
        stride: of the convolution, shape (...); 1 for a matrix product.
        is_matmul: whether Gemmini's matrix product runs it, not its convolution, shape (...).
    """

    extent: Ints
    stride: Ints
    is_matmul: NDArray[np.bool_]

    def pixels(self, tile: Ints) -> Ints:
        """Pixels of the images that a tile reads, shape (...); Gemmini fetches whole strides, and the padding."""
        rows = tile[..., ROWS] * self.stride + tile[..., KERNEL_ROWS] - 1
        columns = tile[..., COLUMNS] * self.stride + tile[..., KERNEL_COLUMNS] - 1
        return np.asarray(tile[..., BATCH] * rows * columns)

    def broadcast_to(self, shape: tuple[int, ...]) -> Work:
        """The same layers for every setting of the hardware."""
        return Work(
            np.broadcast_to(self.extent, (*shape, len(LOOPS))),
            np.broadcast_to(self.stride, shape),
            np.broadcast_to(self.is_matmul, shape),
        )


def work(layers: Layers) -> Work:
    """One group (and for a MATMUL row one image) of every row; a row that multiplies nothing becomes one product."""
    multiplies = np.asarray(layers.multiplies)
    is_matmul = ~np.asarray(layers.runs(Op.CONV))
    gemm = layers.gemm
    ones = np.ones_like(np.asarray(gemm.m))

    def convolution(column: object) -> Ints:
        return np.where(multiplies & ~is_matmul, np.asarray(column), 1)

    extent = np.stack(
        [
            convolution(layers.batch),
            convolution(layers.out_height),
            np.where(is_matmul, np.asarray(gemm.m), convolution(layers.out_width)),
            np.asarray(gemm.n) * ones,
            convolution(layers.kernel_height),
            convolution(layers.kernel_width),
            np.where(is_matmul, np.asarray(gemm.k), convolution(layers.in_channels // layers.groups)),
        ],
        -1,
    )
    return Work(extent.astype(np.int64), convolution(layers.stride), is_matmul)


def own_tiles(layers: Work, dim: Ints, scratchpad_bytes: Ints, accumulator_bytes: Ints) -> Ints:
    """Tiles that Gemmini's software picks, shape (..., 7): large ones that fit half of both memories.

    Args:
        layers: whose ``stride`` and ``is_matmul`` have the arguments' shape (...).
        dim: rows and columns of the array.
        scratchpad_bytes: one byte an element.
        accumulator_bytes: four bytes an element.

    Raises:
        BadConfig: if half of a memory is smaller than the smallest tile of a layer.
    """
    scratchpad_rows = scratchpad_bytes // dim // 2
    accumulator_rows = accumulator_bytes // (ACCUMULATOR_BYTES * dim) // 2
    convolution = _convolution_tiles(layers, dim, scratchpad_rows, accumulator_rows)
    product = _matmul_tiles(layers.extent, dim, scratchpad_rows, accumulator_rows)
    tile = np.where(layers.is_matmul[..., None], product, convolution)
    taken = rows_taken(layers, tile, dim)
    for name, needs, has in zip(("scratchpad", "accumulator"), taken, (scratchpad_rows, accumulator_rows), strict=True):
        if (needs > has).any():
            first = np.unravel_index(np.argmax(needs > has), needs.shape)
            row_bytes = int(np.broadcast_to(dim, needs.shape)[first]) * (
                ACCUMULATOR_BYTES if name == "accumulator" else 1
            )
            raise BadConfig(
                f"{name}_bytes: half of it has {has[first]} rows of {row_bytes} B; a layer's smallest tile takes "
                f"{needs[first]}, {(needs[first] - has[first]) * row_bytes} B too many"
            )
    return np.asarray(tile)


def rows_taken(layers: Work, tile: Ints, dim: Ints) -> tuple[Ints, Ints]:
    """Rows of ``dim`` elements that a tile takes in the scratchpad and in the accumulator, each of shape (...)."""
    outputs = ceil_div(tile[..., OUTPUTS], dim)
    weights = tile[..., KERNEL_ROWS] * tile[..., KERNEL_COLUMNS] * tile[..., INPUTS]
    scratchpad = ceil_div(tile[..., INPUTS], dim) * layers.pixels(tile) + outputs * weights
    return scratchpad, outputs * tile[..., BATCH] * tile[..., ROWS] * tile[..., COLUMNS]


def _convolution_tiles(layers: Work, dim: Ints, scratchpad_rows: Ints, accumulator_rows: Ints) -> Ints:
    """``tiled_conv_auto``: shrink the largest loop until the tile fits, then grow what still can be."""
    tile = np.where(layers.is_matmul[..., None], 1, layers.extent)

    def fits(candidate: Ints) -> NDArray[np.bool_]:
        scratchpad, accumulator = rows_taken(layers, candidate.astype(np.float64), dim)  # int64 might overflow
        return (scratchpad <= scratchpad_rows) & (accumulator <= accumulator_rows) & ~layers.is_matmul

    tile = _lowered(tile, dim, fits)
    while (too_large := ~fits(tile) & (tile.max(-1) > 1)).any():
        largest = tile.copy()
        kept = (tile[..., COLUMNS] <= dim) & (tile[..., ROWS] > 1)  # keeps the array's height busy
        largest[..., COLUMNS] = np.where(kept, 0, tile[..., COLUMNS])
        loop = largest.argmax(-1)[..., None]
        size = np.take_along_axis(tile, loop, -1)
        channel = (loop == OUTPUTS) | (loop == INPUTS)
        whole = np.maximum((size - 1) // dim[..., None] * dim[..., None], 1)
        smaller = np.where(channel, whole, size - 1)
        np.put_along_axis(tile, loop, np.where(too_large[..., None], smaller, size), -1)

    tile = _grown(tile, layers.extent, (COLUMNS,), fits)
    return _grown(tile, layers.extent, range(len(LOOPS)), fits)


def _lowered(tile: Ints, dim: Ints, fits: Fits) -> Ints:
    """The last tile that doesn't fit, of those that shrinking the largest loop passes with no loop above a level.

    Shrinking lowers all loops to one level after the other, and a tile fits wherever a larger one does. So that
    bisection over levels passes over steps of which there may be millions, and nothing that fits is missed. Levels
    are at least the array's side: below it the order of loops is another.
    """

    def at(level: Ints) -> Ints:
        lower = np.repeat(level[..., None], len(LOOPS), -1)
        lower[..., (OUTPUTS, INPUTS)] = (level // dim * dim)[..., None]
        return np.where(tile > level[..., None], lower, tile)

    fitting, failing = np.broadcast_to(dim - 1, tile.shape[:-1]), np.maximum(tile.max(-1), dim)
    while (failing - fitting > 1).any():
        middle = fitting + (failing - fitting) // 2
        fitted = fits(at(np.maximum(middle, dim)))
        fitting, failing = np.where(fitted, middle, fitting), np.where(fitted, failing, np.maximum(middle, fitting + 1))
    return at(np.maximum(failing, dim))


def _grown(tile: Ints, extent: Ints, loops: Iterable[int], fits: Fits) -> Ints:
    """The tile with each loop in turn one larger, round after round, while it fits."""
    growing = True
    while growing:
        growing = False
        for loop in loops:
            candidate = tile.copy()
            candidate[..., loop] += 1
            better = (candidate[..., loop] <= extent[..., loop]) & fits(candidate)
            tile = np.where(better[..., None], candidate, tile)
            growing |= bool(better.any())
    return tile


def _matmul_tiles(extent: Ints, dim: Ints, scratchpad_rows: Ints, accumulator_rows: Ints) -> Ints:
    """``tiled_matmul_auto``: a square of accumulators, as deep as half of what fits, then grown."""
    blocks = ceil_div(extent[..., (COLUMNS, OUTPUTS, INPUTS)], dim[..., None])
    operands, results = scratchpad_rows // dim, accumulator_rows // dim  # dim x dim matrices that fit
    side = np.sqrt(results).astype(np.int64)
    most = np.stack([side, side, operands // 2 // np.maximum(side, 1)], -1)
    tile = np.maximum(np.minimum(blocks, most), 1)

    def fits(candidate: Ints) -> NDArray[np.bool_]:
        i, j, k = candidate[..., 0], candidate[..., 1], candidate[..., 2]
        return ((i + j) * k <= operands) & (i * j <= results)

    tile = _grown(tile, blocks, (1, 0, 2), fits)
    found = np.ones_like(extent)
    found[..., (COLUMNS, OUTPUTS, INPUTS)] = np.minimum(tile * dim[..., None], extent[..., (COLUMNS, OUTPUTS, INPUTS)])
    return found
