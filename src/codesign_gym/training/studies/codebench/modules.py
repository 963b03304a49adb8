"""The family's networks as torch modules."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn, relu

from codesign_gym.simulators.accuracy.architectures import ConvNorm, Head
from codesign_gym.training.studies.codebench.graphs import Graph


class Residual(nn.Module):
    """Two convolutions of any kernel beside a shortcut, 1x1 where the shape changes."""

    def __init__(self, in_channels: int, channels: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.first = ConvNorm(in_channels, channels, kernel, stride)
        self.second = ConvNorm(channels, channels, kernel, relu=False)
        same = in_channels == channels and stride == 1
        self.shortcut = nn.Identity() if same else ConvNorm(in_channels, channels, stride=stride, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        """Features of shape (batch, channels, height / stride, width / stride)."""
        return relu(self.second(self.first(x)) + self.shortcut(x))


def module(graph: Graph, classes: int) -> nn.Module:
    """An untrained network: images (batch, 1, height, width) to logits (batch, classes)."""
    parts: list[nn.Module] = [ConvNorm(1, graph.width, kernel=3)]
    width = graph.width
    for _, channels, stride in graph.blocks:
        parts.append(_BLOCKS[graph.block](width, channels, graph.kernel, stride))
        width = channels
    return nn.Sequential(*parts, Head(width, classes))


def _separable(in_channels: int, channels: int, kernel: int, stride: int) -> nn.Module:
    return nn.Sequential(
        ConvNorm(in_channels, in_channels, kernel, stride, groups=in_channels), ConvNorm(in_channels, channels)
    )


_BLOCKS: dict[str, Callable[[int, int, int, int], nn.Module]] = {
    "separable": _separable,
    "plain": ConvNorm,
    "residual": Residual,
}
