"""Mixed precision as a design problem: a weight and an activation bitwidth for every layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from codesign_gym.envs.core.enforcement import best_uniform
from codesign_gym.envs.core.problem import Constraint, Metric, Objective, Structured, Values
from codesign_gym.envs.core.separable import Separable, Table
from codesign_gym.envs.core.space import Designs, DesignSpace, Knob
from codesign_gym.simulators.accuracy.scored import Scored
from codesign_gym.simulators.networks.layers import Network


class Scorer(Scored, Protocol):
    """How well a network does at given bitwidths: measured, predicted by a surrogate, or tabulated."""

    def score(self, bits: NDArray[np.int64]) -> Values:
        """Scores of shape (batch,) for bitwidths of shape (batch, layers, 2)."""
        ...


class Judge(Protocol):
    """Says what may be claimed of a finished design, on data that the search never saw."""

    def claim(self, bits: NDArray[np.int64]) -> dict[str, float]:
        """Named figures of a design of shape (layers, 2)."""
        ...


@dataclass(frozen=True)
class MixedPrecisionProblem(Structured):
    """Choose bitwidths for every layer with weights.

    Knob ``2 * l`` is the weight bitwidth of layer ``l``, knob ``2 * l + 1`` the bitwidth of the
    activations that enter it.

    Attributes:
        network: the layers with weights.
        bit_values: bitwidths to choose from, ascending.
        pinned: layers that keep the highest bitwidth.
        costs: metric name (``latency_s``, ``energy_j``, ``size_bytes``) to a table of shape
            (layers, bitwidths, bitwidths) over weight and activation bitwidth.
        sensitivities: predicted loss of every knob at every bitwidth, shape (layers, 2, bitwidths).
        scorer: how well a design does.
        objectives: what to improve: the scorer's metric, costs.
        constraints: budgets on costs, or a floor on the scorer's metric.
        loss_limit: the predicted loss that is taken to meet the scorer's floor; None without a floor.
        score_per_loss: what a unit of predicted loss takes off the scorer's metric (adds to it, where less is better),
            so that it can be weighed against costs; means nothing where there is one objective.
        judge: what may be claimed of a design; None where nothing is measured.
        prepared: designs that were measured for sensitivities, surrogates and floors, before any search.
        real: what measures, where ``scorer`` only predicts; what it guided is measured before it is reported.
    """

    network: Network
    bit_values: tuple[int, ...]
    pinned: frozenset[int]
    costs: Mapping[str, Table]
    sensitivities: Table
    scorer: Scorer
    objectives: tuple[Objective, ...]
    constraints: tuple[Constraint, ...]
    loss_limit: float | None = None
    score_per_loss: float = 1.0
    judge: Judge | None = None
    real: Scorer | None = None
    prepared: int = 0

    @cached_property
    def space(self) -> DesignSpace:
        """Two ordered knobs a layer, named after the layer."""
        highest = len(self.bit_values) - 1
        return DesignSpace(
            tuple(
                Knob(f"{name}.{kind}", self.bit_values, highest if layer in self.pinned else None)
                for layer, name in enumerate(self.network.layer_names)
                for kind in ("weight_bits", "activation_bits")
            )
        )

    @cached_property
    def metrics(self) -> tuple[Metric, ...]:
        """The scorer's metric, then the costs."""
        scored = Metric(self.scorer.metric_name, minimize=self.scorer.metric_name != "accuracy")
        return (scored, *(Metric(name) for name in self.costs))

    @cached_property
    def separable(self) -> Separable:
        """What the objectives lose as the loss, in the unit of the first one's table; budgets or the floor as usages.

        Losses are scaled by that of the best uniform bitwidth within the constraints, so that they are
        of order one for any network and device.
        """
        predicted = self.sensitivities[:, 0, :, None] + self.sensitivities[:, 1, None, :]
        usage = [self._usage_table(bound, predicted) for bound in self.constraints]
        shape = (0, *predicted.shape)
        worth = [self._worth(objective) for objective in self.objectives]
        losses = [self.costs.get(objective.metric, predicted) for objective in self.objectives]
        loss = np.sum([table * (own / worth[0]) for own, table in zip(worth, losses, strict=True)], axis=0)
        unscaled = Separable(loss, np.stack(usage) if usage else np.zeros(shape), self.space.allowed)
        return Separable(loss / best_uniform(unscaled), unscaled.usage, unscaled.allowed)

    def _worth(self, objective: Objective) -> float:
        """Reward that a unit of an objective's table takes away."""
        return abs(objective.weight) * (1.0 if objective.metric in self.costs else self.score_per_loss)

    def _usage_table(self, bound: Constraint, predicted: Table) -> Table:
        if bound.metric in self.costs:
            return self.costs[bound.metric] / bound.limit
        assert self.loss_limit is not None, "a floor on the score needs the predicted loss that meets it"
        return predicted / self.loss_limit

    def bits(self, designs: Designs) -> NDArray[np.int64]:
        """Bitwidths of shape (batch, layers, 2) of designs of shape (batch, knobs)."""
        return np.asarray(self.bit_values, dtype=np.int64)[designs].reshape(len(designs), -1, 2)

    def evaluate(self, designs: Designs) -> Values:
        """The score, then the costs, of each design; shape (batch, metrics)."""
        return np.stack([self.scorer.score(self.bits(designs)), *self.costs_of(designs).values()], axis=-1)

    def costs_of(self, designs: Designs) -> dict[str, Values]:
        """The costs alone, each of shape (batch,)."""
        weight, activation = designs[:, 0::2], designs[:, 1::2]
        layers = np.arange(len(self.network))
        return {name: table[layers, weight, activation].sum(-1) for name, table in self.costs.items()}

    @property
    def measured(self) -> bool:
        """Whether scores come from running the network."""
        return self.scorer.measured

    @property
    def measurable(self) -> MixedPrecisionProblem | None:
        """The same problem with scores that are measured, where these are only predicted."""
        if self.real is None:
            return None
        return replace(self, scorer=self.real, real=None)

    @property
    def preparation(self) -> dict[str, float]:
        """Designs measured before any search, and the held-out error of what predicts scores, if they are predicted."""
        found = {"designs_measured": float(self.prepared)}
        for name in ("mae_points", "spearman"):
            if hasattr(self.scorer, name):
                found[f"prediction_{name}"] = float(getattr(self.scorer, name))
        return found

    def standard_error(self, metrics: Values) -> Values:
        """Binomial standard error of a measured accuracy, in its objective's reward; 0 for anything else."""
        weights = [abs(o.weight) for o in self.objectives if o.metric == self.scorer.metric_name]
        if not (self.scorer.measured and weights):
            return np.zeros(len(metrics))
        share = metrics[:, 0]
        return np.asarray(weights[0] * np.sqrt(share * (1 - share) / self.scorer.images))

    def claim(self, design: NDArray[np.int64]) -> dict[str, float]:
        """Figures of a final design of shape (knobs,) that the search did not see; empty where nothing is measured."""
        return self.judge.claim(self.bits(design[None])[0]) if self.judge else {}

    def uniform(self, bits: int) -> Designs:
        """The design with one bitwidth everywhere but in the pinned layers, shape (1, knobs)."""
        design = np.full((1, len(self.space)), self.bit_values.index(bits), dtype=np.int64)
        design[:, ~self.space.allowed[np.arange(len(self.space)), design[0]]] = len(self.bit_values) - 1
        return design
