"""The best mapping of a layer: thousands drawn and costed at a time, the best of them changed and costed again.

The search is an evolution with truncation: draw, keep the best, change them at random, keep the best of
both. Layers and machines are searched side by side, every generation one call of the batched model. It is
deterministic, the same for a layer whatever is searched beside it, and remembered per machine and layer shape.

Precisions and bandwidths share one search: each takes the best of one pool of mappings, in which every generation's
best in several situations are kept. So fewer bits never cost more of what is sought (a mapping that fits at some
bitwidths fits at fewer, and moves fewer bits there), and more bandwidth never slows anything down.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import mul
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codesign_gym.errors import UnknownName, UnsupportedNetwork
from codesign_gym.simulators.hardware.loopnest.execution import Execution, Operands, charge, fits, occupied
from codesign_gym.simulators.hardware.loopnest.machine import Machine
from codesign_gym.simulators.hardware.loopnest.mapping import DRAM, LEVELS, LOOPS, Mapping, Work
from codesign_gym.simulators.hardware.loopnest.memory import Memory
from codesign_gym.simulators.hardware.loopnest.space import Genomes, Space
from codesign_gym.simulators.hardware.loopnest.traffic import counted, packed, unpacked

Floats = NDArray[np.float64]

#: What to minimise first, then what decides between equals.
OBJECTIVES: dict[str, Callable[[Execution], tuple[Floats, Floats]]] = {
    "latency": lambda run: (run.cycles, run.energy_j),
    "energy": lambda run: (run.energy_j, run.cycles),
    "energy-delay": lambda run: (run.cycles * run.energy_j, run.cycles),
}

#: Bitwidths of a table's axes.
BITWIDTHS = tuple(range(1, 9))

#: In which a generation's best are kept, columns of shape (situations, 1): bits of both operands, and bits per cycle of
#: DRAM and of the levels on chip for each multiplier that is served. A machine's own bandwidths are not among them.
BITS, DRAM_RATE, CHIP_RATE = np.array(
    [(8, rate, chip) for rate in (1 / 16, 1 / 4, 1) for chip in (1, 8)]
    + [(bits, 1 / 4, chip) for bits in (4, 2) for chip in (1, 8)]
).T[:, :, None]


@dataclass(frozen=True)
class Budget:
    """How much a search looks at.

    Attributes:
        drawn: mappings drawn at first.
        children: mappings of every later generation.
        generations: how many of these.
        kept: mappings kept at each precision.
    """

    drawn: int = 1024
    children: int = 512
    generations: int = 6
    kept: int = 24

    @property
    def mappings(self) -> int:
        """Mappings costed in all."""
        return self.drawn + self.children * self.generations


BUDGET = Budget()

#: A machine, a layer's iterations of each of LOOPS and stride, and the one of OBJECTIVES that it is mapped for.
Layer = tuple[Machine, tuple[int, ...], int, str]

#: Layers that are searched side by side: enough that calls of NumPy cost little, few enough to stay in the cache.
PAIRS = 16

#: Tables of the layers that were asked for last, and the pools that they are chosen from, whatever the bandwidths.
LAYERS: Memory[Layer, Floats] = Memory(4096)
POOLS: Memory[Layer, Floats] = Memory(1024)

#: Bandwidths of a machine.
PORTS = tuple(f"{level}_bits_per_cycle" for level in LEVELS)


def best_mapping(
    machine: Machine,
    work: Work,
    bits: tuple[int, int] = (8, 8),
    objective: str = "latency",
    budget: Budget = BUDGET,
    seed: int = 0,
) -> Mapping:
    """The best mapping found for one layer, of shape (levels, loops).

    Args:
        machine: the hardware, its fields plain numbers.
        work: one layer, as :meth:`Work.single` makes it.
        bits: of weights and activations.
        objective: one of OBJECTIVES.
        budget: how much is looked at.
        seed: of the random draws.

    Raises:
        UnknownName: for an objective that there is none of.
        UnsupportedNetwork: if no mapping was found that fits.
    """
    pair = Pairs.of([machine], [work])
    precision = Operands(*(np.array([[float(width)]]) for width in bits))
    pool = search(pair, objective, precision, budget, seed)
    return pool.mapping[int(best(pair, pool, precision, objective)[0, 0])]


@dataclass(frozen=True, eq=False)
class Pairs:
    """Layers, each on a machine, that are searched side by side.

    Attributes:
        space: of all of them, a layer a pair.
        machine: their machines, every number that differs an array (pairs,).
        work: their layers, of shape (pairs,).
    """

    space: Space
    machine: Machine
    work: Work

    @classmethod
    def of(cls, machines: Sequence[Machine], works: Sequence[Work]) -> Pairs:
        """A machine and a layer each; all machines hold the same tensors at the same levels."""
        pairs = zip(machines, works, strict=True)
        spaces = [Space.of(machine, tuple(work.extents.tolist())) for machine, work in pairs]
        columns = {name: np.array([getattr(machine, name) for machine in machines]) for name in vars(machines[0])}
        numbers: dict[str, Any] = {
            name: column for name, column in columns.items() if column.dtype.kind != "U" and (column != column[0]).any()
        }
        work = Work(*(np.stack([getattr(work, name) for work in works]) for name in vars(works[0])))
        return cls(Space.beside(spaces), replace(machines[0], **numbers), work)

    def run(self, pool: Genomes, bits: Operands) -> tuple[Execution, NDArray[np.bool_]]:
        """What every mapping takes and whether it fits, of shape (precisions, mappings)."""
        machine, work = self._of(pool.layer)
        moved = counted(machine, work, pool.temporal, pool.spatial.astype(np.float64), pool.place)
        return charge(machine, work, moved, bits), fits(machine, moved, bits)

    def situated(self) -> Pairs:
        """The same on machines with the bandwidths of the situations, arrays (situations, pairs)."""
        ports: dict[str, Any] = {}
        served = np.ones(len(self.space.lengths))
        for level in range(DRAM):
            served = reduce(mul, (limit for limit, _ in self.machine.axes(level)), served)
            ports[f"{LEVELS[level]}_bits_per_cycle"] = CHIP_RATE * served
        return replace(self, machine=replace(self.machine, dram_bits_per_cycle=DRAM_RATE * served, **ports))

    def occupied(self, pool: Genomes, bits: Operands) -> dict[str, tuple[Floats, Floats]]:
        """Buffer to what every mapping takes of it and what there is, in bytes, (mappings,)."""
        machine, work = self._of(pool.layer)
        moved = counted(machine, work, pool.temporal, pool.spatial.astype(np.float64), pool.place)
        return {
            name: (np.broadcast_to(used, (len(pool),)), np.broadcast_to(there, (len(pool),)))
            for name, used, there in occupied(machine, moved, bits)
        }

    def moved(self, pool: Genomes) -> Floats:
        """What every mapping moves, as :func:`~codesign_gym.simulators.hardware.loopnest.traffic.packed` has it."""
        machine, work = self._of(pool.layer)
        return np.asarray(packed(counted(machine, work, pool.temporal, pool.spatial.astype(np.float64), pool.place)))

    def _of(self, layer: NDArray[np.int64]) -> tuple[Machine, Work]:
        """Machines and layers of mappings."""
        arrays: dict[str, Any] = {
            name: column[..., layer] for name, column in vars(self.machine).items() if isinstance(column, np.ndarray)
        }
        return replace(self.machine, **arrays), Work(*(column[layer] for column in vars(self.work).values()))


def layer_tables(layers: Sequence[Layer]) -> list[Floats]:
    """What the best mapping found for a layer moves, at every precision; of several layers, each on a machine.

    What is new is searched for PAIRS at a time. All machines hold the same tensors at the same levels.

    Returns:
        For each, columns of :func:`~codesign_gym.simulators.hardware.loopnest.traffic.packed` by weight and
        activation bitwidth, shape (8, 8, columns) over BITWIDTHS; read-only.

    Raises:
        UnsupportedNetwork: if no mapping was found that fits.
    """
    return LAYERS.all(layers, _searched)


def _searched(layers: Sequence[Layer]) -> list[Floats]:
    pools = POOLS.all([(_without_ports(layer[0]), *layer[1:]) for layer in layers], _pools)
    return [_chosen(layer, pool) for layer, pool in zip(layers, pools, strict=True)]


def _without_ports(machine: Machine) -> Machine:
    return replace(machine, **dict.fromkeys(PORTS, 1.0))  # type: ignore[arg-type]


def _chosen(layer: Layer, pool: Floats) -> Floats:
    """Of a pool the best at every precision, (8, 8, columns)."""
    machine, extents, stride, objective = layer
    widths = np.stack(np.meshgrid(BITWIDTHS, BITWIDTHS, indexing="ij"), -1).reshape(-1, 2, 1).astype(np.float64)
    bits, moved = Operands(widths[:, 0], widths[:, 1]), unpacked(machine, pool)
    first, second = OBJECTIVES[objective](charge(machine, Work.single(extents, stride), moved, bits))
    best_first = np.lexsort((second, np.where(fits(machine, moved, bits), first, np.inf)), axis=-1)
    table = pool[best_first[:, 0]].reshape(len(BITWIDTHS), len(BITWIDTHS), -1)
    table.setflags(write=False)
    return table


def _pools(layers: Sequence[Layer]) -> list[Floats]:
    """What the mappings move that are best in some situation, (mappings, columns) for each layer."""
    found: dict[Layer, Floats] = {}
    for objective in OBJECTIVES:
        alike = [layer for layer in layers if layer[-1] == objective]
        for start in range(0, len(alike), PAIRS):
            together = alike[start : start + PAIRS]
            machines, extents, strides, _ = zip(*together, strict=True)
            pairs = Pairs.of(machines, list(map(Work.single, extents, strides)))
            pool = search(pairs.situated(), objective, Operands(BITS, BITS), BUDGET, seed=0)
            moved = pairs.moved(pool)
            found |= {layer: moved[pool.layer == pair] for pair, layer in enumerate(together)}
    return [found[layer] for layer in layers]


def search(pairs: Pairs, objective: str, bits: Operands, budget: Budget, seed: int) -> Genomes:
    """A pool with the best mappings of every pair found at each of several precisions.

    Args:
        pairs: the layers and their machines.
        objective: one of OBJECTIVES.
        bits: of the precisions, shape (precisions, 1).
        budget: how much is looked at for each.
        seed: of the random draws; a pair's are the same whatever is searched beside it.

    Raises:
        UnknownName: for an objective that there is none of.
        UnsupportedNetwork: if nothing fits at some precision, of the first such layer.
    """
    space = pairs.space
    streams = space.streams(seed)
    pool = space.cuts.join(space.draw(budget.drawn, streams))
    found = scores(pairs, pool, bits, objective)
    for _ in range(budget.generations):
        kept = _kept(pairs, pool, found, bits, budget.kept)
        children = space.change(pool[kept], budget.children, streams)
        pool = pool[kept].join(children)
        found = np.concatenate([found[..., kept], scores(pairs, children, bits, objective)], axis=-1)
    return pool[_kept(pairs, pool, found, bits, budget.kept)]


def scores(pairs: Pairs, pool: Genomes, bits: Operands, objective: str) -> Floats:
    """What to minimise first, infinite where tiles overflow, and second, shape (2, precisions, mappings).

    Raises:
        UnknownName: for an objective that there is none of.
    """
    if objective not in OBJECTIVES:
        raise UnknownName("objective", objective, OBJECTIVES)
    run, fitting = pairs.run(pool, bits)
    first, second = OBJECTIVES[objective](run)
    return np.stack([np.where(fitting, first, np.inf), second])


def best(pairs: Pairs, pool: Genomes, bits: Operands, objective: str) -> NDArray[np.int64]:
    """Position in the pool of every pair's best mapping, shape (precisions, pairs); raises as :func:`search`."""
    ranked, place = _ranked(pairs, pool, scores(pairs, pool, bits, objective), bits)
    return ranked[:, place == 0]


