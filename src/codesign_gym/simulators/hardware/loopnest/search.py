"""The best mapping of a layer: thousands drawn and costed at a time, the best of them changed and costed again.

The search is an evolution with truncation: draw, keep the best, change them at random, keep the best of
both. Every generation is one call of the batched model. It is deterministic, and memoised in the process
per machine and layer shape.

Precisions share one search. Fewer bits never cost cycles: a mapping that fits at some bitwidths fits at
fewer, and moves fewer bits there, so a precision takes the best of one pool of mappings, in which every
generation's best at several precisions are kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from codesign_gym.errors import UnknownName, UnsupportedNetwork
from codesign_gym.simulators.hardware.loopnest.execution import Execution, Operands, charge, fits
from codesign_gym.simulators.hardware.loopnest.machine import Machine
from codesign_gym.simulators.hardware.loopnest.mapping import LOOPS, Mapping, Work
from codesign_gym.simulators.hardware.loopnest.space import Genomes, Space
from codesign_gym.simulators.hardware.loopnest.traffic import packed, traffic

Floats = NDArray[np.float64]

#: What to minimise first, then what decides between equals.
OBJECTIVES: dict[str, Callable[[Execution], tuple[Floats, Floats]]] = {
    "latency": lambda run: (run.cycles, run.energy_j),
    "energy": lambda run: (run.energy_j, run.cycles),
    "energy-delay": lambda run: (run.cycles * run.energy_j, run.cycles),
}

#: Bitwidths of a table's axes.
BITWIDTHS = tuple(range(1, 9))

#: Precisions (of both operands) at which a generation's best are kept.
SEARCHED_BITS = np.array([8.0, 4.0, 2.0])[:, None]


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
    precision = Operands(*(np.array([[float(width)]]) for width in bits))
    pool = search(machine, work, objective, precision, budget, seed)
    return pool.mapping[int(rank(machine, work, pool, precision, objective)[0, 0])]


@lru_cache(maxsize=4096)
def layer_table(machine: Machine, extents: tuple[int, ...], stride: int) -> Floats:
    """What the fastest mapping found for one layer moves, at every precision.

    Returns:
        Columns of :func:`~codesign_gym.simulators.hardware.loopnest.traffic.packed` by weight and activation
        bitwidth, shape (8, 8, columns) over BITWIDTHS; read-only.

    Raises:
        UnsupportedNetwork: if no mapping was found that fits.
    """
    work = Work.single(extents, stride)
    pool = search(machine, work, "latency", Operands(SEARCHED_BITS, SEARCHED_BITS), BUDGET, seed=0)
    pairs = np.stack(np.meshgrid(BITWIDTHS, BITWIDTHS, indexing="ij"), -1).reshape(-1, 2, 1).astype(np.float64)
    best = rank(machine, work, pool, Operands(pairs[:, 0], pairs[:, 1]), "latency")[:, 0]
    table = packed(traffic(machine, work, pool[best].mapping)).reshape(len(BITWIDTHS), len(BITWIDTHS), -1)
    table.setflags(write=False)
    return np.asarray(table)


def search(machine: Machine, work: Work, objective: str, bits: Operands, budget: Budget, seed: int) -> Genomes:
    """A pool with the best mappings found at each of several precisions.

    Args:
        machine: the hardware.
        work: one layer.
        objective: one of OBJECTIVES.
        bits: of the precisions, shape (precisions, 1).
        budget: how much is looked at.
        seed: of the random draws.
    """
    random = np.random.default_rng(seed)
    space = Space.of(machine, tuple(work.extents.tolist()))
    pool = space.cuts.join(space.draw(budget.drawn, random))
    for _ in range(budget.generations):
        pool = _best(machine, work, pool, bits, objective, budget.kept)
        pool = pool.join(space.change(pool, budget.children, random))
    return _best(machine, work, pool, bits, objective, budget.kept)


def rank(machine: Machine, work: Work, pool: Genomes, bits: Operands, objective: str) -> NDArray[np.int64]:
    """Positions in the pool from best to worst, shape (precisions, mappings).

    Raises:
        UnknownName: for an objective that there is none of.
        UnsupportedNetwork: if nothing fits at some precision.
    """
    if objective not in OBJECTIVES:
        raise UnknownName("objective", objective, OBJECTIVES)
    moved = traffic(machine, work, pool.mapping)
    first, second = OBJECTIVES[objective](charge(machine, work, moved, bits))
    first = np.where(fits(machine, moved, bits), first, np.inf)
    if not np.isfinite(first).any(-1).all():
        sizes = ", ".join(f"{name} {size}" for name, size in zip(LOOPS, work.extents, strict=True))
        raise UnsupportedNetwork(f"no mapping of a layer fits the machine's buffers; its loops: {sizes}")
    return np.lexsort((second, first), axis=-1)


def _best(machine: Machine, work: Work, pool: Genomes, bits: Operands, objective: str, kept: int) -> Genomes:
    """The mappings that are among the best at some precision, each once."""
    return pool[np.unique(rank(machine, work, pool, bits, objective)[:, :kept])]
