"""Fitting an operator to the feature map of the layer that it is to replace, whatever the other layers become.

The last convolution of a chain is always the ridge regression of the teacher's output on what enters it, which is
exact. What comes before it is read off the teacher's own weights where a factorisation is known, else learned by a
short gradient descent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import mse_loss, unfold

from codesign_gym.records import Record
from codesign_gym.simulators.accuracy.recipe import batches
from codesign_gym.simulators.replacement.operators import Conv, Site


class Distillation(Record):
    """How operators are fitted.

    Attributes:
        images: training images whose feature maps are used.
        samples: positions that a regression sees.
        ridge: its penalty, relative to the mean square of its inputs.
        steps: of gradient descent where nothing better is known.
        batch_size: images a step.
        learning_rate: of Adam, falling along a cosine to zero.
        seed: of the positions, initial weights and order of images.
    """

    images: int = Field(default=512, gt=0)
    samples: int = Field(default=8192, gt=0)
    ridge: float = Field(default=1e-4, gt=0, allow_inf_nan=False)
    steps: int = Field(default=60, gt=0)
    batch_size: int = Field(default=64, gt=0)
    learning_rate: float = Field(default=0.01, gt=0, allow_inf_nan=False)
    seed: int = Field(default=0, ge=0)


def built(site: Site, chain: Sequence[Conv]) -> nn.Sequential:
    """The untrained module of a chain, takes (batch, in_channels, height, width); the identity for an empty one."""
    parts: list[nn.Module] = []
    channels = site.in_channels
    for conv in chain:
        padding = (conv.kernel[0] // 2, conv.kernel[1] // 2)
        parts.append(nn.Conv2d(channels, conv.channels, conv.kernel, conv.stride, padding, groups=conv.groups))
        parts += [nn.ReLU()] if conv.relu else []
        channels = conv.channels
    return nn.Sequential(*parts)


def fitted(
    operator: str, site: Site, chain: Sequence[Conv], teacher: nn.Conv2d, x: Tensor, y: Tensor, settings: Distillation
) -> nn.Sequential:
    """A chain fitted to the teacher's layer.

    Args:
        operator: its name, which decides how the convolutions before the last start.
        site: the layer's shape.
        chain: what to fit.
        teacher: the layer itself.
        x: what entered it, shape (images, in_channels, height, width).
        y: what left it, shape (images, out_channels, ...).
        settings: how.

    Returns:
        A module in evaluation mode, without gradients.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        module = built(site, chain)
    convs = [part for part in module if isinstance(part, nn.Conv2d)]
    if len(convs) > 1:
        start = STARTS.get(operator)
        if start is None:
            _learn(module, x, y, settings)
        else:
            with torch.no_grad():
                convs[0].weight.copy_(start(teacher.weight, y, convs[0].out_channels))
                convs[0].bias.zero_()  # type: ignore[union-attr]
    if convs:
        with torch.no_grad():
            _regress(convs[-1], module[: len(module) - 1](x), y, settings)
    return module.eval().requires_grad_(False)


def error(module: nn.Module, x: Tensor, y: Tensor) -> float:
    """Mean square error of a module's feature map as a share of the teacher's variance about its channels' means."""
    with torch.no_grad():
        spread = (y - y.mean((0, 2, 3), keepdim=True)).square().mean()
        return float((module(x) - y).square().mean() / spread)


def _principal(weight: Tensor, y: Tensor, channels: int) -> Tensor:
    """The filters of the leading principal components of the output (Zhang et al., TPAMI 2016, section 3.1).

    Shape (channels, in_channels, kernel, kernel); with a pointwise convolution behind it, the best of its rank.
    """
    flat = y.transpose(0, 1).flatten(1).double()
    _, vectors = torch.linalg.eigh(torch.cov(flat))  # ascending
    leading = vectors[:, -channels:].to(weight.dtype)
    filters: Tensor = torch.einsum("oc,oikl->cikl", leading, weight)
    return filters


def _decoupled(weight: Tensor, y: Tensor, channels: int) -> Tensor:
    """The best one spatial filter of every input channel (Guo et al., "Network decoupling", BMVC 2018).

    Shape (in_channels, 1, kernel, kernel).
    """
    per_input = weight.transpose(0, 1).flatten(2)  # (in, out, kernel * kernel)
    _, _, spatial = torch.linalg.svd(per_input, full_matrices=False)
    filters: Tensor = spatial[:, 0].reshape(channels, 1, *weight.shape[2:])
    return filters


