"""A short training of a finished design on the teacher's answers, as LANA ends its search."""

from __future__ import annotations

from copy import deepcopy

from pydantic import Field
from torch import nn

from codesign_gym.records import Record
from codesign_gym.simulators.accuracy.recipe import fit, tensors
from codesign_gym.simulators.accuracy.splits import Split
from codesign_gym.simulators.networks.catalog import Training
from codesign_gym.simulators.replacement.teacher import Teacher


class Tuning(Record):
    """How a design is trained before it is claimed.

    Attributes:
        images: of the training split, the first so many.
        epochs: passes over them.
        batch_size: images in a mini-batch.
        learning_rate: its peak; it rises, then falls along a cosine to zero.
        teacher_share: weight of the teacher's answers beside the labels in what is learned (Hinton et al. 2015).
        seed: of the order of images.
    """

    images: int = Field(default=4000, gt=0)
    epochs: int = Field(default=6, gt=0)
    batch_size: int = Field(default=32, gt=0)
    learning_rate: float = Field(default=0.01, gt=0, allow_inf_nan=False)
    teacher_share: float = Field(default=0.5, ge=0, le=1)
    seed: int = Field(default=0, ge=0)


def tuned(model: nn.Module, teacher: Teacher, tuning: Tuning) -> nn.Module:
    """A copy of ``model``, trained on the teacher's training split.

    Raises:
        BadConfig: if its loss stops being a finite number.
    """
    copy = deepcopy(model).requires_grad_(True)
    train = teacher.trained.splits.train
    data = Split(train.images[: tuning.images], train.labels[: tuning.images])
    targets = teacher.targets(*tensors(data), tuning.teacher_share)
    recipe = Training(
        epochs=tuning.epochs, batch_size=tuning.batch_size, learning_rate=tuning.learning_rate, seed=tuning.seed
    )
    # Cross-entropy takes probabilities (n, classes) in the place of labels.
    fit(copy, Split(data.images, targets.numpy()), recipe, f"{teacher.trained.name}, replaced")
    return copy.requires_grad_(False)
