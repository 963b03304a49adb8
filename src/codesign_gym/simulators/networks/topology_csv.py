"""Networks as SCALE-Sim's topology files: convolutions, or matrix products.

A file of convolutions has a line a layer with the fields in :data:`CONV_FIELDS`; of matrix products, those in
:data:`GEMM_FIELDS`: M positions, N outputs, K products summed (SCALE-Sim's documentation, and
scalesim/topology_utils.py of version 2 for what its parser makes of them). As there:

- the first line is a header and is not read otherwise; fields go by position; trailing commas and comments that
  start with ``#`` are ignored;
- the output size is ceil((H - F + S) / S), without padding;
- ``DP`` in a layer's name makes it depthwise: a layer with one input channel for every channel, each with
  ``Num Filter`` filters. Here it is one row.

Limits: no batch, padding, dilation or bias in the format, no layers without multiplications, and no sparsity.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

from codesign_gym.errors import StorageError, UnsupportedNetwork
from codesign_gym.simulators.networks import rows
from codesign_gym.simulators.networks.files import content
from codesign_gym.simulators.networks.layers import Network, Op, network
from codesign_gym.simulators.networks.rows import Row
from codesign_gym.storage import write_text

CONV_FIELDS = (
    "Layer name",
    "IFMAP Height",
    "IFMAP Width",
    "Filter Height",
    "Filter Width",
    "Channels",
    "Num Filter",
    "Strides",
)
GEMM_FIELDS = ("Layer", "M", "N", "K")
DEPTHWISE = "DP"  # in a layer's name
LARGEST_FILE = 2**24  # bytes
LARGEST_PARTS = 2**20  # lines, of 16 bytes and more, that a file of that size cannot have more of


def from_csv(path: str | Path) -> Network:
    """The layer table of a topology file; see the module's docstring.

    Rows that repeat a name get ``#2``, ``#3``, ... appended.

    Raises:
        StorageError: if the file cannot be read.
        UnsupportedNetwork: naming the line and the field that is wrong.
    """
    path = Path(path)
    try:
        lines = content(path, LARGEST_FILE).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise StorageError(f"{path}: not a text file in UTF-8") from error
    header = _fields(lines[0]) if lines else []
    if len(header) > 1 and all(re.fullmatch(r"[-+.\deE:]+", field) for field in header[1:4]):
        raise UnsupportedNetwork(
            f"{path}, line 1: {lines[0][:60]!r} is a layer; accepted: a header, then a line a layer"
        )
    products = [field.upper() for field in header[1:4]] == ["M", "N", "K"]
    layers = [
        (_gemm_row if products else _conv_row)(f"{path}, line {number}", fields)
        for number, line in enumerate(lines[1:], start=2)
        if (fields := _fields(line))
    ]
    if not layers:
        raise UnsupportedNetwork(f"{path}: no layers; accepted: a header, then a line a layer")
    names = rows.unique([name for name, _ in layers], [True] * len(layers))
    return network(path.name, [row for _, row in layers], names)


def to_csv(network: Network, path: str | Path) -> None:
    """Write the layers that multiply as a topology file: of matrix products where there are no convolutions.

    Whatever reads it counts the same multiplications: padding becomes part of the input's size; a depthwise
    convolution gets ``DP`` in its name; the groups of another, the heads of attention and the time steps of a
    recurrence become layers of their own (whose second operand then reads as weights of their own); and a matrix
    product among convolutions becomes a 1 x 1 convolution.

    Raises:
        UnsupportedNetwork: if the table holds more than one image, or more than 2**20 groups and steps.
        StorageError: if the file cannot be written.
    """
    table = network.rows(network.layers.multiplies)
    if (table.layers.batch != 1).any():
        raise UnsupportedNetwork(f"network {network.name!r}: a batch; accepted in a topology file: one image")
    if (parts := sum(int(count) for count in table.layers.groups * table.layers.steps)) > LARGEST_PARTS:
        raise UnsupportedNetwork(f"network {network.name!r}: {parts} groups and steps; accepted: at most 2**20")
    convolutions = bool((table.layers.op == Op.CONV).any())
    columns = zip(*(getattr(table.layers, column).tolist() for column in READ), strict=True)
    records = [dict(zip(READ, values, strict=True)) for values in columns]
    lines = chain.from_iterable(
        (_conv_lines if convolutions else _gemm_lines)(_numbered(_safe(name), step, record["steps"]), record)
        for name, record in zip(table.layer_names, records, strict=True)
        for step in range(record["steps"])
    )
    header = CONV_FIELDS if convolutions else GEMM_FIELDS
    write_text(Path(path), "".join(", ".join(map(str, line)) + ",\n" for line in (header, *lines)))


READ = (
    "op",
    "in_channels",
    "out_channels",
    "kernel_height",
    "kernel_width",
    "stride",
    "groups",
    "in_height",
    "in_width",
    "out_height",
    "out_width",
    "steps",
)

Line = tuple[str | int, ...]


def _conv_lines(name: str, row: Row) -> Iterator[Line]:
    groups = row["groups"]
    kernel = row["kernel_height"], row["kernel_width"]
    size = [
        _input_size(row[f"in_{side}"], row[f"out_{side}"], window, row["stride"])
        for side, window in zip(("height", "width"), kernel, strict=True)
    ]
    if row["op"] == Op.CONV and 1 < groups == row["in_channels"]:
        yield f"{name}_{DEPTHWISE}", *size, *kernel, groups, row["out_channels"] // groups, row["stride"]
        return
    for part in range(groups):
        channels, filters = row["in_channels"] // groups, row["out_channels"] // groups
        yield _numbered(name, part, groups), *size, *kernel, channels, filters, row["stride"]


def _gemm_lines(name: str, row: Row) -> Iterator[Line]:
    groups, positions = row["groups"], row["out_height"] * row["out_width"]
    for part in range(groups):
        product = positions, row["out_channels"] // groups, row["in_channels"] // groups
        yield _numbered(name, part, groups), *product


def _input_size(size: int, output: int, window: int, stride: int) -> int:
    """The input's size if the format makes the same output of it, else the smallest that does (with the padding)."""
    return size if size >= window and _output_size(size, window, stride) == output else (output - 1) * stride + window


