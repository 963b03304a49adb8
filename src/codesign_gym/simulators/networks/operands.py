"""What an importer knows of an operator's operands, and the products of two of them as rows.

A product of an activation and stored numbers is a LINEAR row; of two activations, as in attention, a
MATMUL row. Which operand is which shows only in the graph, so both importers decide it here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

from codesign_gym.errors import UnsupportedNetwork
from codesign_gym.simulators.networks import rows
from codesign_gym.simulators.networks.layers import Op
from codesign_gym.simulators.networks.rows import Row, Shape


@dataclass(frozen=True)
class Operand:
    """A tensor that an operator reads.

    Attributes:
        shape: its sizes.
        per_input: whether it depends on the network's input; otherwise it is stored, or computed once.
        owner: of a stored tensor or a part of it, its name in the network; "" for what is computed.
        trained: the parameters it is made of, name to number of elements.
    """

    shape: Shape
    per_input: bool
    owner: str = ""
    trained: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Part:
    """One row of the layer table that an operator becomes.

    Attributes:
        row: its columns.
        weight: the operand that holds its weights, or the table it looks up in, if any.
        suffix: tells it from the operator's other rows.
    """

    row: Row
    weight: Operand | None = None
    suffix: str = ""


def parameters(operands: Iterable[Operand | None]) -> int:
    """Trained numbers among the operands, each parameter once."""
    merged: dict[str, int] = {}
    for operand in operands:
        merged |= operand.trained if operand else {}
    return sum(merged.values())


def matmul(left: Operand, right: Operand, extra_parameters: int = 0) -> Part:
    """``left @ right`` with NumPy's broadcasting: shapes (..., m, k) and (..., k, n), or vectors.

    Raises:
        UnsupportedNetwork: if the shapes do not fit.
    """
    first = left.shape if len(left.shape) > 1 else (1, *left.shape)
    second = right.shape if len(right.shape) > 1 else (*right.shape, 1)
    rank = max(len(first), len(second)) - 2
    outer = [(1,) * (rank + 2 - len(shape)) + tuple(shape[:-2]) for shape in (first, second)]
    pairs = list(zip(*outer, strict=True))
    if first[-1] != second[-2] or any(a != b and 1 not in (a, b) for a, b in pairs):
        raise UnsupportedNetwork(f"a product of {list(left.shape)} and {list(right.shape)}, which do not fit")
    shared = prod(a for a, b in pairs if a == b)
    return _contraction(
        left,
        right,
        groups=shared,
        left_free=first[-2] * prod(a for a, b in pairs if a != b),
        right_free=second[-1] * prod(b for a, b in pairs if a != b),
        summed=first[-1],
        extra_parameters=extra_parameters,
    )


def einsum(equation: str, operands: Sequence[Operand]) -> Part:
    """A product of two operands in Einstein's notation, without ellipses, repeats or sums within one operand.

    Raises:
        UnsupportedNetwork: on any other equation.
    """
    entry, arrow, output = equation.replace(" ", "").partition("->")
    terms = entry.split(",")
    fits = len(terms) == len(operands) == 2 and all(
        len(set(term)) == len(term) == len(operand.shape) and term.isalpha()
        for term, operand in zip(terms, operands, strict=True)
    )
    if not fits:
        raise UnsupportedNetwork(f"einsum {equation!r}; accepted: a product of two operands, as in 'bij,bjk->bik'")
    first, second = (set(term) for term in terms)
    output = output if arrow else "".join(first ^ second)
    sizes: dict[str, int] = {}
    for term, operand in zip(terms, operands, strict=True):
        for label, size in zip(term, operand.shape, strict=True):
            if sizes.setdefault(label, size) != size:
                raise UnsupportedNetwork(f"einsum {equation!r}: {label!r} is both {sizes[label]} and {size}")
    if set(output) - (first | second) or (first ^ second) - set(output):
        raise UnsupportedNetwork(f"einsum {equation!r}; accepted: one that sums only over labels of both operands")
    left, right = operands
    return _contraction(
        left,
        right,
        groups=prod(sizes[label] for label in first & second & set(output)),
        left_free=prod(sizes[label] for label in first - second),
        right_free=prod(sizes[label] for label in second - first),
        summed=prod(sizes[label] for label in (first & second) - set(output)),
    )


Heads = tuple[int, int, int]  # heads, tokens, features per head


def attention(query: Heads, key: Heads, value: Heads, extra_parameters: int = 0) -> list[Part]:
    """Scaled dot-product attention: scores, softmax, and the mean of the values they weigh.

    Args:
        query: its sizes.
        key: its sizes; several heads of queries may share one of keys.
        value: its sizes, with as many heads and tokens as the keys.
        extra_parameters: trained numbers that are added to the scores.

    Raises:
        UnsupportedNetwork: if they do not fit.
    """
    (queries, length, depth), (keys, context, key_depth), (values, value_length, value_depth) = query, key, value
    if depth != key_depth or (keys, context) != (values, value_length) or keys < 1 or queries % keys:
        raise UnsupportedNetwork(
            f"attention of {query} to keys {key} and values {value} (heads, tokens, features), which do not fit"
        )
    sharing = queries // keys * length
    return [
        Part(rows.product(Op.MATMUL, keys, sharing, context, depth, extra_parameters), suffix="scores"),
        Part(rows.pointwise(Op.ACTIVATION, (context, queries, length)), suffix="softmax"),
        Part(rows.product(Op.MATMUL, keys, sharing, value_depth, context), suffix="values"),
    ]


def _contraction(
    left: Operand,
    right: Operand,
    groups: int,
    left_free: int,
    right_free: int,
    summed: int,
    extra_parameters: int = 0,
) -> Part:
    """The row of a product; a stored left operand is a weight matrix, transposed."""
    if left.per_input and right.per_input:
        return Part(rows.product(Op.MATMUL, groups, left_free, right_free, summed, extra_parameters))
    if left.per_input:
        return Part(rows.product(Op.LINEAR, groups, left_free, right_free, summed, extra_parameters), right)
    return Part(rows.product(Op.LINEAR, groups, right_free, left_free, summed, extra_parameters), left)
