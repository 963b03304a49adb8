"""Look-up tables: the cost of every layer at every pair of bitwidths, and batches read from them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from codesign_gym.errors import UnsupportedNetwork
from codesign_gym.simulators.hardware.model import Costs
from codesign_gym.simulators.networks.layers import Array, Layers

if TYPE_CHECKING:
    from codesign_gym.simulators.hardware.device import Device

#: Designs read at a time: the positions of 512 x 53 layers take 217 kB.
BLOCK = 512


def tabulate(device: Device, layers: Layers, bit_values: Sequence[int]) -> Costs:
    """What every layer with weights costs at every pair of bitwidths, through one call of the device.

    Rows without weights run at the bitwidths of the layer with weights before them (the first, where there
    is none), and are charged to it.

    Args:
        device: whose costs.
        layers: columns of shape (rows,).
        bit_values: bitwidths that weights and activations may take.

    Returns:
        Costs of shape (layers with weights, weight bitwidths, activation bitwidths).

    Raises:
        BadConfig: as :meth:`Device.cost`.
        UnsupportedNetwork: if no layer has weights.
    """
    first = np.flatnonzero(np.asarray(layers.weighted))  # (layers with weights,)
    if not len(first):
        raise UnsupportedNetwork("the network has no layer with weights, so nothing has a bitwidth")
    first[0] = 0
    rows = layers_first(device.cost(layers, grid(bit_values, len(layers.op))))
    return rows.map(lambda column: np.add.reduceat(column, first, axis=0))


def layers_first(costs: Costs) -> Costs:
    """Costs over :func:`grid` as a table, shape (layers, weight bitwidths, activation bitwidths)."""
    return costs.map(lambda column: np.ascontiguousarray(np.moveaxis(column, -1, 0)))


def grid(bit_values: Sequence[int], layers: int) -> NDArray[np.int64]:
    """Every pair of bitwidths for every layer, shape (weight bitwidths, activation bitwidths, layers, 2)."""
    pairs = np.stack(np.meshgrid(bit_values, bit_values, indexing="ij"), -1).astype(np.int64)
    return np.repeat(pairs[:, :, None, :], layers, axis=2)


def worthwhile(layers: Layers, bits: Array, bit_values: int) -> bool:
    """Whether a batch is larger than the table of its cells: many designs of one network, in NumPy integers."""
    return (
        isinstance(bits, np.ndarray)
        and np.issubdtype(bits.dtype, np.integer)
        and layers.op.ndim == 1
        and bits.shape[-2] == layers.op.size
        and bits.size > bit_values**2 * layers.op.size * 2
    )


def gather(table: Costs, least: int, bits: NDArray[np.integer[Any]]) -> Costs:
    """Costs of designs, of shape (..., layers), read from a table; ``detail`` is read when asked for.

    Args:
        table: costs of shape (layers, weight bitwidths, activation bitwidths), for consecutive bitwidths.
        least: the table's first bitwidth.
        bits: shape (..., layers, 2), bitwidths of the table, below 256.
    """
    layers, _, activations = table.latency_s.shape
    # A pair of bytes, seen as one 16-bit number, becomes a position in the layer's table without strided access.
    pairs = np.ascontiguousarray(bits, dtype=np.uint8).view("<u2")[..., 0]
    codes = np.bitwise_and(pairs, 255, dtype=np.uint16)  # (..., layers)
    codes *= activations
    codes += pairs >> 8
    codes -= least * (activations + 1)
    reader = _Reader(codes.reshape(-1, layers), codes.shape)
    wanted = [table.latency_s, table.size_bytes] + ([] if table.energy_j is None else [table.energy_j])
    latency_s, size_bytes, *energy_j = reader.read(wanted)
    return replace(
        table,
        latency_s=latency_s,
        size_bytes=size_bytes,
        energy_j=energy_j[0] if energy_j else None,
        detail=_Detail(table.detail, reader),
    )


@dataclass(frozen=True)
class _Reader:
    """Positions of designs in the tables of their layers."""

    codes: NDArray[np.uint16]  # (designs, layers)
    shape: tuple[int, ...]  # of a result

    def read(self, columns: list[Array]) -> list[NDArray[Any]]:
        """Entries of tables of shape (layers, ...), in blocks whose positions stay in the processor's cache."""
        designs, layers = self.codes.shape
        flat = [np.ascontiguousarray(column).reshape(-1) for column in columns]
        found = [np.empty(self.codes.shape, dtype=column.dtype) for column in flat]
        start_of_layer = np.arange(layers) * (flat[0].size // layers)
        for start in range(0, designs, BLOCK):
            block = slice(start, start + BLOCK)
            position = self.codes[block] + start_of_layer
            for column, out in zip(flat, found, strict=True):
                np.take(column, position, out=out[block], mode="clip")  # "raise" would copy ``out``
        return [column.reshape(self.shape) for column in found]


@dataclass(frozen=True)
class _Detail(Mapping[str, Array]):
    """A table's further quantities for a batch, read one by one when asked for."""

    table: Mapping[str, Array]
    reader: _Reader

    def __getitem__(self, name: str) -> Array:
        return self.reader.read([self.table[name]])[0]

    def __iter__(self) -> Iterator[str]:
        return iter(self.table)

    def __len__(self) -> int:
        return len(self.table)
