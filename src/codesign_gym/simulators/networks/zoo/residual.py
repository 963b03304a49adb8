"""Residual networks."""

from __future__ import annotations

from collections.abc import Callable

from codesign_gym.simulators.networks.builder import Builder
from codesign_gym.simulators.networks.layers import Network

#: Blocks in each of the four stages (He et al. 2016, table 1).
RESNET18_STAGES = (2, 2, 2, 2)
RESNET50_STAGES = (3, 4, 6, 3)


def resnet18(classes: int = 1000, resolution: int = 224) -> Network:
    """ResNet-18 (arXiv:1512.03385)."""
    return _resnet("resnet18", RESNET18_STAGES, _basic_block, classes, resolution)


def resnet50(classes: int = 1000, resolution: int = 224) -> Network:
    """ResNet-50 v1.5 (arXiv:1512.03385, with the stride of a bottleneck in its 3x3 convolution)."""
    return _resnet("resnet50", RESNET50_STAGES, _bottleneck, classes, resolution)


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
