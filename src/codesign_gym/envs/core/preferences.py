"""What matters how much, drawn anew for every episode, so that one policy learns the whole trade-off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Preferences:
    """Weights on the objectives, uniform over the simplex at ``concentration`` 1.

    The policy sees them, and its reward is the weighted sum (Abels et al., "Dynamic Weights in Multi-Objective Deep
    Reinforcement Learning", ICML 2019).

    Attributes:
        objectives: how many.
        concentration: of the Dirichlet distribution; below 1 favours single objectives, above 1 even weights.
    """

    objectives: int
    concentration: float = 1.0

    def draw(self, generators: Sequence[np.random.Generator]) -> NDArray[np.float64]:
        """One weight vector per generator, shape (batch, objectives), each adding up to the number of objectives."""
        alpha = np.full(self.objectives, self.concentration)
        return self.objectives * np.stack([generator.dirichlet(alpha) for generator in generators])
