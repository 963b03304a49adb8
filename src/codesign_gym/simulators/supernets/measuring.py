"""What designs of a supernet's space measure: with shared weights, or trained by themselves."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from copy import deepcopy
from functools import cached_property, lru_cache
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from codesign_gym.errors import BadConfig
from codesign_gym.records import Record
from codesign_gym.simulators.accuracy.memo import Memo, Result
from codesign_gym.simulators.accuracy.recipe import fit, logits, one_thread, shown, tensors
from codesign_gym.simulators.accuracy.splits import Splits, fingerprint
from codesign_gym.simulators.networks.catalog import Training
from codesign_gym.simulators.supernets.library import TrainedSupernet
from codesign_gym.simulators.supernets.modules import seeded

#: Raised whenever the same design would measure otherwise.
EVALUATION_VERSION = "1"

Designs = NDArray[np.int64]  # (batch, layers): the index of the operator that every layer takes
Features = tuple[Tensor, Tensor]  # of the images that statistics are taken from, and of those that are measured


class Choices(Protocol):
    """What designs choose among: operators with weights, and the data that they are measured on."""

    @property
    def name(self) -> str:
        """For messages."""
        ...

    @property
    def splits(self) -> Splits:
        """The data."""
        ...

    @property
    def fingerprint(self) -> str:
        """Digest of weights, architecture and data."""
        ...

    @property
    def sizes(self) -> tuple[int, ...]:
        """Operators of every layer."""
        ...


class Measurer(ABC):
    """Measures designs on the images of a split, each different design once.

    Equal arguments give equal results on one machine: nothing depends on the designs measured before.

    Attributes:
        trained: the supernet, or other operators, and the data.
        memo: where results are kept; None measures every design anew.
    """

    trained: Choices

    def __init__(self, trained: Choices, memo: Memo | None = None) -> None:
        self.trained = trained
        self.memo = memo
        self._tensors = lru_cache(maxsize=None)(lambda split: tensors(trained.splits.role(split)))

    @property
    @abstractmethod
    def settings(self) -> str:
        """Everything that results depend on beside the supernet, the design and the split."""

    @abstractmethod
    def _measured(self, designs: Designs, split: str) -> Iterator[Mapping[str, Result]]:
        """For each design in turn, its results by split, of ``split`` at least."""

    def accuracy(self, designs: Designs, split: str = "search") -> NDArray[np.float64]:
        """Share of a split's images that are right, shape (batch,), for designs of shape (batch, layers).

        Raises:
            BadConfig: for designs that are not of this space, or an unknown split.
            StorageError: if the memo cannot be read or written.
        """
        return np.array([result.correct.mean() for result in self.results(designs, split)])

    def loss(self, designs: Designs, split: str = "search") -> NDArray[np.float64]:
        """Mean cross-entropy in nats, shape (batch,); errors as in :meth:`accuracy`."""
        return np.array([result.loss for result in self.results(designs, split)])

    def correct(self, designs: Designs, split: str = "search") -> NDArray[np.bool_]:
        """Which images are right, shape (batch, images); errors as in :meth:`accuracy`."""
        return np.array([result.correct for result in self.results(designs, split)])

    def results(self, designs: Designs, split: str = "search") -> list[Result]:
        """The result of each design; errors as in :meth:`accuracy`."""
        checked = check_designs(designs, self.trained)
        self.trained.splits.role(split)
        keys = [self._key(split, design) for design in checked]
        known = self.memo.get_many(list(dict.fromkeys(keys))) if self.memo else {}
        # In the order of their choices, neighbours share their first layers.
        wanted = np.unique([d for key, d in zip(keys, checked, strict=True) if key not in known], axis=0)
        with one_thread():
            work = zip(wanted, self._measured(wanted.astype(np.int64), split), strict=True) if len(wanted) else ()
            for design, found in shown(work, len(wanted), f"measuring {self.trained.name}"):
                for role, result in found.items():
                    known[self._key(role, design)] = result
                    if self.memo:
                        self.memo.put(self._key(role, design), result)
        return [known[key] for key in keys]

    def _key(self, split: str, design: NDArray[np.int64]) -> bytes:
        return f"{self._context}/{split}/".encode() + design.astype(np.uint8).tobytes()

    @cached_property
    def _context(self) -> str:
        return fingerprint(EVALUATION_VERSION, torch.__version__, self.trained.fingerprint, self.settings)

    def _judged(self, answers: Tensor, split: str, design: NDArray[np.int64]) -> Result:
        """The result of logits (images, classes)."""
        labels = self._tensors(split)[1]
        loss = float(cross_entropy(answers.double(), labels))
        if not np.isfinite(loss):
            raise BadConfig(f"space {self.trained.name!r}: the loss of {design.tolist()} is not a finite number")
        return Result((answers.argmax(1) == labels).numpy(), loss)


class Recalibration(Record):
    """How normalisation statistics are taken anew for each design, as shared weights demand (SPOS, Guo et al. 2020).

    Attributes:
        images: training images that the statistics are taken from, in one batch.
        seed: of their draw.
    """

    images: int = Field(default=512, gt=1)
    seed: int = Field(default=0, ge=0)


class SharedWeights(Measurer):
    """Measures designs with the supernet's weights and statistics of their own.

    Designs are run layer by layer: those with the same first choices share the features behind them.
    """

    trained: TrainedSupernet

    def __init__(
        self, trained: TrainedSupernet, recalibration: Recalibration | None = None, memo: Memo | None = None
    ) -> None:
        super().__init__(trained, memo)
        self.recalibration = recalibration or Recalibration()
        # A copy, since its statistics are overwritten with every use: with a momentum of 1 they are the batch's own.
        self._module = deepcopy(trained.module)
        for part in self._module.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.momentum = 1.0

    @property
    def settings(self) -> str:
        """The recalibration."""
        return f"shared {self.recalibration.model_dump_json()}"

    def _measured(self, designs: Designs, split: str) -> Iterator[Mapping[str, Result]]:
        behind: list[Features] = [(self._calibration, self._tensors(split)[0])]  # behind each layer of the last design
        last = np.full(designs.shape[1], -1)
        for design in designs:
            shared = int((design == last).cumprod().sum())
            del behind[shared + 1 :]
            for layer in range(shared, len(design)):
                behind.append(_through(self._module.layer(layer, int(design[layer])), behind[-1]))
            last = design
            yield {split: self._judged(_through(self._module.head, behind[-1])[1], split, design)}

    @cached_property
    def _calibration(self) -> Tensor:
        """Training images, shape (images, channels, height, width)."""
        images, _ = self._tensors("train")
        drawn = np.random.default_rng(self.recalibration.seed).permutation(len(images))[: self.recalibration.images]
        return images[torch.from_numpy(np.sort(drawn))]


class OwnTraining(Record):
    """How a design is trained by itself.

    Attributes:
        training: the recipe; its seed also draws the initial weights.
        start: ``scratch`` or, for a fine-tune, the ``shared`` weights.
    """

    training: Training
    start: Literal["scratch", "shared"] = "scratch"

    @classmethod
    def like(cls, trained: TrainedSupernet, seed: int = 0) -> OwnTraining:
        """The supernet's recipe with the epochs that each of its operators had: its epochs over operators a layer."""
        training = trained.training
        epochs = max(1, round(training.epochs / max(trained.sizes)))
        return cls(training=training.model_copy(update={"epochs": epochs, "seed": seed}))


