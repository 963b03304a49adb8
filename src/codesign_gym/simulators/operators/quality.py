"""How good designs of a space are: a made-up sum whose optimum is known, and what anything else must offer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from codesign_gym.simulators.accuracy.scored import Scored
from codesign_gym.simulators.operators.space import Designs, OperatorSpace

#: Share of a layer's quality that its operators' work brings; the rest comes with the width of their windows.
WORK = 0.75
#: How fast returns diminish: with a third of the largest operator's work, two thirds of what work brings are there.
SATURATION = 3.0


class Quality(Scored, Protocol):
    """What says how good designs are.

    A user's own is ``"package.module:function"``, called with the :class:`OperatorSpace` and a seed. It may also have
    ``prepared``, the number of designs measured for ``losses``; ``claim(design)``, figures of a design of shape
    (layers,) from data that no search saw; and ``loss(probabilities)``, a differentiable loss (batch,) of mixtures
    (batch, layers, operators), such as a supernet's cross entropy.
    """

    @property
    def reference(self) -> float:
        """The score that rewards and floors are told from: of the best or the dearest design."""
        ...

    @property
    def losses(self) -> NDArray[np.float64] | None:
        """What each operator loses against its layer's best, (layers, operators), where sums of it predict scores."""
        ...

    @property
    def exact(self) -> bool:
        """Whether a score is the reference less the sum of losses."""
        ...

    def score(self, designs: Designs) -> NDArray[np.float64]:
        """Scores of shape (batch,) of designs of shape (batch, layers)."""
        ...


@dataclass(frozen=True, eq=False)
class AdditiveQuality:
    """The sum of a table's entries: exact by definition.

    Attributes:
        table: quality of every operator of every layer, shape (layers, operators); 0 where a layer has no such.
    """

    table: NDArray[np.float64]
    metric_name: str = "quality"
    measured: bool = False
    images: int = 0
    exact: bool = True

    @cached_property
    def reference(self) -> float:
        """The best of every layer."""
        return float(self.table.max(axis=1).sum())

    @cached_property
    def losses(self) -> NDArray[np.float64]:
        """Shape (layers, operators)."""
        return np.asarray(self.table.max(axis=1, keepdims=True) - self.table)

    def score(self, designs: Designs) -> NDArray[np.float64]:
        """Shape (batch,), for designs of shape (batch, layers)."""
        return np.asarray(self.table[np.arange(len(self.table)), designs].sum(-1))


@dataclass(frozen=True, eq=False)
class TabulatedQuality:
    """A figure of every design, measured beforehand.

    Attributes:
        table: shape (operators,) * layers, to be indexed by designs.
    """

    table: NDArray[np.float64]
    metric_name: str = "accuracy"
    measured: bool = False
    images: int = 0
    losses: None = None
    exact: bool = False

    @cached_property
    def reference(self) -> float:
        """The best design's."""
        return float(self.table.max())

    def score(self, designs: Designs) -> NDArray[np.float64]:
        """Shape (batch,), for designs of shape (batch, layers)."""
        return np.asarray(self.table[tuple(np.moveaxis(designs, -1, 0))])


def additive_quality(space: OperatorSpace, seed: int, sigma: float = 0.5) -> AdditiveQuality:
    """A made-up quality: the share, from 0 to 1, of what the space can give, a sum over layers.

    How much a layer matters is lognormal. Of that, an operator brings a share with its multiply-accumulates, measured
    by the layer's most, and a smaller one with its widest window, measured likewise; both with diminishing returns.
    Every operator then deviates from this rule by a lognormal factor of its own, so that the best of a budget is not
    a matter of work alone. The least of a layer counts 0, and the best of all layers together 1.

    Args:
        space: whose operators.
        seed: of both draws.
        sigma: standard deviation of the logarithms; it decides how far the optimum lies from uniform designs.
    """
    generator = np.random.default_rng(seed)
    weight = generator.lognormal(0.0, sigma, size=(len(space), 1))
    deviation = generator.lognormal(0.0, sigma / 4, size=(len(space), space.choices))
    macs = space.macs - np.where(space.allowed, space.macs, np.inf).min(axis=1, keepdims=True)
    kernels = np.array(
        [
            [space.definitions[name].kernel for name in layer.operators] + [1] * (space.choices - len(layer.operators))
            for layer in space.layers
        ]
    )
    brought = WORK * _diminishing(macs) + (1 - WORK) * _diminishing(np.log2(kernels))
    table = np.where(space.allowed, weight * brought * deviation, 0.0)
    return AdditiveQuality(table / table.max(axis=1).sum())


def _diminishing(amount: NDArray[np.float64]) -> NDArray[np.float64]:
    """From 0 for none to 1 for the most of a layer, ever more slowly, for amounts (layers, operators)."""
    most = amount.max(axis=1, keepdims=True)
    share = np.clip(amount, 0.0, None) / np.where(most > 0, most, 1.0)
    return np.asarray(np.expm1(-SATURATION * share) / np.expm1(-SATURATION))
