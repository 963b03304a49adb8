"""Gemmini: cycles of the RTL, from what its decoupled queues do.

Genc et al., "Gemmini: Enabling Systematic Deep-Learning Architecture Evaluation via Full-Stack
Integration", DAC 2021: a weight-stationary array of D x D int8 processing elements beside a RISC-V
core, with a scratchpad, an accumulator, and a DMA engine to the core's L2 cache. Loops are unrolled
into commands by hardware (``LoopConv.scala``, ``LoopMatmul.scala``); loads, computation and stores
have queues of their own, and two tiles are in flight, each in one half of the memories.

* Computation. A block of D x D weights meets n strips of at most D output columns (the columns are
  cut into strips row by row). A strip of I columns takes ``max(I, 4)`` cycles, the array's least
  (``ExecuteController.scala``); one strip of a block takes D because the next weights shift in with
  it. Commands arrive at one strip per ``issue_cycles``: ``|(strips' cycles, n * issue_cycles)|``.
* Memory. Loads take a cycle for each word of the bus, one more in rows that may start within a word and end in another;
  stores ``store_cycles`` for each row of D elements; each line that the L2 cache lacks
  ``l2_miss_cycles`` and each that the last level of cache lacks ``llc_miss_cycles`` on top. A missing
  line that is stored counts twice: it is fetched and written back. Tiles are loaded anew each time, and
  ``caches`` finds what the caches still hold. The measurement was a second run: a layer that
  fits a cache as a whole finds its tensors there.
* Together: ``|(computation, memory)| + memory of one tile``, the first load and the last store.

``|(a, b)|`` is the p-norm, p = ``overlap_exponent``: queues of finite length overlap almost perfectly
unless both are equally busy. Five constants are fitted (the device file names data and error).

Errors against the RTL on 153 layers: 7.4 % (mean, of layer shapes left out of the fit) for given mappings;
26.5 % (Spearman .977) for the tiles that Gemmini's own software picks, which is what :meth:`Gemmini.cost` uses.
The second figure is against first, cold runs, whose data come from memory where the model finds them in a cache.

Not modelled: partial sums spilled to memory, biases, the core's own work, pooling, and the zeros of
the padding, which are counted as loads.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, ClassVar, NamedTuple

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import NDArray
from pydantic import Field

from codesign_gym.simulators.hardware.asked import checked, checked_lowered
from codesign_gym.simulators.hardware.gemmini.activity import Activity, Schedule, activity, decide
from codesign_gym.simulators.hardware.gemmini.caches import LINE_BYTES
from codesign_gym.simulators.hardware.gemmini.tiling import LOOPS, OWN_ORDER, Ints, Work, own_tiles, work
from codesign_gym.simulators.hardware.host import beside, outside_graphs, plain
from codesign_gym.simulators.hardware.model import Costs, Unit, real
from codesign_gym.simulators.hardware.rounding import EXACT, Rounding
from codesign_gym.simulators.hardware.sizes import between_sizes, powers_of_two, whole_numbers
from codesign_gym.simulators.networks.layers import Array, Layers

#: Fields of the hardware that decide how a layer is run; sizes, which are whole.
SIZES = ("dim", "scratchpad_bytes", "accumulator_bytes", "bus_bytes", "l2_bytes", "llc_bytes")

#: Of them those between whose values relaxed costs are mixed. A bus is a power of two wide: lines of a cache are.
GRIDS = {"dim": whole_numbers, "bus_bytes": powers_of_two}


class Lowered(NamedTuple):
    """Rows of the layer table with what was decided for them, real arrays of the caller's library."""

    schedule: Schedule  # of shape (..., layers)
    times: Array  # (..., layers) that it is run
    weights: Array  # (..., layers)


