"""An accelerator for given networks as a design problem."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from codesign_gym.envs.accelerator.costing import COSTINGS
from codesign_gym.envs.accelerator.limits import Templated
from codesign_gym.envs.accelerator.sums import Network
from codesign_gym.envs.accelerator.template import Template
from codesign_gym.envs.core.problem import Constraint, Metric, Objective, Values
from codesign_gym.envs.core.reach import Looks, check_reachable
from codesign_gym.envs.core.space import Designs, DesignSpace
from codesign_gym.simulators.hardware.sweep import in_blocks

#: Numbers that are worked on for one design at a time, beside those of its layers.
COLUMNS = 4


@dataclass(frozen=True, eq=False)
class AcceleratorProblem(Templated):
    """Choose the knobs of one accelerator that serves several networks.

    Latency and energies are those of an image (of a batch, divided by its images), summed over the networks with their
    weights; area and resources are the hardware's. There are no sums over knobs.

    Attributes:
        template: the knobs and what they mean.
        networks: weight and sums of each network.
        objectives: the score's terms.
        constraints: bounds. Those on the hardware alone are known of half-built designs.

    Raises:
        Infeasible: if no design is found that keeps the bounds; the tightest is named. Where designs are costed one by
            one that is told by few of them: the largest the hardware's bounds allow, and turns over its knobs.
    """

    template: Template
    networks: tuple[tuple[float, Network], ...]
    objectives: tuple[Objective, ...]
    constraints: tuple[Constraint, ...]

    def __post_init__(self) -> None:
        looks = Looks(1, 1) if self.template.file.one_by_one else Looks()
        check_reachable(self, self.limited.unknown, self._named, looks)

    @cached_property
    def space(self) -> DesignSpace:
        """The template's knobs."""
        return self.template.space

    @cached_property
    def metrics(self) -> tuple[Metric, ...]:
        """The template's."""
        return tuple(Metric(name) for name in self.template.file.metrics)

    def evaluate(self, designs: Designs) -> Values:
        """Metrics of shape (batch, metrics) of designs (batch, knobs), in blocks that stay in the cache."""
        return in_blocks(lambda part: self._block(designs[part]), len(designs), COLUMNS)

    def _named(self, designs: Designs) -> dict[str, Values]:
        """Metrics by name, each (batch,)."""
        return dict(zip(self.template.file.metrics, self.evaluate(designs).T, strict=True))

    def _block(self, designs: Designs) -> Values:
        costing, model = COSTINGS[self.template.file.costing], self.template.model(designs)
        images, found = self.template.images(designs)[:, 0], costing.hardware(model)
        for weight, network in self.networks:
            for name, cost in costing.network(model, network(designs)).items():
                found[name] = found.get(name, 0.0) + weight * cost / images
        return np.stack([np.broadcast_to(found[metric.name], (len(designs),)) for metric in self.metrics], axis=-1)
