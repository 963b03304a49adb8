"""Small ONNX models, made by hand."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np
import onnx
from onnx import TensorProto, helper

Sizes = Sequence[int | str] | None


def weights(name: str, *shape: int, kind: int = TensorProto.FLOAT) -> onnx.TensorProto:
    """A stored tensor of zeros."""
    return helper.make_tensor(name, kind, shape, np.zeros(prod(shape)))


def whole(name: str, *values: int) -> onnx.TensorProto:
    """A stored vector of integers."""
    return helper.make_tensor(name, TensorProto.INT64, (len(values),), values)


def constant(name: str, value: onnx.TensorProto) -> onnx.NodeProto:
    return helper.make_node("Constant", [], [name], value=value)


def node(operator: str, reads: str, makes: str = "y", **attributes: object) -> onnx.NodeProto:
    """A node that reads and makes the tensors of these names."""
    return helper.make_node(operator, reads.split(), makes.split(), **attributes)


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: dict[str, Sizes],
    stored: Sequence[onnx.TensorProto] = (),
    kind: int = TensorProto.FLOAT,
    opset: int = 17,
) -> onnx.ModelProto:
    """A model of nodes, of inputs by name and of stored tensors."""
    entries = [helper.make_tensor_value_info(name, kind, shape) for name, shape in inputs.items()]
    output = helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "graph", entries, [output], stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
