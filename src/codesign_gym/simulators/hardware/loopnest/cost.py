"""Layers on a machine with a memory hierarchy, each at the best mapping found for it or at a given one.

In the manner of Timeloop (Parashar et al., ISPASS 2019): ``mapping`` holds loop nests and their
mappings, ``machine`` the machine, ``traffic`` counts the words that a mapping moves,
``execution`` turns them into cycles and energy, and ``search`` looks for the mapping.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, NamedTuple

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field

from codesign_gym.errors import BadConfig
from codesign_gym.simulators.hardware.asked import checked, checked_lowered
from codesign_gym.simulators.hardware.host import beside, machines, outside_graphs, plain
from codesign_gym.simulators.hardware.loopnest.execution import Execution, Operands, charge, evaluate
from codesign_gym.simulators.hardware.loopnest.machine import Machine
from codesign_gym.simulators.hardware.loopnest.mapping import DRAM, LEVELS, LOOPS, Mapping, Work
from codesign_gym.simulators.hardware.loopnest.memory import Memory
from codesign_gym.simulators.hardware.loopnest.search import BITWIDTHS, OBJECTIVES, layer_tables
from codesign_gym.simulators.hardware.loopnest.traffic import unpacked
from codesign_gym.simulators.hardware.model import Costs, PositionIn, Unit, between, real
from codesign_gym.simulators.hardware.rounding import EXACT, Exact, Rounding
from codesign_gym.simulators.hardware.sizes import between_sizes, whole_numbers
from codesign_gym.simulators.networks.layers import Array, Layers, Op

#: What mappings are searched for, by name in files.
SOUGHT = tuple(OBJECTIVES)

#: Precisions of a layer's table, and one more for those that there are none of.
PRECISIONS = len(BITWIDTHS) ** 2

#: Numbers of instances, which are whole, and between which relaxed costs are mixed.
WHOLE = {f"{level}_{axis}": whole_numbers for level in LEVELS[:DRAM] for axis in ("columns", "rows")}


class Lowered(NamedTuple):
    """Rows of the layer table with the traffic of their mappings, arrays of the caller's library."""

    moved: Array  # (distinct * 65, columns) traffic at each of a layer's precisions; NaN at the 65th
    first: Array  # (..., layers) where a row's precisions begin in ``moved``, integers
    work: Work  # of shape (..., layers)
    runs: Array  # (..., layers) 1 where the row multiplies, else 0
    weights: Array  # (..., layers)
    product: Array  # (..., layers) whether both operands are activations, bool


