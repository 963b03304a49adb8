"""Shapes, and the values of small constants, of every tensor of an ONNX graph.

onnx's own shape inference does the work, node by node, so that every size can be checked before the next
node reads it: nothing is ever allocated by a size that a file states. Shapes that a graph computes (Shape,
Gather, Concat, ...) are followed by evaluating those nodes, where the result is small.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from codesign_gym.errors import UnsupportedNetwork
from codesign_gym.simulators.networks.rows import Shape

if TYPE_CHECKING:
    import onnx

LARGEST = 2**40  # elements of a tensor; onnx multiplies sizes as int64
DEEPEST = 16  # dimensions of a tensor
SMALL = 1024  # elements of a constant whose value is followed


def _words(names: str) -> frozenset[str]:
    return frozenset(names.split())


#: Constant operators that shapes are computed with.
FOLDED = _words(
    "Add And Cast Ceil Concat ConstantOfShape Div Equal Expand Flatten Floor Gather Greater GreaterOrEqual Identity "
    "Less LessOrEqual Max Min Mod Mul Neg Not Or Range ReduceMax ReduceMin ReduceProd ReduceSum Reshape Slice Split "
    "Sqrt Squeeze Sub Tile Transpose Unsqueeze Where"
)
#: Operators whose output holds the elements of their input; onnx does not compare the numbers.
REARRANGING = _words("DepthToSpace Flatten Identity Reshape SpaceToDepth Squeeze Transpose Unsqueeze")


#: How the names of the types begin that trained numbers have.
TRAINABLE = ("FLOAT", "BFLOAT", "DOUBLE", "INT8", "UINT8", "INT4", "UINT4")


def domain_of(entry: onnx.NodeProto | onnx.OperatorSetIdProto) -> str:
    """Whose operator it is: "" for ONNX's own."""
    return "" if entry.domain == "ai.onnx" else str(entry.domain)