def _vertical(weight: Tensor, y: Tensor, channels: int) -> Tensor:
    """The columns of the best product of column and row filters (Jaderberg et al., BMVC 2014, scheme 2).

    Shape (channels, in_channels, kernel, 1).
    """
    outputs, inputs, kernel, _ = weight.shape
    matrix = weight.permute(1, 2, 0, 3).reshape(inputs * kernel, outputs * kernel)
    columns, _, _ = torch.linalg.svd(matrix, full_matrices=False)
    found = torch.zeros(channels, inputs * kernel)
    kept = min(channels, columns.shape[1])  # a layer of one input channel has fewer column filters than outputs
    found[:kept] = columns[:, :kept].T
    return found.reshape(channels, inputs, kernel, 1)


#: First convolution of an operator of two, from the teacher's weight (out, in, kernel, kernel), its output and the
#: first convolution's channels. Operators that are not here are learned.
STARTS: Mapping[str, Callable[[Tensor, Tensor, int], Tensor]] = {
    "half-width": _principal,
    "quarter-width": _principal,
    "depthwise+pointwise": _decoupled,
    "crossed": _vertical,
}


def _learn(module: nn.Sequential, x: Tensor, y: Tensor, settings: Distillation) -> None:
    """Gradient descent on the mean square error of the feature map."""
    generator = np.random.default_rng(settings.seed)
    scale = 1 / float(y.var())
    optimizer = torch.optim.Adam(module.parameters(), settings.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.steps)
    for chosen in batches(len(x), min(settings.batch_size, len(x)), settings.steps, generator):
        optimizer.zero_grad(set_to_none=True)
        (scale * mse_loss(module(x[chosen]), y[chosen])).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()


def _regress(conv: nn.Conv2d, x: Tensor, y: Tensor, settings: Distillation) -> None:
    """Give a convolution the weights of least squared error from ``x`` to ``y``, group by group, in float64."""
    patches, targets = _positions(conv, x, y, settings)
    groups = conv.groups
    inputs = patches.reshape(len(patches), groups, -1).transpose(0, 1)  # (groups, samples, window)
    outputs = targets.reshape(len(targets), groups, -1).transpose(0, 1)  # (groups, samples, channels)
    mean_in, mean_out = inputs.mean(1, keepdim=True), outputs.mean(1, keepdim=True)
    centred = inputs - mean_in
    gram = centred.transpose(1, 2) @ centred  # (groups, window, window)
    window = gram.shape[-1]
    penalty = settings.ridge * torch.diagonal(gram, dim1=1, dim2=2).mean(-1) + 1e-12
    gram = gram + penalty[:, None, None] * torch.eye(window, dtype=gram.dtype)
    solved = torch.linalg.solve(gram, centred.transpose(1, 2) @ (outputs - mean_out))  # (groups, window, channels)
    conv.weight.copy_(solved.transpose(1, 2).reshape(conv.weight.shape))
    conv.bias.copy_((mean_out - mean_in @ solved).flatten())  # type: ignore[union-attr]


def _positions(conv: nn.Conv2d, x: Tensor, y: Tensor, settings: Distillation) -> tuple[Tensor, Tensor]:
    """Windows (samples, in_channels * kernel) and outputs (samples, out_channels) at positions drawn at random.

    Images are drawn, and all their positions taken: neighbouring windows are alike, but unfolding others' is work
    for nothing.
    """
    per_image = y.shape[2] * y.shape[3]
    images = min(-(-settings.samples // per_image), len(x))
    drawn = torch.from_numpy(np.random.default_rng(settings.seed).permutation(len(x))[:images])
    padding = (conv.kernel_size[0] // 2, conv.kernel_size[1] // 2)
    windows = unfold(x[drawn], conv.kernel_size, padding=padding, stride=conv.stride)  # (images, window, positions)
    return windows.transpose(1, 2).flatten(0, 1).double(), y[drawn].flatten(2).transpose(1, 2).flatten(0, 1).double()
