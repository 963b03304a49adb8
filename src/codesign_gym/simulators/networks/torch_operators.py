"""Which row of the layer table each operator of a traced torch network becomes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest
from math import prod
from typing import Any

from codesign_gym.errors import UnsupportedNetwork
from codesign_gym.simulators.networks import operands, rows
from codesign_gym.simulators.networks.layers import Op
from codesign_gym.simulators.networks.operands import Operand, Part, parameters
from codesign_gym.simulators.networks.rows import Geometry, Shape


@dataclass(frozen=True)
class Call:
    """One operator call of a traced graph.

    Attributes:
        arguments: by the names of the operator's schema, defaults filled in; tensors as operands.
        output_shape: of its (first) result.
    """

    arguments: Mapping[str, Any]
    output_shape: Shape

    @property
    def tensors(self) -> list[Operand]:
        """The tensor arguments, in order, those in lists included."""
        listed = (value if isinstance(value, list | tuple) else [value] for value in self.arguments.values())
        return [value for values in listed for value in values if isinstance(value, Operand)]

    @property
    def input_shape(self) -> Shape:
        """Shape of the first tensor argument."""
        return self.tensors[0].shape

    def weight(self, name: str = "weight") -> Operand:
        """A tensor argument that must be a stored parameter."""
        return _stored(self.arguments[name])

    def trained(self, *weights: Operand) -> int:
        """Trained numbers among the arguments other than the weights."""
        return parameters(tensor for tensor in self.tensors if tensor not in weights)


RowBuilder = Callable[[Call], Sequence[Part]]


def _stored(weight: Operand) -> Operand:
    if not weight.owner:
        raise UnsupportedNetwork("weights computed in the forward pass; accepted: stored parameters")
    return weight


def _conv(call: Call) -> list[Part]:
    weight, stride = call.weight(), call.arguments["stride"]
    return [Part(rows.conv(call.input_shape, weight.shape, call.output_shape, stride, call.trained(weight)), weight)]


def _conv_transpose(call: Call) -> list[Part]:
    weight, groups = call.weight(), call.arguments["groups"]
    return [Part(rows.conv_transposed(call.input_shape, weight.shape, groups, call.trained(weight)), weight)]


def _linear(call: Call) -> list[Part]:
    weight = call.weight()
    return [Part(rows.linear(call.input_shape, call.output_shape, call.trained(weight)), weight)]


def _product(call: Call, added: int = 0) -> list[Part]:
    """``left @ right``, after ``added`` tensors that are added to it."""
    *bias, left, right = call.tensors[: added + 2]
    return [_checked(operands.matmul(left, right, parameters(bias)))]


def _einsum(call: Call) -> list[Part]:
    return [_checked(operands.einsum(call.arguments["equation"], call.tensors))]


def _checked(part: Part) -> Part:
    if part.weight is not None:
        _stored(part.weight)
    return part


def _attention(call: Call) -> list[Part]:
    """Queries, keys and values of (..., heads, length, depth)."""
    query, key, value = (_heads(call.arguments[name].shape) for name in ("query", "key", "value"))
    return operands.attention(query, key, value, call.trained())


def _heads(shape: Shape) -> operands.Heads:
    *outer, length, depth = shape
    return prod(outer), length, depth


def _recurrent(call: Call, gates: int) -> list[Part]:
    """For each layer and direction a product a matrix, with its bias; then gates and new state.

    The product with the input is one of all steps. What hangs on the state before comes step by step.
    """
    if "batch_first" not in call.arguments:
        raise UnsupportedNetwork("a recurrent layer over packed sequences; accepted: padded ones")
    stored = [_stored(parameter) for parameter in call.arguments["params"]]
    each = len(stored) // (call.arguments["num_layers"] * (1 + call.arguments["bidirectional"]))
    first, second = call.output_shape[:2]
    steps, images = (second, first) if call.arguments["batch_first"] else (first, second)
    parts = []
    for start in range(0, len(stored), each):
        layer = stored[start : start + each]
        matrices = [parameter for parameter in layer if len(parameter.shape) == 2]
        biases = [parameter for parameter in layer if len(parameter.shape) == 1]
        for matrix, bias in zip_longest(matrices, biases):
            leaving, entering = matrix.shape
            times, at_once = (1, steps * images) if matrix is matrices[0] else (steps, images)
            row = rows.product(Op.LINEAR, 1, at_once, leaving, entering, parameters([bias]), times)
            parts.append(Part(row, matrix))
        width = matrices[0].shape[0]
        gated, made = ((channels, images, 1) for channels in (width, width // gates))
        parts.append(Part(rows.pointwise(Op.ACTIVATION, gated, steps=steps), suffix="gates"))
        parts.append(Part(rows.pointwise(Op.ELEMENTWISE, made, steps=steps), suffix="state"))
    return parts


def _embedding(call: Call) -> list[Part]:
    table = call.weight()
    row = rows.pointwise(Op.EMBEDDING, rows.channels_last(call.output_shape), parameters([table]))
    return [Part(row, table)]


def _pointwise(call: Call, op: Op, layout: Callable[[Shape], Geometry] = rows.geometry) -> list[Part]:
    return [Part(rows.pointwise(op, layout(call.output_shape), call.trained()))]


def _pool(call: Call) -> list[Part]:
    """Windows of ``kernel_size``; an empty stride means the kernel's."""
    kernel = call.arguments["kernel_size"]
    return [Part(rows.pool(call.input_shape, call.output_shape, kernel, call.arguments["stride"] or kernel))]