def _kept(pairs: Pairs, pool: Genomes, found: Floats, bits: Operands, count: int) -> NDArray[np.int64]:
    """Positions of the mappings that are among a pair's best at some precision, each once."""
    ranked, place = _ranked(pairs, pool, found, bits)
    return np.unique(ranked[:, place < count])


def _ranked(pairs: Pairs, pool: Genomes, found: Floats, bits: Operands) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions in the pool, pair after pair and each from best to worst, and their places within the pair.

    Args:
        pairs: the layers and their machines.
        pool: mappings.
        found: their :func:`scores`.
        bits: of the precisions, shape (precisions, 1).

    Returns:
        Shapes (precisions, mappings) and (mappings,).

    Raises:
        UnsupportedNetwork: if nothing fits at some precision, of the first such layer.
    """
    first, second = found
    layer = np.broadcast_to(pool.layer.astype(np.int16), first.shape)  # few bits are sorted faster
    ranked = np.lexsort((second, first, layer), axis=-1)
    there = np.bincount(pool.layer, minlength=len(pairs.space.lengths))
    place = np.arange(len(pool)) - np.repeat(np.cumsum(there) - there, there)
    lost = np.isinf(np.take_along_axis(first, ranked[:, place == 0], axis=-1))  # (precisions, pairs)
    if lost.any():
        pair, precision = np.argwhere(lost.T)[0]
        width = Operands(*(np.broadcast_to(operand, (len(lost), 1))[precision] for operand in bits))
        raise UnsupportedNetwork(_shortage(pairs, pool[np.flatnonzero(pool.layer == pair)], width))
    return ranked, place


def _shortage(pairs: Pairs, pool: Genomes, bits: Operands) -> str:
    """Which buffer the mapping of a layer that comes closest to fitting overflows, and by how much; of one layer's."""
    buffers = pairs.occupied(pool, bits)
    mapping = np.max([used / there for used, there in buffers.values()], axis=0).argmin()
    taken = {name: (used[mapping], there[mapping]) for name, (used, there) in buffers.items()}
    fullest = max(taken, key=lambda name: taken[name][0] / taken[name][1])
    takes, has = taken[fullest]
    sizes = ", ".join(f"{name} {size}" for name, size in zip(LOOPS, pairs.work.extents[pool.layer[0]], strict=True))
    return (
        f"no mapping of a layer fits the machine's buffers: at {bits.weight[0]:g}/{bits.input[0]:g} bits the closest "
        f"takes {takes:g} B of {fullest}_bytes, {has:g} B: {takes - has:g} B too many; its loops: {sizes}"
    )
