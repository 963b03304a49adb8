"""Fitting a predictor to designs that a simulator has costed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr
from torch import Tensor, nn

from codesign_gym.errors import BadConfig
from codesign_gym.simulators.predictors.predictor import Predictor, one_hot

HELD_OUT = 0.2  # share of the designs that the fit is not shown
LEAST = 10  # fewer designs tell no error


@dataclass(frozen=True)
class Recipe:
    """How a predictor's network is trained, by Adam with a learning rate that falls to nothing along a cosine.

    Attributes:
        epochs: passes over the designs.
        batch: designs a step.
        learning_rate: at the start.
        weight_decay: decoupled (AdamW).
        loss: of standardised predictions and targets, both (batch,).
    """

    epochs: int = 40
    batch: int = 128
    learning_rate: float = 5e-3
    weight_decay: float = 0.0
    loss: Callable[[Tensor, Tensor], Tensor] = nn.functional.mse_loss


def fit(
    make: Callable[[], nn.Module],
    designs: NDArray[np.int64],
    targets: NDArray[np.float64],
    choices: int,
    recipe: Recipe,
    seed: int,
) -> Predictor:
    """Fit a network, and tell its error on the last fifth of the designs, which it is not shown.

    Args:
        make: the network with fresh weights, from probabilities (batch, knobs, choices) to (batch, 1).
        designs: different ones in random order, shape (designs, knobs).
        targets: positive, shape (designs,).
        choices: the largest number of values of any knob.
        recipe: how to train.
        seed: of the weights and the order of the designs.

    Raises:
        BadConfig: for fewer than ten designs, or targets that are not positive, finite numbers.
    """
    if len(designs) < LEAST:
        raise BadConfig(f"predictor: {len(designs)} designs; accepted: {LEAST} or more")
    if not (np.isfinite(targets) & (targets > 0)).all():
        raise BadConfig("predictor: a target is not a positive, finite number")
    known = int(len(designs) * (1 - HELD_OUT))
    mean, deviation = float(targets[:known].mean()), float(targets[:known].std()) or 1.0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        body = make()
        _train(body, one_hot(designs[:known], choices), (targets[:known] - mean) / deviation, recipe, seed)
    body.requires_grad_(False).eval()
    predicted = body(one_hot(designs[known:], choices))[:, 0].double().numpy() * deviation + mean
    true = targets[known:]
    return Predictor(
        body=body,
        mean=mean,
        deviation=deviation,
        seen=(one_hot(designs[:known], choices) > 0).any(0).numpy(),
        lowest=float(targets[:known].min()),
        highest=float(targets[:known].max()),
        designs=known,
        mape=float(np.abs(predicted / true - 1).mean()),
        spearman=float(spearmanr(predicted, true).statistic) if np.ptp(predicted) and np.ptp(true) else 0.0,
    )


def spread(allowed: NDArray[np.bool_], count: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Different designs whose costs range from one end of a space to the other, in random order.

    Each design draws its choices with weights of its own (a Dirichlet distribution), the same for all its knobs: were
    every choice equally likely everywhere, costs would crowd around their mean. One design a choice has it everywhere.

    Args:
        allowed: which choices each knob may take, shape (knobs, choices).
        count: designs; fewer come back where draws repeat.
        generator: source of randomness.

    Returns:
        Shape (designs, knobs).
    """
    knobs, choices = allowed.shape
    weights = generator.dirichlet(np.ones(choices), size=count)[:, None, :] * allowed  # (count, knobs, choices)
    weights[:choices] = np.eye(choices)[:count, None, :] * allowed
    weights += 1e-9 * allowed  # where a knob has none of the choices that a design favours
    cumulative = weights.cumsum(-1)
    drawn = (generator.random((count, knobs, 1)) * cumulative[:, :, -1:] >= cumulative).sum(-1)
    return np.asarray(generator.permutation(np.unique(drawn, axis=0)), dtype=np.int64)


def _train(body: nn.Module, inputs: Tensor, targets: NDArray[np.float64], recipe: Recipe, seed: int) -> None:
    """Train in place on inputs (designs, knobs, choices) and standardised targets (designs,)."""
    generator = torch.Generator().manual_seed(seed)
    wanted = torch.as_tensor(targets, dtype=torch.float32)
    optimizer = torch.optim.AdamW(body.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay)
    steps = recipe.epochs * -(-len(inputs) // recipe.batch)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(recipe.epochs):
        for rows in torch.split(torch.randperm(len(inputs), generator=generator), recipe.batch):
            optimizer.zero_grad()
            recipe.loss(body(inputs[rows])[:, 0], wanted[rows]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            falling.step()
