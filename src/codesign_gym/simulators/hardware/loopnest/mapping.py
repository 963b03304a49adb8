"""Loop nests: the loops of a layer, and how a mapping cuts them over the levels of a memory hierarchy.

The vocabulary is Timeloop's (Parashar et al., "Timeloop: A Systematic Approach to DNN Accelerator
Evaluation", ISPASS 2019), with one loop more, for groups. A layer is the loop nest

    for n, g, k, c, p, q, r, s:
        output[n, g, k, p, q] += weight[g, k, c, r, s] * input[n, g, c, p * stride + r, q * stride + s]

and a mapping gives every loop a factor in time and one in space at every level, and every level an
order of its loops.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from array_api_compat import array_namespace

from codesign_gym.errors import BadConfig
from codesign_gym.simulators.networks.layers import Array, Layers, Op

#: Images, groups, output and input channels of a group, output columns and rows, kernel columns and rows.
LOOPS = ("N", "G", "K", "C", "P", "Q", "R", "S")
N, G, K, C, P, Q, R, S = range(len(LOOPS))

#: Memory levels, from the multipliers outwards.
LEVELS = ("l0", "l1", "l2", "dram")
DRAM = len(LEVELS) - 1

TENSORS = ("weight", "input", "output")
WEIGHT, INPUT, OUTPUT = range(len(TENSORS))

#: Loops that index a tensor: stepping one of the others leaves its tile as it is.
INDEXED_BY = ((G, K, C, R, S), (N, G, C, P, Q, R, S), (N, G, K, P, Q))


@dataclass(frozen=True, eq=False)
class Work:
    """Layers as loop nests.

    Attributes:
        extents: iterations of each of LOOPS, shape (..., loops).
        stride_p: input columns from one output column to the next, shape (...).
        stride_q: input rows from one output row to the next, shape (...).
    """

    extents: Array
    stride_p: Array
    stride_q: Array

    @classmethod
    def single(cls, extents: Sequence[int], stride: int = 1) -> Self:
        """One layer, from the iterations of each of LOOPS."""
        return cls(np.array(extents, dtype=np.int64), np.int64(stride), np.int64(stride))

    @classmethod
    def of(cls, layers: Layers) -> Self:
        """Rows of the layer table; one that multiplies nothing becomes a single product.

        The second operand of a MATMUL row is another one for every image, so its images count as groups.
        """
        xp = array_namespace(layers.op)
        multiplies = layers.multiplies
        images = 1 + layers.runs(Op.MATMUL) * (layers.batch - 1)
        columns = (
            layers.batch // images,
            layers.groups * images,
            layers.out_channels // layers.groups,
            layers.in_channels // layers.groups,
            layers.out_width,
            layers.out_height,
            layers.kernel_width,
            layers.kernel_height,
        )
        ones = xp.ones_like(layers.stride)
        chosen = [xp.where(multiplies, column, ones) for column in (*columns, layers.stride)]
        *sizes, stride = xp.broadcast_arrays(*chosen)
        return cls(xp.stack(sizes, axis=-1), stride, stride)


@dataclass(frozen=True, eq=False)
class Mapping:
    """How loops are cut over LEVELS: a design that an agent can choose, one or a batch.

    A level's tile is what its factors in time, those in space below it and all of its inner levels
    iterate over. Factors multiply to a loop's extent, or to more: the surplus runs idle.

    Attributes:
        temporal: iterations in time of each loop at each level, int, shape (..., levels, loops).
        spatial: instances of the next inner level (multipliers, for the innermost) that each loop is
            spread over, int, shape (..., levels, loops).
        order: each level's loops from outermost to innermost as positions in LOOPS, int, shape
            (..., levels, loops). Loops of one iteration may stand anywhere.
    """

    temporal: Array
    spatial: Array
    order: Array

    def __post_init__(self) -> None:
        shapes = {name: tuple(array.shape) for name, array in vars(self).items()}
        for name, shape in shapes.items():
            if shape[-2:] != (len(LEVELS), len(LOOPS)):
                raise BadConfig(
                    f"mapping: field {name!r} has shape {shape}; accepted: (..., {len(LEVELS)}, {len(LOOPS)})"
                )
        if len(set(shapes.values())) > 1:
            raise BadConfig(f"mapping: arrays of unequal batch: {', '.join(f'{k} {v}' for k, v in shapes.items())}")

    def __getitem__(self, index: object) -> Mapping:
        """Mappings of the batch."""
        return Mapping(self.temporal[index], self.spatial[index], self.order[index])

    @property
    def extents(self) -> Array:
        """Iterations that each loop is given in all, shape (..., loops)."""
        xp = array_namespace(self.temporal)
        return xp.prod(self.temporal, axis=-2) * xp.prod(self.spatial, axis=-2)

    @classmethod
    def from_text(cls, texts: Sequence[str]) -> Mapping:
        """Mappings in Timeloop's short form, shape (texts, levels, loops).

        Levels from the outermost inwards, each with its loops from the outermost inwards; factors in
        space end in X or Y: ``L3[WIO] C8 Q7 - L2[WI] K16X - L1[O] K2 P7 C16X - L0[W] Q4``.

        Raises:
            BadConfig: naming what cannot be read.
        """
        shape = (len(texts), len(LEVELS), len(LOOPS))
        temporal, spatial = np.ones(shape, np.int64), np.ones(shape, np.int64)
        order = np.empty(shape, np.int64)
        for row, text in enumerate(texts):
            order[row] = range(len(LOOPS))
            for part in text.split(" - "):
                level, sequence = _level(part, text), []
                for loop, factor, axis in _factors(part, text):
                    (spatial if axis else temporal)[row, level, loop] *= factor
                    if not axis and loop not in sequence:
                        sequence.append(loop)
                rest = [loop for loop in range(len(LOOPS)) if loop not in sequence]
                order[row, level] = rest + sequence
        return cls(temporal, spatial, order)

    def to_text(self) -> list[str]:
        """The inverse of :meth:`from_text`, for a batch of shape (mappings, levels, loops); no tensors are named."""
        return [
            " - ".join(
                _level_text(level, self.temporal[row], self.spatial[row], self.order[row]) for level in (3, 2, 1, 0)
            )
            for row in range(self.temporal.shape[0])
        ]


def _level(part: str, text: str) -> int:
    found = re.match(r"\s*L([0-9]+)(\[\w*\])?(\s|$)", part)
    if not found or int(found[1]) >= len(LEVELS):
        raise BadConfig(f"mapping {text!r}: level {part!r}; accepted: L0 to L{DRAM}, as in 'L{DRAM}[WIO] C8 K16X'")
    return int(found[1])


def _factors(part: str, text: str) -> list[tuple[int, int, str]]:
    """Loop, factor and axis ("" for time) of each word after the level's name."""
    found = []
    for word in part.split()[1:]:
        match = re.fullmatch(r"([A-Z])([1-9][0-9]{0,15})([XY]?)", word)
        if not match or match[1] not in LOOPS:
            raise BadConfig(
                f"mapping {text!r}: factor {word!r}; accepted: one of {''.join(LOOPS)}, a number, X in space"
            )
        found.append((LOOPS.index(match[1]), int(match[2]), match[3]))
    return found


