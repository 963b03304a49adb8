"""The mappings that a search looks at: a genome per mapping, drawn and changed in batches.

First the loops that a machine can spread are cut in space, in a few ways (all instances, with some
idle at the edge, or the largest share that divides the loop). What is left of every loop is taken
apart into prime factors, and a genome puts each factor at one level and orders every level's loops.
Every genome so covers all loops; whether its tiles fit is for the search to find out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations
from math import prod

import numpy as np
from numpy.typing import NDArray

from codesign_gym.simulators.hardware.loopnest.machine import Machine
from codesign_gym.simulators.hardware.loopnest.mapping import DRAM, LEVELS, LOOPS, Mapping

Ints = NDArray[np.int64]

#: Every order of the loops; a gene is a row.
ORDERS = np.array(list(permutations(range(len(LOOPS)))), dtype=np.int64)

#: Ways to cut in space that are kept: those with the fewest iterations left in time.
CUTS = 6
#: Ways that are followed up while levels are cut one after the other.
BEAM = 24
#: Loops whose largest prime factor is above this are also tried rounded up to a number without such factors.
ROUGH = 7


@dataclass(frozen=True, eq=False)
class Genomes:
    """Mappings as genes, one column a mapping.

    Attributes:
        spatial: factors in space, (levels, loops, mappings).
        factor: prime factors to place, padded with 1, (factors, mappings).
        loop: the loop of each, (factors, mappings).
        level: where each is placed, (factors, mappings).
        order: row of ORDERS for each level, (levels, mappings).
    """

    spatial: Ints
    factor: Ints
    loop: Ints
    level: Ints
    order: Ints

    def __getitem__(self, index: Ints) -> Genomes:
        return Genomes(*(array[..., index] for array in vars(self).values()))

    def __len__(self) -> int:
        return int(self.order.shape[-1])

    def join(self, other: Genomes) -> Genomes:
        """Both, one after the other."""
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return Genomes(*(np.concatenate(pair, axis=-1) for pair in pairs))

    @property
    def mapping(self) -> Mapping:
        """The mappings, of shape (mappings, levels, loops)."""
        cell = (self.level * len(LOOPS) + self.loop) * len(self) + np.arange(len(self))
        logs = np.bincount(cell.ravel(), np.log(self.factor).ravel(), minlength=len(LEVELS) * len(LOOPS) * len(self))
        temporal = np.rint(np.exp(logs)).astype(np.int64).reshape(len(LEVELS), len(LOOPS), len(self))
        order = np.moveaxis(ORDERS[self.order], -1, 1)  # (levels, loops, mappings)
        return Mapping(*(np.moveaxis(array, -1, 0) for array in (temporal, self.spatial, order)))


@dataclass(frozen=True, eq=False)
class Space:
    """What genomes of one layer on one machine are made of.

    Attributes:
        cuts: a genome of one column for each way to cut in space, with everything at DRAM.
        levels: that hold anything, where factors may be placed.
    """

    cuts: Genomes
    levels: Ints

    @classmethod
    def of(cls, machine: Machine, extents: tuple[int, ...]) -> Space:
        """The space of a layer of these loops."""
        cuts = _cuts(machine, extents)
        placed = [(spatial, _factors(left)) for spatial, left in cuts]
        length = max(len(factors) for _, factors in placed) or 1
        shape = (length, len(placed))
        factor, loop = np.ones(shape, np.int64), np.zeros(shape, np.int64)
        for column, (_, factors) in enumerate(placed):
            for row, (index, prime) in enumerate(factors):
                factor[row, column], loop[row, column] = prime, index
        spatial = np.stack([spatial for spatial, _ in placed], -1)
        order = np.zeros((len(LEVELS), len(placed)), np.int64)
        return cls(Genomes(spatial, factor, loop, np.full(shape, DRAM), order), np.array(machine.levels))

    def draw(self, count: int, random: np.random.Generator) -> Genomes:
        """Genomes with an equal share of every cut; each has odds of its own for the levels."""
        genomes = self.cuts[np.arange(count) % len(self.cuts)]
        odds = np.cumsum(random.dirichlet(np.ones(len(self.levels)), count), -1)  # (mappings, levels)
        level = (random.random((*genomes.factor.shape, 1)) > odds[:, :-1]).sum(-1)
        order = random.integers(len(ORDERS), size=genomes.order.shape)
        return Genomes(genomes.spatial, genomes.factor, genomes.loop, self.levels[level], order)

    def change(self, parents: Genomes, count: int, random: np.random.Generator) -> Genomes:
        """Children with a few factors moved to another level, and now and then a level's loops reordered."""
        children = parents[np.arange(count) % len(parents)]
        some = random.random(children.factor.shape) < 2 / len(children.factor)
        level = np.where(some, self.levels[random.integers(len(self.levels), size=some.shape)], children.level)
        again = random.random(children.order.shape) < 0.5 / len(LEVELS)
        order = np.where(again, random.integers(len(ORDERS), size=again.shape), children.order)
        return Genomes(children.spatial, children.factor, children.loop, level, order)


