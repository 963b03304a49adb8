"""Layer tables of ONNX models; onnx is imported when a model is.

Only sizes are read: weights may lie outside the file, be computed (ConstantOfShape), or not be there at all.
Limits: no subgraphs (If, Loop, Scan) and no functions of the model's own; a row per operator, in the file's
order; an LSTM's or GRU's steps are the positions of one row, although they come one after the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codesign_gym.errors import BadConfig, StorageError, UnsupportedNetwork, suggestion
from codesign_gym.simulators.networks import rows
from codesign_gym.simulators.networks.files import content
from codesign_gym.simulators.networks.layers import Network, network
from codesign_gym.simulators.networks.onnx_operators import FREE, ROWS, Call
from codesign_gym.simulators.networks.onnx_tensors import Tensors, domain_of
from codesign_gym.simulators.networks.operands import Operand, Part

if TYPE_CHECKING:
    import onnx

LARGEST_FILE = 2**31 - 1  # bytes, protobuf's own limit
MOST_INPUTS = 4096  # of one node
MOST_NODES, MOST_EDGES = 8_000, 32_000  # about half a second; large language models have half as many

InputShapes = Mapping[str, Sequence[int]] | Sequence[int]


def from_onnx(path: str | Path, input_shapes: InputShapes | None = None) -> Network:
    """The layer table of an ONNX model, for one run of it.

    A row has the name of its node (of the node's first output, where it has none); the rows of attention and
    recurrent layers a suffix each, as in ``lstm.input`` and ``lstm.recurrence``. Trained numbers are counted
    in the row that uses them. What depends on stored numbers alone has no row.

    A batch above 1, which the file fixes or ``input_shapes`` gives, is part of the run: its images lie below each other
    as output positions, weights are read once, and a device's own batch is so many runs.

    Args:
        path: the file. Weights that lie beside it are not read.
        input_shapes: sizes of the inputs, with the batch dimension, by name, as in
            ``{"data": (1, 3, 224, 224)}``; or the sizes alone where there is one input, where a batch dimension of 1
            may be there twice. Needed where the file leaves a size open.

    Raises:
        StorageError: if the file cannot be read or is no ONNX model.
        BadConfig: if ``input_shapes`` does not fit the model's inputs, or a size is open that it does not give.
        UnsupportedNetwork: naming every operator outside the table; or if the graph is cyclic, shapes do not
            fit or depend on data, a size is absurd, or nothing multiplies.
    """
    where = f"network {Path(path).name!r}"
    model = _read(Path(path))
    graph = _Graph(model, where)
    graph.check_operators()
    tensors = graph.tensors(input_shapes)
    named = [(name, part) for node in graph.nodes for name, part in graph.parts(node, tensors)]
    weighted = [part.weight is not None for _, part in named]
    table = network(
        Path(path).name, [part.row for _, part in named], rows.unique([name for name, _ in named], weighted)
    )
    if not table.macs.any():
        raise UnsupportedNetwork(f"{where} has no layer that multiplies")
    return table


def _read(path: Path) -> onnx.ModelProto:
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model: onnx.ModelProto = onnx.ModelProto.FromString(content(path, LARGEST_FILE))
    except (DecodeError, ValueError) as error:
        raise StorageError(f"{path}: not an ONNX model, or cut off: {' '.join(str(error).split())}") from error
    if not model.graph.node:
        raise StorageError(f"{path}: not an ONNX model, or cut off: it has no graph with nodes")
    if len(model.graph.node) > MOST_NODES:
        raise UnsupportedNetwork(f"{path}: {len(model.graph.node)} nodes; accepted: at most {MOST_NODES}")
    if (edges := sum(len(node.input) + len(node.output) for node in model.graph.node)) > MOST_EDGES:
        raise UnsupportedNetwork(f"{path}: nodes with {edges} inputs and outputs; accepted: at most {MOST_EDGES}")
    for name in _names(model):
        if not isinstance(name, str):
            raise StorageError(f"{path}: damaged: the name {name!r} is not UTF-8")
    return model


def _names(model: onnx.ModelProto) -> Iterator[object]:
    """Every name that is looked up; protobuf hands out as bytes what is not UTF-8."""
    yield from (entry.domain for entry in model.opset_import)
    yield from (function.name for function in model.functions)
    yield from (entry.name for entry in (*model.graph.input, *model.graph.initializer))
    yield from (tensor.values.name for tensor in model.graph.sparse_initializer)
    for node in model.graph.node:
        yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
        yield from (attribute.name for attribute in node.attribute)


class _Graph:
    """The nodes of a model in order, and which of their tensors depend on the model's input."""

    def __init__(self, model: onnx.ModelProto, where: str) -> None:
        self._model = model
        self._where = where
        self.nodes: Sequence[onnx.NodeProto] = list(model.graph.node)
        self._initializers = {tensor.name: tensor for tensor in model.graph.initializer}
        # Before version 4 of the format, initialisers are listed among the inputs, too.
        self._inputs = {value.name: value for value in model.graph.input if value.name not in self._initializers}
        self._opsets = {domain_of(entry): entry.version for entry in model.opset_import}
        self._check_order()
        self._per_input = self._reached()

    def check_operators(self) -> None:
        """Refuse what the tables do not hold, all of it in one message."""
        import onnx

        newest = onnx.defs.onnx_opset_version()
        if not 1 <= self._opsets.get("", 0) <= newest:
            raise UnsupportedNetwork(
                f"{self._where}: operator set {self._opsets.get('', 0)} of ONNX; accepted: 1 to {newest}"
            )
        if self._model.functions:
            names = ", ".join(sorted({function.name for function in self._model.functions}))
            raise UnsupportedNetwork(
                f"{self._where}: functions of its own: {names!r}; accepted: a model in which "
                "onnx.inliner.inline_local_functions has put their nodes in their place"
            )
        outside: dict[str, list[str]] = {}
        for node in self.nodes:
            if self._for_every_input(node) and _operator(node) not in ROWS and _operator(node) not in FREE:
                outside.setdefault(_operator(node), []).append(_name(node))
        if outside:
            listed = (
                f"{operator!r} in {names[0]!r}" + (f" and {len(names) - 1} more" if len(names) > 1 else "")
                for operator, names in outside.items()
            )
            raise UnsupportedNetwork(f"{self._where}: unsupported operators: {', '.join(listed)}")

    def tensors(self, input_shapes: InputShapes | None) -> Tensors:
        """The shapes of every tensor."""
        tensors = Tensors(self._opsets, self._model.ir_version)
        given = self._given(input_shapes)
        try:
            for name, tensor in self._initializers.items():
                tensors.stored(name, tensor)
            for sparse in self._model.graph.sparse_initializer:
                tensors.given(sparse.values.name, sparse.values.data_type, tuple(sparse.dims))
            for name, value in self._inputs.items():
                tensors.given(name, value.type.tensor_type.elem_type, given[name])
        except UnsupportedNetwork as error:
            raise UnsupportedNetwork(f"{self._where}: {error}") from error
        for node in self.nodes:
            try:
                tensors.run(node, constant=not self._for_every_input(node))
            except UnsupportedNetwork as error:
                raise UnsupportedNetwork(f"{self._where}: node {_name(node)!r} ({node.op_type}): {error}") from error
        return tensors

    def parts(self, node: onnx.NodeProto, tensors: Tensors) -> list[tuple[str, Part]]:
        """The rows that a node becomes, with their names; none where it computes nothing for the input."""
        builder = ROWS.get(_operator(node))
        if builder is None or not self._for_every_input(node):
            return []
        name = _name(node)
        try:
            call = Call(
                inputs=[self._operand(entry, tensors) if entry else None for entry in node.input],
                attributes={attribute.name: _value(attribute) for attribute in node.attribute},
                output=lambda: tensors.shape(node.output[0]),
            )
            return [(f"{name}.{part.suffix}" if part.suffix else name, part) for part in builder(call)]
        except UnsupportedNetwork as error:
            raise UnsupportedNetwork(f"{self._where}: node {name!r} ({node.op_type}): {error}") from error

    def _operand(self, name: str, tensors: Tensors) -> Operand:
        shape = tensors.shape(name)
        if name in self._per_input:
            return Operand(shape, per_input=True)
        return Operand(shape, False, name, {name: prod(shape)} if tensors.trainable(name) else {})

    def _for_every_input(self, node: onnx.NodeProto) -> bool:
        """Whether a node's result depends on the input: on more than the input's shape."""
        return any(name in self._per_input for name in node.output)

    def _reached(self) -> set[str]:
        reached = set(self._inputs)
        for node in self.nodes:
            if _operator(node) in ("Shape", "Size"):
                continue
            subgraph = any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute)
            if subgraph or any(name in reached for name in node.input):
                reached.update(name for name in node.output if name)
        return reached

    def _check_order(self) -> None:
        made = {name for node in self.nodes for name in node.output}
        stored = {sparse.values.name for sparse in self._model.graph.sparse_initializer}
        known = {"", *self._inputs, *self._initializers, *stored}
        for node in self.nodes:
            if len(node.input) > MOST_INPUTS:
                raise UnsupportedNetwork(
                    f"{self._where}: node {_name(node)!r} reads {len(node.input)} tensors; accepted: {MOST_INPUTS}"
                )
            for name in node.input:
                if name not in known:
                    why = "a later node makes: the graph is cyclic or out of order" if name in made else "nothing makes"
                    raise UnsupportedNetwork(f"{self._where}: node {_name(node)!r} reads {name!r}, which {why}")
            for name in filter(None, node.output):
                if name in known:
                    raise UnsupportedNetwork(f"{self._where}: tensor {name!r} is made twice")
                known.add(name)

    def _given(self, input_shapes: InputShapes | None) -> dict[str, tuple[int, ...]]:
        """The sizes of every input."""
        if input_shapes is not None and not isinstance(input_shapes, Mapping):
            if len(self._inputs) != 1:
                raise BadConfig(
                    f"{self._where}: input_shapes is {tuple(input_shapes)}; accepted: sizes by name, for the inputs "
                    f"{', '.join(self._inputs)}"
                )
            input_shapes = {name: _batched_once(value, input_shapes) for name, value in self._inputs.items()}
        shapes = dict(input_shapes or {})
        for name in shapes:
            if name not in self._inputs:
                raise BadConfig(f"{self._where}: input_shapes has {name!r}{suggestion(name, self._inputs)}")
        alone = len(self._inputs) == 1
        return {name: _sizes(value, shapes.get(name), alone, self._where) for name, value in self._inputs.items()}


