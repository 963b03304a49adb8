"""Loops of a layer and the tiles that MAERI maps at a time, as records of columns.

Loops are named as in MAERI and STONNE: R and S are the kernel's height and width, C the input channels and
K the output channels of a group, G the groups, N the images, X' and Y' the output's height and width. A
tile T_R x T_S x T_C is one virtual neuron; T_K x T_G x T_N x T_X' x T_Y' of them work side by side. A loop
that its tile does not divide ends in a partly filled pass, which takes as long as a full one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codesign_gym.errors import BadConfig
from codesign_gym.simulators.networks.layers import Layers, Op

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Loops:
    """An entry per loop, arrays of one shape: the extents of a layer's loops, or a tile of each."""

    r: Ints
    s: Ints
    c: Ints
    k: Ints
    g: Ints
    n: Ints
    x: Ints
    y: Ints

    def __iter__(self) -> Iterator[Ints]:
        return (getattr(self, field.name) for field in fields(self))

    def of(self, case: Any) -> Loops:
        """The entries that an index picks."""
        return Loops(*(column[case] for column in self))

    @property
    def neuron(self) -> Ints:
        """Products that a virtual neuron sums, T_R x T_S x T_C."""
        return self.r * self.s * self.c

    @property
    def neurons(self) -> Ints:
        """Virtual neurons side by side, T_K x T_G x T_N x T_X' x T_Y'."""
        return self.k * self.g * self.n * self.x * self.y


#: Names of the loops as mappings are written.
NAMES = {"r": "R", "s": "S", "c": "C", "k": "K", "g": "G", "n": "N", "x": "X'", "y": "Y'"}


def loops(layers: Layers) -> Loops:
    """The loops of every row, columns of the layers' shape; rows that multiply nothing have loops of 1.

    A product of two activations has a group for every head and image.
    """
    product = layers.op == Op.MATMUL
    images = np.where(product, layers.batch, 1)
    extents = Loops(
        r=layers.kernel_height,
        s=layers.kernel_width,
        c=layers.in_channels // layers.groups,
        k=layers.out_channels // layers.groups,
        g=layers.groups * images,
        n=layers.batch // images,
        x=layers.out_height,
        y=layers.out_width,
    )
    return Loops(*(np.where(layers.multiplies, column, 1) for column in extents))


def check(extents: Loops, tiles: Loops, folds_in_tree: Any, multipliers: Any) -> None:
    """Refuse tiles that no hardware of so many multipliers can run.

    Args:
        extents: of the loops.
        tiles: of a shape that broadcasts with ``extents``.
        folds_in_tree: whether folded sums need no multiplier of their own, bool.
        multipliers: of the hardware.

    Raises:
        BadConfig: naming the first tile that covers nothing of its loop or exceeds it, or the multipliers that
            the virtual neurons take, and by how much.
    """
    for name, (extent, tile) in zip(NAMES.values(), zip(extents, tiles, strict=True), strict=True):
        extent, tile = np.broadcast_arrays(extent, tile)
        for wrong, word in ((tile < 1, "covers nothing of"), (tile > extent, "exceeds")):
            if wrong.any():
                first = tuple(np.argwhere(wrong)[0])
                raise BadConfig(
                    f"field 'T_{name}' is {tile[first]}{_where(first)}: it {word} loop {name} of {extent[first]}; "
                    f"accepted: 1 to {extent[first]}"
                )
    folded = (extents.neuron > tiles.neuron) & ~np.asarray(folds_in_tree, dtype=bool)
    taken, room = np.broadcast_arrays(tiles.neurons * (tiles.neuron + folded), multipliers)
    if (taken > room).any():
        first = tuple(np.argwhere(taken > room)[0])
        raise BadConfig(
            f"tiles take {taken[first]} multipliers{_where(first)}, {taken[first] - room[first]} more than there are: "
            f"{room[first]} (T_R x T_S x T_C, plus 1 where partial sums come back, times the virtual neurons)"
        )


def _where(index: tuple[int, ...]) -> str:
    return f" at {list(map(int, index))}" if index else ""


def candidates(extents: tuple[int, ...], multipliers: int, folds_in_tree: bool, most: int = 14) -> Loops:
    """A table of tiles for one layer, columns of shape (candidates,), all of which fit.

    Of every loop, the smallest tile for each number of passes, thinned to ``most`` of them.

    Args:
        extents: of the loops, in the order of :class:`Loops`.
        multipliers: of the hardware.
        folds_in_tree: whether folded sums need no multiplier of their own.
        most: tiles per loop.
    """
    table = np.ones((1, 0), dtype=np.int64)
    for extent in extents:
        passes = -(-extent // np.arange(1, min(extent, multipliers) + 1))
        sizes = np.unique(-(-extent // np.unique(passes)))
        sizes = sizes[sizes <= multipliers]
        picked = sizes[np.unique(np.linspace(0, sizes.size - 1, most).round().astype(np.int64))]
        table = np.column_stack([np.repeat(table, picked.size, axis=0), np.tile(picked, table.shape[0])])
        table = table[table.prod(1) <= multipliers]
    tiles = Loops(*table.T)
    folded = (tiles.neuron < prod(extents[:3])) & (not folds_in_tree)
    return tiles.of(tiles.neurons * (tiles.neuron + folded) <= multipliers)
