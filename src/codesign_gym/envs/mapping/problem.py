"""Mappings of several layers onto one machine as a design problem."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from codesign_gym.envs.core.outlook import Index, Outlook
from codesign_gym.envs.core.problem import Computed, Constraint, Metric, Objective, Values
from codesign_gym.envs.core.separable import Table
from codesign_gym.envs.core.space import Designs, DesignSpace, Knob
from codesign_gym.envs.mapping.mapper import Columns, LayerMapper
from codesign_gym.errors import BadConfig, Infeasible, UnknownName

#: What can be minimised, as products of metrics; a machine has those whose metrics it has.
OBJECTIVES: Mapping[str, tuple[str, ...]] = {
    "latency": ("latency_s",),
    "energy": ("energy",),
    "energy-delay": ("latency_s", "energy"),
    "psums": ("psums",),
}

#: Names that a machine's energy may have.
ENERGIES = ("energy_j", "energy_stonne_units")

#: What fits: this network all machines that ship, and this machine all networks that ship.
FITTING = "network 'resnet18' or device 'gemmini-like'"


@dataclass(frozen=True, eq=False)
class MappingProblem(Computed):
    """Choose a mapping for every layer; costs add up over layers.

    Metrics: those of the machine, for each objective a ``log2_gain_<name>``, the logarithm to base 2 of how many times
    less of it is needed than with the default mapping of every layer (``least``), and ``occupancy``, which is 1, and
    more by what the mapping of each layer takes beyond the machine. A mapping that does not fit cannot be run: it costs
    what the default one does.

    Attributes:
        layer_names: shape (layers,).
        mappers: one a layer.
        sought: names of :data:`OBJECTIVES`.

    Raises:
        Infeasible: if no mapping of a layer fits the machine; names the layer that exceeds it most, and by how much.
        UnknownName: for an objective that the machine does not have.
        BadConfig: for no objective, or one that is named twice.
    """

    layer_names: tuple[str, ...]
    mappers: tuple[LayerMapper, ...]
    sought: tuple[str, ...]

    def __post_init__(self) -> None:
        for name in self.sought:
            if name not in OBJECTIVES:
                raise UnknownName("objective", name, OBJECTIVES)
        taken = [float(mapper.occupancy(mapper.least[None])[0]) for mapper in self.mappers]
        if max(taken) > 1:
            worst = taken.index(max(taken))
            raise Infeasible(
                f"no mapping of layer {self.layer_names[worst]!r} fits the machine; the least takes {max(taken):.4g} "
                f"times its {self.mappers[worst].scarce}; try {FITTING}, or other layers"
            )
        there = [
            name for name, parts in OBJECTIVES.items() if all(self._named(part) in self._default for part in parts)
        ]
        for name in self.sought:
            if name not in there:
                raise UnknownName("objective", name, there)
        if not self.sought or len(set(self.sought)) < len(self.sought):
            raise BadConfig(f"objective is {list(self.sought)}; accepted: one of {', '.join(there)} or more, each once")

    @cached_property
    def space(self) -> DesignSpace:
        """Layer by layer, each knob named after its layer."""
        return DesignSpace(
            tuple(
                Knob(f"{layer}.{knob.name}", knob.values, ordered=knob.ordered)
                for layer, mapper in zip(self.layer_names, self.mappers, strict=True)
                for knob in mapper.knobs
            )
        )

    @cached_property
    def metrics(self) -> tuple[Metric, ...]:
        """The machine's, then the gains and ``occupancy``."""
        gains = (Metric(_gain(name), minimize=False) for name in self.sought)
        return (*(Metric(name) for name in self._default), *gains, Metric("occupancy"))

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """The gains; the default mapping earns nothing."""
        return tuple(Objective(_gain(name), 1.0, 0.0, worst=0.0) for name in self.sought)

    @property
    def constraints(self) -> tuple[Constraint, ...]:
        """Every mapping fits."""
        return (Constraint("occupancy", 1.0),)

    @cached_property
    def outlook(self) -> Outlook:
        """Known layer by layer."""
        return LayerByLayer(self.mappers, tuple(self.parts), self.space.choices)

    @cached_property
    def parts(self) -> list[slice]:
        """The knobs of each layer."""
        ends = np.cumsum([len(mapper.knobs) for mapper in self.mappers]).tolist()
        return [slice(start, end) for start, end in zip([0, *ends[:-1]], ends, strict=True)]

    @cached_property
    def default(self) -> NDArray[np.int64]:
        """The default mapping of every layer, shape (knobs,)."""
        return np.concatenate([mapper.least for mapper in self.mappers])

    def evaluate(self, designs: Designs) -> Values:
        """Metrics of shape (batch, metrics) of designs (batch, knobs)."""
        total: Columns = {name: np.zeros(len(designs)) for name in self._default}
        for mapper, part in zip(self.mappers, self.parts, strict=True):
            chosen = designs[:, part]
            fit = mapper.occupancy(chosen) <= 1
            for name, column in mapper.cost(np.where(fit[:, None], chosen, mapper.least)).items():
                total[name] = total[name] + column
        gains = (np.log2(self._amount(name, self._default) / self._amount(name, total)) for name in self.sought)
        columns = (*total.values(), *gains, self.outlook.usage(designs)[:, 0])
        return np.stack([np.broadcast_to(column, (len(designs),)) for column in columns], axis=-1)

    def design(self, mapping: Mapping[str, Mapping[str, float | str]]) -> NDArray[np.int64]:
        """The design, (knobs,), of values by layer and knob; what is not named is as in the default mapping.

        Raises:
            UnknownName: for a layer or a knob that there is none of.
            BadConfig: for a value that a knob does not have, or a mapping that does not fit the machine.
        """
        design = self.default.copy()
        names = [knob.name for knob in self.space.knobs]
        for layer, values in mapping.items():
            if layer not in self.layer_names:
                raise UnknownName("layer", layer, self.layer_names)
            for name, value in values.items():
                if f"{layer}.{name}" not in names:
                    index = self.layer_names.index(layer)
                    raise UnknownName(f"knob of layer {layer!r}", name, [k.name for k in self.mappers[index].knobs])
                index = names.index(f"{layer}.{name}")
                accepted = self.space.knobs[index].values
                if value not in accepted:
                    raise BadConfig(f"mapping of layer {layer!r}: {name} is {value!r}; accepted: {list(accepted)}")
                design[index] = accepted.index(value)
        for layer, mapper, part in zip(self.layer_names, self.mappers, self.parts, strict=True):
            if (taken := float(mapper.occupancy(design[None, part])[0])) > 1:
                raise BadConfig(f"mapping of layer {layer!r} takes {taken:.4g} times what the machine has; accepted: 1")
        return design

    @cached_property
    def _default(self) -> Columns:
        """Sums over layers of the default mapping, each of shape (1,)."""
        total: Columns = {}
        for mapper in self.mappers:
            for name, column in mapper.cost(mapper.least[None]).items():
                total[name] = total.get(name, 0.0) + column
        return total

    def _named(self, part: str) -> str:
        return next((name for name in ENERGIES if name in self._default), part) if part == "energy" else part

    def _amount(self, objective: str, total: Columns) -> NDArray[np.float64]:
        """What is minimised, of sums over layers."""
        product = np.ones(1)
        for part in OBJECTIVES[objective]:
            product = product * total[self._named(part)]
        return product


