"""SIGMA: sparse matrix products whose non-zeros are packed into virtual neurons of any length.

Qin et al., "SIGMA: A Sparse and Irregular GEMM Accelerator with Flexible Interconnects for DNN Training",
HPCA 2020, as the STONNE simulator runs it (see ``networks``): the weights (filters x products) are
stationary and the activations are streamed, one column after the other.

Whole rows are packed, greedily and in order, into the multipliers; a row longer than all of them is folded
into passes of ``multipliers`` and then ``multipliers - 1`` products, one multiplier being taken by the
partial sum. A pass over N streamed columns takes

    max(W + N * d + s - 1, 1 + N * s) + 3 + climb + [a port serves several]

cycles, with W weights and d words a column on the fullest read port, s virtual neurons that leave on the
busiest bus line, and the levels and forwards that the farthest one climbs. Zeros in the streamed matrix save nothing.

Limits: d is the number of multipliers in use behind a port, so two rows that want the same word through
one port are charged twice (in the simulator's small matrices the fullest port never holds such a pair);
words are of one width, so bitwidths change only the size of the weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from codesign_gym.simulators.hardware.host import plain
from codesign_gym.simulators.hardware.model import Unit
from codesign_gym.simulators.hardware.stonne.fabric import Executed, Fabric
from codesign_gym.simulators.hardware.stonne.networks import Hardware, Ints, busiest, leave_tree
from codesign_gym.simulators.hardware.stonne.rows import product_columns
from codesign_gym.simulators.hardware.stonne.timing import Floats, cycles, summed, terms_of
from codesign_gym.simulators.networks.layers import Layers


class Passes(NamedTuple):
    """What products take, columns of shape (products, ...)."""

    terms: Floats  # (products, kinds, terms) as ``timing`` names them
    passes: Ints  # configurations of the multipliers
    macs: Ints  # multiplications by a non-zero weight
    sram_weight_reads: Ints  # words
    sram_input_reads: Ints  # words, if no streamed value is zero
    sram_partial_reads: Ints  # words
    sram_writes: Ints  # words

    @property
    def cycles(self) -> Ints:
        """Of every product."""
        return np.asarray(cycles(self.terms), dtype=np.int64)


@dataclass(frozen=True)
class Sigma(Fabric):
    """SIGMA with weights of one sparsity; fields may be arrays that broadcast against the leading axes.

    Groups of a convolution, heads and images of an attention product run one after the other; a product of
    two activations is dense. A row that multiplies nothing is free. How rows are packed, and so the sparsity,
    is a constant of relaxed rounding. No energy: what the distribution trees take hangs on the columns of the
    non-zeros, which are not modelled.
    """

    sparsity: Annotated[float, Unit("1"), Field(ge=0, lt=1)]

    @property
    def accumulators(self) -> int:
        """None: partial sums come back through a multiplier."""
        return 0

    def products(self, rows: Layers) -> Ints:
        """Groups, heads and images, and steps."""
        return np.asarray(rows.gemm.count * rows.steps)

    def executed(self, rows: Layers, sizes: Hardware) -> Executed:
        """Rows packed as the compiler does; see :class:`Fabric`."""
        found = product_columns(rows, plain(self.sparsity), sizes, products)
        detail = {
            "passes": found.passes,
            "macs": found.macs,
            "sram_reads": found.sram_weight_reads + found.sram_input_reads + found.sram_partial_reads,
            "sram_writes": found.sram_writes,
        }
        return Executed(found.terms, found.passes, detail)


def products(
    nonzeros: Ints, rows: Ints, streamed: Ints, length: Ints, multipliers: Ints, read_ports: Ints, lines: Ints
) -> Passes:
    """Cost of products with given stationary rows.

    Args:
        nonzeros: of every stationary row, the matrices one after the other, shape (sum of rows,).
        rows: stationary rows of each product, shape (products,), as the columns that follow.
        streamed: columns of the streamed matrix.
        length: of a row, zeros included.
        multipliers: of the hardware that each product runs on.
        read_ports: of the same.
        lines: of the same, of the write bus.
    """
    hardware = Hardware(multipliers, read_ports, lines)
    owner = np.repeat(np.arange(rows.size), rows)
    own = hardware.of(owner)
    first = _pack(np.maximum(nonzeros, 1), np.cumsum(rows)[owner], own.multipliers)
    used = np.minimum(np.maximum(nonzeros, 1), own.multipliers)
    whose = np.cumsum(first) - 1  # the pass of every row
    head = np.flatnonzero(first)
    before = np.cumsum(used) - used
    offset = before - before[head][whose]
    exits = leave_tree(offset, offset + used - 1, own.multipliers, own.lines)
    case = owner[head]
    # Folded rows: passes as full as the first, then one with the rest.
    middle = np.maximum(-(-(nonzeros[head] - own.multipliers[head]) // (own.multipliers[head] - 1)) - 1, 0)
    rest = nonzeros[head] - own.multipliers[head] - middle * (own.multipliers[head] - 1)
    folded = np.flatnonzero(rest > 0)
    end = leave_tree(0, rest[folded], own.multipliers[head[folded]], own.lines[head[folded]])
    climb = np.maximum.reduceat(exits.levels + exits.forwards, head)
    full = _passes(
        hardware.of(case), np.add.reduceat(used, head), streamed[case], climb, busiest(exits.line, whose, head.size)
    )
    ends = hardware.of(case[folded])
    last = _passes(ends, rest[folded] + 1, streamed[case[folded]], end.levels + end.forwards, np.ones_like(folded))
    terms = summed(
        np.concatenate([full * (1 + middle)[:, None], last]), np.concatenate([case, case[folded]]), rows.size
    )
    passes = 1 + middle + (rest > 0)

    def total(values: Ints) -> Ints:
        return np.bincount(case, values, minlength=rows.size).astype(np.int64)

    stored = np.bincount(owner, nonzeros, minlength=rows.size).astype(np.int64)
    sums = np.add.reduceat(np.ones_like(owner), head)  # outputs of a pass, per column
    partial = total((passes - 1) * sums) * streamed
    # Per column a pass reads the whole range of the row that it works on, of which passes of a fold share one.
    inputs = total(np.ones_like(head)) * length * streamed
    return Passes(terms, total(passes), stored * streamed, stored, inputs, partial, rows * streamed + partial)


def _passes(hardware: Hardware, used: Ints, streamed: Ints, climb: Ints, shared: Ints) -> Floats:
    """One configuration of the multipliers each, shape (passes, terms): weights, then columns, then what is on its way.

    Args:
        hardware: that each runs on.
        used: multipliers.
        streamed: columns.
        climb: levels and forwards of the farthest virtual neuron.
        shared: virtual neurons on the busiest line.
    """
    port = np.minimum(used, hardware.port_width) * (1 + streamed)
    return terms_of(hardware, port, np.zeros_like(port), np.ones_like(port), streamed * shared, climb, shared)


def _pack(size: Ints, end: Ints, room: Ints) -> NDArray[np.bool_]:
    """Which rows begin a pass, when rows are packed in order; ``end`` is one past the last row of the matrix.

    Every row knows the row after the pass that it would begin; the passes are the chain of these from the first
    row on, followed by doubling the steps instead of one by one.
    """
    filled = np.cumsum(np.minimum(size, room))
    before = filled - np.minimum(size, room)
    after = np.minimum(np.searchsorted(filled, before + room, side="right"), end)
    begins = np.zeros(size.size + 1, dtype=bool)
    begins[:1] = True
    step = np.append(after, size.size)
    for _ in range(size.size.bit_length()):
        begins[step[begins]] = True
        step = step[step]
    return begins[:-1]
