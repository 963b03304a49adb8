"""A fitted network over choices: what it predicts, how far it is off, and what it was never shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from codesign_gym.errors import BadConfig

#: By how much a probability may miss 0 to 1: straight-through samples are a choice plus a difference of two numbers.
ROUNDING = 1e-4


@dataclass(frozen=True, eq=False)
class Predictor:
    """Predicts one figure of designs in the unit of its targets, with gradients; only where it was fitted.

    Attributes:
        body: from probabilities (batch, knobs, choices) to standardised targets (batch, 1); not to be changed.
        mean, deviation: of the targets it was fitted to.
        seen: choices that occur in those designs, shape (knobs, choices).
        lowest, highest: target of those designs.
        designs: how many there were.
        mape: mean absolute error on designs held out, as a share of the target.
        spearman: rank correlation on them.
    """

    body: nn.Module
    mean: float
    deviation: float
    seen: NDArray[np.bool_]
    lowest: float
    highest: float
    designs: int
    mape: float
    spearman: float

    def __call__(self, probabilities: Tensor) -> Tensor:
        """Predictions of shape (batch,) of one-hot (batch, knobs, choices); of mixtures, an interpolation of them.

        Raises:
            BadConfig: for another shape, what is no probability, or probability of a choice that no design had which
                it was fitted to.
        """
        self._refuse_unseen(probabilities.detach())
        return self._answer(probabilities)

    def predict(self, designs: NDArray[np.int64]) -> NDArray[np.float64]:
        """Predictions of shape (batch,) of designs of shape (batch, knobs).

        Raises:
            BadConfig: for another shape, choices as above, or a prediction outside all targets it was fitted to.
        """
        self._refuse_unknown(np.asarray(designs))
        with torch.no_grad():
            predicted = self(one_hot(designs, self.seen.shape[1])).double().numpy()
        outside = np.flatnonzero((predicted < self.lowest) | (predicted > self.highest))
        if outside.size:
            raise BadConfig(
                f"predictor: design {outside[0]} would be {predicted[outside[0]]:.4g}; it was fitted to designs from "
                f"{self.lowest:.4g} to {self.highest:.4g}"
            )
        return np.asarray(predicted)

    def _answer(self, probabilities: Tensor) -> Tensor:
        answer: Tensor = self.body(probabilities)[:, 0] * self.deviation + self.mean
        return answer

    def _refuse_unknown(self, designs: NDArray[np.int64]) -> None:
        knobs, choices = self.seen.shape
        if designs.ndim != 2 or designs.shape[1] != knobs or designs.dtype.kind not in "iu":
            accepted = f"whole numbers of shape (batch, {knobs})"
            raise BadConfig(f"predictor: designs are {designs.dtype} of shape {designs.shape}; accepted: {accepted}")
        outside = (designs < 0) | (designs >= choices)
        if outside.any():
            row, knob = (int(i) for i in np.argwhere(outside)[0])
            raise BadConfig(
                f"predictor: knob {knob} of row {row} takes choice {designs[row, knob]}; {self._accepted(knob)}"
            )

    def _accepted(self, knob: int) -> str:
        return f"it was fitted to choices {', '.join(map(str, np.flatnonzero(self.seen[knob])))} there"

    def _refuse_unseen(self, probabilities: Tensor) -> None:
        if probabilities.shape[1:] != self.seen.shape:
            accepted = f"(batch, {self.seen.shape[0]}, {self.seen.shape[1]})"
            raise BadConfig(f"predictor: probabilities have shape {tuple(probabilities.shape)}; accepted: {accepted}")
        within = (probabilities >= -ROUNDING) & (probabilities <= 1 + ROUNDING)  # not of NaN
        if not within.all():
            row, knob, choice = (int(i) for i in np.argwhere(~within.numpy())[0])
            value = float(probabilities[row, knob, choice])
            raise BadConfig(
                f"predictor: probability of choice {choice} of knob {knob} in row {row} is {value:g}; accepted: 0 to 1"
            )
        asked = (probabilities > 0).any(0).numpy() & ~self.seen
        if asked.any():
            knob, choice = (int(i) for i in np.argwhere(asked)[0])
            raise BadConfig(f"predictor: knob {knob} takes choice {choice}; {self._accepted(knob)}")


def one_hot(designs: NDArray[np.int64], choices: int) -> Tensor:
    """Designs of shape (batch, knobs) as float32 probabilities (batch, knobs, choices)."""
    return nn.functional.one_hot(torch.as_tensor(np.asarray(designs, dtype=np.int64)), choices).float()


class Perceptron(nn.Module):
    """LightNAS's predictor: a perceptron over all one-hot choices side by side (Luo et al., DAC 2022, section 3.2)."""

    def __init__(self, knobs: int, choices: int, hidden: Sequence[int] = (128, 64)) -> None:
        super().__init__()
        sizes = [knobs * choices, *hidden]
        layers = [part for pair in pairwise(sizes) for part in (nn.Linear(*pair), nn.ReLU())]
        self.layers = nn.Sequential(nn.Flatten(), *layers, nn.Linear(sizes[-1], 1))

    def forward(self, probabilities: Tensor) -> Tensor:
        """Shape (batch, 1) of (batch, knobs, choices)."""
        answer: Tensor = self.layers(probabilities)
        return answer
