"""Sparse matrices as far as STONNE's sparse fabrics notice them: how many non-zeros each row has.

A row is a filter (or an output feature), its length the products summed into one output. The simulator
zeroes elements independently with one probability and keeps at least three in a row; row counts are then
binomial, and are drawn here from their normal approximation with one fixed, seeded normal deviate per
row. The same row therefore loses elements as sparsity grows and never regains one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from codesign_gym.errors import UnsupportedNetwork
from codesign_gym.simulators.networks.layers import Layers, Op

T = TypeVar("T")

#: Non-zeros that a row keeps at least, as the simulator's generator does.
LEAST_NONZEROS = 3

#: Rows of stationary matrices worked on at a time: 30 columns of 2**20 numbers take 250 MB.
BLOCK_ROWS = 2**20

#: Rows that one stationary matrix may have: they are worked on together.
MOST_ROWS = 2**20

#: Seed of the deviates: any other gives another network of the same sparsity.
SEED = 20211107


def product_columns(table: Layers, sparsity: Any, sizes: tuple[Any, ...], cost: Callable[..., T]) -> T:
    """What a product of each layer takes whose weights are sparse, columns of shape (..., layers).

    Every distinct product of the batch (a group, a head) is worked out once. Its weights are the stationary rows and
    its positions are streamed; a product of two activations is dense.

    Args:
        table: columns of shape (..., layers), NumPy.
        sparsity: share of zeros among the weights; a number, or an array that broadcasts with the layers.
        sizes: of the hardware, as ``sparsity``.
        cost: from the non-zeros of all rows, and for every product its rows, streamed columns, products in a row and
            sizes of the hardware, to a record of columns of shape (products, ...).

    Raises:
        UnsupportedNetwork: if a product has more than 2**20 stationary rows.
    """
    gemm = table.gemm
    zeros = np.asarray(sparsity) * (table.op != Op.MATMUL)
    columns = np.stack(np.broadcast_arrays(gemm.n, gemm.m, gemm.k, zeros, *sizes), -1)  # (..., layers, columns)
    distinct, which = np.unique(columns.reshape(-1, columns.shape[-1]), axis=0, return_inverse=True)
    if (most := distinct[:, 0].max(initial=0)) > MOST_ROWS:
        raise UnsupportedNetwork(f"a layer has {int(most)} output channels in a group; accepted: at most {MOST_ROWS}")
    block = np.cumsum(distinct[:, 0]) // BLOCK_ROWS
    parts = [_block(distinct[block == number].tobytes(), distinct.shape[1], cost) for number in np.unique(block)]
    parts = parts or [_block(b"", distinct.shape[1], cost)]
    which = which.reshape(columns.shape[:-1])
    record: Any = type(parts[0])
    return cast(T, record(*(np.concatenate(column)[which] for column in zip(*parts, strict=True))))


@lru_cache(maxsize=256)
def _block(distinct: bytes, columns: int, cost: Callable[..., Any]) -> Any:
    """Costs of distinct products, kept for the next batch of designs on the same network."""
    table = np.frombuffer(distinct, dtype=np.float64).reshape(-1, columns)
    rows, streamed, length = table[:, :3].T.astype(np.int64)
    nonzeros = row_nonzeros(rows, length, table[:, 3])
    return cost(nonzeros, rows, streamed, length, *table[:, 4:].T.astype(np.int64))


def row_nonzeros(
    rows: NDArray[np.int64], length: NDArray[np.int64], sparsity: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Non-zeros of every row of several matrices, one after the other, shape (sum of rows,).

    Args:
        rows: rows of each matrix, shape (matrices,).
        length: of a row, shape (matrices,).
        sparsity: share of zeros, 0 to 1, shape (matrices,).
    """
    matrix = np.repeat(np.arange(rows.size), rows)
    row = np.arange(matrix.size) - np.repeat(np.cumsum(rows) - rows, rows)
    length, sparsity = length[matrix], sparsity[matrix]
    deviate = _deviates(1 << int(rows.max(initial=1) - 1).bit_length())[row]
    kept = length * (1 - sparsity) + deviate * np.sqrt(length * sparsity * (1 - sparsity))
    return np.clip(np.rint(kept).astype(np.int64), np.minimum(LEAST_NONZEROS, length), length)


@lru_cache(maxsize=8)
def _deviates(count: int) -> NDArray[np.float64]:
    """The first ``count`` standard normal deviates of the seed."""
    return np.random.default_rng(SEED).standard_normal(count)
