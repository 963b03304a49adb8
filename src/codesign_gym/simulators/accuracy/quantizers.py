"""Uniform quantization: integer grids, and the step sizes that lose least.

A quantizer rounds ``x / step`` to an integer and clips it to [low, high]. Weights are symmetric with
a step per output channel; activations have one step per tensor, unsigned where the calibration
values are (after a ReLU), else affine with zero on the grid, so that padding stays exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

#: Bitwidths a layer may have, and the one that stands for "not quantized".
MIN_BITS, MAX_BITS, FLOAT_BITS = 2, 8, 32

#: Clipping ranges tried, as shares of the largest magnitude.
CANDIDATES = 40


@dataclass(frozen=True)
class Grid:
    """An integer grid in real numbers.

    Attributes:
        step: distance of neighbours; for weights of shape (out, 1, ...), for activations a scalar.
        low, high: first and last integer.
    """

    step: Tensor
    low: int
    high: int

    def integers(self, x: Tensor) -> Tensor:
        """``x`` in steps, rounded and clipped, as floating-point numbers; of ``x``'s shape."""
        return x.mul(1 / self.step).round_().clamp_(self.low, self.high)

    def __call__(self, x: Tensor) -> Tensor:
        """The grid's points nearest to ``x``."""
        return self.integers(x).mul_(self.step)


def weight_grid(weight: Tensor, bits: int) -> Grid:
    """The symmetric grid per output channel with the least squared error.

    Args:
        weight: shape (out, ...).
        bits: at least 2; the integers are -(2^(bits-1) - 1) to 2^(bits-1) - 1.

    Returns:
        A grid whose step has shape (out, 1, ...).
    """
    high = 2 ** (bits - 1) - 1
    rows = weight.flatten(1)  # (out, fan_in)
    largest = rows.abs().amax(1).clamp_min(torch.finfo(weight.dtype).tiny * 2**20)
    steps = _shares(weight) * largest / high  # (candidates, out)
    best = _errors(rows, steps[..., None], -high, high).argmin(0)  # (out,)
    chosen = steps.gather(0, best[None])[0]
    return Grid(chosen.view(-1, *[1] * (weight.ndim - 1)), -high, high)


def activation_grid(values: Tensor, bits: int) -> Grid:
    """The grid per tensor with the least squared error on calibration values.

    Args:
        values: shape (n,).
        bits: at least 2; the grid has 2^bits integers.

    Returns:
        A grid with a scalar step; ``low`` is 0 where no value is negative.
    """
    top = 2**bits - 1
    lowest, highest = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    width = max(highest - lowest, torch.finfo(values.dtype).tiny * 2**20)
    low = -round(-lowest / width * top)  # the zero point keeps its share of the range as the range is clipped
    steps = _shares(values) * width / top  # (candidates,)
    best = int(_errors(values, steps[:, None], low, low + top).argmin())
    return Grid(steps[best], low, low + top)


def _shares(like: Tensor) -> Tensor:
    """Shares of the full range to try, shape (candidates,) or (candidates, 1) for weights."""
    shares = torch.arange(1, CANDIDATES + 1, dtype=like.dtype) / CANDIDATES
    return shares if like.ndim == 1 else shares[:, None]


def _errors(values: Tensor, steps: Tensor, low: int, high: int) -> Tensor:
    """Squared error summed over the last axis of ``values``, for each of the steps."""
    return Grid(steps, low, high)(values.expand(*steps.shape[:-1], values.shape[-1])).sub_(values).square_().sum(-1)