@dataclass(frozen=True)
class LoopNest(Machine):
    """Latency and energy of layers.

    Rows that multiply nothing are free. The two operands of a MATMUL row have the bitwidth of activations.
    Costs detail ``cycles``, of which ``compute_cycles`` without a stall, and the bits that all instances of
    each level read and write.

    The mapping search is NumPy's and memoised in the process. It runs at whole bitwidths and numbers of instances,
    and what its mapping moves is a constant: the costs are the closed form there, in the array API throughout. At a
    best mapping the form's derivatives are those of the best cost itself, so that relaxed rounding has gradients
    in bandwidths, energies and the clock. Between whole bitwidths and whole numbers of instances, each with mappings
    of their own, relaxed costs are mixed (``sizes``): without jumps, and with gradients in both. In the sizes of
    buffers there are none: they enter by the mapping alone. ``torch.compile`` runs the search outside its graphs;
    :meth:`cost_of` is one graph (``rounding`` given) at the machine that was lowered for. Parameters may be arrays
    that broadcast against the leading axes: every different machine among them is searched for.
    """

    separable: ClassVar[bool] = True
    searches: ClassVar[bool] = True

    objective: Annotated[int, Unit("name"), BeforeValidator(PositionIn(SOUGHT)), Field(ge=0, lt=len(SOUGHT))]

    @checked
    def cost(self, layers: Layers, bits: Array, rounding: Rounding = EXACT) -> Costs:
        """Costs of shape (..., layers) at the best mapping found for each layer and precision.

        What ``objective`` seeks never falls with more bits: latency, energy or their product. Another may, because it
        decides between equals alone. See :class:`~codesign_gym.simulators.hardware.model.CostModel`.

        Args:
            layers: columns of shape (..., layers).
            bits: shape (..., layers, 2), weight and activation bitwidths.
            rounding: exact, or relaxed for gradients.

        Raises:
            BadConfig: if a bitwidth is not one of 1 to 8 (real ones have the mapping of the nearest), or a level holds
                a tensor in some of the machines only.
            UnsupportedNetwork: if a layer has no mapping that fits the buffers.
        """
        _check(bits)

        def at(machine: LoopNest) -> Costs:
            return self.cost_of(machine.lower(layers, bits), bits, rounding)

        return between_sizes(self, WHOLE, rounding, at)

    @outside_graphs
    def lower(self, layers: Layers, like: Array) -> Lowered:
        """The rows with their best mappings at every precision, for a network that is costed again and again.

        Args:
            layers: columns of shape (..., layers), of any library.
            like: an array of the library, and on the processor, that costs are asked with.

        Raises:
            BadConfig: if a level holds a tensor in some of the machines only.
            UnsupportedNetwork: if a layer has no mapping that fits the buffers.
        """
        rows = layers.map(plain)
        work = Work.of(rows)
        found, whose = self._searched()
        columns = np.stack(np.broadcast_arrays(whose, *np.moveaxis(work.extents, -1, 0), work.stride_p), -1)
        distinct, which = np.unique(columns.reshape(-1, columns.shape[-1]), axis=0, return_inverse=True)
        first = which.reshape(columns.shape[:-1]) * (PRECISIONS + 1)
        own = [distinct[distinct[:, 0] == position, 1:] for position in range(len(found))]  # as in ``distinct``
        rows_of = [(machine, table.astype(np.int64).tobytes()) for machine, table in zip(found, own, strict=True)]
        moved = np.concatenate(network_tables(rows_of))
        return Lowered(
            beside(moved, like),
            beside(first, like),
            Work(*(beside(column, like) for column in vars(work).values())),
            beside(np.asarray(rows.multiplies * rows.steps, dtype=np.float64), like),
            beside(np.asarray(rows.weights, dtype=np.float64), like),
            beside(rows.runs(Op.MATMUL), like),
        )

    @checked_lowered("weights")
    def cost_of(self, lowered: Lowered, bits: Array, rounding: Rounding = EXACT) -> Costs:
        """The same of rows lowered beforehand; costs at bitwidths that there are none of are NaN.

        Args:
            lowered: columns of shape (..., layers), from :meth:`lower`.
            bits: shape (..., layers, 2).
            rounding: as in :meth:`cost`; relaxed costs are bilinear between whole bitwidths, each with its mapping.
        """
        bits = real(bits)
        if isinstance(rounding, Exact):
            return self._at(lowered, bits, rounding)
        return between(lambda whole: self._at(lowered, whole, rounding), bits, BITWIDTHS)

    def _at(self, lowered: Lowered, bits: Array, rounding: Rounding) -> Costs:
        """At the mappings of the nearest whole bitwidths."""
        xp = array_namespace(bits)
        operands = Operands(xp.where(lowered.product, bits[..., 1], bits[..., 0]), bits[..., 1])
        weight, activation = (xp.astype(xp.round(width), xp.int64) - BITWIDTHS[0] for width in operands)
        there = (weight >= 0) & (weight < len(BITWIDTHS)) & (activation >= 0) & (activation < len(BITWIDTHS))
        precision = xp.where(there, weight * len(BITWIDTHS) + activation, PRECISIONS)
        moved = unpacked(self, lowered.moved[lowered.first + precision])
        run = charge(self, lowered.work, moved, operands, rounding)
        return self._costs(run, lowered.runs, lowered.weights * bits[..., 0] / 8)

    @checked
    def at(self, layers: Layers, bits: Array, mapping: Mapping, rounding: Rounding = EXACT) -> Costs:
        """Costs of shape (..., layers) at given mappings, of shape (..., layers, levels, loops).

        Here parameters may be arrays that broadcast against (..., layers), and relaxed rounding gives
        gradients in bitwidths, bandwidths and energies.

        Raises:
            BadConfig: if a mapping does not cover its layer, spreads a loop too far or overflows a buffer.
        """
        xp, bits = array_namespace(bits), real(bits)
        operands = Operands(xp.where(layers.runs(Op.MATMUL), bits[..., 1], bits[..., 0]), bits[..., 1])
        run = evaluate(self, Work.of(layers), mapping, operands, rounding)
        return self._costs(run, xp.astype(layers.multiplies, xp.float64), layers.weights * bits[..., 0] / 8)

    def _costs(self, run: Execution, runs: Array, size_bytes: Array) -> Costs:
        """Costs of executions, with those of rows that multiply nothing struck out."""
        detail = {"cycles": run.cycles * runs, "compute_cycles": run.compute_cycles * runs}
        detail |= {f"{LEVELS[level]}_bits": run.level_bits[level] * runs for level in self.levels}
        detail["mac_slots"] = detail["cycles"] * self.multipliers
        return Costs(detail["cycles"] / self.clock_hz, size_bytes, run.energy_j * runs, detail=detail)

    def _searched(self) -> tuple[list[LoopNest], NDArray[np.intp]]:
        """The different machines in plain numbers, in cycles whatever the clock, and which is whose.

        Raises:
            BadConfig: if a level holds a tensor in some of them and lets it pass by in others.
        """
        numbers = {name: value for name, value in vars(self).items() if not isinstance(value, str)}
        for name in (name for name in numbers if name.endswith("_bytes")):
            held = plain(numbers[name]) > 0
            if held.any() and not held.all():
                raise BadConfig(
                    f"parameter {name!r} is 0 in some designs and not in others; accepted: a device for each of the two"
                )
        found, which = machines({**numbers, "clock_hz": 1.0})
        return [replace(self, **one) for one in found], which  # type: ignore[arg-type]


