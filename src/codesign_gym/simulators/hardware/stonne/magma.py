"""MAGMA: a sparse matrix times a dense one, row by row, in tiles of fixed size.

STONNE's configuration MAGMA_SPARSE_DENSE (github.com/stonne-simulator/stonne; see ``networks``). The
non-zeros of one row of the weights are cut into F folds of T_K, and T_N columns of the activations are worked
on at a time, each by a virtual neuron of T_K multipliers with an accumulator. Weights are multicast to the
T_N neurons; every neuron gets activations of its own, so a port sends a word for each multiplier in use. With
P passes over the columns, a row takes

    2 + max(F W + F P I + s - 1, F + F P, F + P s) + 3 + climb + [a port serves several]

cycles (2 for the configuration and the accumulators): W and I the weights and activations a fold on the fullest
read port, s the virtual neurons that leave on the busiest bus line, climb the levels and forwards of the farthest.

Limits: as SIGMA's (``sigma``), and no energy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, NamedTuple

import numpy as np
from pydantic import Field

from codesign_gym.errors import BadConfig
from codesign_gym.simulators.hardware.model import Costs, Unit, constant, of_hardware, real, weight_bytes
from codesign_gym.simulators.hardware.stonne.networks import Fabric, Hardware, Ints, busiest, leave_tree, pass_cycles
from codesign_gym.simulators.hardware.stonne.rows import cost_columns
from codesign_gym.simulators.networks.layers import Array, Layers


class Rows(NamedTuple):
    """What products take, columns of shape (products,)."""

    cycles: Ints
    macs: Ints  # multiplications by a non-zero weight


@dataclass(frozen=True)
class Magma(Fabric):
    """MAGMA with weights of one sparsity; fields may be arrays that broadcast against the leading axes.

    Raises:
        BadConfig: if a tile takes more multipliers than there are.
    """

    tile_products: Annotated[int, Unit("multiplier"), Field(ge=1)]  # T_K
    tile_columns: Annotated[int, Unit("column"), Field(ge=1)]  # T_N
    sparsity: Annotated[float, Unit("1"), Field(ge=0, lt=1)]

    def __post_init__(self) -> None:
        super().__post_init__()
        if (np.asarray(self.tile_products) * np.asarray(self.tile_columns) > np.asarray(self.multipliers)).any():
            raise BadConfig(
                f"fields 'tile_products' x 'tile_columns' are {self.tile_products} x {self.tile_columns}; "
                f"accepted: together at most the {self.multipliers} multipliers"
            )

    def cost(self, layers: Layers, bits: Array) -> Costs:
        """Costs of shape (..., layers); see :class:`~codesign_gym.simulators.hardware.model.CostModel`."""
        bits = constant(bits)
        hardware = (self.multipliers, self.distribution_words_per_cycle, self.reduction_words_per_cycle)
        detail = cost_columns(layers, bits, self.sparsity, (*hardware, self.tile_products, self.tile_columns), products)
        return Costs(
            real(detail["cycles"]) / self.clock_hz,
            weight_bytes(layers, bits),
            detail=detail,
            resources={"area_stonne_units": of_hardware(self.area(1))},
        )


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
    line = np.maximum(folds + folds * passes, folds + passes * shared[owner])
    accumulator = configuration = 1
    each = pass_cycles(hardware.of(owner), port, line, climb[owner], shared[owner]) + accumulator + configuration
    cycles = np.bincount(owner, each, minlength=rows.size)
    macs = np.bincount(owner, nonzeros, minlength=rows.size) * streamed
    return Rows(cycles.astype(np.int64), macs.astype(np.int64))
