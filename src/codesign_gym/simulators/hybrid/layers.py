"""Convolutions that do not multiply, for torch: shift layers (DeepShift) and adder layers (AdderNet)."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

#: Exponents of a shift layer's weights, +-2^p: eight of them and a sign are 4 bits. DeepShift (Elhoushi et al., CVPR
#: Workshops 2021) keeps weights within [-1, 1], so that p is at most 0.
EXPONENTS = (-7, 0)

#: AdderNet's eta of the adaptive learning rate (Chen et al., CVPR 2020, section 3.3, whose code has 1/5).
ETA = 0.2


def power_of_two(weight: Tensor) -> Tensor:
    """The nearest +-2^p in the logarithm, with the gradient of the identity (DeepShift-Q's straight-through)."""
    with torch.no_grad():
        exponent = weight.abs().clamp_min(2.0 ** (EXPONENTS[0] - 1)).log2().round().clamp(*EXPONENTS)
        rounded = torch.where(weight < 0, -1.0, 1.0) * torch.exp2(exponent)
    return weight + (rounded - weight).detach()


class _Distance(torch.autograd.Function):
    """Minus the L1 distance of every window to every filter, with AdderNet's gradients.

    One position of the window and one filter at a time, images along the last axis: no window is written out, and what
    is held at once stays in a core's cache.
    """

    @staticmethod
    def forward(ctx: Any, padded: Tensor, filters: Tensor, kernel: int, stride: int) -> Tensor:
        """Minus distances.

        Args:
            ctx: torch's.
            padded: shape (groups, k, height, width, batch), padding included.
            filters: shape (groups, channels, k, kernel * kernel).
            kernel: of the windows.
            stride: of the windows.

        Returns:
            Shape (groups, channels, tall, wide, batch).
        """
        ctx.save_for_backward(padded, filters)
        ctx.windows = kernel, stride
        views = _views(padded, kernel, stride)
        distance = padded.new_zeros(*filters.shape[:2], *views[0].shape[2:])
        apart = torch.empty_like(views[0], memory_format=torch.contiguous_format)
        for tap, view in enumerate(views):
            for channel in range(filters.shape[1]):
                torch.sub(view, filters[:, channel, :, tap, None, None, None], out=apart)
                distance[:, channel] -= apart.abs_().sum(1)
        return distance

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:
        """Clipped differences for the input, full-precision ones for the filters (equations 5 and 6)."""
        padded, filters = ctx.saved_tensors
        into_padded = torch.zeros_like(padded)
        views, into_views = (_views(tensor, *ctx.windows) for tensor in (padded, into_padded))
        positions = gradient.flatten(2)  # (groups, channels, n)
        products = torch.stack([positions @ view.flatten(2).mT for view in views], -1)
        into_filters = products - positions.sum(-1)[..., None, None] * filters
        apart = torch.empty_like(views[0], memory_format=torch.contiguous_format)
        for tap, (view, into_view) in enumerate(zip(views, into_views, strict=True)):
            for channel in range(filters.shape[1]):
                torch.sub(filters[:, channel, :, tap, None, None, None], view, out=apart)
                into_view.addcmul_(apart.clamp_(-1, 1), gradient[:, channel, None])
        scale = ETA * sqrt(filters.numel()) / into_filters.norm().clamp_min(1e-12)  # of section 3.3
        return into_padded, into_filters * scale, None, None


def _views(padded: Tensor, kernel: int, stride: int) -> list[Tensor]:
    """What every position of the window meets, views of shape (groups, k, tall, wide, batch)."""
    tall, wide = ((size - kernel) // stride + 1 for size in padded.shape[2:4])
    rows, columns = stride * (tall - 1) + 1, stride * (wide - 1) + 1
    return [
        padded[:, :, row : row + rows : stride, column : column + columns : stride]
        for row in range(kernel)
        for column in range(kernel)
    ]


def adder_conv(x: Tensor, weight: Tensor, stride: int, groups: int) -> Tensor:
    """Minus the L1 distance between filters and the windows below them, padded as a convolution that keeps its size.

    Args:
        x: shape (batch, in_channels, height, width).
        weight: shape (out_channels, in_channels / groups, kernel, kernel).
        stride: of the windows.
        groups: in which channels do not meet.

    Returns:
        Shape (batch, out_channels, height / stride, width / stride).
    """
    out_channels, inputs, kernel, _ = weight.shape
    padded = functional.pad(x, (kernel // 2,) * 4).permute(1, 2, 3, 0).contiguous()
    filters = weight.view(groups, out_channels // groups, inputs, -1)
    grouped = padded.view(groups, inputs, *padded.shape[1:])
    distance: Tensor = _Distance.apply(grouped, filters, kernel, stride)  # type: ignore[no-untyped-call]
    return distance.flatten(0, 1).permute(3, 0, 1, 2).contiguous()


def shift_conv(x: Tensor, weight: Tensor, stride: int, groups: int) -> Tensor:
    """A convolution whose weights are rounded to +-2^p; arguments as :func:`adder_conv`."""
    rounded = power_of_two(weight)
    return functional.conv2d(x, rounded, stride=stride, padding=weight.shape[-1] // 2, groups=groups)


#: What each kind of layer computes, of arguments as :func:`adder_conv`.
FUNCTIONS: dict[str, Callable[[Tensor, Tensor, int, int], Tensor]] = {"shift": shift_conv, "adder": adder_conv}


class MultiplicationFree(nn.Module):
    """A shift or adder layer without bias.

    Args:
        kind: a key of ``FUNCTIONS``.
        in_channels, out_channels, kernel, stride, groups: as of a convolution that keeps its size at stride 1.
    """

    def __init__(self, kind: str, in_channels: int, out_channels: int, kernel: int, stride: int, groups: int) -> None:
        super().__init__()
        self.kind, self.stride, self.groups = kind, stride, groups
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels // groups, kernel, kernel))
        if kind == "adder":  # the Gaussian of AdderNet's code: distances need weights as wide as the activations
            nn.init.normal_(self.weight)
        else:
            nn.init.kaiming_normal_(self.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Features of shape (batch, out_channels, height / stride, width / stride)."""
        return FUNCTIONS[self.kind](x, self.weight, self.stride, self.groups)

    def extra_repr(self) -> str:
        """What the weights do not tell."""
        return f"{self.kind}, stride={self.stride}, groups={self.groups}"


class HybridNorm(nn.Sequential):
    """A shift or adder layer, batch normalisation and, where asked, ReLU; as ``ConvNorm`` but for the kind."""

    def __init__(
        self,
        kind: str,
        in_channels: int,
        out_channels: int,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        relu: bool = True,
    ) -> None:
        super().__init__()
        self.conv = MultiplicationFree(kind, in_channels, out_channels, kernel, stride, groups)
        self.norm = nn.BatchNorm2d(out_channels)
        if relu:
            self.relu = nn.ReLU()
