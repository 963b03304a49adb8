"""MAERI: virtual neurons of any size on one row of multipliers, under a distribution and a reduction tree.

Kwon, Samajdar, Krishna, "MAERI: Enabling Flexible Dataflow Mapping over DNN Accelerators via Reconfigurable
Interconnects", ASPLOS 2018, as the STONNE simulator runs it (see ``networks``). Loops run, from the
outermost in, N, G, K | X', Y' | C, R, S, each in steps of its tile (``tiles``). For every step of N,
G and K the weights of all F folds (steps of C, R and S) are sent, then the inputs of every position.
Weights and inputs are multicast: a word that several multipliers behind a read port want is sent once. If
T_Y' = 1, T_S > 1, the stride is 1 and T_S divides S, neighbouring multipliers pass inputs on, and only the
newest column is sent after the first y'. With P positions, a step takes

    max(port + s - 1, F W + F P + s - 1, F W + P s) + 3 + climb + [a port serves several] + [accumulators]

cycles: ``port`` the words through the fullest read port, W those of one fold's weights through the fullest,
s the virtual neurons that leave on the busiest bus line, climb the levels and forwards of the farthest one.
Where folds are summed without an accumulation buffer, each partial sum goes through memory and comes back
through a read port (more words) to a multiplier of its own, and a fold waits for the one before; F W + F P
becomes

    F W + P (1 + (F - 1) (levels and forwards of the low end + 3 + [s > 1]))

This was read off 41 simulated layers (mean error 3.8 %, worst 23 %); that a fold's weights take W cycles and not one,
off Bifrost's fully connected layers, of which four are met to 0.1 % and two to 2 % and 10 %. No constant is fitted.

Limits: words are of one width, so bitwidths change only the size of the weights. No DRAM.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from codesign_gym.simulators.hardware.asked import checked
from codesign_gym.simulators.hardware.host import outside_graphs, plain
from codesign_gym.simulators.hardware.model import Costs, Unit
from codesign_gym.simulators.hardware.rounding import EXACT, Rounding
from codesign_gym.simulators.hardware.sizes import check_sizes
from codesign_gym.simulators.hardware.stonne import energy as event_energy
from codesign_gym.simulators.hardware.stonne.fabric import Executed, Fabric, Lowered
from codesign_gym.simulators.hardware.stonne.networks import Hardware, busiest, leave_tree
from codesign_gym.simulators.hardware.stonne.ports import Places, Sent, places
from codesign_gym.simulators.hardware.stonne.tiles import Ints, Loops, candidates, check, loops
from codesign_gym.simulators.hardware.stonne.timing import PIPELINE_CYCLES, Floats, Terms, cycles, terms_of
from codesign_gym.simulators.networks.layers import Array, Layers

#: Multipliers looked at at a time; some 15 columns of as many numbers are alive.
BLOCK = 2**18

#: Tiles of a layer that the search costs exactly: the best by an estimate at every number of read ports, whatever the
#: hardware has, so that more of them never hurt.
SHORT_LIST = 64


class Run(NamedTuple):
    """What layers take with given tiles, columns of shape (cases, ...)."""

    terms: Floats  # (cases, 1, terms) as ``timing`` names them
    passes: Ints  # over the multipliers
    products: Ints  # that the mapped multipliers make, padding included
    sram_reads: Ints  # words
    sram_writes: Ints  # words
    dynamic_stonne_units: Floats  # energy beside the static one

    @property
    def cycles(self) -> Ints:
        """Of every case."""
        return np.asarray(cycles(self.terms), dtype=np.int64)


@dataclass(frozen=True)
class Maeri(Fabric):
    """MAERI; ``cost`` searches tiles, ``at`` takes them.

    Sizes may be arrays that broadcast against the leading axes; ``cost`` then searches on every different one. A row
    that multiplies nothing is free. Tiles are a constant of relaxed rounding: those found for the nearest sizes.
    ``energy_stonne_units`` is in the simulator's unit, which is not stated; ``products`` are those that the
    mapped multipliers make, padding included.
    """

    searches: ClassVar[bool] = True

    #: 1 where folds are summed at the tree (accumulation buffer, or a folding tree), 0 where through memory.
    accumulates: Annotated[int, Unit("0 or 1"), Field(ge=0, le=1)]

    @property
    def accumulators(self) -> Array:
        """Where folds are summed at the tree."""
        return self.accumulates

    def products(self, rows: Layers) -> Ints:
        """All of a step's run at once."""
        return np.asarray(rows.multiplies * rows.steps, dtype=np.int64)

    def executed(self, rows: Layers, sizes: Hardware) -> Executed:
        """Rows with the tiles of :meth:`mapping`; see :class:`Fabric`."""
        found, which = self._searched(rows, sizes)
        columns: list[Any] = [np.stack(column)[which] for column in zip(*(run for _, run in found), strict=True)]
        return _executed(rows, Run(*columns))

    @checked
    def at(self, layers: Layers, bits: Array, tiles: Loops, rounding: Rounding = EXACT) -> Costs:
        """Costs of shape (..., layers) with given tiles; thousands of mappings a call.

        Args:
            layers: columns of shape (..., layers).
            bits: shape (..., layers, 2).
            tiles: columns that broadcast with the layers' and the bitwidths'.
            rounding: exact, or relaxed for gradients.

        Raises:
            BadConfig: for tiles that miss a loop, exceed it or do not fit, saying which and by how much; for sizes
                that no hardware has, unless rounding is relaxed.
        """
        check_sizes(self, self.grids, rounding)
        return self.cost_of(self.lower_at(layers, tiles, bits), bits, rounding)

    @outside_graphs
    def lower_at(self, layers: Layers, tiles: Loops, like: Array) -> Lowered:
        """The rows as executed with given tiles; arguments and errors as of :meth:`lower` and :meth:`at`."""
        rows, sizes, accumulates = layers.map(plain), self.sizes, plain(self.accumulates)
        extents = loops(rows)
        check(extents, tiles, accumulates, sizes.multipliers)
        broadcast = np.broadcast_arrays(*extents, rows.stride, *tiles, *sizes, accumulates)
        flat = [np.ascontiguousarray(column, dtype=np.int64).ravel() for column in broadcast]
        cases = Cases(Loops(*flat[:8]), flat[8], Loops(*flat[9:17]), Hardware(*flat[17:20]), flat[20])
        columns: list[Any] = [column.reshape(broadcast[0].shape + column.shape[1:]) for column in cases.run()]
        return self.lowered(rows, _executed(rows, Run(*columns)), sizes, like)

    def mapping(self, layers: Layers) -> Loops:
        """The fastest tiles found for every row, columns of the layers' shape (and that of sizes that are arrays).

        Searches are memoised in the process. Of the table of tiles (``tiles.candidates``), the best by an estimate
        of their cycles are costed exactly.
        """
        found, which = self._searched(layers.map(plain), self.sizes)
        return Loops(*np.moveaxis(np.array([tiles for tiles, _ in found])[which], -1, 0))

    def _searched(self, rows: Layers, sizes: Hardware) -> tuple[list[tuple[tuple[int, ...], Run]], Ints]:
        """Tiles and costs of the distinct rows on every hardware, and which is whose, of both their shape."""
        columns = (*sizes, plain(self.accumulates), *loops(rows), np.where(rows.multiplies, rows.stride, 1))
        table = np.stack(np.broadcast_arrays(*columns), -1).astype(np.int64)  # (..., layers, 13)
        distinct, which = np.unique(table.reshape(-1, table.shape[-1]), axis=0, return_inverse=True)
        found = [_search(tuple(case[:4]), tuple(case[4:])) for case in distinct.tolist()]
        return found, which.reshape(table.shape[:-1])