def _level_text(level: int, temporal: Array, spatial: Array, order: Array) -> str:
    times = [f"{LOOPS[loop]}{int(temporal[level, loop])}" for loop in order[level] if temporal[level, loop] > 1]
    spread = [f"{name}{int(spatial[level, loop])}X" for loop, name in enumerate(LOOPS) if spatial[level, loop] > 1]
    return " ".join([f"L{level}", *(times + spread or ["N1"])])


def check_cover(work: Work, mapping: Mapping) -> None:
    """Refuse mappings that are no cut of the work's loops.

    Raises:
        BadConfig: naming the first loop that is not covered and by how much, a factor below 1, an
            order that repeats a loop, or batches that do not broadcast.
    """
    temporal, spatial, order, extents = (
        np.asarray(array) for array in (mapping.temporal, mapping.spatial, mapping.order, work.extents)
    )
    try:
        np.broadcast_shapes(temporal.shape[:-2], extents.shape[:-1])
    except ValueError:
        raise BadConfig(
            f"mapping: a batch of {temporal.shape[:-2]} beside layers of {extents.shape[:-1]}; accepted: equal batches"
        ) from None
    for name, factors in (("temporal", temporal), ("spatial", spatial)):
        if (factors < 1).any():
            *_, level, loop = np.argwhere(factors < 1)[0]
            raise BadConfig(f"mapping: {name} factor of loop {LOOPS[loop]} at {LEVELS[level]} is below 1")
    if (np.sort(order, -1) != np.arange(len(LOOPS))).any():
        *_, level, _ = np.argwhere(np.sort(order, -1) != np.arange(len(LOOPS)))[0]
        raise BadConfig(f"mapping: the order at {LEVELS[level]} does not name each of {len(LOOPS)} loops once")
    given, asked = np.broadcast_arrays(np.asarray(mapping.extents), extents)
    if (given < asked).any():
        first = tuple(np.argwhere(given < asked)[0])
        raise BadConfig(
            f"mapping: loop {LOOPS[first[-1]]} is not covered: {given[first]} of {asked[first]} iterations,"
            f" {asked[first] - given[first]} missing"
        )