def _batched_once(value: onnx.ValueInfoProto, given: Sequence[int]) -> Sequence[int]:
    """Sizes without the batch dimension of 1 that a caller put before one that was already there."""
    shape = value.type.tensor_type
    twice = tuple(given[:2]) == (1, 1) and shape.HasField("shape") and len(given) == len(shape.shape.dim) + 1
    return given[1:] if twice else given


def _sizes(value: onnx.ValueInfoProto, given: Sequence[int] | None, alone: bool, where: str) -> tuple[int, ...]:
    """An input's sizes: those given, else the file's; ``alone`` is whether it is the only input."""
    if not value.type.HasField("tensor_type"):
        raise UnsupportedNetwork(f"{where}: input {value.name!r} is no tensor; accepted: tensors")
    shape = value.type.tensor_type.shape
    declared = [dim.dim_value if dim.HasField("dim_value") else dim.dim_param or "?" for dim in shape.dim]
    ranked = value.type.tensor_type.HasField("shape")
    if given is None:
        return _closed(value.name, declared if ranked else ["..."], alone, where)
    if not all(isinstance(size, int) and size > 0 for size in given):
        raise BadConfig(f"{where}: input_shapes[{value.name!r}] is {tuple(given)}; accepted: positive integers")
    if ranked and len(given) != len(declared):
        raise BadConfig(f"{where}: input_shapes[{value.name!r}] is {tuple(given)}; accepted: {len(declared)} sizes")
    return tuple(given)


