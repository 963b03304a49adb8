"""An accelerator for given networks as a design problem."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from codesign_gym.envs.accelerator.costing import COSTINGS, Columns
from codesign_gym.envs.accelerator.sums import Network
from codesign_gym.envs.accelerator.template import Template
from codesign_gym.envs.core.outlook import Completion, Free, Outlook
from codesign_gym.envs.core.problem import Computed, Constraint, Metric, Objective, Values, column
from codesign_gym.envs.core.reach import check_reachable
from codesign_gym.envs.core.space import Designs, DesignSpace
from codesign_gym.simulators.hardware.sweep import in_blocks

#: Numbers that are worked on for one design at a time, beside those of its layers.
COLUMNS = 4


@dataclass(frozen=True, eq=False)
class AcceleratorProblem(Computed):
    """Choose the knobs of one accelerator that serves several networks.

    Latency and energies are those of an image (of a batch, divided by its images), summed over the networks with their
    weights; area and resources are the hardware's. There are no sums over knobs.

    Attributes:
        template: the knobs and what they mean.
        networks: weight and sums of each network.
        objectives: the score's terms.
        constraints: bounds. Those on the hardware alone are known of half-built designs.

    Raises:
        Infeasible: if no design is found that keeps a bound on latency or energy; the tightest is named.
    """

    template: Template
    networks: tuple[tuple[float, Network], ...]
    objectives: tuple[Objective, ...]
    constraints: tuple[Constraint, ...]

    def __post_init__(self) -> None:
        if self.template.file.one_by_one:
            return
        known = self.hardware(np.zeros((1, len(self.space)), dtype=np.int64))
        bounds = [bound for bound in self.constraints if bound.metric not in known]
        check_reachable(self.space, bounds, lambda name, designs: self.evaluate(designs)[:, column(self, name)])

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

    def hardware(self, designs: Designs) -> Columns:
        """Metrics of the hardware alone, each of shape (batch,), of designs (batch, knobs)."""
        return COSTINGS[self.template.file.costing].hardware(self.template.model(designs))

    @cached_property
    def outlook(self) -> Outlook:
        """Of the bounds on the hardware, which grows, or else falls, with every knob; nothing of the others."""
        if not self.constraints:
            return Free(0, self.space.choices)
        return Completion(self._known_usage, self._least, self.space.sizes)

    def _block(self, designs: Designs) -> Values:
        costing, model = COSTINGS[self.template.file.costing], self.template.model(designs)
        images, found = self.template.images(designs)[:, 0], costing.hardware(model)
        for weight, network in self.networks:
            for name, cost in costing.network(model, network(designs)).items():
                found[name] = found.get(name, 0.0) + weight * cost / images
        return np.stack([np.broadcast_to(found[metric.name], (len(designs),)) for metric in self.metrics], axis=-1)

    def _known_usage(self, designs: Designs) -> Values:
        """Usages of shape (batch, constraints); 0 where a network has to be costed to tell."""
        found, nothing = self.hardware(designs), np.zeros(len(designs))
        columns = [bound.usage(found[bound.metric]) if bound.metric in found else nothing for bound in self.constraints]
        return np.stack([np.broadcast_to(column, (len(designs),)) for column in columns], -1)

    @cached_property
    def _least(self) -> Designs:
        """The choice of every knob that uses least of each constraint, by itself, shape (constraints, knobs)."""
        least = np.zeros((len(self.constraints), len(self.space)), dtype=np.int64)
        for index, knob in enumerate(self.space.knobs):
            designs = np.zeros((len(knob.values), len(self.space)), dtype=np.int64)
            designs[:, index] = np.arange(len(knob.values))
            least[:, index] = self._known_usage(designs).argmin(0)
        return least
