"""The chunks with a searched mapping for every layer, as a cost model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from codesign_gym.simulators.hardware.asked import checked
from codesign_gym.simulators.hardware.chunked.cost import OPERATORS, Chunked
from codesign_gym.simulators.hardware.chunked.mappings import mapping_table
from codesign_gym.simulators.hardware.host import beside, outside_graphs, plain
from codesign_gym.simulators.hardware.model import Costs, of_hardware, real, weight_bytes
from codesign_gym.simulators.networks.layers import Array, Layers


@dataclass(frozen=True)
class MappedChunks:
    """Every layer at the mapping with the least energy times latency that fits an equal part of the global buffer.

    A network's own optimum weighs layers against each other, and parts of the buffer too:
    :func:`~codesign_gym.simulators.hardware.chunked.mapper.auto_map`. This one is a sum over layers.

    Attributes:
        chunks: the accelerator; its ``dataflow`` is not read.
        operator: of the layers, a position in OPERATORS or an array of shape (..., layers).
    """

    separable: ClassVar[bool] = True

    chunks: Chunked
    operator: Array

    @checked
    def cost(self, layers: Layers, bits: Array) -> Costs:
        """Costs of shape (..., layers), whose latency and energy have no gradients.

        See :class:`~codesign_gym.simulators.hardware.model.CostModel`.

        Raises:
            UnsupportedNetwork: if a layer has no mapping that fits.
        """
        latency_s, energy_j, dram_s = self._searched(layers, bits)
        operator = self.operator if isinstance(self.operator, int) else beside(plain(self.operator), bits)
        stored = Chunked(**{**vars(self.chunks), "operator": operator}).weight_bits(real(bits[..., 0]))
        return Costs(
            latency_s,
            weight_bytes(layers, stored[..., None]),
            energy_j,
            detail={"dram_bits": dram_s * (8 * self.chunks.dram_bytes_per_s)},
            area_mm2=of_hardware(self.chunks.area_mm2),
        ).aligned()

    @outside_graphs
    def _searched(self, layers: Layers, bits: Array) -> tuple[Array, Array, Array]:
        """Latency, energy and time of DRAM of every layer's best mapping, of shape (..., layers), searched in NumPy."""
        shape = np.broadcast_shapes(tuple(bits.shape[:-1]), tuple(layers.op.shape))
        rows = layers.map(lambda column: np.broadcast_to(plain(column), shape).ravel())
        operator = np.broadcast_to(plain(self.operator), shape).ravel()
        widths = np.broadcast_to(plain(bits), (*shape, 2)).reshape(-1, 2)
        columns = np.column_stack([operator, widths, *vars(rows).values()])
        _, first, index = np.unique(columns, axis=0, return_index=True, return_inverse=True)
        model = Chunked(**{**vars(self.chunks), "operator": operator[first]})
        table = mapping_table(model, rows.map(lambda column: column[first]), widths[first])
        table = table.only(table.buffer_bytes <= model.buffer_bytes / len(OPERATORS))
        best = np.where(table.valid, table.energy_j * table.latency_s, np.inf).argmin(-1)[:, None]
        latency_s, energy_j, dram_s = (
            beside(np.take_along_axis(column, best, 1)[index.ravel(), 0].reshape(shape), bits)
            for column in (table.latency_s, table.energy_j, table.dram_s)
        )
        return latency_s, energy_j, dram_s
