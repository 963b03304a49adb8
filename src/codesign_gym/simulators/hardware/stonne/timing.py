"""Cycles of passes over a fabric's multipliers, from sums that do not hang on bandwidths: exact, or smooth in them.

A pass sends its operands, waits for its partial sums and writes its outputs, side by side; it takes

    max(port + queue - 1, chain, first + drain) + tail

cycles: ``port`` the words through the fullest read port, ``queue`` the virtual neurons that leave on the busiest bus
line, ``chain`` the cycles of partial sums that wait for each other, ``first`` those before the first output,
``drain`` the outputs on the busiest line, ``tail`` the way of the last one. Passes are added up by which of the three
is the largest, so that the largest of the sums is the sum of the largest.

Real sizes of the hardware, which relaxed rounding takes, are stretched from the nearest that there are: what the
compiler did for these (packing, tiles, who sends to which line) stays, a port of r times the width sends r times the
words, a line that serves r times the multipliers takes r times the outputs, and r times the multipliers need
1/r of the passes, but at least one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from codesign_gym.simulators.hardware.rounding import EXACT, Rounding
from codesign_gym.simulators.hardware.stonne.networks import Hardware, Ints
from codesign_gym.simulators.networks.layers import Array

Floats = NDArray[np.float64]

#: Cycles from the last operand to the last output beside the adders: multiplier, bus line and memory. Read off
#: the simulator's pipeline; with the other terms of a pass it fits its cycles to 0.5 % on SIGMA and MAERI.
PIPELINE_CYCLES = 3


class Terms(NamedTuple):
    """The terms of passes, columns of one shape, and the order of the last axis of arrays that hold them."""

    passes: Array
    port: Array
    queue: Array
    chain: Array
    first: Array
    drain: Array
    tail: Array


class Stretch(NamedTuple):
    """Real sizes over the nearest that hardware can have, numbers or arrays that broadcast with cycles."""

    multipliers: Array
    port_width: Array
    line_width: Array


NONE = Stretch(1.0, 1.0, 1.0)


def terms_of(
    hardware: Hardware,
    port: Ints,
    chain: Ints,
    first: Ints,
    drain: Ints,
    climb: Ints,
    shared: Ints,
    further: Ints | int = 0,
) -> Floats:
    """One pass each, shape (passes, terms), from columns of shape (passes,).

    Args:
        hardware: that each runs on.
        port: cycles until the last operand is sent; the outputs that it completes then queue for their lines.
        chain: cycles of partial sums that wait for each other, or 0.
        first: cycles before the first output.
        drain: outputs on the busiest line.
        climb: levels and forwards of the farthest virtual neuron.
        shared: virtual neurons on the busiest line.
        further: cycles of the tail beside the pipeline's.
    """
    tail = PIPELINE_CYCLES + climb + (hardware.port_width > 1) + further
    columns = Terms(np.ones_like(port), port, shared, chain, first, drain, tail)
    return np.stack(np.broadcast_arrays(*columns), -1).astype(np.float64)


def summed(each: Floats, owner: Ints, owners: int) -> Floats:
    """Terms of passes (passes, terms) added up by owner and by what holds them up, shape (owners, 3, terms)."""
    _, port, queue, chain, first, drain, _ = each.T
    kind = np.argmax([port + queue - each[:, 0], chain, first + drain], axis=0)
    sums = [np.bincount(3 * owner + kind, column, minlength=3 * owners).astype(np.float64) for column in each.T]
    return np.stack(sums, -1).reshape(owners, 3, len(Terms._fields))


def cycles(terms: Array, stretch: Stretch = NONE, rounding: Rounding = EXACT) -> Array:
    """Cycles of passes (..., kinds, terms), shape (...); of as many of them as there are at the nearest sizes."""
    passes, port, queue, chain, first, drain, tail = (terms[..., i] for i in range(len(Terms._fields)))
    wide, long = (ratio[..., None] if getattr(ratio, "ndim", 0) else ratio for ratio in stretch[1:])
    sent = port * wide + queue * long - passes
    busy = rounding.maximum(rounding.maximum(sent, chain), first + drain * long)
    return (busy + tail).sum(-1)