def _output_size(size: int, window: int, stride: int) -> int:
    return -(-(size - window + stride) // stride)


def _numbered(name: str, part: int, groups: int) -> str:
    return name if groups == 1 else f"{name}.{part}"


def _safe(name: str) -> str:
    """A name without what the format reads otherwise."""
    return re.sub(r"[\s,#\"]+", "_", name).replace(DEPTHWISE, DEPTHWISE.lower())


def _fields(line: str) -> list[str]:
    """The fields of a line, without its comment and trailing commas."""
    fields = [field.strip() for field in line.partition("#")[0].split(",")]
    while fields and not fields[-1]:
        fields.pop()
    return fields


def _conv_row(where: str, fields: Sequence[str]) -> tuple[str, Row]:
    if len(fields) > len(CONV_FIELDS) and fields[8].isdecimal():  # a vertical and a horizontal stride
        if fields[7] != fields[8]:
            raise UnsupportedNetwork(f"{where}: strides {fields[7]} and {fields[8]}; accepted: the same in both")
        fields = [*fields[:8], *fields[9:]]
    name, numbers = _numbers(where, fields, CONV_FIELDS)
    height, width, kernel_height, kernel_width, channels, filters, stride = numbers
    for side, size, window in (("Height", height, kernel_height), ("Width", width, kernel_width)):
        if window > size:
            raise UnsupportedNetwork(f"{where}: Filter {side} is {window}; accepted: at most IFMAP {side}, {size}")
    depthwise = DEPTHWISE in name
    return name, {
        "op": Op.CONV,
        "in_channels": channels,
        "out_channels": filters * channels if depthwise else filters,
        "groups": channels if depthwise else 1,
        "kernel_height": kernel_height,
        "kernel_width": kernel_width,
        "stride": stride,
        "in_height": height,
        "in_width": width,
        "out_height": _output_size(height, kernel_height, stride),
        "out_width": _output_size(width, kernel_width, stride),
    }


def _gemm_row(where: str, fields: Sequence[str]) -> tuple[str, Row]:
    name, (m, n, k) = _numbers(where, fields, GEMM_FIELDS)
    return name, rows.product(Op.LINEAR, 1, m, n, k)


def _numbers(where: str, fields: Sequence[str], names: Sequence[str]) -> tuple[str, list[int]]:
    """A line's name and its positive integers; version 3 adds a sparsity, such as 4:4 for none."""
    if len(fields) == len(names) + 1 and re.fullmatch(r"(\d+):\1", fields[-1]):
        fields = fields[:-1]
    if len(fields) != len(names):
        raise UnsupportedNetwork(f"{where}: {len(fields)} fields; accepted: {len(names)}: {', '.join(names)}")
    for name, field in zip(names[1:], fields[1:], strict=True):
        if not re.fullmatch(r"0*[1-9][0-9]{0,18}", field, re.ASCII):
            raise UnsupportedNetwork(f"{where}: {name} is {field!r}; accepted: a positive integer of at most 19 digits")
    return fields[0], [int(field) for field in fields[1:]]
