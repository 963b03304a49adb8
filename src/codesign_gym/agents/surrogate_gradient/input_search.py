"""Descent of a surrogate's bound by its input, inside a trust region, by first or by second order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

Bound = Callable[[Tensor], Tensor]  # points (batch, features) -> what to minimise (batch,)


class Optimizer(Protocol):
    """How the input moves."""

    def descend(self, bound: Bound, start: Tensor, low: Tensor, high: Tensor, generator: torch.Generator) -> Tensor:
        """The best points met on the way from ``start``, within ``low`` and ``high``; all of shape (batch, features).

        Args:
            bound: differentiable twice.
            start: where to begin.
            low: the trust region's lower corner.
            high: its upper corner.
            generator: source of randomness.
        """
        ...


@dataclass(frozen=True)
class AdaHessian:
    """Steps against the gradient over the root mean square of the Hessian's diagonal (Yao et al., AAAI 2021).

    The diagonal is estimated by Hutchinson's method, ``z * (H z)`` with random signs z. Points do not interact, so one
    product serves the whole batch.

    Attributes:
        learning_rate: CODEBench's is .5.
        iterations: at most.
        gradient_decay: of the running mean of gradients.
        hessian_decay: of the running mean of squared diagonals.
        tolerance: stops when no point moves farther than this.
    """

    learning_rate: float = 0.5
    iterations: int = 40
    gradient_decay: float = 0.9
    hessian_decay: float = 0.999
    tolerance: float = 1e-4

    def descend(self, bound: Bound, start: Tensor, low: Tensor, high: Tensor, generator: torch.Generator) -> Tensor:
        """See :class:`Optimizer`."""
        mean, square = torch.zeros_like(start), torch.zeros_like(start)

        def step(at: Tensor, value: Tensor, count: int) -> Tensor:
            nonlocal mean, square
            (gradient,) = torch.autograd.grad(value.sum(), at, create_graph=True)
            signs = torch.randint(0, 2, at.shape, generator=generator).to(at.dtype) * 2 - 1
            (product,) = torch.autograd.grad((gradient * signs).sum(), at)
            mean = self.gradient_decay * mean + (1 - self.gradient_decay) * gradient.detach()
            square = self.hessian_decay * square + (1 - self.hessian_decay) * (signs * product) ** 2
            curvature = (square / (1 - self.hessian_decay**count)).sqrt()
            return self.learning_rate * mean / (1 - self.gradient_decay**count) / (curvature + 1e-4)

        return _descended(bound, start, low, high, step, self.iterations, self.tolerance)


@dataclass(frozen=True)
class Sgd:
    """Steps against the gradient alone: the first-order search that a second-order one is compared with.

    Attributes:
        learning_rate: per unit of the bound.
        iterations: at most.
        momentum: share of the last step that is repeated.
        tolerance: stops when no point moves farther than this.
    """

    learning_rate: float = 0.1
    iterations: int = 40
    momentum: float = 0.0
    tolerance: float = 1e-4

    def descend(self, bound: Bound, start: Tensor, low: Tensor, high: Tensor, generator: torch.Generator) -> Tensor:
        """See :class:`Optimizer`."""
        velocity = torch.zeros_like(start)

        def step(at: Tensor, value: Tensor, count: int) -> Tensor:
            nonlocal velocity
            (gradient,) = torch.autograd.grad(value.sum(), at)
            velocity = self.momentum * velocity + gradient
            return self.learning_rate * velocity

        return _descended(bound, start, low, high, step, self.iterations, self.tolerance)


#: By the name that an agent's file gives.
OPTIMIZERS: dict[str, Optimizer] = {"adahessian": AdaHessian(), "sgd": Sgd()}


def _descended(
    bound: Bound,
    start: Tensor,
    low: Tensor,
    high: Tensor,
    step: Callable[[Tensor, Tensor, int], Tensor],
    iterations: int,
    tolerance: float,
) -> Tensor:
    """The best points that steps lead to, projected onto the trust region."""
    at, best, least = start, start, torch.full(start.shape[:1], torch.inf)
    for count in range(1, iterations + 1):
        at = at.detach().requires_grad_()
        value = bound(at)
        better = value.detach() < least
        best, least = torch.where(better[:, None], at.detach(), best), torch.where(better, value.detach(), least)
        moved = (at.detach() - step(at, value, count)).clamp(low, high)
        if float((moved - at).detach().abs().max()) < tolerance:
            break
        at = moved
    return best
