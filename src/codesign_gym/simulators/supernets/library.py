"""Supernets by the id or file of their space: trained on the first call, read from the cache afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from codesign_gym.catalog import attribute
from codesign_gym.errors import BadConfig
from codesign_gym.simulators.accuracy.splits import Splits, fingerprint
from codesign_gym.simulators.accuracy.trained import architecture, train_or_read, weights_digest
from codesign_gym.simulators.networks.catalog import Training
from codesign_gym.simulators.operators.catalog import read
from codesign_gym.simulators.supernets.modules import Plan, Supernet, plan, seeded


@dataclass(frozen=True, eq=False)
class TrainedSupernet:
    """A supernet with trained weights, and its data.

    Attributes:
        name: the id or file of the space it was loaded by.
        plan: how to make its networks anew.
        module: in evaluation mode, its parameters without gradients. Not to be changed.
        splits: the data it was trained on and is measured on.
        training: how it was trained.
        fingerprint: digest of weights, architecture and data; what evaluations are memoised under.
    """

    name: str
    plan: Plan
    module: Supernet
    splits: Splits
    training: Training
    fingerprint: str

    @property
    def sizes(self) -> tuple[int, ...]:
        """Operators of every layer."""
        return self.module.sizes

    @property
    def dearest(self) -> NDArray[np.int64]:
        """The last operator of every layer, shape (layers,): the largest network where operators are in order."""
        return np.array(self.sizes) - 1


class SinglePath(nn.Module):
    """A supernet that trains another path at every step (SPOS, Guo et al., ECCV 2020).

    Every operator of a layer takes its turn once in as many steps as the layer has operators, in a new random order
    each time, so that all are trained equally often (as in FairNAS, Chu et al., ICCV 2021, but with an update after
    every path rather than one a round).
    """

    def __init__(self, supernet: Supernet, seed: int) -> None:
        super().__init__()
        self.supernet = supernet
        self._paths = fair_paths(supernet.sizes, np.random.default_rng(seed))

    def forward(self, images: Tensor) -> Tensor:
        """Logits (batch, classes) of the next path in training, of the last operators in evaluation."""
        path = next(self._paths) if self.training else [size - 1 for size in self.supernet.sizes]
        answers: Tensor = self.supernet(images, path)
        return answers


def fair_paths(sizes: tuple[int, ...], generator: np.random.Generator) -> Iterator[list[int]]:
    """Endless paths, one index a layer, in which every layer goes through all its operators before one comes again."""
    orders = [_turns(size, generator) for size in sizes]
    while True:
        yield [next(order) for order in orders]


def load(name: str) -> TrainedSupernet:
    """The supernet of an operator space, trained in the first call.

    Args:
        name: id or YAML path of a space with the fields ``data`` and ``training``.

    Raises:
        UnknownName: with the nearest id.
        BadConfig: naming what is wrong with the file, its data or its operators.
        StorageError: if data are absent, or the cache cannot be read or written.
    """
    content = read(name)
    if content.data is None or content.training is None:
        missing = "data" if content.data is None else "training"
        raise BadConfig(f"space {name!r}: field {missing!r} is missing; accepted for a supernet: data and training")
    splits = Splits.of(attribute(content.data)(), f"data {content.data!r}")
    if content.input_shape != splits.input_shape:
        raise BadConfig(f"space {name!r}: input_shape is {content.input_shape}; its images are {splits.input_shape}")
    makes, training = plan(name, content), content.training
    module = seeded(partial(Supernet, makes), training.seed)
    train_or_read(SinglePath(module, training.seed), splits, training, name)
    module.requires_grad_(False)
    mark = fingerprint(architecture(module), weights_digest(module), splits.fingerprint)
    return TrainedSupernet(name, makes, module, splits, training, mark)


def _turns(size: int, generator: np.random.Generator) -> Iterator[int]:
    while True:
        yield from generator.permutation(size).tolist()
