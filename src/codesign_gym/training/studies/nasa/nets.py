"""Hybrid networks as the accelerator sees them: the rows that it computes, and the chunk of each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codesign_gym.simulators import operators
from codesign_gym.simulators.hardware import device
from codesign_gym.simulators.hardware.chunked import OPERATORS, Chunked
from codesign_gym.simulators.hardware.chunked.mappings import MappingTable, mapping_table
from codesign_gym.simulators.networks.layers import Layers

DEVICE = "nasa-chunked"
BITS = 8


@dataclass(frozen=True, eq=False)
class Hybrid:
    """A hybrid network.

    Attributes:
        label: what tables call it.
        layers: rows that multiply, shift or take differences, columns of shape (rows,).
        kind: position in OPERATORS of each, (rows,).
    """

    label: str
    layers: Layers
    kind: NDArray[np.int64]

    @classmethod
    def of(cls, space: str, design: NDArray[np.int64], label: str) -> Hybrid:
        """A design of shape (layers,) of an operator space."""
        loaded = operators.load(space)
        index = loaded.index(design[None])[0]
        index = index[np.asarray(loaded.table.multiplies)[index]]
        return cls(label, loaded.gathered(index), loaded.kinds[index])

    @classmethod
    def drawn(cls, space: str, seed: int) -> Hybrid:
        """A design drawn uniformly."""
        generator = np.random.default_rng(seed)
        sizes = [len(layer.operators) for layer in operators.load(space).layers]
        return cls.of(space, generator.integers(0, sizes), f"{space}, seed {seed}")

    @property
    def operations(self) -> NDArray[np.float64]:
        """What each chunk has to do, (chunks,)."""
        return np.array([float(self.layers.macs[self.kind == chunk].sum()) for chunk in range(len(OPERATORS))])

    @property
    def bits(self) -> NDArray[np.int64]:
        """Of every row, (rows, 2)."""
        return np.full((len(self.kind), 2), BITS)

    def table(self, model: Chunked) -> MappingTable:
        """Every mapping of every row."""
        return mapping_table(self.on(model), self.layers, self.bits)

    def on(self, model: Chunked, **knobs: Any) -> Chunked:
        """The accelerator that knows each row's kind, with other parameters, which may be arrays."""
        return replace(model, operator=self.kind, **knobs)  # type: ignore[arg-type]


def accelerator() -> Chunked:
    """The shipped one."""
    model = device.load(DEVICE).model
    assert isinstance(model, Chunked)
    return model
