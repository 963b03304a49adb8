"""A short fine-tune of a quantized network with learned step sizes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from codesign_gym.errors import BadConfig
from codesign_gym.records import Record
from codesign_gym.simulators.accuracy.quantizers import Grid
from codesign_gym.simulators.accuracy.recipe import batches


class FineTune(Record):
    """How a quantized design is tuned on the training split before it is measured.

    Every design sees the same images in the same order, so that designs are compared under equal
    conditions and an evaluation does not depend on those before it.

    Attributes:
        steps: gradient steps.
        batch_size: images in a mini-batch.
        learning_rate: its peak; it falls along a cosine to zero.
        momentum: of stochastic gradient descent with Nesterov's correction.
        seed: of the order of images.
    """

    steps: int = Field(default=50, gt=0)
    batch_size: int = Field(default=64, gt=0)
    learning_rate: float = Field(default=0.01, gt=0, allow_inf_nan=False)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    seed: int = Field(default=0, ge=0)


class Learner(nn.Module):
    """A quantized network whose weights, biases and step sizes can be learned (LSQ, Esser et al. 2020).

    Rounding passes gradients straight through; a step size's gradient is divided by the square root
    of the number of elements it serves times the largest integer, which balances it against the
    weights' (LSQ, section 2.2). Normalisation keeps its running statistics.
    """

    def __init__(self, model: nn.Module, weights: Mapping[str, Grid | None], inputs: Mapping[str, Grid | None]) -> None:
        """Start from a network and its calibrated grids.

        Args:
            model: the network in floating point, in evaluation mode; copied.
            weights: grid of each layer's weight by the layer's path, None for one left in floating point.
            inputs: grid of each layer's input, likewise.
        """
        super().__init__()
        self.model = deepcopy(model).requires_grad_(True)
        self.weight_grids = {path: grid for path, grid in weights.items() if grid is not None}
        self.input_grids = {path: grid for path, grid in inputs.items() if grid is not None}
        # Parameter names may not hold dots.
        self.weight_steps = nn.ParameterList([nn.Parameter(grid.step.clone()) for grid in self.weight_grids.values()])
        self.input_steps = nn.ParameterList([nn.Parameter(grid.step.clone()) for grid in self.input_grids.values()])
        for (path, grid), step in zip(self.input_grids.items(), self.input_steps, strict=True):
            self.model.get_submodule(path).register_forward_pre_hook(_input_hook(step, grid))

    def forward(self, images: Tensor) -> Tensor:
        """Logits (batch, classes) of images (batch, channels, height, width)."""
        weights = {
            f"{path}.weight": _quantized(self.model.get_submodule(path).weight, step, grid)  # type: ignore[arg-type]
            for (path, grid), step in zip(self.weight_grids.items(), self.weight_steps, strict=True)
        }
        answers: Tensor = functional_call(self.model, weights, (images,))
        return answers


def tune(learner: Learner, images: Tensor, labels: Tensor, settings: FineTune) -> None:
    """Fine-tune ``learner`` in place on training images (n, channels, height, width) and labels (n,).

    Raises:
        BadConfig: if the loss stops being a finite number.
    """
    generator = np.random.default_rng(settings.seed)
    optimizer = torch.optim.SGD(
        learner.parameters(), settings.learning_rate, settings.momentum, nesterov=settings.momentum > 0
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.steps)
    for chosen in batches(len(labels), min(settings.batch_size, len(labels)), settings.steps, generator):
        optimizer.zero_grad(set_to_none=True)
        loss = cross_entropy(learner(images[chosen]), labels[chosen])
        if not torch.isfinite(loss):
            raise BadConfig(
                f"fine-tuning diverged; field 'learning_rate' is {settings.learning_rate}: a smaller one is needed"
            )
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()


def _input_hook(step: Tensor, grid: Grid) -> Callable[[nn.Module, tuple[Tensor, ...]], tuple[Tensor, ...]]:
    return lambda _, inputs: (_quantized(inputs[0], step, grid), *inputs[1:])


def _quantized(x: Tensor, step: Tensor, grid: Grid) -> Tensor:
    """``x`` on a learnable grid."""
    # A step must stay positive: below a thousandth of its first value it is held.
    answer: Tensor = _Round.apply(x, torch.maximum(step, grid.step * 1e-3), grid.low, grid.high)  # type: ignore[no-untyped-call]
    return answer


class _Round(torch.autograd.Function):
    """Round to a grid; gradients reach ``x`` inside the clipping range, the step everywhere (LSQ, eq. 1 to 5)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, step: Tensor, low: int, high: int) -> Tensor:
        scaled = x / step
        rounded = scaled.round().clamp_(low, high)
        ctx.save_for_backward(scaled, rounded)
        ctx.step, ctx.low, ctx.high = step, low, high
        return rounded * step

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        (gradient,) = gradients
        scaled, rounded = ctx.saved_tensors
        inside = (scaled >= ctx.low) & (scaled <= ctx.high)
        to_x = gradient * inside
        damping = (scaled.numel() / ctx.step.numel() * ctx.high) ** -0.5
        to_step = (gradient * rounded - to_x * scaled).sum_to_size(ctx.step.shape) * damping
        return to_x, to_step, None, None
