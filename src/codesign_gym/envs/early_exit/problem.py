"""Early exits as a design problem: where to leave, how surely, and at which clocks."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property, reduce
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from codesign_gym.envs.core.problem import Computed, Constraint, Metric, Objective, Values
from codesign_gym.envs.core.separable import Separable
from codesign_gym.envs.core.space import Designs, DesignSpace, Knob
from codesign_gym.envs.early_exit.relaxation import main_effects, relaxed, table
from codesign_gym.envs.early_exit.tables import Answers, Costs, Space, placements
from codesign_gym.errors import Infeasible
from codesign_gym.simulators.accuracy.bootstrap import paired_difference
from codesign_gym.simulators.dvfs.soc import Soc
from codesign_gym.simulators.exits.record import ExitRecords, replay

G = TypeVar("G", bound=np.generic)

METRICS = (
    Metric("accuracy", minimize=False),
    Metric("sure_accuracy", minimize=False),
    Metric("energy_j"),
    Metric("latency_s"),
    Metric("worst_latency_s"),
)

#: Usage beyond which designs are not told apart when a constraint's main effects are fitted: means over clocks would
#: else be ruled by the slowest, and masks let through five times as much on a Jetson AGX Xavier.
HOPELESS = 2.0


@dataclass(frozen=True, eq=False)
class EarlyExitProblem(Computed):
    """Choose a backbone, its exits, the confidence that suffices, and a clock for every domain.

    Metrics are replayed from the record of the search split: ``accuracy``; ``sure_accuracy``, which is less by some
    standard errors of the difference to the full first backbone, because the best of many designs on a few hundred
    images is partly luck; ``energy_j`` and ``latency_s`` expected of a sample; ``worst_latency_s`` of one that goes
    all the way. Every sample is served alone, at constant clocks and temperature.

    Attributes:
        records: the backbones, alike in exits and samples.
        soc: the device.
        thresholds: confidences to choose from, ascending, shape (thresholds,).
        answers, costs: the tables that designs are looked up in.
        objectives: the metrics to improve.
        constraints: the accuracy floor and the deadline.
        standard_errors: by how many ``sure_accuracy`` is less than ``accuracy``.

    Raises:
        Infeasible: if no design keeps within the constraints; says by how much it is missed.
    """

    records: tuple[ExitRecords, ...]
    soc: Soc
    thresholds: NDArray[np.float64]
    answers: Answers
    costs: Costs
    objectives: tuple[Objective, ...]
    constraints: tuple[Constraint, ...]
    standard_errors: float = 1.645

    def __post_init__(self) -> None:
        if self.feasible.any():
            return
        values = {bound.metric: self.everything(bound.metric) for bound in self.constraints}
        alone = {bound.metric: bound.usage(values[bound.metric]) for bound in self.constraints}
        kept = {name: np.broadcast_to(used <= 1 + 1e-9, self.layout.blocks) for name, used in alone.items()}
        for bound in self.constraints:
            others = np.logical_and.reduce([mask for name, mask in kept.items() if name != bound.metric])
            reach = others if others.any() else np.ones(self.layout.blocks, dtype=bool)
            used = np.where(reach, alone[bound.metric], np.inf)
            if used.min() > 1 + 1e-9:
                best = np.broadcast_to(values[bound.metric], used.shape).flat[int(used.argmin())]
                also = " among those that keep the other limits" if not reach.all() else ""
                raise Infeasible(
                    f"no design keeps {bound.metric} within {bound.limit:.6g}; the best of any{also} is {best:.6g}, "
                    f"{abs(best - bound.limit):.3g} beyond the limit"
                )

    @cached_property
    def layout(self) -> Space:
        """The numbering of the tables' rows."""
        return Space(len(self.records), self.records[0].search.exits, len(self.thresholds), self.soc.steps)

    @cached_property
    def space(self) -> DesignSpace:
        """Knobs ``backbone`` (where there are several), one ``exit<i>`` a position, ``threshold``, ``<domain>_hz``."""
        record = self.records[0].search
        backbone = Knob("backbone", tuple(found.search.name for found in self.records), ordered=False)
        return DesignSpace(
            (
                *((backbone,) if len(self.records) > 1 else ()),
                *(Knob(name, (0.0, 1.0)) for name in record.names[:-1]),
                Knob("threshold", tuple(map(float, self.thresholds))),
                *(
                    Knob(f"{domain.clocks.name}_hz", tuple(map(float, domain.clocks.clock_hz)))
                    for domain in self.soc.domains
                ),
            )
        )

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Accuracy, then costs."""
        return METRICS

    def evaluate(self, designs: Designs) -> Values:
        """Metrics of shape (batch, 5) of designs (batch, knobs)."""
        backbone, subset, threshold, setting = self.rows(designs)
        shares = self.answers.shares[backbone, subset, threshold]  # (batch, exits)
        energy_j = self.costs.energy_j[backbone, subset, :, setting]
        latency_s = self.costs.latency_s[backbone, subset, :, setting]
        return np.stack(
            [
                self.answers.accuracy[backbone, subset, threshold],
                self._sure_accuracy[backbone, subset, threshold],
                (shares * energy_j).sum(-1),
                (shares * latency_s).sum(-1),
                latency_s[:, -1],
            ],
            axis=-1,
        )

    def rows(self, designs: Designs) -> tuple[NDArray[np.int64], ...]:
        """Backbone, subset, threshold and setting, each (batch,), of designs (batch, knobs)."""
        if len(self.records) == 1:
            designs = np.concatenate([np.zeros((len(designs), 1), dtype=np.int64), designs], axis=1)
        return self.layout.rows(designs)

    def everything(self, metric: str) -> Values:
        """A metric of every design, (backbones, subsets, thresholds, settings), axes of length 1 where none depends."""
        match metric:
            case "accuracy":
                return self.answers.accuracy[..., None]
            case "sure_accuracy":
                return self._sure_accuracy[..., None]
            case "worst_latency_s":
                return self.costs.worst_latency_s[:, :, None]
            case _:
                return np.asarray(self.answers.shares @ getattr(self.costs, metric))

    @cached_property
    def _sure_accuracy(self) -> Values:
        """Shape (backbones, subsets, thresholds)."""
        return np.asarray(self.answers.accuracy - self.standard_errors * self.answers.error)

    @cached_property
    def feasible(self) -> NDArray[np.bool_]:
        """Whether each design keeps within the constraints, (backbones, subsets, thresholds, settings)."""
        kept = np.ones(self.layout.blocks, dtype=bool)
        for bound in self.constraints:
            kept &= bound.usage(self.everything(bound.metric)) <= 1 + 1e-9
        return kept

    def design(self, backbone: int, subset: int, threshold: int, setting: int) -> NDArray[np.int64]:
        """The design, (knobs,), of a row of the tables."""
        flat = np.ravel_multi_index((backbone, subset, threshold, setting), self.layout.blocks)
        return self.layout.choices(np.array(flat))[-len(self.space) :]

    def optimum(self, among: NDArray[np.bool_] | None = None) -> tuple[NDArray[np.int64], float]:
        """The design of the whole space, (knobs,), of the highest score, and that score: by enumeration.

        Args:
            among: designs to consider, broadcasting to the shape of :attr:`feasible`; infeasible ones never are.

        Raises:
            Infeasible: if none of them is feasible.
        """
        kept = self.feasible if among is None else self.feasible & among
        if not kept.any():
            raise Infeasible("none of the designs considered keeps within the constraints")
        scores = np.where(kept, reduce(np.add, [o.reward(self.everything(o.metric)) for o in self.objectives]), -np.inf)
        best = int(scores.argmax())
        return self.design(*map(int, np.unravel_index(best, kept.shape))), float(scores.flat[best])

    @cached_property
    def separable(self) -> Separable:
        """Main effects: of the logarithm of what is spent, and of usages that no feasible design exceeds.

        A loss is 1 plus the logarithm of what is spent over that of the best feasible design. Spent are costs and wrong
        answers, by what they are worth beside the first objective's metric.
        """
        unit = self.objectives[0].weight
        spent = reduce(np.add, [self._spent(o) * abs(o.weight / unit) for o in self.objectives])
        best = np.broadcast_to(spent, self.layout.blocks)[self.rows(self.optimum()[0][None])]
        loss = self._tables(main_effects(self._grid(1 + np.log(spent / best))))
        feasible = self._grid(self.feasible)
        used = [
            self._grid(np.minimum(bound.usage(self.everything(bound.metric)), HOPELESS)) for bound in self.constraints
        ]
        usage = [self._tables(relaxed(main_effects(values), feasible)) for values in used]
        return Separable(loss, np.stack(usage) if usage else np.zeros((0, *loss.shape)), self.space.allowed)

    def _spent(self, objective: Objective) -> Values:
        """How far every design is from the best value of an objective's metric that can be thought of."""
        values = self.everything(objective.metric)
        return values if objective.weight < 0 else 1.0 - values

    def claim(self, design: NDArray[np.int64]) -> dict[str, float]:
        """Accuracy, energy and latency on the test split, and the accuracy lost against the full first backbone."""
        (backbone,), (subset,), (threshold,), (setting,) = self.rows(design[None])
        record, base = self.records[backbone].test, self.records[0].test
        found = replay(record, placements(record.exits)[subset], self.thresholds[threshold] * np.ones(record.exits))
        change = asdict(paired_difference(found.right, base.correct[:, -1], np.random.default_rng(0)))
        return {
            "test_accuracy": float(found.accuracy),
            "test_accuracy_reference": float(base.correct[:, -1].mean()),
            "test_change_points": change["difference"],
            "test_change_low_points": change["low"],
            "test_change_high_points": change["high"],
            "test_images": float(len(record)),
            "test_energy_j": float(found.shares @ self.costs.energy_j[backbone, subset, :, setting]),
            "test_latency_s": float(found.shares @ self.costs.latency_s[backbone, subset, :, setting]),
        }

    @property
    def preparation(self) -> dict[str, float]:
        """Networks that were trained and recorded."""
        return {"networks_trained": float(len(self.records))}

    def _grid(self, values: NDArray[G]) -> NDArray[G]:
        """Values of every design with one axis a knob, of length 1 where they do not depend on it."""
        shape: list[int] = []
        knobs = ((len(self.records),), (2,) * (self.layout.exits - 1), (len(self.thresholds),), self.soc.steps)
        for length, choices in zip(values.shape, knobs, strict=True):
            shape += [1] * len(choices) if length == 1 else choices
        return values.reshape(shape)

    def _tables(self, effects: list[NDArray[np.float64]]) -> NDArray[np.float64]:
        """Effects of all knobs as rows of a table over the space's knobs, (knobs, choices)."""
        hidden = len(effects) - len(self.space)  # a single backbone is no knob: its share goes to the first that is
        merged = [effects[hidden] + sum(effect[0] for effect in effects[:hidden]), *effects[hidden + 1 :]]
        return table(merged, tuple(len(knob.values) for knob in self.space.knobs))
