"""A network's operators and bitwidths and the accelerator that runs it, as one design problem."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from codesign_gym.envs.accelerator.costing import COSTINGS, Columns, per_layer
from codesign_gym.envs.accelerator.limits import Templated
from codesign_gym.envs.accelerator.template import Template
from codesign_gym.envs.core.problem import Constraint, Metric, Objective, Values
from codesign_gym.envs.core.reach import Looks, check_reachable
from codesign_gym.envs.core.space import Designs, DesignSpace, Knob
from codesign_gym.simulators.accuracy.scored import Scored
from codesign_gym.simulators.hardware.sweep import BLOCK, in_blocks
from codesign_gym.simulators.operators.space import OperatorSpace

#: Starts of the search for a design that keeps a bound; there are many knobs.
STARTS = 8


class Quality(Scored, Protocol):
    """How good networks are at given precisions; more is better."""

    def score(self, operators: NDArray[np.int64], bits: NDArray[np.int64]) -> Values:
        """Scores of shape (batch,) of operators (batch, layers) at bitwidths (batch, layers, 2)."""
        ...

    def claim(self, operators: NDArray[np.int64], bits: NDArray[np.int64]) -> dict[str, float]:
        """Figures from data that no search saw, of operators (layers,) at bitwidths (layers, 2); may be empty."""
        ...


@dataclass(frozen=True, eq=False)
class CoDesignProblem(Templated):
    """Choose the accelerator's knobs, and for every layer an operator, its weights' and its activations' bitwidth.

    Every design has layers of its own: a batch of designs is one table of layers, of shape (batch, rows), that one
    call of the cost model answers for as many accelerators. Rows that are not searched keep the highest bitwidths.

    Attributes:
        template: the accelerator's knobs.
        operators: the network's layers and what they choose among.
        bit_values: bitwidths to choose from, ascending.
        quality: how good networks are.
        objectives: the score's terms.
        constraints: bounds; those on the hardware alone are known of half-built designs.

    Raises:
        Infeasible: if no design is found that keeps the bounds, a measured quality's floor apart; the tightest is
            named.
    """

    template: Template
    operators: OperatorSpace
    bit_values: tuple[int, ...]
    quality: Quality
    objectives: tuple[Objective, ...]
    constraints: tuple[Constraint, ...]

    def __post_init__(self) -> None:
        unmeasured = [b for b in self.limited.unknown if b.metric != self.quality.metric_name or not self.measured]
        check_reachable(self, unmeasured, self._unmeasured, Looks(STARTS))

    @cached_property
    def space(self) -> DesignSpace:
        """The template's knobs, then an operator and two bitwidths a layer."""
        layers = (
            (
                Knob(f"{layer.name}.operator", layer.operators),
                Knob(f"{layer.name}.weight_bits", self.bit_values),
                Knob(f"{layer.name}.activation_bits", self.bit_values),
            )
            for layer in self.operators.layers
        )
        return DesignSpace((*self.template.space.knobs, *(knob for three in layers for knob in three)))

    @cached_property
    def metrics(self) -> tuple[Metric, ...]:
        """The quality, then the template's."""
        costs = (Metric(name) for name in self.template.file.metrics)
        return (Metric(self.quality.metric_name, minimize=False), *costs)

    def parts(self, designs: Designs) -> tuple[Designs, NDArray[np.int64], NDArray[np.int64]]:
        """The template's designs (batch, knobs), operators (batch, layers) and bitwidths (batch, layers, 2)."""
        hardware = designs[:, : len(self.template.space)]
        layers = designs[:, len(self.template.space) :].reshape(len(designs), -1, 3)
        return hardware, layers[:, :, 0], np.asarray(self.bit_values)[layers[:, :, 1:]]

    def evaluate(self, designs: Designs) -> Values:
        """Metrics of shape (batch, metrics) of designs (batch, knobs)."""
        costs = {**self.costs(designs), **self._quality(designs)}
        columns = [costs[metric.name] for metric in self.metrics]
        return np.stack([np.broadcast_to(column, (len(designs),)) for column in columns], axis=-1)

    def _quality(self, designs: Designs) -> Columns:
        _, operators, bits = self.parts(designs)
        return {self.quality.metric_name: self.quality.score(operators, bits)}

    def _unmeasured(self, designs: Designs) -> Columns:
        """What is known without running a network."""
        return {**self.costs(designs), **({} if self.measured else self._quality(designs))}

    def costs(self, designs: Designs) -> Columns:
        """The template's metrics of an image, each of shape (batch,), of designs (batch, knobs)."""
        names: list[str] = []

        def block(part: slice) -> Values:
            found = self._costs(designs[part])
            names[:] = found
            return np.stack([np.broadcast_to(column, (len(designs[part]),)) for column in found.values()], axis=-1)

        table = in_blocks(block, len(designs), len(self.operators.start), BLOCK)
        return dict(zip(names, table.T, strict=True))

    def _costs(self, designs: Designs) -> Columns:
        hardware, operators, bits = self.parts(designs)
        costing, model = COSTINGS[self.template.file.costing], self.template.model(hardware)
        images = self.template.images(hardware)  # (batch, 1)
        layers = self.operators.rows(operators)
        layers = replace(layers, batch=images + 0 * layers.batch)
        searched = self.operators.step > 0
        widths = np.where(searched[:, None], bits[:, self.operators.layer], self.bit_values[-1])  # (batch, rows, 2)
        costs = model.cost(layers, widths)
        # Laid out row by row: the last bits of sums hang on the order, which else hangs on how many designs there are.
        sums = {name: np.ascontiguousarray(column).sum(-1) for name, column in per_layer(costs).items()}
        found = {name: column / images[:, 0] for name, column in costing.network(model, sums).items()}
        return {**found, **costing.hardware(model)}

    @property
    def measured(self) -> bool:
        """Whether the quality comes from running networks."""
        return self.quality.measured

    def claim(self, design: NDArray[np.int64]) -> dict[str, float]:
        """What unseen data say of a design of shape (knobs,)."""
        _, operators, bits = self.parts(design[None])
        return self.quality.claim(operators[0], bits[0])

    def standard_error(self, metrics: Values) -> Values:
        """Binomial standard error of a measured accuracy, in the score; 0 for anything else."""
        if not self.quality.measured:
            return np.zeros(len(metrics))
        weight = sum(abs(o.weight) for o in self.objectives if o.metric == self.quality.metric_name)
        share = metrics[:, 0]
        return np.asarray(weight * np.sqrt(share * (1 - share) / self.quality.images))
