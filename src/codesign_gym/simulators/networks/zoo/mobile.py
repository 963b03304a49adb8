"""Networks of depthwise convolutions: MobileNet 1 to 3, EfficientNet."""

from __future__ import annotations

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

#: Kernel, expanded channels, channels, whether it squeezes, and stride of each block (Howard et al. 2019, table 1).
MOBILENETV3_LARGE_BLOCKS = (
    (3, 16, 16, False, 1),
    (3, 64, 24, False, 2),
    (3, 72, 24, False, 1),
    (5, 72, 40, True, 2),
    *[(5, 120, 40, True, 1)] * 2,
    (3, 240, 80, False, 2),
    (3, 200, 80, False, 1),
    *[(3, 184, 80, False, 1)] * 2,
    (3, 480, 112, True, 1),
    (3, 672, 112, True, 1),
    (5, 672, 160, True, 2),
    *[(5, 960, 160, True, 1)] * 2,
)

#: The same of the small network (table 2).
MOBILENETV3_SMALL_BLOCKS = (
    (3, 16, 16, True, 2),
    (3, 72, 24, False, 2),
    (3, 88, 24, False, 1),
    (5, 96, 40, True, 2),
    *[(5, 240, 40, True, 1)] * 2,
    (5, 120, 48, True, 1),
    (5, 144, 48, True, 1),
    (5, 288, 96, True, 2),
    *[(5, 576, 96, True, 1)] * 2,
)

#: Expansion, kernel, channels, repeats and first stride of each stage (Tan and Le 2019, table 1).
EFFICIENTNET_B0_STAGES = (
    (1, 3, 16, 1, 1),
    (6, 3, 24, 2, 2),
    (6, 5, 40, 2, 2),
    (6, 3, 80, 3, 2),
    (6, 5, 112, 3, 1),
    (6, 5, 192, 4, 2),
    (6, 3, 320, 1, 1),
)


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


def mobilenetv3_large(classes: int = 1000, resolution: int = 224) -> Network:
    """MobileNetV3-Large 1.0 (arXiv:1905.02244)."""
    return _mobilenetv3("mobilenetv3-large", MOBILENETV3_LARGE_BLOCKS, 1280, classes, resolution)


def mobilenetv3_small(classes: int = 1000, resolution: int = 224) -> Network:
    """MobileNetV3-Small 1.0 (arXiv:1905.02244)."""
    return _mobilenetv3("mobilenetv3-small", MOBILENETV3_SMALL_BLOCKS, 1024, classes, resolution)


def efficientnet_b0(classes: int = 1000, resolution: int = 224) -> Network:
    """EfficientNet-B0 (arXiv:1905.11946)."""
    return _efficientnet("efficientnet-b0", True, classes, resolution)


def efficientnet_lite0(classes: int = 1000, resolution: int = 224) -> Network:
    """EfficientNet-Lite0: B0 without squeeze-and-excitation, with ReLU6 (TensorFlow's TPU models, lite)."""
    return _efficientnet("efficientnet-lite0", False, classes, resolution)


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


def _mobilenetv3(
    name: str, blocks: tuple[tuple[int, int, int, bool, int], ...], features: int, classes: int, resolution: int
) -> Network:
    """Stem, blocks, a last convolution as wide as the last block inside, and two linear layers."""
    net = _conv_norm(Builder(3, resolution, resolution), "features.0", 16, 3, stride=2)
    for index, (kernel, hidden, channels, squeezes, stride) in enumerate(blocks, start=1):
        squeezed = _divisible(hidden / 4) if squeezes else 0
        net = _mobile_block(net, f"features.{index}", kernel, hidden, channels, squeezed, stride)
    net = _conv_norm(net, f"features.{len(blocks) + 1}", blocks[-1][1], 1).global_pool("avgpool")
    net = net.linear("classifier.0", features).activation("classifier.1")
    return net.linear("classifier.3", classes).build(name)


def _efficientnet(name: str, squeezes: bool, classes: int, resolution: int) -> Network:
    net = _conv_norm(Builder(3, resolution, resolution), "features.0", 32, 3, stride=2)
    for stage, (expansion, kernel, channels, repeats, first) in enumerate(EFFICIENTNET_B0_STAGES, start=1):
        for repeat in range(repeats):
            # The squeezed width is a quarter of the block's entry, not of its expanded width.
            squeezed = net.channels // 4 if squeezes else 0
            stride = first if repeat == 0 else 1
            block = f"features.{stage}.{repeat}"
            net = _mobile_block(net, block, kernel, expansion * net.channels, channels, squeezed, stride)
    net = _conv_norm(net, f"features.{len(EFFICIENTNET_B0_STAGES) + 1}", 1280, 1)
    return net.global_pool("avgpool").linear("classifier.1", classes).build(name)


def _mobile_block(
    entry: Builder, name: str, kernel: int, hidden: int, channels: int, squeezed: int, stride: int
) -> Builder:
    """Expand, depthwise, squeeze and excite (where ``squeezed`` is not 0), project, add."""
    net, part = entry, 0
    if hidden != entry.channels:
        net, part = _conv_norm(net, f"{name}.block.0", hidden, 1), 1
    net = _conv_norm(net, f"{name}.block.{part}", hidden, kernel, stride, groups=hidden)
    if squeezed:
        part += 1
        net = _squeeze_excite(net, f"{name}.block.{part}", squeezed)
    net = net.conv(f"{name}.block.{part + 1}.0", channels, 1).norm(f"{name}.block.{part + 1}.1")
    return net.elementwise(f"{name}.add") if net.shape == entry.shape else net


def _squeeze_excite(entry: Builder, name: str, squeezed: int) -> Builder:
    """Scale every channel by what two 1 x 1 convolutions make of the channels' means (arXiv:1709.01507)."""
    net = entry.global_pool(f"{name}.avgpool").conv(f"{name}.fc1", squeezed, 1, bias=True)
    net = net.activation(f"{name}.activation").conv(f"{name}.fc2", entry.channels, 1, bias=True)
    return net.activation(f"{name}.scale_activation").beside(entry).elementwise(f"{name}.mul")


def _divisible(channels: float, by: int = 8) -> int:
    """The nearest multiple of 8, but not less than nine tenths (the MobileNet authors' rounding)."""
    rounded = max(by, int(channels + by / 2) // by * by)
    return rounded + by if rounded < 0.9 * channels else rounded
