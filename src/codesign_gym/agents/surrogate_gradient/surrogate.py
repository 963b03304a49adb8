"""A surrogate of a design's loss that knows two kinds of doubt: noise that no data remove, and lack of data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import dropout, gaussian_nll_loss, mse_loss, silu, softplus

from codesign_gym.agents.surrogate_gradient.encoding import Points

#: Least variance of a prediction, in the unit of losses whose variance is about 1.
LEAST_VARIANCE = 1e-4

#: Random points at which the student listens beside those of the data: it is asked anywhere.
LISTENED = 256


@dataclass(frozen=True)
class Shape:
    """What a surrogate is made of.

    The defaults are the best of 72 settings on held-out random designs of CODEBench's joint space.

    Attributes:
        hidden: width of the first hidden layer; the second has half of it.
        dropout: share of the hidden units that a pass leaves out.
        passes: of the teacher, whose spread is the epistemic deviation.
        first_epochs: full-batch steps of the first fit.
        epochs: of every later fit, which goes on from the weights before it.
        learning_rate: AdamW's.
        weight_decay: AdamW's.
    """

    hidden: int = 64
    dropout: float = 0.1
    passes: int = 10
    first_epochs: int = 200
    epochs: int = 30
    learning_rate: float = 5e-3
    weight_decay: float = 1.0


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a surrogate says, each of shape (batch,).

    Attributes:
        mean: expected loss.
        aleatoric: standard deviation of noise.
        epistemic: standard deviation for want of data.
        outside: whether a point lies outside the range of the points fitted to, where no deviation can be trusted.
    """

    mean: NDArray[np.float64]
    aleatoric: NDArray[np.float64]
    epistemic: NDArray[np.float64]
    outside: NDArray[np.bool_]


class Network(nn.Module):
    """Two hidden layers of SiLU units: a second-order search needs curvature, of which ReLU has none."""

    def __init__(self, features: int, shape: Shape, outputs: int) -> None:
        super().__init__()
        self.first = nn.Linear(features, shape.hidden)
        self.second = nn.Linear(shape.hidden, shape.hidden // 2)
        self.last = nn.Linear(shape.hidden // 2, outputs)

    def forward(self, points: Tensor, left_out: float = 0.0) -> Tensor:
        """Outputs (batch, outputs) at points (batch, features) in [0, 1], a share of the units left out at random."""
        units = dropout(silu(self.first(2 * points - 1)), left_out)
        answer: Tensor = self.last(dropout(silu(self.second(units)), left_out))
        return answer


class Surrogate:
    """A heteroscedastic teacher and the student of its doubt (Tuli et al., CODEBench, ACM TECS 2023, section 3.3).

    The teacher predicts mean and variance of the loss (Gaussian likelihood). Asked several times with units left out,
    its answers spread where data are few (Gal and Ghahramani, ICML 2016); a student learns that spread, so that doubt,
    too, has a gradient that costs one pass. CODEBench's teacher and heteroscedastic network are two, and the latter
    propagates natural parameters through every layer.

    Descents keep within the box of the design space, so no input is outside it; designs beyond the points that it was
    fitted to are flagged by :meth:`predict`, and a run logs their share.

    Args:
        features: length of a point.
        shape: sizes and training.
        seed: of the weights, of the units left out and of the points at which the student listens.
    """

    def __init__(self, features: int, shape: Shape, seed: int) -> None:
        self.features, self.shape = features, shape
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._teacher, self._student = Network(features, shape, 2), Network(features, shape, 1)
            self._random = torch.get_rng_state()
        self._teaching, self._learning = (
            torch.optim.AdamW(net.parameters(), shape.learning_rate, weight_decay=shape.weight_decay, fused=True)
            for net in (self._teacher, self._student)
        )
        self._low, self._high = np.full(features, np.inf), np.full(features, -np.inf)

    @property
    def fitted(self) -> bool:
        """Whether there was a fit."""
        return bool(np.isfinite(self._low).all())

    def fit(self, points: Points, losses: NDArray[np.float64]) -> None:
        """Go on learning from all data so far.

        Args:
            points: shape (n, features).
            losses: of order 1, shape (n,).
        """
        epochs = self.shape.epochs if self.fitted else self.shape.first_epochs
        self._low, self._high = points.min(0), points.max(0)
        at, wanted = torch.tensor(points, dtype=torch.float32), torch.tensor(losses, dtype=torch.float32)
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(self._random)
            for _ in range(epochs):
                mean, variance = self._believed(at, self.shape.dropout)
                _step(self._teaching, gaussian_nll_loss(mean, wanted, variance, eps=LEAST_VARIANCE))
            asked = torch.cat([at, torch.rand((LISTENED, self.features))])
            with torch.no_grad():
                spread = self._believed(asked.expand(self.shape.passes, -1, -1), self.shape.dropout)[0].std(0)
            for _ in range(epochs):
                _step(self._learning, mse_loss(self._doubted(asked), spread))
            self._random = torch.get_rng_state()

    def bound(self, points: Tensor, doubt: float, aleatoric: bool = False) -> Tensor:
        """Lower confidence bound of the loss, ``mean - doubt * deviation``, with gradients.

        Args:
            points: shape (batch, features).
            doubt: weight of the deviation.
            aleatoric: whether noise counts beside want of data.

        Returns:
            Shape (batch,).
        """
        mean, variance = self._believed(points)
        deviation = self._doubted(points) + (variance.sqrt() if aleatoric else 0.0)
        return mean - doubt * deviation

    def predict(self, points: Points) -> Prediction:
        """Mean and deviations at points of shape (batch, features); those outside the training range are marked."""
        at = torch.tensor(points, dtype=torch.float32)
        with torch.no_grad():
            mean, variance = self._believed(at)
            epistemic = self._doubted(at)
        mean, aleatoric, epistemic = (part.double() for part in (mean, variance.sqrt(), epistemic))
        outside = np.asarray(((points < self._low - 1e-9) | (points > self._high + 1e-9)).any(1))
        return Prediction(mean.numpy(), aleatoric.numpy(), epistemic.numpy(), outside)

    def _believed(self, points: Tensor, left_out: float = 0.0) -> tuple[Tensor, Tensor]:
        """Mean and variance, each (...,)."""
        mean, raw = self._teacher(points, left_out).unbind(-1)
        return mean, softplus(raw) + LEAST_VARIANCE

    def _doubted(self, points: Tensor) -> Tensor:
        answer: Tensor = softplus(self._student(points).squeeze(-1))
        return answer


def _step(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
