"""Logits over the choices of every knob, their Gumbel samples, and what a problem says of those."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from codesign_gym.envs.core.problem import Constraint, DesignProblem
from codesign_gym.envs.core.relaxed import Relaxed, tables_relaxed
from codesign_gym.errors import BadConfig


@dataclass(frozen=True)
class Subject:
    """What a gradient search knows of a problem.

    Attributes:
        relaxed: losses and metrics of mixtures.
        constraints: told as usages.
        allowed: which choices each knob may take, shape (knobs, choices).
    """

    relaxed: Relaxed
    constraints: tuple[Constraint, ...]
    allowed: NDArray[np.bool_]

    def usages(self, probabilities: Tensor) -> Tensor:
        """Share of each constraint's limit, shape (batch, constraints), for (batch, knobs, choices)."""
        shares = [
            (self.relaxed.metric(bound.metric, probabilities) - bound.reference) / (bound.limit - bound.reference)
            for bound in self.constraints
        ]
        return torch.stack(shares, dim=-1) if shares else probabilities.new_zeros((len(probabilities), 0))


def subject(problem: DesignProblem) -> Subject:
    """A problem's own relaxation, else the expectations of its tables.

    Raises:
        BadConfig: if it has neither.
    """
    relaxed = problem.relaxed
    if relaxed is None:
        if problem.separable is None:
            raise BadConfig("this agent needs losses with gradients or that are sums over knobs; try 'ga'")
        relaxed = tables_relaxed(problem.separable, problem.constraints)
    return Subject(relaxed, problem.constraints, problem.space.allowed)


@dataclass(frozen=True, eq=False)
class Mixture:
    """A distribution over choices for every knob, to be trained.

    Attributes:
        weights: what is trained: logits, shape (knobs, choices).
        barred: -inf for what is not allowed, else 0, shape (knobs, choices).
        generator: of the Gumbel noise.
    """

    weights: Tensor
    barred: Tensor
    generator: torch.Generator

    @classmethod
    def even(cls, allowed: NDArray[np.bool_], seed: int) -> Mixture:
        """All allowed choices equally likely."""
        barred = torch.as_tensor(np.where(allowed, 0.0, -np.inf), dtype=torch.get_default_dtype())
        return cls(torch.zeros_like(barred).requires_grad_(), barred, torch.Generator().manual_seed(seed))

    @property
    def logits(self) -> Tensor:
        """Shape (knobs, choices)."""
        return self.weights + self.barred

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """Shape (knobs, choices)."""
        return self.logits.detach().double().softmax(-1).numpy()

    @property
    def design(self) -> NDArray[np.int64]:
        """The likeliest choice of every knob, shape (knobs,)."""
        return self.logits.detach().argmax(-1).numpy()

    def likeliest(self) -> Tensor:
        """:attr:`design`, one-hot, shape (1, knobs, choices)."""
        return _one_hot(self.logits.detach().argmax(-1)[None], self.barred.shape[-1])

    def soft(self, temperature: float) -> Tensor:
        """A Gumbel-softmax sample (Jang et al., ICLR 2017), shape (1, knobs, choices)."""
        noise = -torch.empty_like(self.barred).exponential_(generator=self.generator).log()
        return ((self.logits + noise) / temperature).softmax(-1)[None]

    def hard(self, temperature: float) -> Tensor:
        """The same rounded to one choice a knob, with the gradient of what it was, shape (1, knobs, choices)."""
        soft = self.soft(temperature)
        return _one_hot(soft.argmax(-1), soft.shape[-1]) + soft - soft.detach()


def _one_hot(designs: Tensor, choices: int) -> Tensor:
    """Designs of shape (batch, knobs) as probabilities (batch, knobs, choices)."""
    return torch.nn.functional.one_hot(designs, choices).to(torch.get_default_dtype())
