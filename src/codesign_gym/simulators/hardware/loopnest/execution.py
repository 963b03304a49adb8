"""Cycles and energy of a mapping on a machine, and whether its tiles fit.

From the words that a mapping moves (``traffic``), at W bits a word:

* cycles = max over the multipliers and the levels of (iterations in time; W * (reads + writes) of one
  instance / its bits per cycle): levels are double-buffered and work beside each other;
* energy = MACs * energy of one + sum over levels and tensors of instances * W * (reads * J/bit +
  writes * J/bit), where DRAM moves whole bursts.

Operands have the layer's bitwidths, packed in memory; a multiplier takes as long, and as much energy,
for narrow ones. Partial sums have one width on chip and one in DRAM.

Limits, all Timeloop's own in this form: no network on chip (its wires cost nothing and are never full),
no leakage, no waiting for the first tile or for the last.

Relaxed rounding overstates: over 3,000 mappings of Gemminis, cycles by 3.2 % on average (at most 9.1 %),
energy by 0.35 % (more only where DRAM moves less than a burst).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from operator import add, mul
from typing import NamedTuple

import numpy as np
from array_api_compat import array_namespace

from codesign_gym.errors import BadConfig
from codesign_gym.simulators.hardware.host import plain
from codesign_gym.simulators.hardware.loopnest.machine import Machine
from codesign_gym.simulators.hardware.loopnest.mapping import (
    DRAM,
    LEVELS,
    LOOPS,
    OUTPUT,
    TENSORS,
    Mapping,
    Work,
    check_cover,
)
from codesign_gym.simulators.hardware.loopnest.traffic import Traffic, traffic
from codesign_gym.simulators.hardware.rounding import EXACT, Rounding
from codesign_gym.simulators.networks.layers import Array


@dataclass(frozen=True, eq=False)
class Execution:
    """What running a layer takes, arrays of shape (...).

    Attributes:
        cycles: from start to end.
        compute_cycles: in which the multipliers work; the others are stalls.
        energy_j: joules.
        level_bits: bits read and written in all instances of each of LEVELS.
    """

    cycles: Array
    compute_cycles: Array
    energy_j: Array
    level_bits: tuple[Array, ...]

    @property
    def stall_cycles(self) -> Array:
        """Cycles in which the multipliers wait for a memory."""
        return self.cycles - self.compute_cycles


class Operands(NamedTuple):
    """Bitwidths of the two operands, arrays that broadcast against the mappings."""

    weight: Array
    input: Array


def evaluate(machine: Machine, work: Work, mapping: Mapping, bits: Operands, rounding: Rounding = EXACT) -> Execution:
    """Run layers as they are mapped.

    Args:
        machine: the hardware; fields may be arrays that broadcast against (...).
        work: the layers, of shape (...) or one that broadcasts.
        mapping: of shape (...).
        bits: of the operands.
        rounding: how cycles and bursts are rounded, and the slowest level is chosen.

    Raises:
        BadConfig: if a mapping does not cover a loop, spreads it over instances that are not there, or
            overflows a buffer; which, and by how much.
    """
    check_cover(work, mapping)
    check_fanout(machine, mapping)
    moved = traffic(machine, work, mapping)
    check_buffers(machine, moved, bits)
    return charge(machine, work, moved, bits, rounding)


def charge(machine: Machine, work: Work, moved: Traffic, bits: Operands, rounding: Rounding = EXACT) -> Execution:
    """Cycles and energy of traffic, without checks; arguments as :func:`evaluate`."""
    cycles = moved.compute_cycles + 0.0 * bits.weight * bits.input  # of the shape that all of them broadcast to
    energy = machine.mac_j * _macs(work)
    level_bits = []
    for level in range(len(LEVELS)):
        port = 0.0 * cycles  # bits through one instance
        for tensor in range(len(TENSORS)):
            if (level, tensor) not in moved.flows:
                continue
            reads, writes, _ = moved.flows[level, tensor]
            buffer = machine.buffer(level, tensor)
            word = word_bits(machine, level, tensor, bits)
            read_bits, written_bits = reads * word, writes * word
            port = port + read_bits + written_bits
            if level == DRAM:
                read_bits, written_bits = (
                    machine.dram_burst_bits * rounding.ceil_div(moved_bits, machine.dram_burst_bits)
                    for moved_bits in (read_bits, written_bits)
                )
            per_instance = read_bits * buffer.read_j_per_bit + written_bits * buffer.write_j_per_bit
            energy = energy + moved.instances[level] * per_instance
        level_bits.append(moved.instances[level] * port)
        cycles = rounding.maximum(cycles, rounding.ceil_div(port, machine.of(level, "bits_per_cycle")))
    return Execution(cycles, moved.compute_cycles + 0.0 * cycles, energy + 0.0 * cycles, tuple(level_bits))


def word_bits(machine: Machine, level: int, tensor: int, bits: Operands) -> Array:
    """Width of a tensor's words at a level."""
    if tensor != OUTPUT:
        return bits[tensor]
    return machine.output_bits if level == DRAM else machine.partial_sum_bits