class OwnWeights(Measurer):
    """Measures designs that are each trained by itself; one training answers for the search and the test split."""

    trained: TrainedSupernet

    def __init__(self, trained: TrainedSupernet, own: OwnTraining, memo: Memo | None = None) -> None:
        super().__init__(trained, memo)
        self.own = own

    @property
    def settings(self) -> str:
        """The training."""
        return f"own {self.own.model_dump_json()}"

    def module(self, design: NDArray[np.int64]) -> nn.Module:
        """The trained network of one design of shape (layers,), in evaluation mode.

        Raises:
            BadConfig: for a design that is not of this space, or a training that diverges.
        """
        (chosen,) = check_designs(np.asarray(design)[None], self.trained).tolist()
        if self.own.start == "shared":
            network: nn.Module = deepcopy(self.trained.module.candidate(chosen)).requires_grad_(True)
        else:
            network = seeded(lambda: self.trained.plan.alone(chosen), self.own.training.seed)
        fit(network, self.trained.splits.train, self.own.training, self.trained.name)
        return network

    def _measured(self, designs: Designs, split: str) -> Iterator[Mapping[str, Result]]:
        for design in designs:
            network = self.module(design)
            roles = {"search", "test", split}
            answers = {role: logits(network, self._tensors(role)[0]) for role in sorted(roles)}
            yield {role: self._judged(answer, role, design) for role, answer in answers.items()}


def check_designs(designs: Any, trained: Choices) -> Designs:
    """Designs as int64 of shape (batch, layers).

    Raises:
        BadConfig: naming the shape or the index that is not accepted.
    """
    given, sizes = np.asarray(designs), np.array(trained.sizes)
    if given.ndim != 2 or given.shape[1] != len(sizes) or given.dtype.kind not in "iu":
        raise BadConfig(
            f"space {trained.name!r}: designs are {given.dtype} of shape {given.shape}; "
            f"expected integers of shape (batch, {len(sizes)})"
        )
    wrong = (given < 0) | (given >= sizes)
    if wrong.any():
        row, layer = (int(i) for i in np.argwhere(wrong)[0])
        raise BadConfig(
            f"space {trained.name!r}: designs[{row}, {layer}] is {given[row, layer]}; accepted: 0 to {sizes[layer] - 1}"
        )
    return given.astype(np.int64)


def _through(block: nn.Module, features: Features) -> Features:
    """Both sets of features behind a block whose statistics are taken from the first."""
    calibration, images = features
    with torch.inference_mode():
        block.train()
        after = block(calibration)
        block.eval()
    return after, logits(block, images)
