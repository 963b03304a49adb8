"""How operators become rows: from a feature map to what they leave."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from codesign_gym.simulators.networks.builder import Builder
from codesign_gym.simulators.operators.file import Operator

#: From the feature map so far, the rows' name, the operator, the channels that leave and the stride.
Block = Callable[[Builder, str, Operator, int, int], Builder]


def conv(net: Builder, name: str, operator: Operator, channels: int, stride: int) -> Builder:
    """Convolution, normalisation, activation."""
    return _conv_norm(net, name, operator, channels, stride).activation(f"{name}.activation")


def plain(net: Builder, name: str, operator: Operator, channels: int, stride: int) -> Builder:
    """A convolution with a bias, and an activation."""
    net = net.conv(f"{name}.conv", channels, operator.kernel, stride, operator.groups, bias=True)
    return net.activation(f"{name}.activation")


def preactivated(net: Builder, name: str, operator: Operator, channels: int, stride: int) -> Builder:
    """Activation, convolution, normalisation (NAS-Bench-201's order)."""
    return _conv_norm(net.activation(f"{name}.activation"), name, operator, channels, stride)


def stem(net: Builder, name: str, operator: Operator, channels: int, stride: int) -> Builder:
    """Convolution and normalisation."""
    return _conv_norm(net, name, operator, channels, stride)


def mobile(entry: Builder, name: str, operator: Operator, channels: int, stride: int) -> Builder:
    """An inverted residual whose first pointwise convolution is always there, and grouped like the last (FBNet).

    Where groups mix by a shuffle between them, it moves data and computes nothing.
    """
    wide = entry.channels * operator.expansion
    net = conv(entry, f"{name}.expand", Operator(block="conv", groups=operator.groups), wide, 1)
    return _projected(entry, net, name, operator, channels, stride)


def separable(entry: Builder, name: str, operator: Operator, channels: int, stride: int) -> Builder:
    """A depthwise and a pointwise convolution: MobileNetV2's block of expansion 1."""
    return _projected(entry, entry, name, operator, channels, stride)


def residual(entry: Builder, name: str, operator: Operator, channels: int, stride: int) -> Builder:
    """NAS-Bench-201's block between stages: two preactivated convolutions beside pooling and a pointwise one."""
    net = preactivated(entry, f"{name}.first", operator, channels, stride)
    net = preactivated(net, f"{name}.second", operator, channels, 1)
    net = net.beside(entry).pool(f"{name}.pool", stride, stride).conv(f"{name}.down", channels, 1)
    return net.elementwise(f"{name}.add")


def skip(net: Builder, name: str, operator: Operator, channels: int, stride: int) -> Builder:
    """Nothing where the size stays, else a pointwise convolution to the new one."""
    if stride == 1 and channels == net.channels:
        return net
    return conv(net, name, Operator(block="conv"), channels, stride)


def none(net: Builder, name: str, operator: Operator, channels: int, stride: int) -> Builder:
    """Zeros, which nothing computes."""
    return net


def pool(net: Builder, name: str, operator: Operator, channels: int, stride: int) -> Builder:
    """Mean or maximum over a window."""
    return net.pool(f"{name}.pool", operator.kernel, stride, operator.kernel // 2)


def norm(net: Builder, name: str, operator: Operator, channels: int, stride: int) -> Builder:
    """Normalisation and activation."""
    return net.norm(f"{name}.norm").activation(f"{name}.activation")


def global_pool(net: Builder, name: str, operator: Operator, channels: int, stride: int) -> Builder:
    """The mean of every channel."""
    return net.global_pool(f"{name}.pool")


def linear(net: Builder, name: str, operator: Operator, channels: int, stride: int) -> Builder:
    """A matrix product with a bias over the whole feature map, taken as one vector."""
    return net.flatten().linear(f"{name}.linear", channels)


def _conv_norm(net: Builder, name: str, operator: Operator, channels: int, stride: int) -> Builder:
    return net.conv(f"{name}.conv", channels, operator.kernel, stride, operator.groups).norm(f"{name}.norm")


def _projected(entry: Builder, net: Builder, name: str, operator: Operator, channels: int, stride: int) -> Builder:
    """The depthwise convolution, the last pointwise one, and the sum where the size stays."""
    spatial = Operator(block="conv", kernel=operator.kernel, groups=net.channels)
    net = conv(net, f"{name}.depthwise", spatial, net.channels, stride)
    net = _conv_norm(net, f"{name}.project", Operator(block="conv", groups=operator.groups), channels, 1)
    return net.elementwise(f"{name}.add") if net.shape == entry.shape else net


#: Blocks by name.
BLOCKS: Mapping[str, Block] = {
    block.__name__: block
    for block in (
        conv, plain, preactivated, stem, mobile, separable, residual, skip, none, pool, norm, global_pool, linear,
    )
}  # fmt: skip
