"""The quality of a space's designs as its supernet measures it, and what may be claimed of one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from codesign_gym.simulators.accuracy.claims import figures
from codesign_gym.simulators.accuracy.memo import Memo
from codesign_gym.simulators.operators.space import OperatorSpace
from codesign_gym.simulators.supernets.library import load
from codesign_gym.simulators.supernets.measuring import Designs, OwnTraining, OwnWeights, SharedWeights
from codesign_gym.simulators.supernets.mixture import Mixture

if TYPE_CHECKING:
    from torch import Tensor

#: Designs that the additive prediction is fitted to, for every number in it.
DESIGNS_PER_ENTRY = 6
#: Weight of the ridge penalty, in designs: an operator rarely drawn is pulled to its layer's mean.
RIDGE = 1.0


@dataclass(frozen=True, eq=False)
class MeasuredQuality:
    """Share of the search split that designs get right with the supernet's weights.

    Attributes:
        shared: what measures designs during a search.
        own: what trains a final design by itself, on which its claim rests.
        mixture: the loss of mixtures.
        seed: of the designs that the prediction is fitted to, and of bootstraps.
    """

    shared: SharedWeights
    own: OwnWeights
    mixture: Mixture
    seed: int
    metric_name: str = "accuracy"
    measured: bool = True
    exact: bool = False

    @property
    def images(self) -> int:
        """Images of the search split."""
        return len(self.shared.trained.splits.search)

    @cached_property
    def reference(self) -> float:
        """The score of the last operator everywhere."""
        return float(self.shared.accuracy(self.shared.trained.dearest[None])[0])

    @property
    def prepared(self) -> int:
        """Designs measured for :attr:`losses`."""
        return DESIGNS_PER_ENTRY * sum(self.shared.trained.sizes)

    @cached_property
    def losses(self) -> NDArray[np.float64]:
        """What each operator loses against its layer's best, (layers, operators): additive, by ridge regression.

        Fitted to the measured accuracies of designs drawn at random on the search split, when it is first asked for.
        """
        trained = self.shared.trained
        generator = np.random.default_rng(self.seed)
        designs = np.stack([generator.integers(0, size, self.prepared) for size in trained.sizes], axis=-1)
        chosen = np.arange(max(trained.sizes)) == designs[..., None]  # (designs, layers, operators)
        table = additive(chosen.astype(np.float64), self.shared.accuracy(designs))
        table[np.arange(max(trained.sizes)) >= np.array(trained.sizes)[:, None]] = np.nan
        return np.nan_to_num(np.nanmax(table, axis=1, keepdims=True) - table)

    def score(self, designs: Designs) -> NDArray[np.float64]:
        """Accuracy of shape (batch,), for designs of shape (batch, layers)."""
        return self.shared.accuracy(designs)

    def loss(self, probabilities: Tensor) -> Tensor:
        """Cross entropy (batch,) of mixtures (batch, layers, operators); see :class:`Mixture`."""
        return self.mixture.loss(probabilities)

    def claim(self, design: NDArray[np.int64]) -> dict[str, float]:
        """Test accuracy of a design of shape (layers,) trained by itself, beside the last operator everywhere.

        Both are trained alike; the difference has a paired 95 % bootstrap interval. ``shared_test_accuracy`` is what
        the supernet's weights reach on the same images.
        """
        pair = np.stack([design, self.own.trained.dearest])
        test, search = (self.own.correct(pair, split) for split in ("test", "search"))
        return {
            **figures(test[0], test[1], search[0], search[1], self.seed),
            "shared_test_accuracy": float(self.shared.accuracy(pair[:1], "test")[0]),
        }


def measured(space: OperatorSpace, seed: int) -> MeasuredQuality:
    """The measured quality of a space whose file says how its supernet is trained, which happens in the first call.

    Args:
        space: loaded from an id or a YAML file.
        seed: of predictions and bootstraps; that of the weights is in the file.

    Raises:
        UnknownName, BadConfig, StorageError: as :func:`~codesign_gym.simulators.supernets.library.load`.
    """
    trained, memo = load(space.name), Memo.default()
    own = OwnWeights(trained, OwnTraining.like(trained), memo)
    return MeasuredQuality(SharedWeights(trained, memo=memo), own, Mixture(trained), seed)


def additive(chosen: NDArray[np.float64], scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Contributions (layers, operators) whose sums, with a constant, predict scores (n,) of one-hots (n, layers, operators)."""
    flat = (chosen - chosen.mean(0)).reshape(len(chosen), -1)
    gram = flat.T @ flat + RIDGE * np.eye(flat.shape[1])
    return np.asarray(np.linalg.solve(gram, flat.T @ (scores - scores.mean())).reshape(chosen.shape[1:]))
