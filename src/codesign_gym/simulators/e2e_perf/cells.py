"""DARTS networks as batches of layers: what every operator of every edge of every cell computes.

Liu, Simonyan and Yang, DARTS, ICLR 2019: a cell has two inputs and four nodes; each node sums one operator per earlier
node, 14 edges in all; normal cells keep the resolution, two reduction cells halve it and double the channels.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: Operators from the cheapest to the dearest.
OPERATORS = (
    "none",
    "skip_connect",
    "avg_pool_3x3",
    "max_pool_3x3",
    "dil_conv_3x3",
    "dil_conv_5x5",
    "sep_conv_3x3",
    "sep_conv_5x5",
)
NODES, INPUTS = 4, 2
EDGES = sum(INPUTS + node for node in range(NODES))

#: Which edges start at a cell's input, where a reduction cell's operators have a stride of 2; shape (edges,).
FROM_INPUT = np.concatenate([np.arange(INPUTS + node) < INPUTS for node in range(NODES)])

LAYERS = 4  # of an operator, at most: a separable convolution is applied twice


@dataclass(frozen=True, eq=False)
class Work:
    """Layers as columns, each of shape (..., layers); a layer that does not exist is zero throughout.

    Attributes:
        macs: multiply-accumulates.
        windows: elements that pooling looks at.
        wide: most multiplications that can be done at a time: input times output channels, channels of a depthwise one.
        in_channels, out_channels: of a dense convolution; 1 and the channels of a depthwise or pooling layer.
        positions: output positions times window elements: cycles if all channels were done at a time.
        weights: their number.
        moved_in, moved_out: elements of the input and the output.
        count: how many times the network has the layer.
    """

    macs: Array
    windows: Array
    wide: Array
    in_channels: Array
    out_channels: Array
    positions: Array
    weights: Array
    moved_in: Array
    moved_out: Array
    count: Array

    def take(self, index: NDArray[np.int64]) -> Work:
        """Work of shape (..., layers) at an index of its leading axis."""
        return Work(*(column[index] for column in vars(self).values()))


@dataclass(frozen=True)
class Skeleton:
    """How cells are stacked.

    Attributes:
        cells: their number; those after a third and two thirds reduce.
        channels: of a node in the first cells.
        pixels: height and width of the image.
    """

    cells: int = 8
    channels: int = 16
    pixels: int = 32

    @cached_property
    def groups(self) -> tuple[tuple[bool, int, int, int], ...]:
        """Cells that are alike: whether they reduce, their channels and input pixels, and how many there are."""
        reductions = {self.cells // 3, 2 * self.cells // 3}
        found: dict[tuple[bool, int, int], int] = {}
        channels, pixels = self.channels, self.pixels
        for cell in range(self.cells):
            reduces = cell in reductions
            channels *= 2 if reduces else 1
            key = (reduces, channels, pixels)
            found[key] = found.get(key, 0) + 1
            pixels //= 2 if reduces else 1
        return tuple((*key, count) for key, count in found.items())

    @cached_property
    def table(self) -> Work:
        """Layers of every choice, columns of shape (knobs, operators, groups * layers); see :meth:`work`."""
        rows = [
            [
                [
                    _columns(layer, count)
                    for reduces, channels, pixels, count in self.groups
                    for layer in _operator(name, channels, pixels, 2 if reduces and FROM_INPUT[edge] else 1)
                    * (reduces == reducing)
                    or [_NOTHING] * LAYERS
                ]
                for name in OPERATORS
            ]
            for reducing in (False, True)
            for edge in range(EDGES)
        ]
        return Work(*np.moveaxis(np.array(rows, dtype=np.float64), -1, 0))

    @cached_property
    def fixed(self) -> Work:
        """Layers that every network has: the stem, two 1x1 convolutions before each cell, the classifier; (layers,)."""
        layers = [_columns(_conv(3, 3 * self.channels, 3, self.pixels), 1)]
        for _, channels, pixels, count in self.groups:
            layers.append(_columns(_conv(4 * channels, channels, 1, pixels), 2 * count))
        last = self.groups[-1]
        layers.append(_columns(_conv(4 * last[1], 10, 1, 1), 1))
        return Work(*np.array(layers, dtype=np.float64).T)

    def work(self, designs: NDArray[np.int64]) -> Work:
        """Layers of networks: the normal cell's 14 operators, then the reduction cell's.

        Args:
            designs: indices into :data:`OPERATORS`, shape (batch, 28).

        Returns:
            Columns of shape (batch, layers).
        """
        batch, knobs = designs.shape
        columns = []
        for column, always in zip(vars(self.table).values(), vars(self.fixed).values(), strict=True):
            chosen = column[np.arange(knobs), designs].reshape(batch, -1)
            columns.append(np.concatenate([chosen, np.broadcast_to(always, (batch, len(always)))], axis=1))
        return Work(*columns)


Layer = tuple[float, ...]  # the columns of Work, without the count
_NOTHING: Layer = (0.0,) * 9


def _columns(layer: Layer, count: int) -> tuple[float, ...]:
    return (*layer, float(count) if any(layer) else 0.0)


def _operator(name: str, channels: int, pixels: int, stride: int) -> list[Layer]:
    """The layers of an operator, padded to :data:`LAYERS`."""
    out = pixels // stride
    kind, _, rest = name.partition("_")
    kernel = int(rest[-1]) if rest[-1:].isdigit() else 1
    half = [_depthwise(channels, kernel, pixels, out), _conv(channels, channels, 1, out)]
    layers = {
        "none": [],
        "skip": [_conv(channels, channels, 1, out)] if stride > 1 else [],  # a factorised reduction
        "avg": [_pool(channels, kernel, pixels, out)],
        "max": [_pool(channels, kernel, pixels, out)],
        "dil": half,
        "sep": [*half, _depthwise(channels, kernel, out, out), _conv(channels, channels, 1, out)],
    }[kind]
    return [*layers, *[_NOTHING] * (LAYERS - len(layers))]


def _conv(in_channels: int, out_channels: int, kernel: int, out: int) -> Layer:
    taps, wide = kernel**2, in_channels * out_channels
    moved = in_channels * out**2, out_channels * out**2
    return (wide * taps * out**2, 0.0, wide, in_channels, out_channels, taps * out**2, wide * taps, *moved)


def _depthwise(channels: int, kernel: int, pixels: int, out: int) -> Layer:
    taps = kernel**2
    moved = channels * pixels**2, channels * out**2
    return (channels * taps * out**2, 0.0, channels, 1, channels, taps * out**2, channels * taps, *moved)


def _pool(channels: int, kernel: int, pixels: int, out: int) -> Layer:
    taps = kernel**2
    moved = channels * pixels**2, channels * out**2
    return (0.0, channels * taps * out**2, channels, 1, channels, taps * out**2, 0.0, *moved)