@dataclass(frozen=True)
class Gemmini:
    """Latency of every layer by the tiles that Gemmini's own software picks; 8-bit weights and activations.

    It is off by 26.5 % on average from the RTL's first runs by those tiles (see the module's docstring).

    Weights come from memory in every inference, because those of a network exceed the caches; a layer's
    input and output are found in the caches where they fit, as in the measurement.

    A grouped or depthwise convolution runs group by group, each on its own, as Gemmini does where its
    depthwise units are left out. A matrix product of activations runs head by head and image by image.

    The software's heuristics are loops in NumPy, memoised in the process. What they decide at whole sizes of the
    hardware (tiles, straddled words, missing lines) is a constant; the rest is a closed form in the array API
    throughout, in which relaxed rounding has gradients in the array's size, the bus, the clock and the fitted
    constants. Between whole sizes of the array and the bus what they decide is mixed, without jumps (``sizes``);
    memories are the nearest whole ones. ``torch.compile`` runs the heuristics outside its graphs; :meth:`cost_of` is
    one graph (``rounding`` given). Any parameter may be an array that broadcasts against the leading axes.

    Costs detail ``cycles``, ``mac_slots``, and the bits between the L2 cache and the accelerator (``l2_bits``),
    the two caches (``llc_bits``), and the last of them and memory (``dram_bits``). No energy: there is no source
    for the RTL's.
    """

    separable: ClassVar[bool] = True

    clock_hz: Annotated[float, Unit("Hz"), Field(gt=0)]
    dim: Annotated[int, Unit("rows"), Field(gt=0)]
    scratchpad_bytes: Annotated[int, Unit("B"), Field(gt=0)]
    accumulator_bytes: Annotated[int, Unit("B"), Field(gt=0)]
    bus_bytes: Annotated[int, Unit("B/cycle"), Field(gt=0)]
    l2_bytes: Annotated[int, Unit("B"), Field(gt=0)]
    llc_bytes: Annotated[int, Unit("B"), Field(gt=0)]
    issue_cycles: Annotated[float, Unit("cycle"), Field(gt=0)]
    store_cycles: Annotated[float, Unit("cycle"), Field(gt=0)]
    l2_miss_cycles: Annotated[float, Unit("cycle"), Field(ge=0)]
    llc_miss_cycles: Annotated[float, Unit("cycle"), Field(ge=0)]
    overlap_exponent: Annotated[float, Unit("1"), Field(ge=1)]

    @checked
    def cost(self, layers: Layers, bits: Array, rounding: Rounding = EXACT) -> Costs:
        """Costs of shape (..., layers); see :class:`~codesign_gym.simulators.hardware.model.CostModel`.

        Args:
            layers: columns of shape (..., layers).
            bits: shape (..., layers, 2), weight and activation bitwidths; cycles are those of 8-bit operands.
            rounding: exact, or relaxed for gradients in the parameters.

        Raises:
            BadConfig: if half of a memory is smaller than the smallest tile of a layer.
        """

        def at(machine: Gemmini) -> Costs:
            return self.cost_of(machine.lower(layers, bits), bits, rounding)

        return between_sizes(self, GRIDS, rounding, at)

    @outside_graphs
    def lower(self, layers: Layers, like: Array) -> Lowered:
        """The rows with the tiles that Gemmini's software picks, for a network that is costed again and again.

        Args:
            layers: columns of shape (..., layers), of any library.
            like: an array of the library, and on the processor, that costs are asked with.
        """
        rows = layers.map(plain)
        schedule = self._own(work(rows))
        group_lines = rows.weights / rows.groups / LINE_BYTES  # of weights, which every inference reads anew
        schedule = schedule._replace(
            l2_missing_lines=np.maximum(schedule.l2_missing_lines, group_lines),
            llc_missing_lines=np.maximum(schedule.llc_missing_lines, group_lines),
        )
        times, weights = (
            np.asarray(column, dtype=np.float64) for column in (rows.gemm.count * rows.steps, rows.weights)
        )
        return Lowered(
            Schedule(*(beside(column, like) for column in schedule)), beside(times, like), beside(weights, like)
        )

    @checked_lowered("weights")
    def cost_of(self, lowered: Lowered, bits: Array, rounding: Rounding = EXACT) -> Costs:
        """The same of rows lowered beforehand.

        Args:
            lowered: columns of shape (..., layers), from :meth:`lower`.
            bits: shape (..., layers, 2).
            rounding: as in :meth:`cost`.
        """
        size_bytes = lowered.weights * real(bits)[..., 0] / 8
        times = lowered.times + 0 * size_bytes  # of the designs' shape
        done = activity(lowered.schedule, self.dim, self.bus_bytes, rounding)
        cycles = self.cycles(done) * times
        passed = done.loaded_words * self.bus_bytes + done.stored_rows * self.dim  # bytes
        return Costs(
            cycles / self.clock_hz,
            size_bytes,
            detail={
                "cycles": cycles,
                "mac_slots": cycles * (self.dim * self.dim),
                "l2_bits": 8 * passed * times,
                "llc_bits": 8 * LINE_BYTES * done.l2_missing_lines * times,
                "dram_bits": 8 * LINE_BYTES * done.llc_missing_lines * times,
            },
        )

    def cycles(self, activity: Activity) -> Array:
        """Cycles of shape (...)."""
        computation = activity.blocks * self._norm(activity.strip_cycles, activity.strips * self.issue_cycles)
        memory = (
            activity.loaded_words
            + activity.stored_rows * self.store_cycles
            + activity.l2_missing_lines * self.l2_miss_cycles
            + activity.llc_missing_lines * self.llc_miss_cycles
        )
        return self._norm(computation, memory) + memory / activity.tiles

    def activity(self, loops: Work, tile: Ints, order: Ints) -> Activity:
        """What given tiles make the hardware do, in NumPy; arguments as :func:`~.activity.decide`."""
        bus, *caches = (_whole(getattr(self, name)) for name in SIZES[3:])
        return activity(decide(loops, tile, order, bus, *caches), self.dim, self.bus_bytes)

    def _own(self, loops: Work) -> Schedule:
        """The software's own schedules, of the shape that the layers and the hardware broadcast to."""
        sizes = [_whole(getattr(self, name)) for name in SIZES]
        shape = np.broadcast_shapes(loops.stride.shape, *(size.shape for size in sizes))
        loops = loops.broadcast_to(shape)
        single = np.stack(np.broadcast_arrays(loops.stride, loops.is_matmul, *sizes), -1)
        columns = np.concatenate([loops.extent, single], -1)
        distinct, row = np.unique(columns.reshape(-1, columns.shape[-1]), axis=0, return_inverse=True)
        schedule = _distinct(distinct.astype(np.int64).tobytes(), len(distinct))
        return Schedule(*(column[row.reshape(shape)] for column in schedule))

    def _norm(self, left: Array, right: Array) -> Array:
        p, xp = self.overlap_exponent, array_namespace(left)
        larger = xp.maximum(left, right)
        return larger * (1 + (xp.minimum(left, right) / larger) ** p) ** (1 / p)


@lru_cache(maxsize=16)
def _distinct(columns: bytes, count: int) -> Schedule:
    """The software's schedules of so many layers on hardware; memoised: networks are costed again and again."""
    rows = np.frombuffer(columns, dtype=np.int64).reshape(count, -1)
    stride, is_matmul, dim, scratchpad, accumulator, bus, l2, llc = rows[:, len(LOOPS) :].T
    loops = Work(rows[:, : len(LOOPS)], stride, is_matmul == 1)
    return decide(loops, own_tiles(loops, dim, scratchpad, accumulator), OWN_ORDER, bus, l2, llc)


def _whole(size: Array) -> NDArray[np.int64]:
    """The nearest whole size of the hardware."""
    return np.asarray(np.maximum(np.rint(plain(size)), 1), dtype=np.int64)
