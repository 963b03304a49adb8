"""Torch networks that can answer early: a chain of stages, and behind each of them a head that classifies.

Any module with the lists ``stages`` and ``heads`` (as many of one as of the other) whose forward pass returns the
logits of all heads, (batch, exits, classes), is a network with exits.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from codesign_gym.errors import BadConfig
from codesign_gym.simulators.accuracy.architectures import ConvNorm, Residual

#: Positions a head keeps along each side, so that it costs little wherever it sits.
POOLED = 2


class ExitHead(nn.Sequential):
    """Average to 2x2 positions, then a small perceptron: the exit branch of BranchyNet (Teerapittayanon et al. 2016)
    without its convolution.
    """

    def __init__(self, channels: int, hidden: int, classes: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(POOLED)
        self.flatten = nn.Flatten()
        self.hidden = nn.Linear(channels * POOLED**2, hidden)
        self.relu = nn.ReLU()
        self.linear = nn.Linear(hidden, classes)


class ExitNetwork(nn.Module):
    """Stages of a strided convolution and residual blocks, with a head behind each; the last head is the full network.

    Args:
        in_channels: of the images.
        widths: output channels of each stage.
        strides: stride of each stage's first convolution.
        blocks: residual blocks of each stage.
        hidden: features within a head.
        classes: number of classes.

    Raises:
        BadConfig: if the stages are fewer than two or the lists differ in length.
    """

    def __init__(
        self,
        in_channels: int = 1,
        widths: Sequence[int] = (16, 16, 32, 32, 64),
        strides: Sequence[int] = (1, 2, 1, 2, 1),
        blocks: Sequence[int] = (0, 1, 1, 1, 1),
        hidden: int = 32,
        classes: int = 10,
    ) -> None:
        super().__init__()
        if len(widths) < 2 or not len(widths) == len(strides) == len(blocks):
            raise BadConfig(
                f"network with exits: widths {tuple(widths)}, strides {tuple(strides)}, blocks {tuple(blocks)}; "
                "accepted: lists of equal length, two stages at least"
            )
        inputs = (in_channels, *widths[:-1])
        self.stages = nn.ModuleList(
            nn.Sequential(ConvNorm(entry, width, kernel=3, stride=stride), *(Residual(width, width) for _ in range(n)))
            for entry, width, stride, n in zip(inputs, widths, strides, blocks, strict=True)
        )
        self.heads = nn.ModuleList(ExitHead(width, hidden, classes) for width in widths)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of every exit, (batch, exits, classes), of images (batch, channels, height, width)."""
        answers = []
        for stage, head in zip(self.stages, self.heads, strict=True):
            x = stage(x)
            answers.append(head(x))
        return torch.stack(answers, dim=1)
