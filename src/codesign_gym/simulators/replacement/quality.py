"""How good designs of replaced layers are: predicted by LANA's sum, or measured."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from codesign_gym.simulators.accuracy.claims import figures
from codesign_gym.simulators.operators.quality import AdditiveQuality
from codesign_gym.simulators.operators.space import OperatorSpace
from codesign_gym.simulators.replacement.patched import Patched
from codesign_gym.simulators.replacement.replacements import Designs
from codesign_gym.simulators.replacement.space import patched
from codesign_gym.simulators.replacement.tuning import Tuning


@dataclass(frozen=True, eq=False)
class MeasuredQuality:
    """Share of the search split that the patched network gets right.

    Attributes:
        patched: measures designs during a search.
        tuned: measures a final design after a short training, on which its claim rests.
        seed: of bootstraps.
    """

    patched: Patched
    tuned: Patched
    seed: int = 0
    metric_name: str = "accuracy"
    measured: bool = True
    exact: bool = False

    @property
    def images(self) -> int:
        """Images of the search split."""
        return len(self.patched.trained.splits.search)

    @cached_property
    def reference(self) -> float:
        """The teacher's accuracy."""
        return float(self.score(self.patched.trained.unchanged[None])[0])

    @cached_property
    def losses(self) -> NDArray[np.float64]:
        """Change of the loss by each replacement beyond the layer's least, in nats, (layers, operators)."""
        changes = self.patched.loss_changes()
        return np.asarray(changes - changes.min(axis=1, keepdims=True))

    def score(self, designs: Designs) -> NDArray[np.float64]:
        """Accuracy of shape (batch,), for designs of shape (batch, layers)."""
        return self.patched.accuracy(designs)

    def claim(self, design: NDArray[np.int64]) -> dict[str, float]:
        """Test accuracy of a design of shape (layers,) after its short training, beside the teacher as it is.

        ``untrained_test_accuracy`` is what the fitted operators reach by themselves.
        """
        teacher = self.patched.trained.unchanged[None]
        own, base = (
            {split: by.correct(chosen, split)[0] for split in ("test", "search")}
            for by, chosen in ((self.tuned, design[None]), (self.patched, teacher))
        )
        return {
            **figures(own["test"], base["test"], own["search"], base["search"], self.seed),
            "untrained_test_accuracy": float(self.patched.accuracy(design[None], "test")[0]),
        }


def measured(space: OperatorSpace, seed: int) -> MeasuredQuality:
    """The measured quality of a teacher's :func:`~codesign_gym.simulators.replacement.space.operator_space`.

    Args:
        space: named after the teacher.
        seed: of the operators' distillation, the final training and bootstraps.
    """
    plain = patched(space.name, seed)
    return MeasuredQuality(plain, Patched(plain.trained, plain.memo, Tuning(seed=seed)), seed)


def predicted(space: OperatorSpace, seed: int) -> AdditiveQuality:
    """What LANA's integer program improves: nats of loss that replacements save, one by one; arguments as above."""
    return AdditiveQuality(-patched(space.name, seed).loss_changes())
