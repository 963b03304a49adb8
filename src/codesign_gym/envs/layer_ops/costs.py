"""What designs of an operator space cost: sums of tables, tables of whole designs, or a model's answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from codesign_gym.envs.core.problem import Values
from codesign_gym.envs.core.separable import Table
from codesign_gym.envs.core.space import Designs
from codesign_gym.simulators.hardware.device import Device
from codesign_gym.simulators.operators.space import OperatorSpace


class DesignCosts(Protocol):
    """Costs of whole designs."""

    @property
    def names(self) -> tuple[str, ...]:
        """Metrics, in order."""
        ...

    @property
    def tables(self) -> Mapping[str, Table]:
        """Those metrics that are sums over layers, each (layers, operators)."""
        ...

    @property
    def looked_up(self) -> bool:
        """Whether all designs of a small space can be asked about at next to no cost."""
        ...

    def of(self, designs: Designs) -> Values:
        """Shape (batch, names), for designs of shape (batch, layers)."""
        ...


@dataclass(frozen=True, eq=False)
class TableCosts:
    """Sums over layers.

    Attributes:
        tables: metric to its table, (layers, operators).
    """

    tables: Mapping[str, Table]
    looked_up: bool = True

    @property
    def names(self) -> tuple[str, ...]:
        """The tables'."""
        return tuple(self.tables)

    @cached_property
    def _stacked(self) -> NDArray[np.float64]:
        """Entries side by side, (layers * operators, names)."""
        return np.ascontiguousarray(np.stack([table.reshape(-1) for table in self.tables.values()], axis=-1))

    def of(self, designs: Designs) -> Values:
        """One look-up."""
        layers, operators = next(iter(self.tables.values())).shape
        return np.asarray(self._stacked.take(designs + operators * np.arange(layers), axis=0).sum(1))


@dataclass(frozen=True, eq=False)
class CellCosts:
    """Figures of whole designs, measured beforehand, beside sums over layers.

    Attributes:
        cells: metric to figures of shape (operators,) * layers.
        sums: what is a sum.
    """

    cells: Mapping[str, Table]
    sums: TableCosts
    looked_up: bool = True

    @property
    def names(self) -> tuple[str, ...]:
        """Cells first."""
        return (*self.cells, *self.sums.names)

    @property
    def tables(self) -> Mapping[str, Table]:
        """Those of the sums."""
        return self.sums.tables

    def of(self, designs: Designs) -> Values:
        """Look-ups."""
        index = tuple(np.moveaxis(designs, -1, 0))
        looked_up = [table[index] for table in self.cells.values()]
        return np.concatenate([np.stack(looked_up, axis=-1), self.sums.of(designs)], axis=-1)


@dataclass(frozen=True, eq=False)
class ModelCosts:
    """What a device's model answers for whole designs, where it does not cost rows one by one.

    Attributes:
        space: what designs are of.
        device: whose costs.
        bits: of weights and activations.
        names: ``latency_s``, ``size_bytes`` and, where the model knows energies, ``energy_j``.
    """

    space: OperatorSpace
    device: Device
    bits: int
    names: tuple[str, ...]
    looked_up: bool = False

    @property
    def tables(self) -> Mapping[str, Table]:
        """Nothing is a sum."""
        return {}

    def of(self, designs: Designs) -> Values:
        """One call of the device."""
        costs = self.space.cost(self.device, designs, self.bits)
        return np.stack([getattr(costs, name) for name in self.names], axis=-1)
