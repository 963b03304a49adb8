"""What STONNE's MAERI, SIGMA and MAGMA are built of: multipliers between read ports, an adder tree and bus lines.

Munoz-Martinez, Abellan, Acacio, Krishna, "STONNE: Enabling Cycle-Level Microarchitectural Simulation for
DNN Inference Accelerators", IISWC 2021; the forms here follow its public simulator
(github.com/stonne-simulator/stonne). The multipliers are cut into consecutive virtual neurons (clusters
whose products are summed into one output):

* read ports: each serves the same number of consecutive multipliers and sends one word a cycle, to any
  of them at once;
* adder tree (MAERI's augmented reduction tree): a virtual neuron leaves at the first adder that holds its
  whole sum. Neighbours without a common parent have a forwarding link, by which the shorter end of a
  virtual neuron saves an adder of the next level;
* bus lines: every adder writes to one line, dealt out in the order of the tree (linked neighbours share
  one). A line takes one output a cycle, so virtual neurons that leave on the same line wait for each other.

What is followed here is int64 NumPy; hardware sizes may be arrays. Multipliers are a power of two. The cycles of
passes then are a closed form of a few sums (``timing``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Ints = NDArray[np.int64]

#: Sizes of a fabric, as its cost models name them.
SIZES = ("multipliers", "distribution_words_per_cycle", "reduction_words_per_cycle")


def no_more_than_multipliers(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """A fabric's parameters with read ports and bus lines cut down to the multipliers: further ones serve none.

    Args:
        parameters: by name, those of SIZES among them, numbers or arrays that broadcast.
    """
    return {**parameters, **{size: np.minimum(parameters[size], parameters["multipliers"]) for size in SIZES[1:]}}


class Hardware(NamedTuple):
    """The sizes of a fabric, one entry per case: columns of shape (cases,)."""

    multipliers: Ints
    read_ports: Ints
    lines: Ints

    def of(self, case: Any) -> Hardware:
        """The rows that an index array or a slice picks."""
        return Hardware(*(column[case] for column in self))

    @property
    def port_width(self) -> Ints:
        """Multipliers that a read port serves."""
        return self.multipliers // self.read_ports


class Exits(NamedTuple):
    """Where virtual neurons leave the adder tree, and what they cost on the way: columns of one shape."""

    line: Ints  # bus line
    levels: Ints  # of adders climbed
    forwards: Ints  # hops to a neighbour on the way, at both ends
    low_forwards: Ints  # hops of the low end, whose first multiplier takes a partial sum that comes back
    adders: Ints  # that send something for one output
    additions: Ints  # of two or three operands for one output


def leave_tree(first: ArrayLike, last: ArrayLike, multipliers: ArrayLike, lines: ArrayLike) -> Exits:
    """The exits of virtual neurons on multipliers ``first`` to ``last``, inclusive; arguments broadcast."""
    low, high, multipliers, lines = (
        np.asarray(values, dtype=np.int64) for values in np.broadcast_arrays(first, last, multipliers, lines)
    )
    depth = np.log2(multipliers).astype(np.int64)
    open_, shape = np.ones(low.shape, dtype=bool), low.shape
    line, levels, forwards, low_forwards, adders, additions = (np.zeros(shape, dtype=np.int64) for _ in range(6))
    for height in range(1, int(depth.max(initial=0)) + 1):
        level, width = depth - height, multipliers >> height  # from the root; adders of this level
        left, right = low >> 1, high >> 1
        pairs = (high + 1) // 2 - (low + 1) // 2  # adders with two operands from below
        to_right = (left % 2 == 1) & (left + 1 <= width - 2) & (right > left)
        to_right &= 2 * left + 2 - low < high - 2 * left - 1  # the shorter end moves
        lone = to_right & (right == left + 1) & (high == 2 * right)
        moved, start = left + to_right, np.where(to_right, 2 * left + 2, low)
        to_left = (right % 2 == 0) & (right >= 2) & (right <= width - 2) & (moved < right)
        to_left &= 2 * right - start >= high - 2 * right + 1
        lone |= to_left & (right == moved + 1) & (start == 2 * moved + 1)
        adders += open_ * (right - left + 1)
        additions += open_ * (pairs + lone)  # a receiver with one operand from below adds, too
        low_forwards += open_ & to_right
        forwards += open_ & to_left
        low, high = moved, right - to_left
        leaves = open_ & (low == high)
        line = np.where(leaves, bus_line(level, low, multipliers, depth) % lines, line)
        levels = np.where(leaves, height, levels)
        open_ &= ~leaves
    return Exits(line, levels, forwards + low_forwards, low_forwards, adders, additions)


def bus_line(level: Ints, adder: Ints, multipliers: Ints, depth: Ints) -> Ints:
    """The number by which an adder's line is dealt out: linked neighbours first, then those without a link."""
    width = 1 << np.maximum(level, 0)
    pair = width // 2 - level + (adder + 1) // 2 - 1
    single = np.where(level == 0, 0, 2 * level - (adder == 0))
    unlinked = (adder == 0) | (adder == width - 1)
    return np.where(unlinked, single + multipliers - 2 * depth, pair)


def busiest(line: Ints, case: Ints, cases: int) -> Ints:
    """Most virtual neurons on one line, per case, shape (cases,); ``case`` says whose each one is."""
    stride = int(line.max(initial=0)) + 1
    if cases * stride <= 8 * max(line.size, 1024):
        counts = np.bincount(case * stride + line, minlength=cases * stride)
        return np.asarray(counts.reshape(cases, stride).max(1))
    taken, count = np.unique(case * stride + line, return_counts=True)
    most = np.zeros(cases, dtype=np.int64)
    np.maximum.at(most, taken // stride, count)
    return most
