"""MAGMA: a sparse matrix times a dense one, row by row, in tiles of fixed size.

STONNE's configuration MAGMA_SPARSE_DENSE (github.com/stonne-simulator/stonne; see ``networks``). The
non-zeros of one row of the weights are cut into F folds of T_K, and T_N columns of the activations are worked
on at a time, each by a virtual neuron of T_K multipliers with an accumulator. Weights are multicast to the
T_N neurons; every neuron gets activations of its own, so a port sends a word for each multiplier in use. With
P passes over the columns, a row takes

    2 + max(F W + F P I + s - 1, F + F P, F + P s) + 3 + climb + [a port serves several]

cycles (2 for the configuration and the accumulators): W and I the weights and activations a fold on the fullest
read port, s the virtual neurons that leave on the busiest bus line, climb the levels and forwards of the farthest.

Relaxed rounding takes real tiles: between whole ones costs are mixed (``sizes``).

Limits: as SIGMA's (``sigma``), and no energy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, NamedTuple

import numpy as np
from pydantic import Field

from codesign_gym.errors import BadConfig
from codesign_gym.simulators.hardware.host import plain
from codesign_gym.simulators.hardware.model import Unit
from codesign_gym.simulators.hardware.sizes import Grid, whole_numbers
from codesign_gym.simulators.hardware.stonne.fabric import Executed, Fabric, whole
from codesign_gym.simulators.hardware.stonne.networks import Hardware, Ints, busiest, leave_tree
from codesign_gym.simulators.hardware.stonne.rows import product_columns
from codesign_gym.simulators.hardware.stonne.timing import Floats, cycles, summed, terms_of
from codesign_gym.simulators.networks.layers import Layers


class Rows(NamedTuple):
    """What products take, columns of shape (products, ...)."""

    terms: Floats  # (products, kinds, terms) as ``timing`` names them
    passes: Ints  # folds of rows times passes over the columns
    macs: Ints  # multiplications by a non-zero weight
    sram_reads: Ints  # words: every non-zero once, and the activations that it multiplies
    sram_writes: Ints  # words

    @property
    def cycles(self) -> Ints:
        """Of every product."""
        return np.asarray(cycles(self.terms), dtype=np.int64)


@dataclass(frozen=True)
class Magma(Fabric):
    """MAGMA with weights of one sparsity; fields may be arrays that broadcast against the leading axes.

    Raises:
        BadConfig: if a tile takes more multipliers than there are.
    """

    grids: ClassVar[Mapping[str, Grid]] = {
        **Fabric.grids,
        **dict.fromkeys(("tile_products", "tile_columns"), whole_numbers),
    }

    tile_products: Annotated[int, Unit("multiplier"), Field(ge=1)]  # T_K
    tile_columns: Annotated[int, Unit("column"), Field(ge=1)]  # T_N
    sparsity: Annotated[float, Unit("1"), Field(ge=0, lt=1)]

    def __post_init__(self) -> None:
        super().__post_init__()
        tiles = (self.tile_products, self.tile_columns)
        if not all(map(whole, (self.multipliers, *tiles))):
            return  # real sizes, of relaxed rounding
        if (np.multiply(*tiles) > np.asarray(self.multipliers)).any():
            raise BadConfig(
                f"fields 'tile_products' x 'tile_columns' are {self.tile_products} x {self.tile_columns}; "
                f"accepted: together at most the {self.multipliers} multipliers"
            )

    @property
    def accumulators(self) -> int:
        """One at every adder."""
        return 1

    def products(self, rows: Layers) -> Ints:
        """Groups, heads and images, and steps."""
        return np.asarray(rows.gemm.count * rows.steps)

    def executed(self, rows: Layers, sizes: Hardware) -> Executed:
        """Rows cut into tiles; see :class:`Fabric`."""
        deep, wide = (np.rint(plain(tile)).astype(np.int64) for tile in (self.tile_products, self.tile_columns))
        deep = np.minimum(deep, sizes.multipliers)
        wide = np.clip(wide, 1, sizes.multipliers // deep)
        found = product_columns(rows, plain(self.sparsity), (*sizes, deep, wide), products)
        detail = {name: getattr(found, name) for name in ("macs", "sram_reads", "sram_writes")}
        return Executed(found.terms, found.passes, detail)


def products(
    nonzeros: Ints,
    rows: Ints,
    streamed: Ints,
    length: Ints,
    multipliers: Ints,
    read_ports: Ints,
    lines: Ints,
    tile_products: Ints,
    tile_columns: Ints,
) -> Rows:
    """Cost of products with given rows of weights.

    Args:
        nonzeros: of every row, the matrices one after the other, shape (sum of rows,).
        rows: of each product, shape (products,), as the columns that follow.
        streamed: columns of the dense matrix.
        length: of a row, zeros included; it costs nothing.
        multipliers: of the hardware that each product runs on.
        read_ports: of the same.
        lines: of the same, of the write bus.
        tile_products: of the same, T_K.
        tile_columns: of the same, T_N.
    """
    hardware = Hardware(multipliers, read_ports, lines)
    case = np.repeat(np.arange(rows.size), tile_columns)
    begin = np.cumsum(tile_columns) - tile_columns
    first = (np.arange(case.size) - begin[case]) * tile_products[case]
    exits = leave_tree(first, first + tile_products[case] - 1, multipliers[case], lines[case])
    shared = busiest(exits.line, case, rows.size)
    climb = np.maximum.reduceat(exits.levels + exits.forwards, begin) if rows.size else rows
    weights = np.minimum(hardware.port_width, tile_products)
    inputs = np.minimum(hardware.port_width, tile_products * tile_columns)
    owner = np.repeat(np.arange(rows.size), rows)
    folds, passes = -(-np.maximum(nonzeros, 1) // tile_products[owner]), -(-streamed // tile_columns)[owner]
    port = folds * (weights[owner] + passes * inputs[owner])
    accumulator = configuration = 1
    each = terms_of(
        hardware.of(owner),
        port,
        folds + folds * passes,
        folds,
        passes * shared[owner],
        climb[owner],
        shared[owner],
        further=accumulator + configuration,
    )

    def total(values: Ints) -> Ints:
        return np.bincount(owner, values, minlength=rows.size).astype(np.int64)

    stored = total(nonzeros)
    terms = summed(each, owner, rows.size)
    return Rows(terms, total(folds * passes), stored * streamed, stored * (1 + streamed), rows * streamed)
