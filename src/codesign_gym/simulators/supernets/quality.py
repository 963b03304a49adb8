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


@dataclass(frozen=True, eq=False)
class MeasuredQuality:
    """Share of the search split that designs get right with the supernet's weights.

    Attributes:
        shared: what measures designs during a search.
        own: what trains a final design by itself, on which its claim rests.
        mixture: the loss of mixtures.
        seed: of bootstraps.
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
        return 1 + sum(size - 1 for size in self.shared.trained.sizes)

    @cached_property
    def losses(self) -> NDArray[np.float64]:
        """What each operator loses against its layer's best, (layers, operators), all else the last operator.

        LANA's additive proxy (Molchanov et al., ECCV 2022), measured on the search split when it is first
        asked for; entries that a layer does not have are 0.
        """
        dearest, sizes = self.shared.trained.dearest, np.array(self.shared.trained.sizes)
        layer, operator = np.nonzero(np.arange(sizes.max()) < sizes[:, None])
        swapped = np.repeat(dearest[None], len(layer), axis=0)
        swapped[np.arange(len(layer)), layer] = operator
        table = np.full((len(sizes), sizes.max()), -np.inf)
        table[layer, operator] = self.score(swapped)
        best = table.max(axis=1, keepdims=True)
        return np.asarray(np.where(np.isfinite(table), best - table, 0.0))

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
        seed: of bootstraps; that of the weights is in the file.

    Raises:
        UnknownName, BadConfig, StorageError: as :func:`~codesign_gym.simulators.supernets.library.load`.
    """
    trained, memo = load(space.name), Memo.default()
    own = OwnWeights(trained, OwnTraining.like(trained), memo)
    return MeasuredQuality(SharedWeights(trained, memo=memo), own, Mixture(trained), seed)
