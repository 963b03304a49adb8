"""MAERI's mappings: how much of every loop is worked on at a time, as in Bifrost."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from codesign_gym.envs.core.space import Designs, Knob
from codesign_gym.envs.mapping.mapper import Columns, completed
from codesign_gym.simulators.hardware.device import Device
from codesign_gym.simulators.hardware.stonne.maeri import Maeri
from codesign_gym.simulators.hardware.stonne.tiles import NAMES, Loops, loops
from codesign_gym.simulators.networks.layers import Layers, Network

#: Loops whose tiles are chosen, in the order of Bifrost's T_R, T_S, T_C, T_K, T_G, T_X, T_Y. A fully connected layer's
#: inputs, whose tile Bifrost calls T_S, are channels here.
CHOSEN = ("r", "s", "c", "k", "g", "x", "y")


@dataclass(frozen=True, eq=False)
class MaeriMapper:
    """Tiles of one layer.

    Attributes:
        model: the machine, its sizes plain numbers.
        layer: one row, columns of shape (1,).
        bits: of weights and activations.
        tiles: ``divisors`` of every loop, which are the values of Bifrost, or the smallest tile for each number of
            ``passes`` over it, which no other tile beats.
    """

    model: Maeri
    layer: Layers
    bits: int
    tiles: str

    @cached_property
    def extents(self) -> Loops:
        """Of the loops, arrays of shape (1,)."""
        return loops(self.layer)

    @cached_property
    def values(self) -> dict[str, NDArray[np.int64]]:
        """Tiles of every chosen loop of more than one iteration, ascending from 1."""
        found = {}
        for name in CHOSEN:
            extent = int(getattr(self.extents, name)[0])
            sizes = np.arange(1, min(extent, self.model.multipliers) + 1)
            passes = -(-extent // sizes)
            kept = extent % sizes == 0 if self.tiles == "divisors" else np.append(True, passes[1:] < passes[:-1])
            if kept.sum() > 1:
                found[name] = sizes[kept]
        return found

    @property
    def knobs(self) -> tuple[Knob, ...]:
        """A tile each, smallest first."""
        return tuple(Knob(f"T_{NAMES[name].rstrip(chr(39))}", tuple(map(int, v))) for name, v in self.values.items())

    @property
    def scarce(self) -> str:
        """Multipliers."""
        return f"{self.model.multipliers} multipliers"

    @property
    def least(self) -> NDArray[np.int64]:
        """Single products: Bifrost's default mapping."""
        return np.zeros(len(self.values), dtype=np.int64)

    def tiled(self, choices: Designs) -> Loops:
        """Tiles of mappings (batch, knobs), each of shape (batch,)."""
        ones = np.ones(len(choices), dtype=np.int64)
        chosen = {name: values[choices[:, knob]] for knob, (name, values) in enumerate(self.values.items())}
        return Loops(**{name: chosen.get(name, ones) for name in NAMES})

    def occupancy(self, choices: Designs) -> NDArray[np.float64]:
        """Multipliers taken, one more for every virtual neuron whose partial sums come back, over those there are."""
        tiles = self.tiled(choices)
        returns = (tiles.neuron < self.extents.neuron) & (self.model.accumulates == 0)
        return np.asarray(tiles.neurons * (tiles.neuron + returns) / self.model.multipliers)

    def reach(self, choices: Designs, decided: NDArray[np.int64]) -> NDArray[np.float64]:
        """That of the smallest further tiles: a larger tile never takes fewer multipliers."""
        return self.occupancy(completed(choices, decided, self.least))

    def cost(self, choices: Designs) -> Columns:
        """Latency, energy, and partial sums: one for every output and step of its sum."""
        tiles = self.tiled(choices)
        costs = self.model.at(self.layer, np.full((1, 2), self.bits), tiles)
        folds = [-(-extent // tile) for extent, tile in zip(self.extents, tiles, strict=True)][:3]
        return {
            "latency_s": np.asarray(costs.latency_s),
            "energy_stonne_units": np.asarray(costs.detail["energy_stonne_units"]),
            "psums": (self.layer.steps * self.extents.neurons * folds[0] * folds[1] * folds[2]).astype(np.float64),
        }


def mappers(device: Device, network: Network, bits: int, tiles: str) -> tuple[MaeriMapper, ...]:
    """A mapper for every row."""
    assert isinstance(device.model, Maeri)
    rows = network.layers.with_batch(device.batch)
    return tuple(
        MaeriMapper(device.model, rows.map(lambda column, i=i: column[i : i + 1]), bits, tiles)
        for i in range(len(network))
    )
