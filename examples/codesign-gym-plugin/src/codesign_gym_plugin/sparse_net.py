"""``plugin/SparseNet-v0``: how much to prune of every layer, and in how large blocks.

Small blocks cost less accuracy; large ones are what hardware can skip. The network and both curves are
made up for this example: replace :class:`SparseNet` by a problem of your own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from codesign_gym.envs.core.actions import view
from codesign_gym.envs.core.construct import ConstructCore, ConstructState, DenseReward, TerminalReward
from codesign_gym.envs.core.enforcement import enforcement as enforcement_of
from codesign_gym.envs.core.problem import Computed, Constraint, Metric, Objective, Values
from codesign_gym.envs.core.separable import Separable
from codesign_gym.envs.core.space import Designs, DesignSpace, Knob
from codesign_gym.envs.core.views import CodesignEnv, CodesignVectorEnv
from codesign_gym.errors import BadConfig, UnknownName

KEPT = (0.25, 0.5, 0.75, 1.0)  # share of a layer's weights
BLOCKS = (16, 8, 4, 1)  # weights that are kept or dropped together
SKIPPED = (1.0, 0.9, 0.7, 0.2)  # share of the dropped weights' work that the hardware saves, by block
COARSENESS = (2.0, 1.6, 1.3, 1.0)  # factor on the loss, by block

REWARDS = {"dense": DenseReward, "terminal": TerminalReward}


@dataclass(frozen=True)
class SparseNet(Computed):
    """The design problem.

    Attributes:
        macs: multiply-accumulates of every layer.
        sensitivity: how much each layer minds being pruned.
        budget: the share of the dense network's work that may be done.
    """

    macs: tuple[float, ...] = (2e6, 8e6, 8e6, 4e6, 4e6, 1e6)
    sensitivity: tuple[float, ...] = (3.0, 0.5, 1.0, 0.7, 0.4, 2.0)
    budget: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.budget <= 1:
            raise BadConfig(f"budget is {self.budget!r}; accepted: a share of the dense network's work in (0, 1]")

    @cached_property
    def space(self) -> DesignSpace:
        """Two knobs a layer, from the smallest network to the whole one."""
        knobs = ((Knob(f"layer{i}.kept", KEPT), Knob(f"layer{i}.block", BLOCKS)) for i in range(len(self.macs)))
        return DesignSpace(tuple(knob for pair in knobs for knob in pair))

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """What a design is told by."""
        return (Metric("loss"), Metric("macs"))

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """Lose as little as possible."""
        return (Objective("loss", weight=-1.0, reference=0.0),)

    @property
    def constraints(self) -> tuple[Constraint, ...]:
        """The work that may be done."""
        return (Constraint("macs", self.budget * sum(self.macs)),)

    @cached_property
    def separable(self) -> Separable:
        """Loss and share of the budget of every layer at every pair of choices, (layers, kept, blocks)."""
        dropped = 1.0 - np.array(KEPT)[:, None]  # (kept, 1)
        loss = np.array(self.sensitivity)[:, None, None] * dropped**2 * np.array(COARSENESS)
        macs = np.array(self.macs)[:, None, None] * (1.0 - dropped * np.array(SKIPPED))
        return Separable(loss, macs[None] / self.constraints[0].limit, self.space.allowed)

    def evaluate(self, designs: Designs) -> Values:
        """Loss and multiply-accumulates, shape (batch, 2)."""
        return self.separable.totals(designs) * [1.0, self.constraints[0].limit]


@dataclass(frozen=True)
class SparseObserver:
    """Layer, its share of the work and its sensitivity, which knob, the previous choice; if ``rich``, what is left."""

    problem: SparseNet
    rich: bool

    @property
    def space(self) -> gym.spaces.Box:
        """``Box(-1, 1, (5 or 6,), float32)``."""
        return gym.spaces.Box(-1.0, 1.0, (6 if self.rich else 5,), np.float32)

    def __call__(self, state: ConstructState) -> NDArray[np.float32]:
        """Observations of shape (batch, 5 or 6)."""
        layer, slot = np.divmod(np.minimum(state.step, len(self.problem.space) - 1), 2)
        macs, sensitivity = np.array(self.problem.macs), np.array(self.problem.sensitivity)
        previous = state.design[np.arange(len(layer)), np.maximum(state.step, 1) - 1] / (len(KEPT) - 1)
        columns = [layer / len(macs), macs[layer] / macs.max(), sensitivity[layer] / sensitivity.max(), slot, previous]
        if self.rich:
            columns.append(np.clip(1.0 - state.bound[:, 0], -1.0, 1.0))
        return np.stack(columns, axis=-1).astype(np.float32)


OBSERVERS = {"plain": partial(SparseObserver, rich=False), "rich": partial(SparseObserver, rich=True)}


def core(
    budget: float = 0.5,
    reward: str = "dense",
    observation: str = "rich",
    enforcement: str = "project",
    action: str = "discrete",
) -> ConstructCore:
    """The environment's core; raises an error of codesign_gym for an option that does not exist."""
    for kind, name, known in (("reward", reward, REWARDS), ("observation", observation, OBSERVERS)):
        if name not in known:
            raise UnknownName(kind, name, known)
    problem = SparseNet(budget=budget)
    return ConstructCore(
        problem=problem,
        observer=OBSERVERS[observation](problem),
        reward=REWARDS[reward](),
        enforcement=enforcement_of(enforcement),
        actions=view(action, (problem.space.choices,)),
    )


class SparseNetEnv(CodesignEnv):
    """Prune a network layer by layer; the options are those of :func:`core`."""

    def __init__(self, render_mode: str | None = None, **options: Any) -> None:
        """Build the environment."""
        super().__init__(core(**options), render_mode)


class SparseNetVectorEnv(CodesignVectorEnv):
    """Many of them that step together."""

    def __init__(
        self, num_envs: int = 1, autoreset_mode: Any = "NextStep", render_mode: str | None = None, **options: Any
    ) -> None:
        """Build ``num_envs`` environments."""
        super().__init__(core(**options), num_envs, autoreset_mode, render_mode)