def _cuts(machine: Machine, extents: tuple[int, ...]) -> list[tuple[Ints, tuple[int, ...]]]:
    """Factors in space, (levels, loops), and what is left of every loop, the fewest iterations in time first."""
    cuts = [(np.ones((len(LEVELS), len(LOOPS)), np.int64), extents)]
    for level in range(DRAM, -1, -1):
        for limit, loops in machine.axes(level):
            cuts = _fewest([(spread, rest) for cut in cuts for spread, rest in _spread(*cut, level, int(limit), loops)])
    return _fewest([(spatial, rest) for spatial, left in cuts for rest in (left, tuple(map(_smooth, left)))])[:CUTS]


def _fewest(cuts: list[tuple[Ints, tuple[int, ...]]]) -> list[tuple[Ints, tuple[int, ...]]]:
    """The distinct cuts with the fewest iterations in time, the first BEAM of them."""
    distinct = {(spatial.tobytes(), left): (spatial, left) for spatial, left in cuts}
    return sorted(distinct.values(), key=lambda cut: prod(cut[1]))[:BEAM]


def _spread(
    spatial: Ints, left: tuple[int, ...], level: int, limit: int, loops: tuple[int, ...]
) -> Iterator[tuple[Ints, tuple[int, ...]]]:
    """Ways to spread loops over one axis: each of them first, whole or by a divisor, the others over what remains."""
    for first in loops:
        for whole in (True, False):
            spread, rest, room = spatial.copy(), list(left), limit
            for loop in (first, *(loop for loop in loops if loop != first)):
                share = min(room, rest[loop]) if whole else _largest_divisor(rest[loop], room)
                spread[level, loop], rest[loop], room = share, -(-rest[loop] // share), room // share
            yield spread, tuple(rest)


def _factors(sizes: tuple[int, ...]) -> list[tuple[int, int]]:
    """Loop and prime factor, for all factors of all loops."""
    return [(loop, prime) for loop, size in enumerate(sizes) for prime in _primes(size)]


@lru_cache(maxsize=4096)
def _primes(size: int) -> tuple[int, ...]:
    """Prime factors of a size; of one beyond 16 bits, those of the next multiple of a power of two that leaves 16."""
    halvings = max(0, size.bit_length() - 16)
    found, rest, divisor = [2] * halvings, -(-size >> halvings), 2
    while divisor * divisor <= rest:
        while rest % divisor == 0:
            found.append(divisor)
            rest //= divisor
        divisor += 1
    return (*found, rest) if rest > 1 else tuple(found)


def _largest_divisor(size: int, limit: int) -> int:
    return next(divisor for divisor in range(min(limit, size), 0, -1) if size % divisor == 0)


@lru_cache(maxsize=4096)
def _smooth(size: int) -> int:
    """The size, or the next one whose prime factors are all at most ROUGH."""
    while max(_primes(size), default=1) > ROUGH:
        size = prod(_primes(size)) + 1
    return size
