"""Which row of the layer table each operator of a traced torch network becomes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from codesign_gym.simulators.networks import rows
from codesign_gym.simulators.networks.layers import Op
from codesign_gym.simulators.networks.rows import Row, Shape


@dataclass(frozen=True)
class Call:
    """One operator call of a traced graph.

    Attributes:
        input_shape, output_shape: of its first tensor argument and (first) result.
        weight_shape: of the argument ``weight``; () where there is none.
        extra_parameters: trained numbers among its arguments other than the weight of a WEIGHTED operator.
        arguments: the rest by the names of the operator's schema, defaults filled in.
    """

    input_shape: Shape
    output_shape: Shape
    weight_shape: Shape
    extra_parameters: int
    arguments: Mapping[str, Any]


RowBuilder = Callable[[Call], Row]


def _conv(call: Call) -> Row:
    return rows.conv(
        call.input_shape, call.weight_shape, call.output_shape, call.arguments["stride"], call.extra_parameters
    )


def _linear(call: Call) -> Row:
    return rows.linear(call.input_shape, call.output_shape, call.extra_parameters)


def _norm_channels_first(call: Call) -> Row:
    return rows.pointwise(Op.NORM, rows.channels_first(call.output_shape), call.extra_parameters)


def _norm_channels_last(call: Call) -> Row:
    return rows.pointwise(Op.NORM, rows.channels_last(call.output_shape), call.extra_parameters)


def _elementwise(call: Call) -> Row:
    return rows.pointwise(Op.ELEMENTWISE, rows.geometry(call.output_shape), call.extra_parameters)


def _activation(call: Call) -> Row:
    return rows.pointwise(Op.ACTIVATION, rows.geometry(call.output_shape), call.extra_parameters)


def _pool(call: Call) -> Row:
    """Windows of ``kernel_size``; an empty stride means the kernel's."""
    kernel = call.arguments["kernel_size"]
    return rows.pool(call.input_shape, call.output_shape, kernel, call.arguments["stride"] or kernel)


def _adaptive_pool(call: Call) -> Row:
    spatial = range(-len(call.arguments["output_size"]), 0)
    window = [-(-call.input_shape[i] // call.output_shape[i]) if call.output_shape[i] else 0 for i in spatial]
    return rows.pool(call.input_shape, call.output_shape, window)


def _reduction(call: Call) -> Row:
    dims = call.arguments.get("dim") or range(len(call.input_shape))
    return rows.pool(call.input_shape, call.output_shape, [call.input_shape[i] for i in dims])


#: Operators whose argument ``weight`` holds the weights of a CONV or LINEAR row.
WEIGHTED: Mapping[str, RowBuilder] = {"aten.conv1d": _conv, "aten.conv2d": _conv, "aten.linear": _linear}

#: Operators that become a row without weights. An in-place variant (``relu_``) is its plain operator.
WEIGHTLESS: Mapping[str, RowBuilder] = {
    "aten.batch_norm": _norm_channels_first,
    "aten.group_norm": _norm_channels_first,
    "aten.instance_norm": _norm_channels_first,
    "aten.layer_norm": _norm_channels_last,
    "aten.rms_norm": _norm_channels_last,
    **dict.fromkeys(("aten.max_pool1d", "aten.max_pool2d", "aten.avg_pool1d", "aten.avg_pool2d"), _pool),
    **dict.fromkeys(
        (
            "aten.adaptive_avg_pool1d",
            "aten.adaptive_avg_pool2d",
            "aten.adaptive_max_pool1d",
            "aten.adaptive_max_pool2d",
        ),
        _adaptive_pool,
    ),
    "aten.mean": _reduction,
    **dict.fromkeys(("aten.add", "aten.sub", "aten.rsub", "aten.mul", "aten.div", "aten.cat"), _elementwise),
    **dict.fromkeys(
        (
            "aten.relu",
            "aten.relu6",
            "aten.leaky_relu",
            "aten.prelu",
            "aten.elu",
            "aten.hardtanh",
            "aten.hardswish",
            "aten.hardsigmoid",
            "aten.sigmoid",
            "aten.gelu",
            "aten.silu",
            "aten.mish",
            "aten.tanh",
            "aten.clamp",
            "aten.softmax",
            "aten.log_softmax",
        ),
        _activation,
    ),
}

#: Operators that compute nothing: they rename, copy or rearrange elements.
FREE = frozenset(
    {
        "getitem",
        *(
            f"aten.{name}"
            for name in (
                "_assert_tensor_metadata",
                "alias",
                "alpha_dropout",
                "chunk",
                "clone",
                "constant_pad_nd",
                "contiguous",
                "detach",
                "dropout",
                "expand",
                "feature_dropout",
                "flatten",
                "lift_fresh_copy",
                "narrow",
                "pad",
                "permute",
                "pixel_shuffle",
                "reshape",
                "select",
                "slice",
                "split",
                "split_with_sizes",
                "squeeze",
                "stack",
                "t",
                "to",
                "transpose",
                "type_as",
                "unbind",
                "unflatten",
                "unsqueeze",
                "view",
            )
        ),
    }
)

ROWS: Mapping[str, RowBuilder] = {**WEIGHTED, **WEIGHTLESS}