class Tensors:
    """What is known of each tensor of a graph, filled in the order of its nodes."""

    def __init__(self, opsets: Mapping[str, int], ir_version: int) -> None:
        self._opsets = opsets
        self._ir_version = ir_version
        self._types: dict[str, onnx.TypeProto] = {}
        self._shapes: dict[str, tuple[int, ...] | None] = {}  # of the same, which take long to read
        self._values: dict[str, np.ndarray] = {}

    def shape(self, name: str) -> Shape:
        """The sizes of a tensor.

        Raises:
            UnsupportedNetwork: if they are not known.
        """
        found = self._shapes.get(name)
        if found is None:
            raise UnsupportedNetwork(f"tensor {name!r} has no fixed shape; accepted: sizes that do not depend on data")
        return found

    def trainable(self, name: str) -> bool:
        """Whether the elements are of a type that trained numbers have: floating-point, or 4 or 8 bits wide."""
        from onnx import TensorProto

        element = self._types[name].tensor_type.elem_type
        type_name: str = TensorProto.DataType.Name(element)
        return type_name.startswith(TRAINABLE)

    def given(self, name: str, element: int, shape: Shape) -> None:
        """Declare an input of the graph."""
        from onnx import TensorProto, helper

        if element not in TensorProto.DataType.values():
            raise UnsupportedNetwork(f"tensor {name!r} has elements of type {element}, which ONNX does not define")
        self._keep(name, helper.make_tensor_type_proto(element, shape))

    def stored(self, name: str, tensor: onnx.TensorProto) -> None:
        """Declare an initialiser; its numbers are read only where they are few and in the file itself."""
        from onnx import TensorProto, numpy_helper

        self.given(name, tensor.data_type, tuple(tensor.dims))
        external = tensor.data_location == TensorProto.EXTERNAL or tensor.external_data
        if prod(tensor.dims) <= SMALL and not external and tensor.data_type != TensorProto.STRING:
            try:
                self._values[name] = numpy_helper.to_array(tensor)
            except (ValueError, TypeError, OverflowError) as error:
                raise UnsupportedNetwork(f"tensor {name!r} does not hold its {list(tensor.dims)} numbers") from error

    def run(self, node: onnx.NodeProto, constant: bool) -> None:
        """Infer the outputs of a node whose inputs are known.

        Args:
            node: the node.
            constant: whether nothing it reads depends on the network's input.

        Raises:
            UnsupportedNetwork: if its operands do not fit, or a size is absurd.
        """
        for name, found in self._infer(node).items():
            self._keep(name, found)
        if node.op_type in REARRANGING and not domain_of(node):
            before, after = (self._shapes.get(name) for name in (node.input[0], node.output[0]))
            if before is not None and after is not None and prod(before) != prod(after):
                raise UnsupportedNetwork(f"it makes {list(after)} of {list(before)}")
        if constant:
            self._evaluate(node)

    def _keep(self, name: str, found: onnx.TypeProto) -> None:
        shape = _shape(found)
        if shape is not None and (min(shape, default=0) < 0 or len(shape) > DEEPEST or prod(shape) > LARGEST):
            listed = list(shape[:DEEPEST])
            raise UnsupportedNetwork(f"tensor {name!r} is {listed}; accepted: at most 2**40 elements in 16 dimensions")
        self._types[name], self._shapes[name] = found, shape

    def _infer(self, node: onnx.NodeProto) -> dict[str, onnx.TypeProto]:
        import onnx
        from onnx import defs, helper, numpy_helper, shape_inference

        types = {name: self._types.get(name, onnx.TypeProto()) for name in node.input if name}
        values = {name: numpy_helper.from_array(self._values[name]) for name in types if name in self._values}
        domain = domain_of(node)
        domains = {"", domain} & self._opsets.keys()
        try:
            schema = defs.get_schema(node.op_type, self._opsets.get(domain, 0), domain)
            return shape_inference.infer_node_outputs(
                schema,
                node,
                types,
                values,
                opset_imports=[helper.make_opsetid(domain, self._opsets[domain]) for domain in domains],
                ir_version=self._ir_version,
            )
        except defs.SchemaError as error:
            if domain:
                return {}  # an operator of somebody's own, on constants alone
            raise UnsupportedNetwork(f"ONNX's operator set {self._opsets.get('')} has no such operator") from error
        except (onnx.checker.ValidationError, shape_inference.InferenceError, ValueError, RuntimeError) as error:
            raise UnsupportedNetwork(_one_line(error)) from error

    def _evaluate(self, node: onnx.NodeProto) -> None:
        """Follow the value of a small constant; where that fails, only its shape is known."""
        from onnx.reference import ReferenceEvaluator

        shapes = [self._shapes.get(name) for name in node.output if name]
        if any(shape is None or prod(shape) > SMALL for shape in shapes) or not shapes:
            return
        known: Any
        if domain_of(node):
            return
        if node.op_type in ("Shape", "Size"):
            known = [self._measured(node)]
        elif node.op_type == "Constant" or (
            node.op_type in FOLDED and all(name in self._values for name in node.input if name)
        ):
            inputs = {name: self._values[name] for name in node.input if name}
            try:
                with warnings.catch_warnings(), np.errstate(all="ignore"):
                    warnings.simplefilter("ignore")
                    known = ReferenceEvaluator(node, opsets=dict(self._opsets)).run(None, inputs)
            except Exception:  # whatever an odd constant makes the evaluator raise: its value stays unknown
                return
        else:
            return
        for name, value, shape in zip(node.output, known, shapes, strict=False):
            if name and isinstance(value, np.ndarray | np.generic) and np.shape(value) == shape:
                self._values[name] = np.asarray(value)

    def _measured(self, node: onnx.NodeProto) -> np.ndarray | None:
        """The output of Shape or Size, which needs no value of its input."""
        shape = self._shapes.get(node.input[0])
        if shape is None:
            return None
        if node.op_type == "Size":
            return np.array(prod(shape), dtype=np.int64)
        ends = {attribute.name: attribute.i for attribute in node.attribute}
        return np.array(shape[ends.get("start", 0) : ends.get("end", len(shape))], dtype=np.int64)


def _shape(found: onnx.TypeProto) -> tuple[int, ...] | None:
    """The sizes of a tensor's type, None unless every one is known."""
    if not found.tensor_type.HasField("shape"):
        return None
    sizes = [dim.dim_value if dim.HasField("dim_value") else None for dim in found.tensor_type.shape.dim]
    known = tuple(size for size in sizes if size is not None)
    return known if len(known) == len(sizes) else None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).replace("[ShapeInferenceError]", "").replace("[TypeInferenceError]", "").split())
