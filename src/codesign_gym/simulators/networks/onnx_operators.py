"""Which rows of the layer table each operator of an ONNX model becomes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any

from codesign_gym.errors import UnsupportedNetwork
from codesign_gym.simulators.networks import operands, rows
from codesign_gym.simulators.networks.layers import Op
from codesign_gym.simulators.networks.operands import Operand, Part, parameters
from codesign_gym.simulators.networks.rows import Shape

LARGEST = 2**31  # a window, a stride, a number of groups or heads


@dataclass(frozen=True)
class Call:
    """One node of a graph.

    Attributes:
        inputs: its operands by position; None where an optional one is absent.
        attributes: by name, as Python values.
        output: gives the shape of its first output.
    """

    inputs: Sequence[Operand | None]
    attributes: Mapping[str, Any]
    output: Callable[[], Shape]

    def operand(self, position: int) -> Operand:
        """The operand at a position, which must be there."""
        operand = self.inputs[position] if position < len(self.inputs) else None
        if operand is None:
            raise UnsupportedNetwork(f"input {position} is absent; accepted: a tensor")
        return operand

    def weight(self, position: int) -> Operand:
        """An operand that must not depend on the network's input."""
        operand = self.operand(position)
        if operand.per_input:
            raise UnsupportedNetwork("weights that depend on the network's input; accepted: stored ones")
        return operand

    def number(self, name: str, default: int) -> int:
        """An integer attribute."""
        return self.numbers(name, [default])[0]

    def numbers(self, name: str, default: list[int]) -> list[int]:
        """A list of integers, or a single one."""
        value = self.attributes.get(name, default)
        listed = [value] if isinstance(value, int) else value
        if not isinstance(listed, list) or not all(isinstance(entry, int) and 0 <= entry < LARGEST for entry in listed):
            raise UnsupportedNetwork(f"attribute {name} is {value!r}; accepted: integers from 0 to 2**31")
        return listed or default


RowBuilder = Callable[[Call], Sequence[Part]]


def _conv(call: Call, weight: int = 1, bias: int = 2) -> list[Part]:
    image, kernel = call.operand(0), call.weight(weight)
    groups = call.number("group", 1)
    if len(image.shape) > 1 < len(kernel.shape) and image.shape[1] != groups * kernel.shape[1]:
        raise UnsupportedNetwork(
            f"a convolution of {list(image.shape)} with weights {list(kernel.shape)} in {groups} groups"
        )
    _check_window(call, kernel)
    strides = call.numbers("strides", [1])
    extra = parameters(call.inputs[bias : bias + 1])
    return [Part(rows.conv(image.shape, kernel.shape, call.output(), strides, extra), kernel)]


def _check_window(call: Call, kernel: Operand) -> None:
    """Refuse a ``kernel_shape`` that is not the weights': sizes of the output follow from it, products from them."""
    own = list(kernel.shape[2:])
    if "kernel_shape" in call.attributes and (stated := call.numbers("kernel_shape", [1])) != own:
        raise UnsupportedNetwork(f"attribute kernel_shape is {stated}; the weights' is {own}")


def _conv_transpose(call: Call) -> list[Part]:
    kernel, groups = call.weight(1), call.number("group", 1)
    _check_window(call, kernel)
    extra = parameters(call.inputs[2:3])
    return [Part(rows.conv_transposed(call.operand(0).shape, kernel.shape, groups, extra), kernel)]


def _gemm(call: Call) -> list[Part]:
    left = _transposed(call.operand(0), call.number("transA", 0))
    right = _transposed(call.operand(1), call.number("transB", 0))
    return [operands.matmul(left, right, parameters(call.inputs[2:3]))]


def _transposed(matrix: Operand, transpose: int) -> Operand:
    shape = tuple(matrix.shape)[::-1] if transpose else matrix.shape
    return Operand(shape, matrix.per_input, matrix.owner, matrix.trained)


def _matmul(call: Call, right: int = 1) -> list[Part]:
    return [operands.matmul(call.operand(0), call.operand(right))]


