"""The mappings that a search looks at: a genome per mapping, drawn and changed in batches.

First the loops that a machine can spread are cut in space, in a few ways (all instances, with some
idle at the edge, or the largest share that divides the loop). What is left of every loop is taken
apart into prime factors, and a genome puts each factor at one level and orders every level's loops.
Every genome so covers all loops; whether its tiles fit is for the search to find out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Mapping as Table
from dataclasses import dataclass, replace
from functools import lru_cache, reduce
from itertools import permutations
from math import prod

import numpy as np
from numpy.typing import NDArray

from codesign_gym.simulators.hardware.loopnest.machine import Machine
from codesign_gym.simulators.hardware.loopnest.mapping import DRAM, LEVELS, LOOPS, Mapping

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Streams = Table[int, np.random.Generator]

#: Every order of the loops; a gene is a row.
ORDERS = np.array(list(permutations(range(len(LOOPS)))), dtype=np.int64)
#: The place of each loop in every order, (loops, orders).
PLACES = np.ascontiguousarray(np.argsort(ORDERS, axis=-1).astype(np.int8).T)

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
        layer: which of the space's layers each maps, (mappings,).
    """

    spatial: Ints
    factor: Ints
    loop: Ints
    level: Ints
    order: Ints
    layer: Ints

    def __getitem__(self, index: Ints) -> Genomes:
        return Genomes(*(np.take(array, index, axis=-1) for array in vars(self).values()))

    def __len__(self) -> int:
        return int(self.order.shape[-1])

    def join(self, other: Genomes) -> Genomes:
        """Both, one after the other."""
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return Genomes(*(np.concatenate(pair, axis=-1) for pair in pairs))

    @property
    def temporal(self) -> Floats:
        """Iterations in time of each loop at each level, whole numbers, (levels, loops, mappings)."""
        cell = (self.level * len(LOOPS) + self.loop) * len(self) + np.arange(len(self))
        logs = np.bincount(cell.ravel(), np.log(self.factor).ravel(), minlength=len(LEVELS) * len(LOOPS) * len(self))
        return np.rint(np.exp(logs)).reshape(len(LEVELS), len(LOOPS), len(self))

    @property
    def place(self) -> NDArray[np.int8]:
        """Of each loop in its level's order, 0 for the outermost, (levels, loops, mappings)."""
        return np.moveaxis(PLACES[:, self.order], 0, 1)

    @property
    def mapping(self) -> Mapping:
        """The mappings, of shape (mappings, levels, loops)."""
        order = np.moveaxis(ORDERS[self.order], -1, 1)  # (levels, loops, mappings)
        return Mapping(*(np.moveaxis(array, -1, 0) for array in (self.temporal.astype(np.int64), self.spatial, order)))


