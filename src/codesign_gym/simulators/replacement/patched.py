"""What designs of replaced layers measure, as they are or after a short training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from codesign_gym.simulators.accuracy.memo import Memo, Result
from codesign_gym.simulators.accuracy.recipe import logits
from codesign_gym.simulators.replacement.replacements import Designs, Replacements
from codesign_gym.simulators.replacement.tuning import Tuning, tuned
from codesign_gym.simulators.supernets.measuring import Measurer


class Patched(Measurer):
    """Measures the teacher with the operators of a design in their places.

    Attributes:
        tuning: the training that each design gets before it is measured; None for none.
    """

    trained: Replacements

    def __init__(self, given: Replacements, memo: Memo | None = None, tuning: Tuning | None = None) -> None:
        super().__init__(given, memo)
        self.tuning = tuning

    @property
    def settings(self) -> str:
        """The training's."""
        return "replaced" if self.tuning is None else f"replaced {self.tuning.model_dump_json()}"

    def loss_changes(self) -> NDArray[np.float64]:
        """Change of the search split's loss when one site alone is replaced (LANA's a_ij), in nats.

        Returns:
            Shape (sites, most operators of a site); 0 for the teacher's own and where there is no operator.
        """
        given = self.trained
        table = np.zeros((len(given.sizes), max(given.sizes)))
        swaps = given.swaps()
        site = (swaps != given.unchanged).argmax(-1)
        loss = self.loss(np.concatenate([given.unchanged[None], swaps]))
        table[site, swaps[np.arange(len(swaps)), site]] = loss[1:] - loss[0]
        return table

    def _measured(self, designs: Designs, split: str) -> Iterator[Mapping[str, Result]]:
        for design in designs:
            model = self.trained.patched(design)
            roles = {split}
            if self.tuning is not None:
                model, roles = tuned(model, self.trained.teacher, self.tuning), {split, "search", "test"}
            yield {role: self._judged(logits(model, self._tensors(role)[0]), role, design) for role in sorted(roles)}