def _gain(objective: str) -> str:
    """The metric of an objective."""
    return f"log2_gain_{objective.replace('-', '_')}"


@dataclass(frozen=True, eq=False)
class LayerByLayer:
    """The bound of :class:`~codesign_gym.envs.core.outlook.Completion` for layers that take the machine in turn.

    A decision changes the occupancy of its own layer alone, so no other is looked at.

    Attributes:
        mappers: one a layer, each default fitting the machine.
        parts: the knobs of each layer.
        choices: the largest number of values of any knob.
    """

    mappers: tuple[LayerMapper, ...]
    parts: tuple[slice, ...]
    choices: int

    @property
    def slots(self) -> int:
        """Every knob for itself."""
        return 1

    def start(self) -> Table:
        """Nothing is exceeded."""
        return np.array([0.0, 1.0, 1.0])

    def added(self, design: Designs, knob: Index, prefix: Index, choice: Index) -> Table:
        """What the decision adds to the layer's excess."""
        change = np.zeros((len(design), 3))
        for layer, rows, at in self._layers(knob):
            part = design[rows, self.parts[layer]]
            change[rows, 1:] = (self._excess(layer, part, at + 1) - self._excess(layer, part, at))[:, None]
        return change

    def changes(self, design: Designs, knob: Index, prefix: Index) -> Table:
        """What every choice would add; of choices that a knob does not have, anything."""
        change = np.zeros((len(design), 1, self.choices))
        for layer, rows, at in self._layers(knob):
            part = design[rows, self.parts[layer]].astype(np.int64)
            highest = np.array([len(knob.values) - 1 for knob in self.mappers[layer].knobs])[at]
            tried = np.repeat(part[:, None], self.choices, axis=1)  # (rows, choices, the layer's knobs)
            index = np.arange(len(part))
            tried[index[:, None], np.arange(self.choices), at[:, None]] = np.minimum(
                np.arange(self.choices), highest[:, None]
            )
            after = self._excess(layer, tried.reshape(-1, part.shape[1]), np.repeat(at + 1, self.choices))
            change[rows, 0] = after.reshape(len(part), self.choices) - self._excess(layer, part, at)[:, None]
        return change

    def usage(self, designs: Designs) -> Table:
        """1, and the excess of every layer."""
        used = np.ones(len(designs))
        for layer, part in enumerate(self.parts):
            chosen = designs[:, part]
            used += self._excess(layer, chosen, np.full(len(designs), chosen.shape[1]))
        return used[:, None]

    def totals(self, designs: Designs, used: Table) -> Table:
        """No loss, and the metrics' usages."""
        return np.concatenate([np.zeros((len(used), 1)), used], axis=1)

    def _layers(self, knob: Index) -> list[tuple[int, Index, Index]]:
        """The layers of some knobs, (batch,): each with its rows of the batch and the knob's position in the layer."""
        starts = np.array([part.start for part in self.parts])
        owner = np.searchsorted(starts, knob, side="right") - 1
        return [
            (int(layer), rows, knob[rows] - starts[layer])
            for layer in np.unique(owner)
            for rows in [np.flatnonzero(owner == layer)]
        ]

    def _excess(self, layer: int, choices: Designs, decided: Index) -> NDArray[np.float64]:
        """What is taken beyond the machine at least, with the first ``decided`` (batch,) knobs decided; (batch,)."""
        return np.maximum(self.mappers[layer].reach(choices, decided) - 1.0, 0.0)