def _adaptive_pool(call: Call) -> list[Part]:
    spatial = range(-len(call.arguments["output_size"]), 0)
    window = [-(-call.input_shape[i] // call.output_shape[i]) if call.output_shape[i] else 0 for i in spatial]
    return [Part(rows.pool(call.input_shape, call.output_shape, window))]


def _reduction(call: Call) -> list[Part]:
    dims = call.arguments.get("dim") or range(len(call.input_shape))
    return [Part(rows.pool(call.input_shape, call.output_shape, [call.input_shape[i] for i in dims]))]


_channels_first = partial(_pointwise, op=Op.NORM, layout=rows.channels_first)
_channels_last = partial(_pointwise, op=Op.NORM, layout=rows.channels_last)
_elementwise = partial(_pointwise, op=Op.ELEMENTWISE)
_activation = partial(_pointwise, op=Op.ACTIVATION)


def _table(builder: RowBuilder, names: str) -> dict[str, RowBuilder]:
    return {f"aten.{name}": builder for name in names.split()}


#: Operators that become rows. An in-place variant (``relu_``) is its plain operator.
ROWS: Mapping[str, RowBuilder] = {
    **_table(_conv, "conv1d conv2d"),
    **_table(_conv_transpose, "conv_transpose1d conv_transpose2d"),
    **_table(_linear, "linear"),
    **_table(_product, "bmm matmul mm"),
    **_table(partial(_product, added=1), "addmm baddbmm"),
    **_table(_einsum, "einsum"),
    **_table(_attention, "scaled_dot_product_attention"),
    **_table(partial(_recurrent, gates=4), "lstm"),
    **_table(partial(_recurrent, gates=3), "gru"),
    **_table(partial(_recurrent, gates=1), "rnn_relu rnn_tanh"),
    **_table(_embedding, "embedding"),
    **_table(_channels_first, "batch_norm group_norm instance_norm"),
    **_table(_channels_last, "layer_norm rms_norm"),
    **_table(_pool, "avg_pool1d avg_pool2d max_pool1d max_pool2d"),
    **_table(_adaptive_pool, "adaptive_avg_pool1d adaptive_avg_pool2d adaptive_max_pool1d adaptive_max_pool2d"),
    **_table(_reduction, "amax mean sum"),
    **_table(
        _elementwise,
        "add cat div masked_fill maximum minimum mul pow rsub sub upsample_bilinear2d upsample_nearest2d where",
    ),
    **_table(
        _activation,
        "abs celu clamp elu erf exp gelu hardsigmoid hardswish hardtanh leaky_relu log log_sigmoid log_softmax mish "
        "neg prelu reciprocal relu relu6 rsqrt selu sigmoid silu softmax softplus sqrt tanh",
    ),
}

#: Operators that compute nothing: they rename, copy or rearrange elements.
FREE = frozenset(
    {
        "getitem",
        *_table(
            lambda call: [],
            "_assert_tensor_metadata alias alpha_dropout chunk clone constant_pad_nd contiguous detach dropout expand "
            "feature_dropout flatten lift_fresh_copy narrow pad permute pixel_shuffle reshape select slice split "
            "split_with_sizes squeeze stack t to transpose type_as unbind unflatten unsqueeze view",
        ),
    }
)
