"""The layer table: a network as columns of integers, from which costs are computed.

Every column has shape (..., layers). A :class:`Network` is the unbatched case; in operator search
every design of a batch has layers of its own, and rows that do not exist are masked by ``valid``.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from enum import IntEnum
from operator import index
from typing import Any, NamedTuple

import numpy as np

from codesign_gym.errors import UnsupportedNetwork, suggestion

Array = Any  # a NumPy or torch array; cost models are written against the array API
#: What stands beside arrays and is none. Dynamo knows the type of a number whose value it traces, not its attributes.
NUMBERS = (int, float)


class Op(IntEnum):
    """What a row of the layer table computes."""

    CONV = 0  # 2-D convolution, dense, grouped or depthwise
    LINEAR = 1  # matrix product with a weight matrix, applied at out_height x out_width positions
    NORM = 2  # batch or layer normalisation
    POOL = 3
    ELEMENTWISE = 4  # addition, multiplication, ...
    ACTIVATION = 5
    MATMUL = 6  # product of two activations, as in attention; ``groups`` are its heads
    EMBEDDING = 7  # rows looked up in a table of ``extra_parameters`` numbers


WEIGHTED = (Op.CONV, Op.LINEAR)
# NumPy compares with numbers 5 times as fast. Those up to LINEAR have weights.
_CONV, _LINEAR, _MATMUL = int(Op.CONV), int(Op.LINEAR), int(Op.MATMUL)


class Gemm(NamedTuple):
    """Rows lowered to matrix products, columns of shape (..., layers): ``count`` products of M x K by K x N.

    A row that multiplies nothing has a count of 0, and sizes of 1.
    """

    count: Array
    m: Array  # output positions
    n: Array  # output channels of a group
    k: Array  # products summed into one output


@dataclass(frozen=True, eq=False)  # arrays have no truth value to compare by
class Layers:
    """Columns of shape (..., layers), int64; see the module's docstring.

    A LINEAR row is a 1x1 convolution: in_channels and out_channels are its features, and the
    positions it is applied to (tokens, say) are its height and width. ``groups == in_channels``
    marks a depthwise convolution. A MATMUL row is a LINEAR row whose "weights" are a second
    activation, another one for every image: with H heads it has H groups.

    All columns but ``steps`` are of one step: a product with the state of a recurrence runs once for every time
    step, each after the one before. Its MACs and elements count all steps, its weights and trained numbers one.
    """

    op: Array  # an Op each
    batch: Array  # images
    in_channels: Array
    out_channels: Array
    kernel_height: Array
    kernel_width: Array
    stride: Array
    groups: Array
    in_height: Array
    in_width: Array
    out_height: Array
    out_width: Array
    extra_parameters: Array  # trained numbers that are not weights: biases, or a NORM row's scale and shift
    valid: Array  # 1 where the row exists, 0 where it pads a batch
    steps: Array  # times that the row runs, one after another

    def runs(self, op: Op) -> Array:
        """Whether the row is of this operator, bool.

        By its number: ``torch.compile`` takes no array to be equal to an enum's member.
        """
        return self.op == op.value

    @property
    def weighted(self) -> Array:
        """Whether the row multiplies by weights (and so can be quantized), bool."""
        return (self.valid == 1) & (self.op <= _LINEAR)

    @property
    def multiplies(self) -> Array:
        """Whether the row is made of multiply-accumulates, with weights or between activations, bool."""
        return (self.valid == 1) & ((self.op <= _LINEAR) | (self.op == _MATMUL))

    @property
    def depthwise(self) -> Array:
        """Whether the row is a depthwise convolution, bool."""
        return (self.op == _CONV) & (self.groups > 1) & (self.groups == self.in_channels)

    @property
    def reduction(self) -> Array:
        """Products summed into one output element: window times input channels of a group (GEMM's K)."""
        return self.kernel_height * self.kernel_width * (self.in_channels // self.groups)

    @property
    def positions(self) -> Array:
        """Output positions of a step over the whole batch (GEMM's M)."""
        return self.batch * self.out_height * self.out_width

    @property
    def weights(self) -> Array:
        """Weights, without biases."""
        return self.weighted * self.out_channels * self.reduction

    @property
    def parameters(self) -> Array:
        """Trained numbers: weights, biases, scales and shifts."""
        return self.valid * (self.weights + self.extra_parameters)

    @property
    def macs(self) -> Array:
        """Multiply-accumulates of all steps over the whole batch; zero for rows that multiply nothing."""
        return self.multiplies * self.steps * self.out_channels * self.reduction * self.positions

    @property
    def gemm(self) -> Gemm:
        """A step of the rows as matrix products: a group each, and for a MATMUL row also an image each."""
        multiplies = self.multiplies
        runs = 1 * multiplies  # integers once, not in every product
        idle = 1 - runs
        images = 1 + (self.op == _MATMUL) * runs * (self.batch - 1)

        def size(column: Array) -> Array:
            return runs * column + idle

        return Gemm(
            runs * self.groups * images,
            size(self.positions // images),
            size(self.out_channels // self.groups),
            size(self.reduction),
        )

    @property
    def in_elements(self) -> Array:
        """Elements of the input tensor of all steps over the whole batch."""
        return self.valid * self.steps * self.batch * self.in_channels * self.in_height * self.in_width

    @property
    def out_elements(self) -> Array:
        """Elements of the output tensor of all steps over the whole batch."""
        return self.valid * self.steps * self.positions * self.out_channels

    def map(self, function: Any) -> Layers:
        """The table with ``function`` applied to every column."""
        return Layers(*(function(getattr(self, field.name)) for field in fields(self)))

    def read_only(self) -> Layers:
        """The same NumPy columns, not to be written to: what was :func:`check`-ed is taken to be sound by this."""
        return self.map(_read_only)

    def one_step(self) -> Layers:
        """The same table with a single step of every row."""
        return replace(self, steps=self.steps * 0 + 1)

    def with_batch(self, batch: Array) -> Layers:
        """The same table at another batch size: a number, or an array that broadcasts with the columns.

        Raises:
            UnsupportedNetwork: for a batch below 1.
        """
        if isinstance(batch, int | np.integer | np.ndarray) and np.any(batch < 1):
            raise UnsupportedNetwork(f"batch is {np.min(batch)}; accepted: 1 or more")
        column = self.batch * 0 + batch
        if isinstance(column, np.ndarray) and not self.batch.flags.writeable:
            column.setflags(write=False)  # as sound as it was
        return replace(self, batch=column)


COLUMNS = tuple(field.name for field in fields(Layers))
LARGEST = 2**53  # what any count may reach: exact in float64, and a thousand times that in int64
#: What columns accept that are no sizes of 1 to LARGEST.
LIMITS = {"op": (0, max(Op)), "valid": (0, 1), "extra_parameters": (0, LARGEST)}


@dataclass(frozen=True, eq=False)
class Network:
    """A named, immutable, unbatched layer table.

    Attributes:
        name: the network's id or file.
        layer_names: a name per row, unique. In a traced torch network a weighted row has the
            qualified name of the module that owns the weight, with ``#2``, ``#3``, ... appended
            from its second call on (its weights then count once a call, as they are loaded).
        layers: columns of shape (layers,), copied and read-only.
    """

    name: str
    layer_names: tuple[str, ...]
    layers: Layers

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", self.layers.map(_frozen))

    def __reduce__(self) -> tuple[type[Network], tuple[str, tuple[str, ...], Layers]]:
        # NumPy forgets the read-only flag when pickled: unpickle through the constructor.
        return Network, (self.name, self.layer_names, self.layers)

    def __len__(self) -> int:
        return len(self.layer_names)

    @property
    def macs(self) -> np.ndarray:
        """Multiply-accumulates per row for one batch of the table's size, shape (layers,)."""
        return np.asarray(self.layers.macs)

    @property
    def parameters(self) -> np.ndarray:
        """Trained numbers per row, shape (layers,)."""
        return np.asarray(self.layers.parameters)

    def rows(self, index: np.ndarray) -> Network:
        """The network of the rows that an index array or mask of shape (layers,) picks."""
        picked = np.arange(len(self))[index]
        names = tuple(self.layer_names[i] for i in picked)
        return Network(self.name, names, self.layers.map(lambda column: column[picked]))

    def weighted(self) -> Network:
        """Only the rows with weights: the layers that have a bitwidth."""
        return self.rows(np.asarray(self.layers.weighted))


def network(name: str, rows: list[dict[str, int]], layer_names: list[str]) -> Network:
    """Build a :class:`Network` from one mapping of column to value per layer.

    Absent columns are 1, ``extra_parameters`` 0.

    Raises:
        ValueError: on unequal lengths, repeated names or unknown columns.
        UnsupportedNetwork: on a size that is not a positive integer, groups that do not divide the
            channels, or a network of more than 2**53 multiply-accumulates, elements or parameters.
    """
    if len(rows) != len(layer_names) or len(set(layer_names)) != len(layer_names):
        raise ValueError(f"{name}: {len(rows)} rows need as many different names, got {layer_names}")
    if unknown := sorted({column for row in rows for column in row} - set(COLUMNS)):
        raise ValueError(f"{name}: unknown column {unknown[0]!r}{suggestion(unknown[0], COLUMNS)}")
    for layer, row in zip(layer_names, rows, strict=True):
        _check_row(f"network {name!r}: layer {layer!r}", row)
    exact = Layers(**{column: _exact([row.get(column, _default(column)) for row in rows]) for column in COLUMNS})
    for quantity in ("macs", "parameters", "in_elements", "out_elements"):
        counts = getattr(exact, quantity)
        if (total := sum(counts)) > LARGEST:
            most = max(range(len(counts)), key=lambda row: counts[row])
            raise UnsupportedNetwork(
                f"network {name!r} has {total:.3g} {quantity}; accepted: at most 2**53 "
                f"({counts[most]:.3g} of them are of layer {layer_names[most]!r})"
            )
    return Network(name, tuple(layer_names), exact.map(lambda column: column.astype(np.int64)))


def check(layers: Layers) -> None:
    """Refuse columns that did not come through :func:`network`, which has looked at its own, and are not layers.

    Args:
        layers: columns of shape (..., layers), NumPy or torch on the processor.

    Raises:
        UnsupportedNetwork: naming column, value and row, on columns that are no arrays of integers or of unequal
            shape, on a size below 1, an operator that there is none of, groups that do not divide the channels, or
            a row of more than 2**53 multiply-accumulates or elements.
    """
    columns = {name: _integers(name, getattr(layers, name)) for name in COLUMNS}
    try:
        shape = np.broadcast_shapes(*(column.shape for column in columns.values()))
    except ValueError:
        op = columns["op"].shape
        name = next((name for name in COLUMNS if not _broadcasts(columns[name].shape, op)), "batch")
        raise UnsupportedNetwork(f"column {name} has shape {columns[name].shape}; accepted: op's, {op}") from None
    for name, column in columns.items():
        least, most = LIMITS.get(name, (1, LARGEST))
        if column.size and not (column.min() >= least and column.max() <= most):
            bad = (column < least) | (column > most)
            accepted = f"{least} or more" if most == LARGEST and column[bad].max() < least else f"{least} to {most}"
            _refuse(columns, shape, bad, f"{name} is {{{name}}}; accepted: {accepted.replace(str(LARGEST), '2**53')}")
    groups = columns["groups"]
    if groups.size and groups.max() > 1:
        for name in ("in_channels", "out_channels"):
            bad = np.asarray(columns[name] % groups != 0)
            _refuse(columns, shape, bad, f"groups is {{groups}}, which does not divide {name}, {{{name}}}")
    real = Layers(**{name: column.astype(np.float64) for name, column in columns.items()})
    for quantity in ("macs", "in_elements", "out_elements"):
        count = np.asarray(getattr(real, quantity))
        if count.size and count.max() > LARGEST:
            _refuse(columns, shape, count > LARGEST, f"{count.max():.3g} {quantity}; accepted: at most 2**53")


def _broadcasts(shape: tuple[int, ...], other: tuple[int, ...]) -> bool:
    return all(one == two or 1 in (one, two) for one, two in zip(reversed(shape), reversed(other), strict=False))


def _integers(name: str, column: Array) -> np.ndarray:
    if not hasattr(column, "dtype"):
        raise UnsupportedNetwork(f"column {name} is a {type(column).__name__}; accepted: an array of integers")
    found = np.asarray(column)
    if found.dtype.kind not in "iub":
        raise UnsupportedNetwork(f"column {name} is of type {found.dtype}; accepted: an array of integers")
    return found


def _refuse(columns: dict[str, np.ndarray], shape: tuple[int, ...], bad: np.ndarray, said: str) -> None:
    """Name the first row that is bad, where one is; columns in braces stand for their values there."""
    if not bad.any():
        return
    first = tuple(np.argwhere(np.broadcast_to(bad, shape))[0])
    values = {name: np.broadcast_to(column, shape)[first] for name, column in columns.items()}
    design = f" of design {list(map(int, first[:-1]))}" if len(first) > 1 else ""
    raise UnsupportedNetwork(f"layer {first[-1] if first else 0}{design}: {said.format(**values)}")


def _check_row(where: str, row: dict[str, int]) -> None:
    for column, value in row.items():
        try:
            number = index(value)
        except TypeError:
            raise UnsupportedNetwork(f"{where}: {column} is {value!r}; accepted: an integer") from None
        least = 0 if column in ("op", "valid", "extra_parameters") else 1
        if not least <= number <= LARGEST:
            raise UnsupportedNetwork(f"{where}: {column} is {number}; accepted: {least} to 2**53")
    groups = row.get("groups", 1)
    for column in ("in_channels", "out_channels"):
        if row.get(column, 1) % groups:
            raise UnsupportedNetwork(f"{where}: groups is {groups}, which does not divide {column}, {row[column]}")


def _default(column: str) -> int:
    return 0 if column == "extra_parameters" else 1


def _exact(values: list[int]) -> np.ndarray:
    """Python's integers, shape (layers,): the table's own formulas then cannot overflow."""
    return np.array([index(value) for value in values], dtype=object)


def _read_only(column: np.ndarray) -> np.ndarray:
    view = column.view()
    view.setflags(write=False)
    return view


def _frozen(column: np.ndarray) -> np.ndarray:
    column = np.array(column)
    column.setflags(write=False)
    return column