@outside_graphs
def _check(bits: Array) -> None:
    widths = plain(bits)
    nearest = np.rint(widths)
    if not ((nearest >= BITWIDTHS[0]) & (nearest <= BITWIDTHS[-1])).all():
        raise BadConfig(f"loopnest has bitwidths {BITWIDTHS[0]} to {BITWIDTHS[-1]}, not {np.unique(widths).tolist()}")


#: A machine, and distinct rows (extents and stride) as bytes.
Rows = tuple[LoopNest, bytes]

#: Tables of the networks that were asked for last, because a network is costed again and again.
NETWORKS: Memory[Rows, NDArray[np.float64]] = Memory(64)


def network_tables(rows: Sequence[Rows]) -> list[NDArray[np.float64]]:
    """What :class:`Lowered` has for distinct rows on each machine; what is new is searched for together."""
    return NETWORKS.all(rows, _tables)


def _tables(rows: Sequence[Rows]) -> list[NDArray[np.float64]]:
    distinct = [np.frombuffer(content, dtype=np.int64).reshape(-1, len(LOOPS) + 1).tolist() for _, content in rows]
    layers = [
        (machine, tuple(row[:-1]), row[-1], SOUGHT[int(machine.objective)])
        for (machine, _), own in zip(rows, distinct, strict=True)
        for row in own
    ]
    found = np.stack(layer_tables(layers)).reshape(len(layers), PRECISIONS, -1)
    padded = np.pad(found, ((0, 0), (0, 1), (0, 0)), constant_values=np.nan)
    padded.setflags(write=False)
    parts = np.split(padded, np.cumsum([len(own) for own in distinct])[:-1])
    return [part.reshape(-1, found.shape[-1]) for part in parts]
