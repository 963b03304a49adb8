"""Networks without shortcuts: AlexNet, VGG, SqueezeNet."""

from __future__ import annotations

from codesign_gym.simulators.networks.builder import Builder
from codesign_gym.simulators.networks.layers import Network

#: Channels, kernel, stride and padding of AlexNet's convolutions, and whether a pool follows (arXiv:1404.5997).
ALEXNET_LAYERS = (
    (64, 11, 4, 2, True),
    (192, 5, 1, 2, True),
    (384, 3, 1, 1, False),
    (256, 3, 1, 1, False),
    (256, 3, 1, 1, True),
)

#: Channels of the 3 x 3 convolutions of each stage of VGG-16 (Simonyan and Zisserman 2015, table 1, D).
VGG16_STAGES = ((64,) * 2, (128,) * 2, (256,) * 3, (512,) * 3, (512,) * 3)

#: Squeezed and expanded channels of the fire modules of SqueezeNet 1.1, None where a pool is (Iandola et al. 2016).
SQUEEZENET_LAYERS = (
    None,
    *[(16, 64)] * 2,
    None,
    *[(32, 128)] * 2,
    None,
    *[(48, 192)] * 2,
    *[(64, 256)] * 2,
)


def alexnet(classes: int = 1000, resolution: int = 224) -> Network:
    """AlexNet with one tower (arXiv:1404.5997), as torchvision has it: no groups, no response normalisation."""
    net, index = Builder(3, resolution, resolution), 0
    for channels, kernel, stride, padding, pooled in ALEXNET_LAYERS:
        net = net.conv(f"features.{index}", channels, kernel, stride, padding=padding, bias=True)
        net = net.activation(f"features.{index + 1}")
        index += 2
        if pooled:
            net = net.pool(f"features.{index}", 3, stride=2)
            index += 1
    net = net.adaptive_pool("avgpool", 6).flatten()
    net = net.linear("classifier.1", 4096).activation("classifier.2")
    net = net.linear("classifier.4", 4096).activation("classifier.5")
    return net.linear("classifier.6", classes).build("alexnet")


def vgg16(classes: int = 1000, resolution: int = 224) -> Network:
    """VGG-16, configuration D without batch normalisation (arXiv:1409.1556)."""
    net, index = Builder(3, resolution, resolution), 0
    for stage in VGG16_STAGES:
        for channels in stage:
            net = net.conv(f"features.{index}", channels, 3, bias=True).activation(f"features.{index + 1}")
            index += 2
        net = net.pool(f"features.{index}", 2, stride=2)
        index += 1
    net = net.adaptive_pool("avgpool", 7).flatten()
    net = net.linear("classifier.0", 4096).activation("classifier.1")
    net = net.linear("classifier.3", 4096).activation("classifier.4")
    return net.linear("classifier.6", classes).build("vgg16")


def squeezenet(classes: int = 1000, resolution: int = 224) -> Network:
    """SqueezeNet 1.1 (arXiv:1602.07360; 1.1 is its authors' cheaper release)."""
    net = Builder(3, resolution, resolution).conv("features.0", 64, 3, stride=2, padding=0, bias=True)
    net = net.activation("features.1")
    for index, fire in enumerate(SQUEEZENET_LAYERS, start=2):
        name = f"features.{index}"
        net = _fire(net, name, *fire) if fire else net.pool(name, 3, stride=2, ceil=True)
    net = net.conv("classifier.1", classes, 1, bias=True).activation("classifier.2")
    return net.global_pool("classifier.3").build("squeezenet")


def _fire(entry: Builder, name: str, squeezed: int, expanded: int) -> Builder:
    """Squeeze by 1 x 1, expand by 1 x 1 and 3 x 3 side by side."""
    entry = entry.conv(f"{name}.squeeze", squeezed, 1, bias=True).activation(f"{name}.squeeze_activation")
    net = entry.conv(f"{name}.expand1x1", expanded, 1, bias=True).activation(f"{name}.expand1x1_activation")
    net = net.beside(entry).conv(f"{name}.expand3x3", expanded, 3, bias=True)
    return net.activation(f"{name}.expand3x3_activation").concat(f"{name}.cat", 2 * expanded)
