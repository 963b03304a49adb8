"""Rows of the layer table from tensor shapes: what the zoo and every importer share.

Shapes are a framework's own, with the batch dimension first. Rows are for one run of a network: a leading
dimension above 1 (images, windows, heads) counts as positions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import prod

from codesign_gym.errors import UnsupportedNetwork
from codesign_gym.simulators.networks.layers import Op

Row = dict[str, int]  # column of the layer table to value
Shape = Sequence[int]
Geometry = tuple[int, int, int]  # channels, height, width


def conv(input_shape: Shape, weight_shape: Shape, output_shape: Shape, stride: Shape, extra_parameters: int = 0) -> Row:
    """A 1-D or 2-D convolution; the 1-D kernel and its sequence lie along the width.

    Padding and dilation show in the output's shape alone. Several images lie below each other.

    Args:
        input_shape: (images, in_channels, height, width) or (images, in_channels, width).
        weight_shape: (out_channels, in_channels / groups, *kernel).
        output_shape: as ``input_shape``.
        stride: a number per spatial dimension, equal in those that have more than one window.
        extra_parameters: biases.

    Raises:
        UnsupportedNetwork: on other ranks, or unequal strides.
    """
    _check_window(input_shape, weight_shape)
    kernel_height, kernel_width = _plane(weight_shape[2:])
    return {
        "op": Op.CONV,
        **_sizes(channels_first(input_shape), channels_first(output_shape)),
        "kernel_height": kernel_height,
        "kernel_width": kernel_width,
        "stride": _equal(stride, output_shape),
        "groups": input_shape[1] // weight_shape[1] if weight_shape[1] else 0,
        "extra_parameters": extra_parameters,
    }


def linear(input_shape: Shape, output_shape: Shape, extra_parameters: int = 0) -> Row:
    """A matrix product over the last dimension, applied at every other position (tokens, say)."""
    return {
        "op": Op.LINEAR,
        **_sizes(channels_last(input_shape), channels_last(output_shape)),
        "extra_parameters": extra_parameters,
    }


def product(op: Op, groups: int, m: int, n: int, k: int, extra_parameters: int = 0, steps: int = 1) -> Row:
    """``groups`` matrix products of m x k by k x n in every step: LINEAR (n x k weights each) or MATMUL."""
    return {
        "op": op,
        **_sizes((groups * k, m, 1), (groups * n, m, 1)),
        "groups": groups,
        "extra_parameters": extra_parameters,
        "steps": steps,
    }


def conv_transposed(input_shape: Shape, weight_shape: Shape, groups: int, extra_parameters: int = 0) -> Row:
    """A 1-D or 2-D transposed convolution as the matrix product that computes it, whatever its stride.

    Every input position is multiplied by (out_channels / groups) x kernel weights per input channel; adding up
    the windows that overlap is not a multiplication.

    Args:
        input_shape: (images, in_channels, height, width) or (images, in_channels, width).
        weight_shape: (in_channels, out_channels / groups, *kernel).
        groups: in which the channels do not meet.
        extra_parameters: biases.

    Raises:
        UnsupportedNetwork: on other ranks.
    """
    _check_window(input_shape, weight_shape)
    channels, height, width = channels_first(input_shape)
    return {
        "op": Op.LINEAR,
        **_sizes((channels, height, width), (groups * prod(weight_shape[1:]), height, width)),
        "groups": groups,
        "extra_parameters": extra_parameters,
    }


def pool(input_shape: Shape, output_shape: Shape, window: Shape, stride: Shape = (1,)) -> Row:
    """Maximum or mean over a window; ``stride`` stays 1 where the window covers the whole input or adapts to it.

    Raises:
        UnsupportedNetwork: on unequal strides.
    """
    kernel_height, kernel_width = _plane(window)
    return {
        "op": Op.POOL,
        **_sizes(geometry(input_shape), geometry(output_shape)),
        "kernel_height": kernel_height,
        "kernel_width": kernel_width,
        "stride": _equal(stride, output_shape),
    }


def pointwise(op: Op, size: Geometry, extra_parameters: int = 0, steps: int = 1) -> Row:
    """A row that leaves the size as it is: NORM, ELEMENTWISE or ACTIVATION."""
    return {"op": op, **_sizes(size, size), "extra_parameters": extra_parameters, "steps": steps}


def channels_first(shape: Shape) -> Geometry:
    """Channels, height and width of (batch, channels, *spatial); a single spatial dimension is the width."""
    batch, channels, *spatial = shape
    height, width = _plane(spatial)
    return channels, batch * height, width


def channels_last(shape: Shape) -> Geometry:
    """Channels, height and width of (batch, *positions, channels); a single position dimension is the height."""
    *positions, channels = shape if len(shape) else (1,)
    if positions and positions[0] == 1:
        del positions[0]
    if len(positions) < 2:
        return channels, prod(positions), 1
    return channels, prod(positions[:-1]), positions[-1]


def geometry(shape: Shape) -> Geometry:
    """Channels, height and width where the layout is not known: four dimensions are read as an image's.

    Rows without weights are charged by their elements, whose number either reading keeps.
    """
    return channels_first(shape) if len(shape) == 4 else channels_last(shape)


def unique(names: Sequence[str], first: Sequence[bool]) -> list[str]:
    """Names made unique by ``#2``, ``#3``, ...; those marked ``first`` are served before the others."""
    seen: Counter[str] = Counter()
    taken = set(names)
    made = list(names)
    for position in sorted(range(len(names)), key=lambda position: not first[position]):
        name = names[position]
        seen[name] += 1
        if seen[name] > 1:
            while f"{name}#{seen[name]}" in taken:
                seen[name] += 1
            made[position] = f"{name}#{seen[name]}"
            taken.add(made[position])
    return made


def _check_window(input_shape: Shape, weight_shape: Shape) -> None:
    if len(input_shape) != len(weight_shape) or len(weight_shape) not in (3, 4):
        raise UnsupportedNetwork(
            f"a convolution of {list(input_shape)} with weights {list(weight_shape)}; "
            "accepted: images or sequences, (images, channels, height, width) or (images, channels, length)"
        )


def _sizes(entry: Geometry, leaving: Geometry) -> Row:
    names = ("channels", "height", "width")
    return {
        **{f"in_{name}": size for name, size in zip(names, entry, strict=True)},
        **{f"out_{name}": size for name, size in zip(names, leaving, strict=True)},
    }


def _plane(spatial: Shape) -> tuple[int, int]:
    """Any number of spatial sizes as a height and a width."""
    *rest, width = spatial if len(spatial) else (1,)
    return prod(rest), width


def _equal(stride: Shape, output_shape: Shape) -> int:
    """The one stride of all spatial dimensions; where an axis has a single window, nothing moves along it."""
    if len(set(stride)) == 1:
        return stride[0]
    moving = {step for step, size in zip(stride, output_shape[-len(stride) :], strict=True) if size > 1}
    if len(moving) > 1:
        raise UnsupportedNetwork(f"stride {tuple(stride)}; accepted: the same stride in every dimension")
    return max(moving or stride)