def _einsum(call: Call) -> list[Part]:
    equation = call.attributes.get("equation", b"")
    present = [call.operand(position) for position in range(len(call.inputs))]
    return [operands.einsum(equation.decode(errors="replace"), present)]


def _attention(call: Call) -> list[Part]:
    """Queries, keys and values of (1, heads, length, depth) or (1, length, heads x depth), keys after the past's."""
    cached = call.inputs[4] if len(call.inputs) > 4 else None
    past = cached.shape[2] if cached and len(cached.shape) == 4 else 0
    return operands.attention(
        _heads(call, 0, "q_num_heads", 0),
        _heads(call, 1, "kv_num_heads", past),
        _heads(call, 2, "kv_num_heads", past),
        parameters(call.inputs[3:4]),
    )


def _heads(call: Call, position: int, attribute: str, past: int) -> operands.Heads:
    """Sizes of one operand of attention, after ``past`` tokens of earlier calls."""
    shape = call.operand(position).shape
    if len(shape) == 4:
        return shape[0] * shape[1], past + shape[2], shape[3]
    heads = call.number(attribute, 0)
    if len(shape) != 3 or heads < 1 or shape[2] % heads:
        raise UnsupportedNetwork(f"attention over {list(shape)} with {attribute} {heads}")
    return shape[0] * heads, past + shape[1], shape[2] // heads


