"""A supernet whose layers compute a mixture of their operators, for search by gradients."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from codesign_gym.errors import BadConfig
from codesign_gym.records import Record
from codesign_gym.simulators.accuracy.recipe import one_thread
from codesign_gym.simulators.accuracy.splits import stratified
from codesign_gym.simulators.supernets.library import TrainedSupernet


class Batch(Record):
    """The images that mixtures are judged by.

    Attributes:
        images: how many of the search split; a mixture runs all operators on each of them.
        seed: of their draw, with the classes in proportion.
    """

    images: int = Field(default=128, gt=1)
    seed: int = Field(default=0, ge=0)


class Mixture:
    """The cross entropy of mixtures of operators, differentiable in their probabilities (FBNet, Wu et al., CVPR 2019).

    A layer's output is the sum of all its operators' outputs, each times its probability. The weights are those of the
    trained supernet and stay as they are. Normalisation uses the statistics of the batch itself, so a one-hot mixture
    is a design measured with statistics of its own. The batch is always the same: the loss is a function.
    """

    def __init__(self, trained: TrainedSupernet, batch: Batch | None = None) -> None:
        """Prepare the batch.

        Args:
            trained: the supernet.
            batch: which images; the search split is what architectures are chosen by.

        Raises:
            BadConfig: if the split has fewer images.
        """
        batch, split = batch or Batch(), trained.splits.search
        (drawn,) = stratified(split.labels, [min(batch.images, len(split))], np.random.default_rng(batch.seed))
        self._trained = trained
        self._images = torch.from_numpy(split.images[drawn]).contiguous(memory_format=torch.channels_last)
        self._labels = torch.from_numpy(split.labels[drawn])
        self._module = deepcopy(trained.module).train()
        for part in self._module.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.momentum = 0.0  # the batch's statistics are used, and leave no trace

    def loss(self, probabilities: Tensor) -> Tensor:
        """Cross entropy in nats, shape (batch,).

        Args:
            probabilities: shape (batch, layers, operators); rows sum to 1. Operators that a layer does not have are
                not read.

        Raises:
            BadConfig: on another shape.
        """
        sizes = self._trained.sizes
        if probabilities.ndim != 3 or probabilities.shape[1:] != (len(sizes), max(sizes)):
            raise BadConfig(
                f"space {self._trained.name!r}: probabilities have shape {tuple(probabilities.shape)}; "
                f"expected (batch, {len(sizes)}, {max(sizes)})"
            )
        with one_thread():
            return torch.stack([cross_entropy(self._logits(row), self._labels) for row in probabilities])

    def _logits(self, probabilities: Tensor) -> Tensor:
        """Logits (images, classes) of one mixture (layers, operators)."""
        x = self._images
        for layer, (size, row) in enumerate(zip(self._trained.sizes, probabilities.to(x), strict=True)):
            x, options = self._module.before[layer](x), self._module.options[layer]
            x = torch.stack([row[choice] * options[choice](x) for choice in range(size)]).sum(0)  # type: ignore[index]
        answers: Tensor = self._module.head(x)
        return answers
