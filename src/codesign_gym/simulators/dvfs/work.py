"""What one piece of computation asks of a device, before any clock is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codesign_gym.errors import BadConfig
from codesign_gym.simulators.networks.layers import Layers, Op

#: Rows that run inside the kernel of the row before them.
FUSED = (Op.NORM, Op.ACTIVATION)


@dataclass(frozen=True, eq=False)
class Work:
    """Demands on the domains of a device: arrays that broadcast to one shape (...), kept as float64 of that shape.

    Attributes:
        operations: multiplications and additions, on the GPU.
        bytes: to and from the memory.
        launches: kernels that the CPU starts.
        traffic: bytes through the on-chip fabric, where a device has one that may limit.

    Raises:
        BadConfig: for a negative or infinite demand, naming the field.
    """

    operations: NDArray[np.float64]
    bytes: NDArray[np.float64]
    launches: NDArray[np.float64]
    traffic: NDArray[np.float64] | float = 0.0

    def __post_init__(self) -> None:
        names = [field.name for field in fields(self)]
        columns = np.broadcast_arrays(*(np.asarray(getattr(self, name), dtype=np.float64) for name in names))
        for name, column in zip(names, columns, strict=True):
            bad = ~(np.isfinite(column) & (column >= 0))
            if bad.any():
                raise BadConfig(f"work: field {name!r} is {column[bad][0]:g}; accepted: finite numbers, 0 or more")
            object.__setattr__(self, name, column)

    @classmethod
    def of(cls, layers: Layers, bits: int = 16) -> Work:
        """The work of a layer table, summed over its last axis: shape (...).

        Normalisations and activation functions are part of the kernel before them. Every other row is a kernel that
        reads its inputs and parameters and writes its outputs once, as does every step of a recurrence; reuse between
        kernels is not modelled.

        Args:
            layers: columns of shape (..., layers).
            bits: of a number in memory.
        """
        op, once = np.asarray(layers.op), layers.one_step()
        runs = np.asarray(layers.valid * layers.steps) * ~np.isin(op, [int(fused) for fused in FUSED])
        moved = once.in_elements + once.out_elements + once.parameters
        plain = runs * ~np.asarray(layers.multiplies) * np.asarray(once.out_elements)
        return cls(
            operations=np.asarray(2 * layers.macs + plain, dtype=np.float64).sum(-1),
            bytes=np.asarray(runs * moved, dtype=np.float64).sum(-1) * bits / 8,
            launches=np.asarray(runs, dtype=np.float64).sum(-1),
        )

    @classmethod
    def stack(cls, works: Sequence[Work]) -> Work:
        """Pieces of work of equal shape (...) along a new first axis."""
        return cls(*(np.stack([getattr(work, field.name) for work in works]) for field in fields(cls)))

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of every column."""
        return self.operations.shape

    def __add__(self, other: Work) -> Work:
        """One piece of work after the other, as one: overlap is then possible between the two."""
        return Work(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(self)))

    def __getitem__(self, index: Any) -> Work:
        """The work at a position, slice, mask or ``None`` of the leading axes."""
        return Work(*(getattr(self, field.name)[index] for field in fields(self)))