def fits(machine: Machine, moved: Traffic, bits: Operands) -> Array:
    """Whether all tiles fit their buffers, bool, shape (...)."""
    return reduce(
        lambda left, right: left & right, (used <= bytes_ for _, used, bytes_ in occupied(machine, moved, bits))
    )


def occupied(machine: Machine, moved: Traffic, bits: Operands) -> Iterator[tuple[str, Array, Array]]:
    """Name, bytes used and bytes there of every tensor's share of every level, and of the levels in all."""
    for level in range(DRAM):
        shares = {
            tensor: moved.flows[level, tensor].tile * word_bits(machine, level, tensor, bits) / 8
            for tensor in range(len(TENSORS))
            if (level, tensor) in moved.flows
        }
        for tensor, used in shares.items():
            yield f"{LEVELS[level]}_{TENSORS[tensor]}", used, machine.buffer(level, tensor).bytes
        if shares:
            yield LEVELS[level], reduce(add, shares.values()), machine.of(level, "bytes")


def check_buffers(machine: Machine, moved: Traffic, bits: Operands) -> None:
    """Refuse tiles that overflow.

    Raises:
        BadConfig: naming the first buffer and by how much.
    """
    for name, used, there in occupied(machine, moved, bits):
        needed, capacity = np.broadcast_arrays(plain(used), plain(there))
        if (needed > capacity).any():
            first = tuple(np.argwhere(needed > capacity)[0])
            raise BadConfig(
                f"mapping: buffer {name!r} overflows: {needed[first]:g} of {capacity[first]:g} B,"
                f" {needed[first] - capacity[first]:g} B too many"
            )


def check_fanout(machine: Machine, mapping: Mapping) -> None:
    """Refuse loops that are spread over more instances than there are.

    Raises:
        BadConfig: naming the level and the loops.
    """
    for level in range(len(LEVELS)):
        axes = machine.axes(level)
        idle = tuple(loop for loop in range(len(LOOPS)) if not any(loop in loops for _, loops in axes))
        for limit, loops in [*axes, (1, idle)]:
            spread = reduce(mul, (plain(mapping.spatial[..., level, loop]) for loop in loops))
            asked, there = np.broadcast_arrays(spread, plain(limit))
            if (asked > there).any():
                first, names = tuple(np.argwhere(asked > there)[0]), "".join(LOOPS[loop] for loop in loops)
                raise BadConfig(
                    f"mapping: loops {names} are spread over {asked[first]:g} instances below {LEVELS[level]};"
                    f" accepted: at most {there[first]:g}"
                )


def _macs(work: Work) -> Array:
    xp = array_namespace(work.extents)
    return xp.prod(xp.astype(work.extents, xp.float64), axis=-1)
