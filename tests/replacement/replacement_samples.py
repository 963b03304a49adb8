"""A small untrained teacher: two convolutions in a row, a strided one, a depthwise one that has to stay."""

from __future__ import annotations

import torch
from torch import nn

from codesign_gym.simulators.accuracy.architectures import ConvNorm, Head, Residual
from codesign_gym.simulators.accuracy.datasets import digits


def build() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        ConvNorm(1, 8, kernel=3),
        Residual(8, 8),
        ConvNorm(8, 16, kernel=3, stride=2),
        ConvNorm(16, 16, kernel=3, groups=16),
        Head(16, 10),
    ).eval()


def loaders() -> object:
    return digits()