@dataclass(frozen=True, eq=False)
class Space:
    """What genomes are made of: of one layer on one machine, or of several pairs that are searched side by side.

    Attributes:
        cuts: a genome of one column for each way to cut in space, with everything at DRAM; a layer's lie together.
        levels: that hold anything, where factors may be placed; the same for all.
        lengths: factors that each layer has to place, (layers,).
    """

    cuts: Genomes
    levels: Ints
    lengths: Ints

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
        order, layer = np.zeros((len(LEVELS), len(placed)), np.int64), np.zeros(len(placed), np.int64)
        genomes = Genomes(spatial, factor, loop, np.full(shape, DRAM), order, layer)
        return cls(genomes, np.array(machine.levels), np.array([length]))

    @classmethod
    def beside(cls, spaces: Sequence[Space]) -> Space:
        """Several with the same levels as one; theirs are the layers in turn."""
        lengths = np.concatenate([space.lengths for space in spaces])
        first = np.cumsum([0, *(len(space.lengths) for space in spaces)])
        padded = [
            replace(_padded(space.cuts, lengths.max()), layer=space.cuts.layer + start)
            for space, start in zip(spaces, first, strict=False)
        ]
        return cls(reduce(Genomes.join, padded), spaces[0].levels, lengths)

    def streams(self, seed: int) -> Streams:
        """Random numbers by number of factors: a layer's are the same whatever is searched beside it."""
        return {length: np.random.default_rng(seed) for length in np.unique(self.lengths).tolist()}

    def draw(self, count: int, streams: Streams) -> Genomes:
        """As many genomes of each layer, an equal share of its every cut; each has odds of its own for the levels."""
        genomes = self.cuts[self._turns(self.cuts, count)]
        level, order = self._genes(genomes, count)
        for length, random in streams.items():
            own = np.flatnonzero(self.lengths == length)
            odds = np.cumsum(random.dirichlet(np.ones(len(self.levels)), count), -1)  # (mappings, levels)
            drawn = (random.random((length, count, 1)) > odds[:, :-1]).sum(-1)
            level[:length, own] = self.levels[drawn][:, None]
            order[:, own] = random.integers(len(ORDERS), size=(len(LEVELS), 1, count))
        return replace(genomes, level=level.reshape(len(level), -1), order=order.reshape(len(LEVELS), -1))

    def change(self, parents: Genomes, count: int, streams: Streams) -> Genomes:
        """As many children of each layer: a few factors at another level, now and then a level's loops reordered."""
        children = parents[self._turns(parents, count)]
        level, order = self._genes(children, count)
        for length, random in streams.items():
            own = np.flatnonzero(self.lengths == length)
            some = random.random((length, 1, count)) < 2 / length
            moved = self.levels[random.integers(len(self.levels), size=some.shape)]
            level[:length, own] = np.where(some, moved, level[:length, own])
            again = random.random((len(LEVELS), 1, count)) < 0.5 / len(LEVELS)
            drawn = random.integers(len(ORDERS), size=again.shape)
            order[:, own] = np.where(again, drawn, order[:, own])
        return replace(children, level=level.reshape(len(level), -1), order=order.reshape(len(LEVELS), -1))

    def _turns(self, genomes: Genomes, count: int) -> Ints:
        """Columns of each layer's genomes in turn, ``count`` of each layer, shape (layers * count,)."""
        by_layer = np.argsort(genomes.layer, kind="stable")
        there = np.bincount(genomes.layer, minlength=len(self.lengths))[:, None]
        first = np.cumsum(there, axis=0) - there
        return np.asarray(by_layer[first + np.arange(count) % there].ravel())

    def _genes(self, genomes: Genomes, count: int) -> tuple[Ints, Ints]:
        """Levels (factors, layers, count) and orders (levels, layers, count)."""
        shape = (len(self.lengths), count)
        return genomes.level.reshape(-1, *shape), genomes.order.reshape(-1, *shape)


def _padded(genomes: Genomes, length: int) -> Genomes:
    """The same with as many factors, the further ones 1."""
    rows = ((0, length - len(genomes.factor)), (0, 0))
    factor, loop, level = (
        np.pad(getattr(genomes, name), rows, constant_values=value)
        for name, value in (("factor", 1), ("loop", 0), ("level", DRAM))
    )
    return replace(genomes, factor=factor, loop=loop, level=level)


def _cuts(machine: Machine, extents: tuple[int, ...]) -> list[tuple[Ints, tuple[int, ...]]]:
    """Factors in space, (levels, loops), and what is left of every loop, the fewest iterations in time first.

    Where one l0 serves several multipliers, the last way gives each a word of its own: an l0 may hold just that.
    """
    cuts = _spreads(machine, extents, range(DRAM, -1, -1))
    if any(limit > 1 for limit, _ in machine.axes(0)):
        return [*cuts[: CUTS - 1], _spreads(machine, extents, range(DRAM, 0, -1))[0]]
    return cuts[:CUTS]


def _spreads(machine: Machine, extents: tuple[int, ...], levels: Iterable[int]) -> list[tuple[Ints, tuple[int, ...]]]:
    """The same of loops that are spread below these levels, at most BEAM."""
    cuts = [(np.ones((len(LEVELS), len(LOOPS)), np.int64), extents)]
    for level in levels:
        for limit, loops in machine.axes(level):
            cuts = _fewest([(spread, rest) for cut in cuts for spread, rest in _spread(*cut, level, int(limit), loops)])
    return _fewest([(spatial, rest) for spatial, left in cuts for rest in (left, tuple(map(_smooth, left)))])


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
