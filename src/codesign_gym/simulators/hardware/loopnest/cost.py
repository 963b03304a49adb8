"""Layers on a machine with a memory hierarchy, each at the best mapping found for it or at a given one.

In the manner of Timeloop (Parashar et al., ISPASS 2019): ``mapping`` holds loop nests and their
mappings, ``machine`` the machine, ``traffic`` counts the words that a mapping moves,
``execution`` turns them into cycles and energy, and ``search`` looks for the mapping.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import NDArray

from codesign_gym.errors import BadConfig
from codesign_gym.simulators.hardware.loopnest.execution import Operands, evaluate
from codesign_gym.simulators.hardware.loopnest.machine import Machine
from codesign_gym.simulators.hardware.loopnest.mapping import LEVELS, Mapping, Work
from codesign_gym.simulators.hardware.loopnest.search import BITWIDTHS, QUANTITIES, layer_table
from codesign_gym.simulators.hardware.model import Costs, constant, real, weight_bytes
from codesign_gym.simulators.hardware.rounding import EXACT, Rounding
from codesign_gym.simulators.networks.layers import Array, Layers, Op


@dataclass(frozen=True)
class LoopNest(Machine):
    """Latency and energy of layers.

    Rows that multiply nothing are free. The two operands of a MATMUL row have the bitwidth of activations.
    Costs detail ``cycles``, of which ``compute_cycles`` without a stall, and the bits that all instances of
    each level read and write.
    """

    separable: ClassVar[bool] = True

    def cost(self, layers: Layers, bits: Array) -> Costs:
        """Costs of shape (..., layers) at the fastest mapping found for each layer and precision.

        Latency never falls with more bits; energy may, because it only decides between equally fast
        mappings. NumPy does the search: torch bitwidths are answered with tensors without gradients,
        which :meth:`at` has. See :class:`~codesign_gym.simulators.hardware.model.CostModel`.

        Raises:
            BadConfig: if a bitwidth is not one of 1 to 8, or a parameter is an array.
            UnsupportedNetwork: if a layer has no mapping that fits the buffers.
        """
        xp, bits = array_namespace(bits), constant(bits)
        rows = layers.map(np.asarray)
        index = self._operands(rows, np.asarray(bits).astype(np.int64))
        if any(((width < BITWIDTHS[0]) | (width > BITWIDTHS[-1])).any() for width in index):
            raise BadConfig(f"loopnest has bitwidths {BITWIDTHS[0]} to {BITWIDTHS[-1]}, not {np.unique(bits).tolist()}")
        tables, row = self._tables(Work.of(rows))
        picked = tables[row, :, index.weight - BITWIDTHS[0], index.input - BITWIDTHS[0]]  # (..., layers, quantities)
        found = {name: xp.asarray(picked[..., i] * rows.multiplies) for i, name in enumerate(QUANTITIES)}
        return self._costs(layers, bits, found)

    def at(self, layers: Layers, bits: Array, mapping: Mapping, rounding: Rounding = EXACT) -> Costs:
        """Costs of shape (..., layers) at given mappings, of shape (..., layers, levels, loops).

        Here parameters may be arrays that broadcast against (..., layers), and relaxed rounding gives
        gradients in bitwidths, bandwidths and energies.

        Raises:
            BadConfig: if a mapping does not cover its layer, spreads a loop too far or overflows a buffer.
        """
        xp = array_namespace(bits)
        run = evaluate(self, Work.of(layers), mapping, self._operands(layers, real(bits)), rounding)
        columns = (run.cycles, run.energy_j, run.compute_cycles, *run.level_bits)
        done = xp.astype(layers.multiplies, xp.float64)
        return self._costs(
            layers, bits, {name: column * done for name, column in zip(QUANTITIES, columns, strict=True)}
        )

    def _operands(self, layers: Layers, bits: Array) -> Operands:
        xp = array_namespace(bits)
        return Operands(xp.where(layers.op == Op.MATMUL, bits[..., 1], bits[..., 0]), bits[..., 1])

    def _costs(self, layers: Layers, bits: Array, quantities: dict[str, Array]) -> Costs:
        absent = {f"{name}_bits" for level, name in enumerate(LEVELS) if level not in self.levels}
        detail = {name: column for name, column in quantities.items() if name not in absent}
        energy_j = detail.pop("energy_j")
        detail["mac_slots"] = detail["cycles"] * self.multipliers
        return Costs(detail["cycles"] / self.clock_hz, weight_bytes(layers, bits), energy_j, detail=detail)

    def _tables(self, work: Work) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Tables of the distinct layers, (distinct, quantities, 8, 8), and which is whose, (..., layers)."""
        if any(np.ndim(value) for value in vars(self).values()):
            raise BadConfig("loopnest: a parameter is an array; accepted: plain numbers, or a given mapping")
        columns = np.concatenate([work.extents, work.stride_p[..., None]], -1)
        shape = columns.shape[:-1]
        distinct, row = np.unique(columns.reshape(-1, columns.shape[-1]), axis=0, return_inverse=True)
        tables = [layer_table(self, tuple(map(int, values[:-1])), int(values[-1])) for values in distinct]
        return np.stack(tables), row.reshape(shape)
