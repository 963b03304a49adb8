"""What a systolic array does for one matrix product, in closed form.

An M x N x K product is laid over the R rows and C columns of processing elements in folds: two of its
extents lie along the array, the third is streamed through it.

================= ======== ========== ==========
dataflow          rows     columns    streamed
================= ======== ========== ==========
output-stationary M        N          K
weight-stationary K        N          M
input-stationary  K        M          N
================= ======== ========== ==========

A fold takes ``streamed + R + C - 2`` cycles, and R more to load its stationary operand where there is
one; every fold is charged the whole array, and folds do not overlap. Functions are plain arithmetic
over arrays of one library, so that ``torch.compile`` makes one kernel of them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from array_api_compat import array_namespace

from codesign_gym.simulators.hardware.rounding import Rounding
from codesign_gym.simulators.networks.layers import NUMBERS, Array, Layers, Op

MATMUL = int(Op.MATMUL)  # arrays are compared with a number faster than with an enum's member


#: What stays in the processing elements: outputs, weights or inputs. By name in files and on the command
#: line, by position in arrays of designs.
DATAFLOWS = ("os", "ws", "is")


def select(code: Array, *cases: Array) -> Array:
    """The case of a code: a number picks one, an array of them element by element, by arithmetic.

    NumPy's ``where`` takes three times as long on codes in no order, for the processor's wrong guesses; and a
    product with a boolean converts it anew for every element that it is broadcast to, so it is converted before.
    """
    if isinstance(code, int):
        return cases[code]
    chosen = cases[-1]
    for number, case in enumerate(cases[:-1]):
        if case is not chosen:
            picked, change = code == number, case - chosen
            if not isinstance(change, NUMBERS):
                picked = array_namespace(picked).astype(picked, change.dtype)
            chosen = chosen + picked * change
    return chosen


class Product(NamedTuple):
    """Rows of the layer table as matrix products, columns of shape (..., layers)."""

    count: Array  # products of a step, one after another
    m: Array
    n: Array
    k: Array
    inputs: Array  # distinct elements among the M x K of the first operand: windows overlap
    stored: Array  # whether the second operand is weights, bool
    steps: Array  # times that all of them run


class Folds(NamedTuple):
    """Rows of the layer table on an array: the folds of a product, then cycles and words of all products."""

    mapped: Array  # elements of a product's extents that lie along the array
    streamed: Array  # the other extent
    row_folds: Array
    folds: Array
    fold_cycles: Array
    cycles: Array
    ifmap_words: Array
    filter_words: Array
    ofmap_words: Array


def lower(xp: Any, layers: Layers, dtype: Any) -> Product:
    """The rows as products, sizes in a floating-point type of the library: exact below 2**53 in float64."""
    count, *sizes = layers.gemm
    m, n, k = (xp.astype(size, dtype) for size in sizes)
    stored = layers.op != MATMUL
    images = xp.where(stored, layers.batch, 1)  # in a product
    high = _reach(xp, layers.out_height, layers.kernel_height, layers.stride, layers.in_height)
    wide = _reach(xp, layers.out_width, layers.kernel_width, layers.stride, layers.in_width)
    inputs = images * (layers.in_channels // layers.groups) * high * wide
    return Product(count, m, n, k, inputs, stored, layers.steps)


def _reach(xp: Any, outputs: Array, kernel: Array, stride: Array, size: Array) -> Array:
    """Distinct positions along an axis that any window covers, of those that the input has."""
    windows = xp.minimum(outputs - 1, (size - 1) // stride)  # but the first
    return xp.minimum(size, windows * xp.minimum(stride, kernel) + kernel)


def fold(product: Product, rows: Array, columns: Array, dataflow: Array, rounding: Rounding) -> Folds:
    """Products over an array, all arguments broadcast; see the module's docstring.

    What stays in the array is moved once, the others once for every fold across their own extents. Sizes of
    products are multiplied before they meet the array's, which may be many more.
    """
    count, m, n, k = product.count, product.m, product.n, product.k
    along_rows, along_columns, streamed = (
        select(dataflow, m, k, k),
        select(dataflow, n, n, m),
        select(dataflow, k, m, n),
    )
    row_folds, column_folds = rounding.ceil_div(along_rows, rows), rounding.ceil_div(along_columns, columns)
    folds = row_folds * column_folds
    fold_cycles = streamed + (rows * select(dataflow, 1, 2, 2) + columns - 2)
    return Folds(
        mapped=along_rows * along_columns,
        streamed=streamed,
        row_folds=row_folds,
        folds=folds,
        fold_cycles=fold_cycles,
        cycles=count * fold_cycles * folds,
        ifmap_words=count * m * k * select(dataflow, column_folds, column_folds, 1),
        filter_words=count * n * k * select(dataflow, row_folds, 1, column_folds),
        ofmap_words=count * m * n * select(dataflow, 1, row_folds, row_folds),
    )
