"""A machine with a memory hierarchy: three levels of buffers between its multipliers and DRAM.

Level ``l0`` lies at the multipliers, ``l2`` next to DRAM. A level may hold any of the three tensors, in
buffers of their own or in one that they share; a tensor that it does not hold passes by. Below each
level the next inner one stands in ``columns`` x ``rows``, over each of which some loops can be spread:
instances that need the same word get it in one read, and partial sums are added on the way out.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from math import inf
from operator import mul
from typing import Annotated, NamedTuple

from pydantic import Field

from codesign_gym.errors import BadConfig
from codesign_gym.simulators.hardware.loopnest.mapping import DRAM, LEVELS, LOOPS, TENSORS
from codesign_gym.simulators.hardware.model import Unit
from codesign_gym.simulators.networks.layers import Array

Bytes = Annotated[float, Unit("B"), Field(ge=0)]
Count = Annotated[int, Unit("instances"), Field(gt=0)]
Rate = Annotated[float, Unit("bit/cycle"), Field(gt=0)]
PerBit = Annotated[float, Unit("J/bit"), Field(ge=0)]
Loops = Annotated[str, Unit("loops"), Field(pattern=f"^[{''.join(LOOPS)}]+$")]
Width = Annotated[float, Unit("bit"), Field(gt=0)]


class Buffer(NamedTuple):
    """What one tensor has of one instance of a level."""

    bytes: Array  # most that it may occupy; 0 where the level does not hold it
    read_j_per_bit: Array
    write_j_per_bit: Array


@dataclass(frozen=True)
class Machine:
    """The numbers of a machine; each may be an array that broadcasts against a batch of mappings.

    Bandwidths, DRAM's too, are per cycle of the one clock: they follow it.
    For each level l0, l1, l2: ``_bytes`` is the capacity of one instance for all tensors together and
    ``_weight_bytes``, ``_input_bytes``, ``_output_bytes`` the most that each may have of it (0: it passes
    by). ``_bits_per_cycle`` is what one instance reads and writes in a cycle, all tensors together.
    ``_column_loops`` and ``_row_loops`` are letters of LOOPS, none in both.

    Raises:
        BadConfig: if a loop can be spread over columns and rows of one level.
    """

    clock_hz: Annotated[float, Unit("Hz"), Field(gt=0)]
    mac_j: Annotated[float, Unit("J"), Field(ge=0)]  # a multiply-accumulate of any operands up to the widest
    partial_sum_bits: Width  # of outputs in l0, l1 and l2
    output_bits: Width  # of outputs in DRAM

    l0_bytes: Bytes
    l0_weight_bytes: Bytes
    l0_input_bytes: Bytes
    l0_output_bytes: Bytes
    l0_bits_per_cycle: Rate
    l0_columns: Count
    l0_column_loops: Loops
    l0_rows: Count
    l0_row_loops: Loops
    l0_weight_read_j_per_bit: PerBit
    l0_weight_write_j_per_bit: PerBit
    l0_input_read_j_per_bit: PerBit
    l0_input_write_j_per_bit: PerBit
    l0_output_read_j_per_bit: PerBit
    l0_output_write_j_per_bit: PerBit

    l1_bytes: Bytes
    l1_weight_bytes: Bytes
    l1_input_bytes: Bytes
    l1_output_bytes: Bytes
    l1_bits_per_cycle: Rate
    l1_columns: Count
    l1_column_loops: Loops
    l1_rows: Count
    l1_row_loops: Loops
    l1_weight_read_j_per_bit: PerBit
    l1_weight_write_j_per_bit: PerBit
    l1_input_read_j_per_bit: PerBit
    l1_input_write_j_per_bit: PerBit
    l1_output_read_j_per_bit: PerBit
    l1_output_write_j_per_bit: PerBit

    l2_bytes: Bytes
    l2_weight_bytes: Bytes
    l2_input_bytes: Bytes
    l2_output_bytes: Bytes
    l2_bits_per_cycle: Rate
    l2_columns: Count
    l2_column_loops: Loops
    l2_rows: Count
    l2_row_loops: Loops
    l2_weight_read_j_per_bit: PerBit
    l2_weight_write_j_per_bit: PerBit
    l2_input_read_j_per_bit: PerBit
    l2_input_write_j_per_bit: PerBit
    l2_output_read_j_per_bit: PerBit
    l2_output_write_j_per_bit: PerBit

    dram_bits_per_cycle: Rate
    dram_burst_bits: Width  # energy is paid for whole bursts of this size
    dram_read_j_per_bit: PerBit
    dram_write_j_per_bit: PerBit

    def __post_init__(self) -> None:
        for level in LEVELS[:DRAM]:
            columns, rows = getattr(self, f"{level}_column_loops"), getattr(self, f"{level}_row_loops")
            if shared := "".join(sorted(set(columns) & set(rows))):
                raise BadConfig(
                    f"field '{level}_row_loops' is {rows!r}; accepted: without {shared}, which columns have"
                )

    def of(self, level: int, quantity: str) -> Array:
        """A level's parameter, as in ``of(1, "bits_per_cycle")``."""
        return getattr(self, f"{LEVELS[level]}_{quantity}")

    def buffer(self, level: int, tensor: int) -> Buffer:
        """What a tensor has of one instance of a level."""
        if level == DRAM:
            return Buffer(inf, self.dram_read_j_per_bit, self.dram_write_j_per_bit)
        quantities = (f"{TENSORS[tensor]}_{what}" for what in ("bytes", "read_j_per_bit", "write_j_per_bit"))
        return Buffer(*(self.of(level, quantity) for quantity in quantities))

    def holders(self, tensor: int) -> list[int]:
        """The levels that hold a tensor, from the innermost to DRAM."""
        there = [self.buffer(level, tensor).bytes > 0 for level in range(len(LEVELS))]  # bool, or arrays of knobs
        return [level for level, held in enumerate(there) if (held if isinstance(held, bool) else bool(held.all()))]

    @property
    def levels(self) -> list[int]:
        """The levels that hold anything, from the innermost to DRAM."""
        return sorted({level for tensor in range(len(TENSORS)) for level in self.holders(tensor)})

    def axes(self, level: int) -> list[tuple[Array, tuple[int, ...]]]:
        """Columns and rows below a level: how many instances, and which loops can be spread over them."""
        if level == DRAM:
            return []
        return [
            (self.of(level, f"{axis}s"), tuple(LOOPS.index(name) for name in self.of(level, f"{axis}_loops")))
            for axis in ("column", "row")
        ]

    @property
    def multipliers(self) -> Array:
        """Multiply-accumulates that it can do in a cycle."""
        return reduce(mul, (count for level in range(DRAM) for count, _ in self.axes(level)))
