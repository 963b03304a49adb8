"""Shared weights of hybrid networks: NASA's progressive pretraining, and the plain mixture beside it.

Shi et al., ICCAD 2022, PGP: convolutions first; then the multiplication-free operators while convolutions stay as they
are; then all together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from torch import Tensor, nn

from codesign_gym.catalog import attribute
from codesign_gym.errors import BadConfig
from codesign_gym.simulators.accuracy.splits import Splits, fingerprint
from codesign_gym.simulators.accuracy.trained import architecture, train_or_read, weights_digest
from codesign_gym.simulators.operators import load as load_space
from codesign_gym.simulators.operators.catalog import read
from codesign_gym.simulators.supernets.library import TrainedSupernet, fair_paths
from codesign_gym.simulators.supernets.modules import Supernet, plan, seeded

KINDS = ("conv", "shift", "adder")

#: More than there are phases: every phase of every seed draws by itself.
SEEDS_APART = 100


@dataclass(frozen=True)
class Phase:
    """A part of a pretraining.

    Attributes:
        share: of all epochs.
        drawn: kinds of operators that paths go through.
        trained: kinds whose weights change; stem and classifier, which are not searched, always do.
    """

    share: float
    drawn: tuple[str, ...] = KINDS
    trained: tuple[str, ...] = KINDS


PROGRESSIVE = (
    Phase(1 / 3, drawn=("conv",), trained=("conv",)),
    Phase(1 / 3, trained=("shift", "adder")),
    Phase(1 / 3),
)
#: In as many phases, so that learning rates rise and fall as often.
MIXED = (Phase(1 / 3),) * 3


class PhasePath(nn.Module):
    """A supernet that trains another path at every step, within a phase.

    Args:
        supernet: its weights.
        phase: which operators are drawn and trained.
        kinds: of every layer's operators.
        seed: of the paths.
    """

    def __init__(self, supernet: Supernet, phase: Phase, kinds: Sequence[Sequence[str]], seed: int) -> None:
        super().__init__()
        self.supernet, self.phase, self.seed = supernet, phase, seed
        self._open = [[i for i, kind in enumerate(layer) if kind in phase.drawn] for layer in kinds]
        self._paths = fair_paths(tuple(len(layer) for layer in self._open), np.random.default_rng(seed))
        supernet.requires_grad_(True)
        for options, layer in zip(supernet.options, kinds, strict=True):
            for option, kind in zip(options.children(), layer, strict=True):
                option.requires_grad_(kind in phase.trained)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (batch, classes) of the next path in training, of the last operators in evaluation."""
        if self.training:
            path = [layer[turn] for layer, turn in zip(self._open, next(self._paths), strict=True)]
        else:
            path = [size - 1 for size in self.supernet.sizes]
        answers: Tensor = self.supernet(images, path)
        return answers

    def extra_repr(self) -> str:
        """What weights do not tell, so that a cache tells phases apart."""
        return f"{self.phase}, seed={self.seed}"


def pretrained(name: str, phases: Sequence[Phase], epochs: int, seed: int) -> TrainedSupernet:
    """The supernet of a hybrid space after some phases, trained in the first call and read from the cache afterwards.

    Args:
        name: id or YAML path of a space with the fields ``data`` and ``training``, whose epochs and seed are not read.
        phases: one after another.
        epochs: of all phases together.
        seed: of initial weights, paths and the order of images.

    Raises:
        UnknownName: with the nearest id.
        BadConfig: naming what is wrong with the file, its data or its operators.
        StorageError: if data are absent, or the cache cannot be read or written.
    """
    content, space = read(name), load_space(name)
    if content.data is None or content.training is None:
        raise BadConfig(f"space {name!r}: accepted for a supernet: with the fields data and training")
    splits = Splits.of(attribute(content.data)(), f"data {content.data!r}")
    kinds = [[space.definitions[option].kind for option in layer.operators] for layer in space.layers]
    makes = plan(name, content)
    module = seeded(partial(Supernet, makes), seed)
    assert isinstance(module, Supernet)
    for number, phase in enumerate(phases):
        update = {"epochs": max(1, round(epochs * phase.share)), "seed": SEEDS_APART * seed + number}
        recipe = content.training.model_copy(update=update)
        train_or_read(PhasePath(module, phase, kinds, recipe.seed), splits, recipe, name)
    module.requires_grad_(False)
    mark = fingerprint(architecture(module), weights_digest(module), splits.fingerprint)
    training = content.training.model_copy(update={"epochs": epochs, "seed": seed})
    return TrainedSupernet(name, makes, module, splits, training, mark)