def _executed(rows: Layers, run: Run) -> Executed:
    """Costs of rows, of shape (..., layers)."""
    names = ("products", "sram_reads", "sram_writes")
    detail = {name: getattr(run, name) for name in names} | {"macs": rows.one_step().macs}
    return Executed(run.terms, run.passes, detail, run.dynamic_stonne_units)


@lru_cache(maxsize=2**14)
def _search(sizes: tuple[int, ...], layer: tuple[int, ...]) -> tuple[tuple[int, ...], Run]:
    """The fastest tiles for the loops and the stride of one row, and what they cost."""
    tiles = candidates(layer[:8], sizes[0], bool(sizes[3]))
    every = np.ones_like(tiles.r)
    extents, stride = Loops(*(extent * every for extent in layer[:8])), layer[8] * every
    cases = Cases(extents, stride, tiles, Hardware(*(size * every for size in sizes[:3])), sizes[3] * every)
    port_widths = [2**doublings for doublings in range(sizes[0].bit_length())]
    ranked = [np.argsort(cases.estimate(width), kind="stable")[:SHORT_LIST] for width in port_widths]
    short = cases.of(np.unique(ranked))
    best = short.of(np.argmin(cycles(short.terms()[:, None]), keepdims=True))
    return tuple(int(tile[0]) for tile in best.tiles), Run(*(column[0] for column in best.run()))