def _recurrent(call: Call) -> list[Part]:
    """A product with the input for all steps; step by step, the product with the state, gates and new state."""
    entry, recurrence = call.weight(1), call.weight(2)
    directions, gates, features = _rank3(entry.shape)
    *same, hidden = _rank3(recurrence.shape)
    first, second, entering = _rank3(call.operand(0).shape)
    if entering != features or same != [directions, gates] or hidden < 1 or gates % hidden:
        shapes = [list(operand.shape) for operand in (call.operand(0), entry, recurrence)]
        raise UnsupportedNetwork(f"a recurrent layer over {shapes[0]} with weights {shapes[1]} and {shapes[2]}")
    steps, images = (second, first) if call.number("layout", 0) else (first, second)
    biases = parameters(call.inputs[3:4])
    peepholes = parameters(call.inputs[7:8])
    products = [
        rows.product(Op.LINEAR, 1, steps * images, directions * gates, features, biases // 2),
        rows.product(Op.LINEAR, directions, images, gates, hidden, biases - biases // 2 + peepholes, steps),
    ]
    return [
        Part(products[0], entry, "input"),
        Part(products[1], recurrence, "recurrence"),
        Part(rows.pointwise(Op.ACTIVATION, (directions * gates, images, 1), steps=steps), suffix="gates"),
        Part(rows.pointwise(Op.ELEMENTWISE, (directions * hidden, images, 1), steps=steps), suffix="state"),
    ]


def _rank3(shape: Shape) -> tuple[int, int, int]:
    if len(shape) != 3:
        raise UnsupportedNetwork(f"a recurrent layer with an operand of {list(shape)}; accepted: three dimensions")
    return shape[0], shape[1], shape[2]


def _norm(call: Call, trained: slice = slice(1, 3)) -> list[Part]:
    shape = call.output()
    size = rows.channels_first(shape) if len(shape) > 1 else rows.channels_last(shape)
    return [Part(rows.pointwise(Op.NORM, size, parameters(call.inputs[trained])))]


def _norm_last(call: Call) -> list[Part]:
    return [Part(rows.pointwise(Op.NORM, rows.channels_last(call.output()), parameters(call.inputs[1:3])))]


def _pointwise(call: Call, op: Op, fewest: int = 2) -> list[Part]:
    """Stored tensors of fewer elements, such as the root of a head's size, are no trained numbers."""
    trained = [operand for operand in call.inputs if operand and prod(operand.shape) >= fewest]
    return [Part(rows.pointwise(op, rows.geometry(call.output()), parameters(trained)))]


def _pool(call: Call) -> list[Part]:
    window = call.numbers("kernel_shape", [1])
    return [Part(rows.pool(call.operand(0).shape, call.output(), window, call.numbers("strides", [1])))]


def _global_pool(call: Call) -> list[Part]:
    shape = call.operand(0).shape
    return [Part(rows.pool(shape, call.output(), shape[2:]))]


def _reduction(call: Call) -> list[Part]:
    """The reduced dimensions are those that the output lacks or has as 1."""
    shape, output = call.operand(0).shape, call.output()
    if len(output) == len(shape):
        window = [size for size, left in zip(shape, output, strict=True) if left != size]
    else:
        window = [max(1, prod(shape) // max(1, prod(output)))]
    return [Part(rows.pool(shape, output, window))]


def _gather(call: Call) -> list[Part]:
    """Rows of a stored table are an embedding; a part of an activation is free."""
    table = call.operand(0)
    if table.per_input or not table.trained:
        return []
    return [Part(rows.pointwise(Op.EMBEDDING, rows.channels_last(call.output()), parameters([table])), table)]


_elementwise = partial(_pointwise, op=Op.ELEMENTWISE)
_activation = partial(_pointwise, op=Op.ACTIVATION)


def _table(builder: RowBuilder, names: str) -> dict[str, RowBuilder]:
    return dict.fromkeys(names.split(), builder)


#: Operators of ONNX's standard domain that become rows.
ROWS: Mapping[str, RowBuilder] = {
    **_table(_conv, "Conv"),
    **_table(partial(_conv, bias=4), "ConvInteger"),
    **_table(partial(_conv, weight=3, bias=8), "QLinearConv"),
    **_table(_conv_transpose, "ConvTranspose"),
    **_table(_gemm, "Gemm"),
    **_table(_matmul, "MatMul MatMulInteger"),
    **_table(partial(_matmul, right=3), "QLinearMatMul"),
    **_table(_einsum, "Einsum"),
    **_table(_attention, "Attention"),
    **_table(_recurrent, "LSTM GRU RNN"),
    **_table(_gather, "Gather"),
    **_table(_norm, "BatchNormalization GroupNormalization InstanceNormalization"),
    **_table(partial(_norm, trained=slice(0)), "LpNormalization LRN MeanVarianceNormalization"),
    **_table(_norm_last, "LayerNormalization RMSNormalization"),
    **_table(_pool, "AveragePool LpPool MaxPool"),
    **_table(_global_pool, "GlobalAveragePool GlobalLpPool GlobalMaxPool"),
    **_table(
        _reduction,
        "ArgMax ArgMin ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd "
        "ReduceSum ReduceSumSquare",
    ),
    **_table(
        _elementwise,
        "Add And Concat CumSum Div Equal Greater GreaterOrEqual IsInf IsNaN Less LessOrEqual Max Mean Min Mod Mul Not "
        "Or Pow Resize RotaryEmbedding Sub Sum Upsample Where Xor",
    ),
    **_table(
        _activation,
        "Abs Ceil Celu Clip Cos DequantizeLinear DynamicQuantizeLinear Elu Erf Exp Floor Gelu HardSigmoid HardSwish "
        "Hardmax LeakyRelu Log LogSoftmax Mish Neg QuantizeLinear Reciprocal Relu Round Selu Shrink Sigmoid Sign "
        "Sin Softmax Softplus Softsign Sqrt Swish Tanh ThresholdedRelu",
    ),
    **_table(partial(_activation, fewest=1), "PRelu"),
}

#: Operators that compute nothing: they rename, copy or rearrange elements.
FREE = frozenset(
    _table(
        lambda call: [],
        "Cast CastLike CenterCropPad Constant ConstantOfShape DepthToSpace Dropout Expand EyeLike Flatten "
        "GatherElements GatherND Identity OneHot Pad Range Reshape ReverseSequence Shape Size Slice SpaceToDepth Split "
        "Squeeze Tile Transpose Trilu Unsqueeze",
    )
)
