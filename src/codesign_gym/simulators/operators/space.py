"""Operator spaces: layers that choose among operators, and the rows that every choice computes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from codesign_gym.errors import BadConfig
from codesign_gym.simulators.hardware.device import Device
from codesign_gym.simulators.hardware.model import Costs
from codesign_gym.simulators.networks.layers import Layers, Network
from codesign_gym.simulators.operators.file import DEVICE, Operator

Designs = NDArray[np.int64]  # (batch, layers): the index of the operator that every layer takes


@dataclass(frozen=True)
class Site:
    """Where an operator stands.

    Attributes:
        layer: name of the layer.
        in_channels, height, width: the feature map that enters.
        out_channels: that leave.
        stride: by which height and width shrink.
    """

    layer: str
    in_channels: int
    height: int
    width: int
    out_channels: int
    stride: int


@dataclass(frozen=True)
class Layer:
    """A layer that chooses.

    Attributes:
        site: where it stands; for the edge of a cell, in the first cell.
        operators: names that it chooses among, cheapest first.
        entries: what these are called in look-up tables.
    """

    site: Site
    operators: tuple[str, ...]
    entries: tuple[str, ...]

    @property
    def name(self) -> str:
        """Of the layer."""
        return self.site.layer


@dataclass(frozen=True, eq=False)
class OperatorSpace:
    """Layers, their operators, and the rows of every (layer, operator).

    All rows that any design may have lie in one table. A design's row ``p`` is the table's row
    ``start[p] + step[p] * design[layer[p]]``: rows that do not depend on the design have a step of 0, and where
    operators have fewer rows than others, rows that are not valid fill up; they cost nothing.

    Attributes:
        name: the id or file it was loaded by.
        title: one line about it.
        definitions: operators by name.
        layers: what is chosen, in order.
        fixed_entries: what the parts that are not searched are called in look-up tables, if they are in them.
        codes: operators in the order in which measured tables number them.
        table: columns of shape (cells,), read-only.
        row_names: of the table's rows, (cells,).
        kinds: position in :data:`~codesign_gym.simulators.hardware.chunked.OPERATORS` of every row, (cells,).
        start, step, layer: of every row of a design, (rows,).
        device: id of one whose model costs every operator.
        measured: ``"module:function"`` that makes the measured quality of the space and a seed.
    """

    name: str
    title: str
    definitions: Mapping[str, Operator]
    layers: tuple[Layer, ...]
    fixed_entries: tuple[str, ...]
    codes: tuple[str, ...]
    table: Layers
    row_names: tuple[str, ...]
    kinds: NDArray[np.int64]
    start: NDArray[np.int64]
    step: NDArray[np.int64]
    layer: NDArray[np.int64]
    device: str = DEVICE
    measured: str = "codesign_gym.simulators.supernets.quality:measured"

    def __len__(self) -> int:
        return len(self.layers)

    @cached_property
    def choices(self) -> int:
        """The largest number of operators of any layer."""
        return max(len(layer.operators) for layer in self.layers)

    @cached_property
    def allowed(self) -> NDArray[np.bool_]:
        """Which operators every layer may take, shape (layers, operators)."""
        return np.arange(self.choices) < np.array([[len(layer.operators)] for layer in self.layers])

    @property
    def multiplication_free(self) -> bool:
        """Whether some operator shifts or adds where a convolution multiplies."""
        return bool(self.kinds.any())

    def index(self, designs: Designs) -> NDArray[np.int64]:
        """The table's rows that designs of shape (batch, layers) are made of, shape (batch, rows)."""
        return np.asarray(self.start + self.step * designs[:, self.layer])

    def rows(self, designs: Designs) -> Layers:
        """The layer tables of designs of shape (batch, layers), columns of shape (batch, rows), read-only."""
        return self.gathered(self.index(designs))

    def gathered(self, index: NDArray[np.int64]) -> Layers:
        """Rows of the table by index, columns of the shape of ``index``, read-only as the table is sound."""

        def picked(column: NDArray[np.int64]) -> NDArray[np.int64]:
            found = column[index]
            found.setflags(write=False)
            return found

        return self.table.map(picked)

    def network(self, design: NDArray[np.int64]) -> Network:
        """One design of shape (layers,) as a network, without the rows that fill up."""
        index = self.index(np.asarray(design, dtype=np.int64)[None])[0]
        index = index[self.table.valid[index] == 1]
        return Network(self.name, tuple(self.row_names[i] for i in index), self.gathered(index))

    def on(self, device: Device, kinds: NDArray[np.int64]) -> Device:
        """A device that knows which rows multiply, shift or add.

        Args:
            device: any, where all rows multiply; else one whose model has the field ``operator``.
            kinds: of the rows to be costed, shape (..., rows).

        Raises:
            BadConfig: if the device cannot tell them apart.
        """
        if not self.multiplication_free:
            return device
        if not hasattr(device.model, "operator"):
            raise BadConfig(
                f"device {device.name!r} cannot tell shift and adder layers of space {self.name!r} from convolutions; "
                f"accepted: one whose model has the parameter 'operator', such as {self.device}"
            )
        return replace(device, model=replace(device.model, operator=kinds))  # type: ignore[type-var]

    def cost(self, device: Device, designs: Designs, bits: int = 8) -> Costs:
        """Costs of whole designs of shape (batch, layers), each of shape (batch,), by any device's model.

        Args:
            device: whose costs.
            designs: operator indices.
            bits: bitwidth of all weights and activations.

        Raises:
            BadConfig: as :meth:`Device.cost` and :meth:`on`.
        """
        index = self.index(designs)
        widths = np.full((*index.shape, 2), bits)
        return self.on(device, self.kinds[index]).cost(self.gathered(index), widths).total()

    def tabulate(self, device: Device, bits: int = 8) -> Costs:
        """What every operator of every layer costs, each of shape (layers, operators), through one call of the device.

        Rows that no choice changes are charged to the first layer, whatever it takes, so that sums over layers are
        the costs of networks. Entries that a layer does not have are 0.

        Args:
            device: whose costs.
            bits: bitwidth of all weights and activations.

        Raises:
            BadConfig: if the model does not cost a row by itself, so that no table has its sums; and as :meth:`cost`.
        """
        if not getattr(device.model, "separable", False):
            raise BadConfig(
                f"device {device.name!r}: its model does not cost rows one by one, so a network's cost is no sum over "
                "layers; accepted here: a separable model (others cost whole designs)"
            )
        first, same = self._distinct
        costs = self.on(device, self.kinds[first]).cost(self.gathered(first), np.full((len(first), 2), bits))
        return costs.map(lambda column: self._summed(np.asarray(column)[same]))

    @cached_property
    def _distinct(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """The first of every group of equal rows of the table, and the group of every row, (cells,)."""
        columns = np.stack([*vars(self.table).values(), self.kinds], axis=-1)
        _, first, same = np.unique(columns, axis=0, return_index=True, return_inverse=True)
        return first, same.reshape(-1)

    def _summed(self, cells: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sums by layer and operator, (layers, operators), of numbers by row of the table."""
        searched = self.step > 0
        operators = np.arange(self.choices)
        known = self.allowed[self.layer] & searched[:, None]  # (rows, operators)
        at = np.where(known, self.start[:, None] + self.step[:, None] * operators, 0)
        table = np.zeros((len(self), self.choices))
        np.add.at(table, self.layer, np.where(known, cells[at], 0.0))
        table[0, self.allowed[0]] += cells[self.start[~searched]].sum()
        return table

    @cached_property
    def macs(self) -> NDArray[np.float64]:
        """Multiply-accumulates (shifts and additions count alike), shape (layers, operators); as :meth:`tabulate`."""
        return self._summed(np.asarray(self.table.macs, dtype=np.float64))

    def size_bytes(self, bits: int = 8) -> NDArray[np.float64]:
        """Bytes of weights that all take so many bits, shape (layers, operators); as :meth:`tabulate`."""
        return self._summed(np.asarray(self.table.weights, dtype=np.float64) * bits / 8)

    def named(self, names: NDArray[np.str_] | list[list[str]]) -> Designs:
        """Designs from operators' names, shape (batch, layers).

        Raises:
            BadConfig: for a name that a layer does not have, or a wrong number of names.
        """
        found = np.empty((len(names), len(self)), dtype=np.int64)
        for row, given in enumerate(names):
            if len(given) != len(self):
                raise BadConfig(
                    f"space {self.name!r}: {len(given)} operators; accepted: one for each of {len(self)} layers"
                )
            for position, (layer, name) in enumerate(zip(self.layers, given, strict=True)):
                if name not in layer.operators:
                    accepted = ", ".join(layer.operators)
                    raise BadConfig(f"space {self.name!r}: layer {layer.name!r} takes {name!r}; accepted: {accepted}")
                found[row, position] = layer.operators.index(name)
        return found