def _closed(name: str, declared: Sequence[int | str], alone: bool, where: str) -> tuple[int, ...]:
    """The sizes that a file declares, none of which may be open."""
    for position, size in enumerate(declared):
        if not isinstance(size, int) or size < 1:
            listed = ", ".join(str(size) for size in declared)
            sizes = ",".join(str(size) for size in (declared[1:] if alone else declared)) or "..."
            option = f"{sizes}, without the batch" if alone else f"{name}={sizes} for each input"
            raise BadConfig(
                f"{where}: input {name!r}: dimension {position}, {size!r}, has no size; "
                f"accepted: input_shapes={{{name!r}: ({listed})}} with a positive integer for each, or on the command "
                f"line --input-shape {option}"
            )
    return tuple(int(size) for size in declared)


def _operator(node: onnx.NodeProto) -> str:
    """The operator's name, with its domain where that is not ONNX's own."""
    return f"{domain_of(node)}.{node.op_type}".lstrip(".")


def _name(node: onnx.NodeProto) -> str:
    """The node's name; else that of its first output."""
    return node.name or next(iter(node.output), "") or node.op_type


def _value(attribute: onnx.AttributeProto) -> Any:
    """A number, string or list; None for what no row reads."""
    from onnx import AttributeProto

    match attribute.type:
        case AttributeProto.INT:
            return attribute.i
        case AttributeProto.INTS:
            return list(attribute.ints)
        case AttributeProto.STRING:
            return attribute.s
    return None
