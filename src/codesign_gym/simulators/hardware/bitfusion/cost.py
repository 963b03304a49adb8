"""BitFusion: a spatial array whose multipliers fuse and split with the operands' bitwidths."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import NDArray

from codesign_gym.errors import BadConfig
from codesign_gym.simulators.hardware.bitfusion.search import BITWIDTHS, QUANTITIES, layer_table
from codesign_gym.simulators.hardware.bitfusion.tiling import Convolution, FusionArray, ceil_div
from codesign_gym.simulators.hardware.model import Costs, constant, weight_bytes
from codesign_gym.simulators.networks.layers import Array, Layers, Op

#: A dense convolution of at most this many channels reads an image (grey, RGB or RGBA) and is
#: unfolded; the public simulator unfolds a network's first layer.
IMAGE_CHANNELS = 4


@dataclass(frozen=True)
class BitFusion(FusionArray):
    """Latency and energy at the best tiling of every layer.

    Sharma et al., "Bit Fusion: Bit-Level Dynamically Composable Architecture for Accelerating Deep
    Neural Networks", ISCA 2018. ``tiling`` gives the cost of a tiling exactly as the public
    simulator does; ``search`` chooses the tiling.

    Bitwidths are 2 to 8: 5 to 7 bits compute like 8 and 3 like 4, while traffic is of the true bits.
    A fully connected row is a 1x1 convolution. A grouped convolution runs as dense ones over as many
    groups as fill the grid's outputs, with zeros between the groups: 32 channels at a time where it
    is depthwise. The simulator has no such layers; group by group, a depthwise one would fill one of
    the 512 units.

    Latency never falls with more bits; energy may, because the search spends it to save cycles.
    Searches are memoised in the process, so a batch costs little more than its distinct layers.
    Parameters are plain numbers. NumPy only: torch bitwidths on the CPU are answered with tensors
    without gradients.
    """

    separable: ClassVar[bool] = True

    def cost(self, layers: Layers, bits: Array) -> Costs:
        """Costs of shape (..., layers); see :class:`~codesign_gym.simulators.hardware.model.CostModel`.

        Raises:
            BadConfig: if a bitwidth is not one of 2 to 8.
            UnsupportedNetwork: if a layer has no tile that fits the buffers.
        """
        xp, bits = array_namespace(bits), constant(bits)
        index = np.asarray(bits).astype(np.int64) - BITWIDTHS[0]  # (..., layers, 2)
        if ((index < 0) | (index >= len(BITWIDTHS))).any():
            raise BadConfig(
                f"BitFusion has bitwidths {BITWIDTHS[0]} to {BITWIDTHS[-1]}, not {np.unique(bits).tolist()}"
            )
        rows = layers.map(np.asarray)
        packed = np.clip(self.outputs * rows.groups // rows.out_channels, 1, rows.groups)  # groups at a time
        tables, row = self._tables(convolutions(rows, packed))
        product = rows.op == Op.MATMUL  # of two activations, other ones for every image
        weight_index = np.where(product, index[..., 1], index[..., 0])
        picked = tables[row, weight_index, index[..., 1]]  # (..., layers, quantities)
        scale = rows.multiplies * ceil_div(rows.groups, packed) * np.where(product, rows.batch, 1)
        cost = {name: xp.asarray(picked[..., i] * scale) for i, name in enumerate(QUANTITIES)}
        energy_j = cost.pop("energy_j")
        return Costs(
            cost["cycles"] / self.clock_hz, weight_bytes(layers, bits), energy_j, detail=cost, area_mm2=self.area_mm2
        )

    def _tables(self, work: Convolution) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Tables of the distinct convolutions, (distinct, 7, 7, quantities), and which is whose, (..., layers)."""
        columns = np.stack(np.broadcast_arrays(*vars(work).values()), -1)
        shape = columns.shape[:-1]
        distinct, row = np.unique(columns.reshape(-1, columns.shape[-1]), axis=0, return_inverse=True)
        tables = [layer_table(self, Convolution(*map(int, values))) for values in distinct]
        return np.moveaxis(np.stack(tables), 1, -1), row.reshape(shape)


def convolutions(layers: Layers, groups: NDArray[np.int64]) -> Convolution:
    """Each row as a dense convolution of so many of its groups; a row that multiplies nothing becomes one product."""
    multiplies = np.asarray(layers.multiplies)

    def column(values: Array) -> NDArray[np.int64]:
        return np.where(multiplies, values, 1)

    image = (layers.op == Op.CONV) & (layers.groups == 1) & (layers.in_channels <= IMAGE_CHANNELS) & multiplies
    return Convolution(
        batch=column(np.where(layers.op == Op.MATMUL, 1, layers.batch)),
        out_height=column(layers.out_height),
        out_width=column(layers.out_width),
        in_channels=column(layers.in_channels // layers.groups * groups),
        out_channels=column(layers.out_channels // layers.groups * groups),
        kernel_height=column(layers.kernel_height),
        kernel_width=column(layers.kernel_width),
        stride=column(layers.stride),
        im2col=image.astype(np.int64),
    )
