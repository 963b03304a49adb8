"""What a chunk can do with a layer: dataflow, fill of its PEs, tile of the global buffer, and who stays there.

Every candidate is a loop nest that :mod:`~codesign_gym.simulators.hardware.loopnest` costs: registers at the PEs
(level l0), the PEs themselves (space below l1), the global buffer (l2), DRAM. The four dataflows are Eyeriss' taxonomy
(Chen et al., ISCA 2016): what stays in a PE's registers while the rest streams, and which loops lie side by side.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codesign_gym.errors import UnsupportedNetwork
from codesign_gym.simulators.hardware.chunked.cost import Chunked
from codesign_gym.simulators.hardware.loopnest.execution import Operands, charge, fits, occupied
from codesign_gym.simulators.hardware.loopnest.machine import Machine
from codesign_gym.simulators.hardware.loopnest.mapping import LEVELS, LOOPS, TENSORS, Mapping, Work
from codesign_gym.simulators.hardware.loopnest.traffic import traffic
from codesign_gym.simulators.hardware.model import real
from codesign_gym.simulators.networks.layers import Layers, Op

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Dataflow:
    """A family of mappings. Loops are letters of LOOPS.

    Attributes:
        name: rs, is, ws or os: rows, inputs, weights or outputs stay.
        fills: ways to lay loops over the PEs and to fill the registers: the loops in order of precedence for each.
        order: of the loops over what the PEs hold at a time, from the outermost inwards.
        stays: the tensor that may stay in the global buffer while others pass; keys of INNERMOST.
    """

    name: str
    fills: tuple[tuple[str, str], ...]
    order: str
    stays: tuple[str, ...]


#: Row-stationary lays kernel rows and output rows over the PEs and slides a row along its kernel row; the others lay
#: the loops of what stays over them, and step innermost what does not index it.
DATAFLOWS = (
    Dataflow("rs", (("SQGKC", "RCK"), ("SGKQC", "RCK"), ("SQGCK", "RC")), "NGKCRSQP", ("output", "weight", "input")),
    Dataflow("is", (("CPQG", "CPK"), ("PQGC", "PCK"), ("CPQG", "CP")), "NGCQPRSK", ("input",)),
    Dataflow("ws", (("GKC", "CK"), ("GCK", "KC"), ("GCK", "C")), "NGKCRSQP", ("weight",)),
    Dataflow("os", (("GKPQ", "PK"), ("PQGK", "KP")), "NGKQPCRS", ("output",)),
)

#: Into how many parts the buffer's tile cuts output channels (groups where those have one each), input channels, and
#: output rows; and the loop that DRAM steps innermost, so that what it does not index stays in the buffer.
PARTS = {"K": (1, 2, 4, 8, 16, 32), "C": (1, 4, 16), "Q": (1, 2, 4, 8, 16, 32)}
INNERMOST = {"output": "C", "weight": "Q", "input": "K"}

#: Bits of an output in DRAM: what a PE takes in.
PE_BITS = 8
_QUANTITIES = ("bytes", "read_j_per_bit", "write_j_per_bit")

#: Tiles of the buffer are loaded while the ones before are used.
DOUBLE = 2


@dataclass(frozen=True)
class Choice:
    """One candidate, the same for every layer.

    Attributes:
        dataflow: position in DATAFLOWS.
        fill: of the dataflow's.
        parts: into how many the tile cuts K (or G), C and Q.
        stays: the tensor that stays in the buffer; a key of INNERMOST.
    """

    dataflow: int
    fill: int
    parts: tuple[int, ...]
    stays: str


#: All candidates. Sums are finished on chip: where input channels are cut, outputs stay.
CHOICES = tuple(
    Choice(dataflow, fill, parts, stays)
    for dataflow, kind in enumerate(DATAFLOWS)
    for fill in range(len(kind.fills))
    for parts in product(*PARTS.values())
    for stays in kind.stays
    if parts[1] == 1 or stays == "output"
)


@dataclass(frozen=True, eq=False)
class MappingTable:
    """Every candidate of every layer, arrays of shape (layers, candidates).

    Attributes:
        chunk: position in OPERATORS of each layer, (layers,).
        latency_s: of the layer, the longer of computing and DRAM.
        energy_j: operations, global buffer and DRAM; registers are free, as in :class:`Chunked`.
        dram_s: during which DRAM is busy.
        buffer_bytes: of the global buffer, both halves of the double buffer.
        valid: whether the registers hold what the candidate asks of them.
        mapping: the loop nests, (layers, candidates, levels, loops).
    """

    chunk: Ints
    latency_s: Floats
    energy_j: Floats
    dram_s: Floats
    buffer_bytes: Floats
    valid: NDArray[np.bool_]
    mapping: Mapping

    @property
    def dataflow(self) -> Ints:
        """Position in DATAFLOWS of every candidate, (candidates,)."""
        return np.array([choice.dataflow for choice in CHOICES])

    def only(self, allowed: NDArray[np.bool_]) -> MappingTable:
        """The table with fewer valid candidates; ``allowed`` broadcasts to (layers, candidates).

        Raises:
            UnsupportedNetwork: if a layer has none left.
        """
        valid = self.valid & allowed
        if not valid.any(-1).all():
            raise UnsupportedNetwork(f"layer {int(valid.any(-1).argmin())} has no mapping that fits its chunk")
        return replace(self, valid=valid)


def mapping_table(model: Chunked, layers: Layers, bits: Ints) -> MappingTable:
    """Cost every candidate of every layer, each on the chunk of its operator.

    Args:
        model: the accelerator; ``operator`` a number or an array of shape (layers,), PE counts numbers. Its global
            buffer is what the chunks' parts add up to; ``dataflow`` is not read.
        layers: columns of shape (layers,); rows that multiply nothing cost nothing.
        bits: shape (layers, 2), weight and activation bitwidths.

    Raises:
        UnsupportedNetwork: if a layer has no candidate whose registers hold it.
    """
    chunk = np.broadcast_to(~layers.runs(Op.MATMUL) * model.operator, layers.op.shape)  # (layers,)
    work = Work.of(layers)
    pes = np.array([np.broadcast_to(number, ()) for number in model.pes], dtype=np.int64)[chunk]
    machine = _machine(model, chunk)
    mapping = _mappings(model, work, pes)
    wide = Work(work.extents[:, None], work.stride_p[:, None], work.stride_q[:, None])
    weight = np.where(layers.runs(Op.MATMUL), bits[:, 1], model.weight_bits(real(bits[:, 0])))
    operands = Operands(*(real(width)[:, None] for width in (weight, bits[:, 1])))
    moved = traffic(machine, wide, mapping)
    run = charge(machine, wide, moved, operands)
    used = {name: size for name, size, _ in occupied(machine, moved, operands)}
    done = np.asarray(layers.multiplies)[:, None]
    runs = done * np.asarray(layers.steps)[:, None]
    valid = np.broadcast_to(fits(machine, moved, operands), run.cycles.shape)
    dram_s = run.level_bits[LEVELS.index("dram")] / 8 / model.dram_bytes_per_s
    found = MappingTable(
        chunk=np.asarray(chunk),
        latency_s=run.cycles * runs / model.clock_hz,
        energy_j=run.energy_j * runs,
        dram_s=dram_s * runs,
        buffer_bytes=DOUBLE * used["l2"] * done,
        valid=valid | ~done,
        mapping=mapping,
    )
    return found.only(valid | ~done)


def _machine(model: Chunked, chunk: Ints) -> Machine:
    """The chunk of every layer as a machine; its fields are of shape (layers, 1) where chunks differ.

    The buffer is unbounded here, what a tile takes of it is the mapper's business, and its ports never stall.
    """
    numbers: dict[str, Any] = dict.fromkeys(
        (f"l{level}_{tensor}_{what}" for level in range(3) for tensor in TENSORS for what in _QUANTITIES), 0.0
    )
    for tensor in TENSORS:
        numbers[f"l2_{tensor}_bytes"] = inf
        numbers[f"l2_{tensor}_read_j_per_bit"] = numbers[f"l2_{tensor}_write_j_per_bit"] = model.buffer_j_per_bit
    numbers["l0_weight_bytes"] = float(model.weight_registers)
    numbers["l0_input_bytes"] = float(model.input_registers)
    numbers["l0_output_bytes"] = model.sum_registers * model.partial_sum_bits / 8
    operations = np.array([np.broadcast_to(energy, ()) for energy in model.op_energies_j])
    numbers |= {f"l{level}_{axis}s": 1 for level in range(3) for axis in ("column", "row")}
    numbers |= {f"l{level}_{axis}_loops": loop for level in range(3) for axis, loop in (("column", "K"), ("row", "C"))}
    pes = np.array([np.broadcast_to(number, ()) for number in model.pes], dtype=np.int64)
    numbers |= {"l1_columns": pes[chunk][:, None], "mac_j": operations[chunk][:, None]}
    return Machine(
        **numbers,
        clock_hz=model.clock_hz,
        partial_sum_bits=model.partial_sum_bits,
        output_bits=PE_BITS,
        l0_bytes=inf,
        l1_bytes=inf,
        l2_bytes=inf,
        l0_bits_per_cycle=inf,
        l1_bits_per_cycle=inf,
        l2_bits_per_cycle=inf,
        dram_bits_per_cycle=8 * model.dram_bytes_per_s / model.clock_hz,
        dram_burst_bits=1,
        dram_read_j_per_bit=model.dram_j_per_bit,
        dram_write_j_per_bit=model.dram_j_per_bit,
    )


def _mappings(model: Chunked, work: Work, pes: Ints) -> Mapping:
    """Loop nests of all CHOICES, in their order, (layers, candidates, levels, loops)."""
    parts: list[tuple[Ints, Ints, Ints]] = []
    for number, dataflow in enumerate(DATAFLOWS):
        for fill, (side_by_side, registers) in enumerate(dataflow.fills):
            own = [choice for choice in CHOICES if (choice.dataflow, choice.fill) == (number, fill)]
            spatial = _spread(work.extents, side_by_side, pes)
            held = _filled(model, work, _ceil(work.extents, spatial), registers)
            parts.append(_tiled(work, spatial, held, own, dataflow))
    return Mapping(*(np.concatenate(arrays, axis=1) for arrays in zip(*parts, strict=True)))


def _spread(extents: Ints, loops: str, pes: Ints) -> Ints:
    """Instances of each loop side by side on so many PEs, (layers, loops): as few as take the same number of steps."""
    spread = np.ones_like(extents)
    room = pes.copy()
    for loop in map(LOOPS.index, loops):
        spread[:, loop] = _even(extents[:, loop], room)
        room //= spread[:, loop]
    return spread


def _filled(model: Chunked, work: Work, left: Ints, loops: str) -> Ints:
    """Factors in a PE's registers, (layers, loops): each loop in turn as large as weights, inputs and sums allow."""
    held = dict.fromkeys(LOOPS, np.ones(len(left), dtype=np.int64))
    stride = work.stride_p
    room: dict[str, Callable[[], Ints]] = {
        "K": lambda: np.minimum(model.weight_registers // (held["C"] * held["R"]), model.sum_registers // held["P"]),
        "C": lambda: np.minimum(
            model.weight_registers // (held["K"] * held["R"]),
            model.input_registers // ((held["P"] - 1) * stride + held["R"]),
        ),
        "P": lambda: np.minimum(
            model.sum_registers // held["K"], (model.input_registers // held["C"] - held["R"]) // stride + 1
        ),
        "R": lambda: np.full(len(left), min(model.input_registers, model.weight_registers)),
    }
    for loop in loops:
        held[loop] = _even(left[:, LOOPS.index(loop)], np.maximum(room[loop](), 1))
    return np.stack([held[loop] for loop in LOOPS], axis=-1)


def _tiled(work: Work, spatial: Ints, held: Ints, choices: list[Choice], dataflow: Dataflow) -> tuple[Ints, Ints, Ints]:
    """Factors in time and space and the orders of some candidates, each (layers, candidates, levels, loops)."""
    left = _ceil(_ceil(work.extents, spatial), held)[:, None]  # (layers, 1, loops)
    cut = np.ones((len(choices), len(LOOPS)), dtype=np.int64)
    for column, loop in enumerate(PARTS):
        cut[:, LOOPS.index(loop)] = [choice.parts[column] for choice in choices]
    grouped = (work.extents[:, LOOPS.index("K")] == 1)[:, None]
    cuts = np.broadcast_to(cut, (len(left), *cut.shape)).copy()  # (layers, candidates, loops)
    cuts[..., LOOPS.index("G")] = np.where(grouped, cut[:, LOOPS.index("K")], 1)
    tile = _ceil(left, np.minimum(cuts, left))
    shape = (*cuts.shape[:2], len(LEVELS), len(LOOPS))
    temporal, space, order = (np.ones(shape, dtype=np.int64) for _ in range(3))
    temporal[..., 0, :], temporal[..., 2, :], temporal[..., 3, :] = held[:, None], tile, _ceil(left, tile)
    space[..., 1, :] = spatial[:, None]
    order[...] = [LOOPS.index(loop) for loop in dataflow.order]
    for number, choice in enumerate(choices):
        last = INNERMOST[choice.stays]
        order[:, number, 3] = [LOOPS.index(loop) for loop in (*(set(LOOPS) - {last}), last)]
    return temporal, space, order


def _ceil(whole: Ints, part: Ints) -> Ints:
    return -(-whole // part)


def _even(extent: Ints, room: Ints) -> Ints:
    """The least factor that covers an extent in as few steps as the room allows."""
    return _ceil(extent, _ceil(extent, np.minimum(extent, room)))
