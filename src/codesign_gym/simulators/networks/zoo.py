"""Published networks as layer tables, from their papers; no torch, no weights.

Layer names are those of torchvision's modules where it has the network. A new network is a function
of ``classes`` and ``resolution`` that walks a :class:`Builder`, and a file in ``configs/networks``.
"""

from __future__ import annotations

from collections.abc import Callable

from codesign_gym.simulators.networks.builder import Builder
from codesign_gym.simulators.networks.layers import Network

#: Output channels and stride of each depthwise-separable block (Howard et al. 2017, table 1).
MOBILENETV1_BLOCKS = (
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    *[(512, 1)] * 5,
    (1024, 2),
    (1024, 1),
)

#: Expansion, output channels, repeats and first stride of each stage (Sandler et al. 2018, table 2).
MOBILENETV2_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)

#: Blocks in each of the four stages (He et al. 2016, table 1).
RESNET18_STAGES = (2, 2, 2, 2)
RESNET50_STAGES = (3, 4, 6, 3)


def mobilenetv1(classes: int = 1000, resolution: int = 224) -> Network:
    """MobileNetV1 at width 1.0 (arXiv:1704.04861)."""
    net = _conv_norm(Builder(3, resolution, resolution), "stem", 32, 3, stride=2)
    for index, (channels, stride) in enumerate(MOBILENETV1_BLOCKS):
        name = f"blocks.{index}"
        net = _conv_norm(net, f"{name}.depthwise", net.channels, 3, stride=stride, groups=net.channels)
        net = _conv_norm(net, f"{name}.pointwise", channels, 1)
    return net.global_pool("avgpool").linear("classifier", classes).build("mobilenetv1")


def mobilenetv2(classes: int = 1000, resolution: int = 224) -> Network:
    """MobileNetV2 at width 1.0 (arXiv:1801.04381); 53 layers with weights."""
    net = _conv_norm(Builder(3, resolution, resolution), "features.0", 32, 3, stride=2)
    blocks = [
        (expansion, channels, stride if repeat == 0 else 1)
        for expansion, channels, repeats, stride in MOBILENETV2_STAGES
        for repeat in range(repeats)
    ]
    for index, (expansion, channels, stride) in enumerate(blocks, start=1):
        net = _inverted_residual(net, f"features.{index}", expansion, channels, stride)
    net = _conv_norm(net, f"features.{len(blocks) + 1}", 1280, 1)
    return net.global_pool("avgpool").linear("classifier.1", classes).build("mobilenetv2")


def resnet18(classes: int = 1000, resolution: int = 224) -> Network:
    """ResNet-18 (arXiv:1512.03385)."""
    return _resnet("resnet18", RESNET18_STAGES, _basic_block, classes, resolution)


def resnet50(classes: int = 1000, resolution: int = 224) -> Network:
    """ResNet-50 v1.5 (arXiv:1512.03385, with the stride of a bottleneck in its 3x3 convolution)."""
    return _resnet("resnet50", RESNET50_STAGES, _bottleneck, classes, resolution)


def _conv_norm(net: Builder, name: str, channels: int, kernel: int, stride: int = 1, groups: int = 1) -> Builder:
    """Convolution, normalisation and activation, named as a sequence of three."""
    return net.conv(f"{name}.0", channels, kernel, stride, groups).norm(f"{name}.1").activation(f"{name}.2")


def _inverted_residual(entry: Builder, name: str, expansion: int, channels: int, stride: int) -> Builder:
    hidden = expansion * entry.channels
    net = entry if expansion == 1 else _conv_norm(entry, f"{name}.conv.0", hidden, 1)
    part = 0 if expansion == 1 else 1
    net = _conv_norm(net, f"{name}.conv.{part}", hidden, 3, stride, groups=hidden)
    net = net.conv(f"{name}.conv.{part + 1}", channels, 1).norm(f"{name}.conv.{part + 2}")
    return net.elementwise(f"{name}.add") if net.shape == entry.shape else net


Block = Callable[[Builder, str, int, int], Builder]


def _resnet(name: str, stages: tuple[int, ...], block: Block, classes: int, resolution: int) -> Network:
    net = Builder(3, resolution, resolution).conv("conv1", 64, 7, stride=2).norm("bn1").activation("relu")
    net = net.pool("maxpool", 3, stride=2, padding=1)
    for stage, blocks in enumerate(stages):
        for index in range(blocks):
            stride = 2 if stage > 0 and index == 0 else 1
            net = block(net, f"layer{stage + 1}.{index}", 64 * 2**stage, stride)
    return net.global_pool("avgpool").linear("fc", classes).build(name)


def _basic_block(entry: Builder, name: str, width: int, stride: int) -> Builder:
    net = entry.conv(f"{name}.conv1", width, 3, stride).norm(f"{name}.bn1").activation(f"{name}.relu")
    net = net.conv(f"{name}.conv2", width, 3).norm(f"{name}.bn2")
    return _shortcut(net, entry, name, stride).activation(f"{name}.relu#2")


def _bottleneck(entry: Builder, name: str, width: int, stride: int) -> Builder:
    net = entry.conv(f"{name}.conv1", width, 1).norm(f"{name}.bn1").activation(f"{name}.relu")
    net = net.conv(f"{name}.conv2", width, 3, stride).norm(f"{name}.bn2").activation(f"{name}.relu#2")
    net = net.conv(f"{name}.conv3", 4 * width, 1).norm(f"{name}.bn3")
    return _shortcut(net, entry, name, stride).activation(f"{name}.relu#3")


def _shortcut(net: Builder, entry: Builder, name: str, stride: int) -> Builder:
    """Add the block's entry, through a 1x1 convolution where its size differs."""
    if net.shape != entry.shape:
        shortcut = net.beside(entry).conv(f"{name}.downsample.0", net.channels, 1, stride)
        net = shortcut.norm(f"{name}.downsample.1")
    return net.elementwise(f"{name}.add")