@dataclass(frozen=True, eq=False)
class Cases:
    """Layers with legal tiles on hardware, columns of shape (cases,)."""

    extents: Loops
    stride: Ints
    tiles: Loops
    hardware: Hardware
    accumulates: Ints

    def of(self, case: Ints | slice) -> Cases:
        """The cases that an index picks."""
        return Cases(
            self.extents.of(case),
            self.stride[case],
            self.tiles.of(case),
            self.hardware.of(case),
            self.accumulates[case],
        )

    @property
    def passes(self) -> Loops:
        """Steps of every loop."""
        return Loops(*(-(-extent // tile) for extent, tile in zip(self.extents, self.tiles, strict=True)))

    @property
    def returns(self) -> NDArray[np.bool_]:
        """Whether partial sums go through memory."""
        return np.asarray((self.passes.neuron > 1) & (self.accumulates == 0))

    @property
    def passes_on(self) -> NDArray[np.bool_]:
        """Whether neighbouring multipliers pass inputs on."""
        extents, tiles = self.extents, self.tiles
        return np.asarray((tiles.y == 1) & (tiles.s > 1) & (self.stride == 1) & (extents.s % tiles.s == 0))

    @property
    def static_stonne_units(self) -> Floats:
        """Energy of a cycle."""
        multipliers, ports, _ = self.hardware
        width = self.hardware.port_width
        return np.asarray(event_energy.tree_static_per_cycle(ports, width, multipliers, self.accumulates))

    def run(self) -> Run:
        """Cycles, words and energy beside the static one."""
        extents, tiles, passes = self.extents, self.tiles, self.passes
        made = passes.neurons * passes.neuron * tiles.neurons * tiles.neuron
        partial = extents.neurons * np.where(self.returns, passes.neuron - 1, 0)
        weights = extents.k * extents.g * extents.neuron * passes.n
        reads, writes = weights + self.inputs() + partial, extents.neurons + partial
        events = self._tree_events() | {
            "multiplications": made + partial,
            "multiplier_links": self._passed(made),
            "buffer_accesses": reads + writes,
            "bus_links": 2 * passes.neurons * tiles.neurons * np.where(self.returns, passes.neuron, 1),
        }
        energy = np.asarray(sum(event_energy.dynamic(events).values()), dtype=np.float64)
        return Run(self.terms()[:, None], passes.neurons * passes.neuron, made, reads, writes, energy)

    def inputs(self) -> Ints:
        """Words of input that are read: windows of every position, tile and fold."""
        extents, tiles, passes, stride = self.extents, self.tiles, self.passes, self.stride
        high = passes.x * tiles.r + (extents.x - passes.x) * stride  # rows of the windows, over all steps of x'
        wide = passes.y * tiles.s + (extents.y - passes.y) * stride
        wide = np.where(self.passes_on, tiles.s + passes.y - 1, wide)
        return passes.k * passes.r * passes.s * extents.c * extents.g * extents.n * high * wide

    def estimate(self, width: int) -> NDArray[np.float64]:
        """Cycles if a read port, of `width` multipliers, sees whole virtual neurons and the tree is deep enough."""
        passes, tiles = self.passes, self.tiles
        folds, positions = passes.neuron, passes.x * passes.y
        side_by_side = -(-width // tiles.neuron)
        weights = np.minimum(width, tiles.neuron * np.minimum(side_by_side, tiles.k * tiles.g))
        inputs = np.minimum(width, tiles.neuron * np.minimum(side_by_side, tiles.x * tiles.y * tiles.n))
        newest = np.where(self.passes_on, -(-inputs // tiles.s), inputs)
        words = folds * (weights + passes.x * (inputs + (passes.y - 1) * newest))
        back = np.where(self.returns, PIPELINE_CYCLES + np.floor(np.log2(tiles.neuron + 1)), 1)
        steps = passes.k * passes.g * passes.n
        return np.asarray(steps * np.maximum(words, positions * (1 + (folds - 1) * back)))

    def terms(self) -> Floats:
        """Of all steps, shape (cases, terms), in blocks of bounded memory."""
        return np.concatenate([np.zeros((0, len(Terms._fields))), *(part._terms() for part in self._blocks())])

    def _blocks(self) -> list[Cases]:
        """The cases, at most BLOCK multipliers together (or one case)."""
        most = max(1, BLOCK // int(self.hardware.multipliers.max(initial=1)))
        return [self.of(slice(start, start + most)) for start in range(0, self.stride.size, most)]

    def _places(self) -> Places:
        return places(self.tiles, self.stride, self.returns, self.hardware)

    def _neurons(self) -> tuple[Ints, Ints, Ints, Ints]:
        """Every virtual neuron's case, first and last multiplier, and where those of a case begin."""
        begin = np.cumsum(self.tiles.neurons) - self.tiles.neurons
        case = np.repeat(np.arange(begin.size), self.tiles.neurons)
        size = (self.tiles.neuron + self.returns)[case]
        first = (np.arange(case.size) - begin[case]) * size
        return case, first, first + size - 1, begin

    def _terms(self) -> Floats:
        passes, hardware = self.passes, self.hardware
        folds, positions = passes.neuron, passes.x * passes.y
        of_a_fold = self._places().words()
        port, weights = self._sent(of_a_fold).max(-1), folds * of_a_fold.weights.max(-1)
        case, first, last, begin = self._neurons()
        exits = leave_tree(first, last, hardware.multipliers[case], hardware.lines[case])
        shared = busiest(exits.line, case, begin.size)
        climb = np.maximum.reduceat(exits.levels + exits.forwards, begin)
        back = np.maximum.reduceat(exits.levels + exits.low_forwards, begin)  # the partial sum enters at the low end
        round_trip = np.where(self.returns, back + PIPELINE_CYCLES + (shared > 1), 1)
        chain = weights + positions * (1 + (folds - 1) * round_trip)
        own = (port, chain + shared - 1, weights, positions * shared, climb, shared)
        step = terms_of(hardware, *own, further=self.accumulates)
        return (passes.k * passes.g * passes.n)[:, None] * step

    def _sent(self, of_a_fold: Sent) -> Ints:
        """What a step sends of something that a fold sends, shape (cases, ...)."""
        passes, tail = self.passes, (slice(None), *[None] * (of_a_fold.weights.ndim - 1))
        folds, rows, columns = passes.neuron[tail], passes.x[tail], passes.y[tail]
        newest = np.where(self.passes_on[tail], of_a_fold.newest, of_a_fold.inputs)
        inputs = rows * (of_a_fold.inputs + (columns - 1) * newest)
        return folds * (of_a_fold.weights + inputs) + rows * columns * (folds - 1) * of_a_fold.partial

    def _passed(self, made: Ints) -> Ints:
        """Inputs that multipliers hand to their neighbours: all but a window's oldest column, after the first y'."""
        share = self.tiles.s * self.passes.y
        return np.where(self.passes_on, made // share * (self.tiles.s - 1) * (self.passes.y - 1), 0)

    def _tree_events(self) -> dict[str, Ints]:
        """Links, switches and additions of the two trees, in blocks of bounded memory."""
        parts = [part._trees() for part in self._blocks()]
        names = ("distribution_links", "switch_routes", "additions", "adder_links")
        return {
            name: np.concatenate([np.zeros(0, dtype=np.int64), *(p[i] for p in parts)]) for i, name in enumerate(names)
        }

    def _trees(self) -> tuple[Ints, Ints, Ints, Ints]:
        passes, accumulates = self.passes, self.accumulates
        steps, sums = passes.k * passes.g * passes.n, passes.neurons * passes.neuron
        links, switches = (steps * self._sent(hops) for hops in self._places().hops())
        case, first, last, begin = self._neurons()
        exits = leave_tree(first, last, self.hardware.multipliers[case], 1)
        neurons = self.tiles.neurons
        additions = sums * np.add.reduceat(exits.additions, begin) + accumulates * (sums - passes.neurons) * neurons
        # Every multiplier and every adder below the last sends once, and the last one to its accumulator.
        sent = np.add.reduceat(exits.adders + last - first + 1, begin) - neurons + accumulates * neurons
        return links, switches, np.asarray(additions), sums * sent
