"""Small torch networks for real images: plain modules whose convolutions and matrix products have bitwidths.

Every network takes images of shape (batch, channels, height, width) with values in [0, 1] and returns
logits of shape (batch, classes). They use no in-place operation and no branch on data, so that
``torch.export`` can trace them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ConvNorm(nn.Sequential):
    """Convolution without bias, batch normalisation and, where asked, ReLU."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int = 1, stride: int = 1, groups: int = 1, relu: bool = True
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, stride, padding=kernel // 2, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)
        if relu:
            self.relu = nn.ReLU()


class DepthwiseSeparable(nn.Sequential):
    """Depthwise 3x3 then pointwise convolution (MobileNetV1, Howard et al. 2017, figure 3)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.depthwise = ConvNorm(in_channels, in_channels, kernel=3, stride=stride, groups=in_channels)
        self.pointwise = ConvNorm(in_channels, out_channels)


class Residual(nn.Module):
    """Two 3x3 convolutions beside a shortcut (ResNet, He et al. 2015); 1x1 where the shape changes."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.first = ConvNorm(in_channels, out_channels, kernel=3, stride=stride)
        self.second = ConvNorm(out_channels, out_channels, kernel=3, relu=False)
        same = in_channels == out_channels and stride == 1
        self.shortcut = nn.Identity() if same else ConvNorm(in_channels, out_channels, stride=stride, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        """Features of shape (batch, out_channels, height / stride, width / stride)."""
        y: Tensor = self.second(self.first(x)) + self.shortcut(x)
        return torch.relu(y)


class InvertedResidual(nn.Module):
    """Expand, filter depthwise, project without activation (MobileNetV2, Sandler et al. 2018)."""

    def __init__(self, in_channels: int, out_channels: int, expansion: int, stride: int) -> None:
        super().__init__()
        hidden = in_channels * expansion
        self.expand = ConvNorm(in_channels, hidden)
        self.depthwise = ConvNorm(hidden, hidden, kernel=3, stride=stride, groups=hidden)
        self.project = ConvNorm(hidden, out_channels, relu=False)
        self.residual = in_channels == out_channels and stride == 1

    def forward(self, x: Tensor) -> Tensor:
        """Features of shape (batch, out_channels, height / stride, width / stride)."""
        y: Tensor = self.project(self.depthwise(self.expand(x)))
        return x + y if self.residual else y


class Head(nn.Sequential):
    """Global average, then a matrix product to the logits."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.linear = nn.Linear(channels, classes)


def digits_cnn(channels: int = 32, classes: int = 10) -> nn.Module:
    """Seven weighted layers of every kind for 1x8x8 digits: convolution, depthwise, pointwise, two dense, two linear.

    The dense layers work on 2x2 pixels, where an accelerator moves more weights than activations:
    there the bitwidths of weights decide latency. Channels are a multiple of 32 so that they fill
    the columns of BitFusion's grid, which pads its outputs to that.
    """
    return nn.Sequential(
        ConvNorm(1, channels, kernel=3),
        DepthwiseSeparable(channels, 2 * channels, stride=2),
        ConvNorm(2 * channels, 4 * channels, kernel=3, stride=2),
        ConvNorm(4 * channels, 4 * channels, kernel=3),
        nn.Flatten(),
        nn.Linear(4 * channels * 4, 4 * channels),
        nn.ReLU(),
        nn.Linear(4 * channels, classes),
    )


def digits_cnn_deep(channels: int = 16, classes: int = 10) -> nn.Module:
    """Nine 3x3 convolutions at three resolutions and a linear layer, for 1x8x8 digits; 121,274 parameters.

    Two of every three convolutions keep the shape of their input, so that they may be left out altogether.
    """
    widths = (channels, 2 * channels, 4 * channels)
    stages = (
        ConvNorm(before, width, kernel=3, stride=stride)
        for first, stride, width in zip((1, *widths), (1, 2, 2), widths, strict=False)
        for before, stride in ((first, stride), (width, 1), (width, 1))
    )
    return nn.Sequential(*stages, Head(4 * channels, classes))


def resnet8(in_channels: int = 1, width: int = 32, classes: int = 10) -> nn.Module:
    """Eight layers deep (eleven weighted, with three shortcuts), 868,842 parameters, for 28x28 images.

    The three-stage ResNet of MLPerf Tiny (Banbury et al. 2021) re-shaped: that one has widths
    16/16/32/64 at full resolution in its first stage; this one has 32/64/128/192 and halves the
    resolution four times, stem and first stage included. It has fewer multiplications at 28x28
    (8.8 against 9.3 million) but eleven times the parameters. MLPerf Tiny's suits a microcontroller;
    on the wide arrays modelled here its narrow layers leave columns idle and wait for 32-bit
    outputs, which no bitwidth shortens.
    """
    return nn.Sequential(
        ConvNorm(in_channels, width, kernel=3, stride=2),
        Residual(width, 2 * width, stride=2),
        Residual(2 * width, 4 * width, stride=2),
        Residual(4 * width, 6 * width, stride=2),
        Head(6 * width, classes),
    )


def mobilenetv2_small(in_channels: int = 1, classes: int = 10) -> nn.Module:
    """Eighteen weighted layers: five inverted residuals of MobileNetV2, for 28x28 images."""
    return nn.Sequential(
        ConvNorm(in_channels, 16, kernel=3, stride=2),
        InvertedResidual(16, 24, expansion=3, stride=1),
        InvertedResidual(24, 24, expansion=3, stride=1),
        InvertedResidual(24, 40, expansion=3, stride=2),
        InvertedResidual(40, 40, expansion=3, stride=1),
        InvertedResidual(40, 64, expansion=3, stride=2),
        ConvNorm(64, 128),
        Head(128, classes),
    )
