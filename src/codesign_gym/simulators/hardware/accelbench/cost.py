"""CODEBench's accelerator template: a grid of sparse MAC lanes between two buffers, in a 14 nm library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, NamedTuple

from array_api_compat import array_namespace, device
from pydantic import Field

from codesign_gym.simulators.hardware.accelbench.synthesis import (
    BUFFERS,
    FIFOS_PER_MAC,
    MEMORIES,
    MODULES,
    PER_ELEMENT,
    PER_LANE,
    Buffer,
)
from codesign_gym.simulators.hardware.asked import checked
from codesign_gym.simulators.hardware.model import Costs, Unit, of_hardware, real, weight_bytes
from codesign_gym.simulators.hardware.rounding import EXACT, Rounding
from codesign_gym.simulators.networks.layers import Array, Layers, Op

#: Numbers that one access of a memory moves.
ACCESS_NUMBERS = 64

#: A convolution runs in tiles of so many images and filters, rows and columns, input channels.
TILE_IMAGES, TILE_FILTERS, TILE_PIXELS, TILE_CHANNELS = 4, 4, 64, 64

#: Pixels that a processing element's mean over a whole feature map takes in a cycle.
POOLED_PIXELS = 25

MEGABYTE = 2**20


class _Loads(NamedTuple):
    """Blocks that each layer moves from main memory, and how the tiles that need them interleave."""

    activations: Array  # blocks
    weights: Array  # blocks
    activation_steps: Array  # tiles that wait for activations
    weight_steps: Array
    shared_steps: Array  # tiles that wait for both, at the same time


@dataclass(frozen=True)
class AccelBench:
    """Latency, energy and area of a design of the template; ``synthesis`` has its tables.

    A processing element per (``pib`` images x ``pix`` x ``piy`` pixels), a lane per (``pof`` filters x ``kernel`` x
    ``kernel`` window positions), ``pif`` MACs in a lane (synthesised with 1 and 16; interpolated between). With T and P
    the extents of a layer, split in tiles, and of the array, lanes skip zeros:

    * MAC cycles: ``density * prod_d sum_tiles ceil(T_d / P_d)`` for convolutions, ``density * ceil(MACs / all MACs)``
      for matrix products, with ``density = (1 - activation sparsity) (1 - weight sparsity) overlap``;
    * load cycles: whole blocks without their zeros, over main memory's bits a cycle. A block is a cube of a feature map
      or a filter with edges of ``cube_edge`` numbers (4 in AccelBench, of which a 1x1 filter fills a sixteenth; 1 moves
      numbers one by one), or a square of a matrix with as many. A tile's activations serve all its filters, and all
      weights of a group all its tiles, if they fit their buffers; else they are loaded again. Where a tile waits for
      both they come side by side;
    * serial cycles: normalisation and pooling, which therefore are not free here;
    * a layer takes ``max(loads, MACs) + serial`` cycles. AccelBench lets all layers of a network overlap, which
      :meth:`overlapped_cycles` gives from the sums.

    A slot of the lanes (``mac_slots``) counts for as many MACs as zeros let it make.

    Energy: the modules' power in the cycles they work in, an access of main memory and a write and a read of a buffer
    for every 64 numbers, leakage throughout. Precision changes traffic alone: lanes are 20 bits wide.

    Differences from AccelBench, which is a program and not a closed form: cycles are not rounded up tile by tile; a
    tile loads its own input channels of a filter and not all; output sizes are the layer's own; buffers hold what their
    size says (its code holds a twentieth, comparing bits with numbers); an access of main memory costs its energy (its
    code adds nanojoules to milliwatts). No activation functions but ReLU, no upsampling, no loss.

    Any parameter may be an array that broadcasts against the leading axes: designs of shape (designs, 1) and a network
    of (layers,) give (designs, layers). The batch is a column of the layer table. The array API throughout.
    """

    separable: ClassVar[bool] = True

    clock_hz: Annotated[float, Unit("Hz"), Field(gt=0)]
    pib: Annotated[int, Unit("image"), Field(gt=0)]
    pif: Annotated[int, Unit("channel"), Field(gt=0, le=16)]
    pix: Annotated[int, Unit("pixel"), Field(gt=0)]
    piy: Annotated[int, Unit("pixel"), Field(gt=0)]
    pof: Annotated[int, Unit("filter"), Field(gt=0)]
    kernel: Annotated[int, Unit("pixel"), Field(gt=0)]
    activation_buffer_mb: Annotated[float, Unit("MiB"), Field(gt=0)]
    weight_buffer_mb: Annotated[float, Unit("MiB"), Field(gt=0)]
    memory: Annotated[int, Unit("index"), Field(ge=0, lt=len(MEMORIES))]
    memory_bytes_per_s: Annotated[float, Unit("B/s"), Field(gt=0)]
    activation_sparsity: Annotated[float, Unit("1"), Field(ge=0, lt=1)]
    weight_sparsity: Annotated[float, Unit("1"), Field(ge=0, lt=1)]
    overlap: Annotated[float, Unit("1"), Field(gt=0)]
    cube_edge: Annotated[int, Unit("number"), Field(gt=0)]

    @property
    def elements(self) -> Array:
        """Processing elements."""
        return self.pib * self.pix * self.piy

    @property
    def lanes(self) -> Array:
        """MAC lanes, over all processing elements."""
        return self.elements * self.pof * self.kernel**2

    @property
    def density(self) -> Array:
        """MACs that lanes make, of those that a layer has: they skip zeros."""
        return (1 - self.activation_sparsity) * (1 - self.weight_sparsity) * self.overlap

    @property
    def matrix_edge(self) -> Array:
        """Edge of a square with as many numbers as a cube."""
        return self.cube_edge**1.5

    @property
    def area_mm2(self) -> Array:
        """Silicon area, shape (..., 1) of the knobs."""
        buffers = sum(self._megabytes(name) / part.megabytes * part.area_mm2 for name, part in BUFFERS.items())
        return self._of_modules("area_um2") * 1e-6 + buffers

    @property
    def leakage_w(self) -> Array:
        """Leakage power, shape (..., 1) of the knobs."""
        buffers = sum(self._megabytes(name) / part.megabytes * part.leakage_mw for name, part in BUFFERS.items())
        return (self._of_modules("leakage_mw") + buffers) * 1e-3

    @checked
    def cost(self, layers: Layers, bits: Array, rounding: Rounding = EXACT) -> Costs:
        """Costs of shape (..., layers); see :class:`~codesign_gym.simulators.hardware.model.CostModel`.

        Args:
            layers: columns of shape (..., layers).
            bits: shape (..., layers, 2), weight and activation bitwidths; main memory moves them as they are.
            rounding: exact, or relaxed for gradients in bitwidths and knobs.
        """
        xp = array_namespace(bits)
        bits = real(bits)
        work = layers.map(lambda column: xp.astype(column, bits.dtype))
        weight_block = (
            self.cube_edge**3 * (1 - self.weight_sparsity) * xp.where(layers.weighted, bits[..., 0], bits[..., 1])
        )  # bits; the second operand of a MATMUL row is an activation
        activation_block = self.cube_edge**3 * (1 - self.activation_sparsity) * bits[..., 1]
        loads = self._loads(work, layers, activation_block, weight_block, rounding)
        per_cycle = 8 * self.memory_bytes_per_s / self.clock_hz  # bits
        activation_load = loads.activations * activation_block / per_cycle
        weight_load = loads.weights * weight_block / per_cycle
        together = rounding.minimum(activation_load / loads.activation_steps, weight_load / loads.weight_steps)
        fetch = activation_load + weight_load - loads.shared_steps * together
        mac = self._mac_cycles(work, layers, rounding)
        serial = self._serial_cycles(work, layers, rounding)
        cycles = rounding.maximum(fetch, mac) + sum(serial.values())
        accesses = {
            "activation": loads.activations * self.cube_edge**3 / ACCESS_NUMBERS,
            "weight": loads.weights * self.cube_edge**3 / ACCESS_NUMBERS,
        }
        array_j, access_j = self._work_j(layers, mac, serial), self._access_j(xp, accesses, mac)
        dynamic_j = array_j + access_j + self._transfer_j(activation_load + weight_load)
        leakage_j = cycles / self.clock_hz * self.leakage_w
        detail = {
            "cycles": cycles,
            "mac_cycles": mac,
            "mac_slots": cycles * (self.lanes * self.pif) / self.density,
            "activation_load_cycles": activation_load,
            "weight_load_cycles": weight_load,
            "fetch_cycles": fetch,
            "serial_cycles": sum(serial.values()),
            "dram_bits": loads.activations * activation_block + loads.weights * weight_block,
            "array_energy_j": array_j,
            "access_energy_j": access_j,
            "dynamic_energy_j": dynamic_j,
            "leakage_energy_j": leakage_j,
        }
        return Costs(
            cycles / self.clock_hz,
            weight_bytes(layers, bits),
            dynamic_j + leakage_j,
            detail=detail,
            area_mm2=of_hardware(self.area_mm2),
        ).aligned()

    def overlapped_cycles(self, totals: Costs) -> Array:
        """Cycles of a network whose layers all overlap, as in AccelBench, from the sums over its layers."""
        return _overlapped_cycles(totals.detail)

    def overlapped(self, sums: Mapping[str, Array]) -> dict[str, Array]:
        """Latency, dynamic and leakage energy of a network whose layers all overlap, each of the sums' shape (...).

        Args:
            sums: ``mac_cycles``, ``serial_cycles`` and ``array_energy_j``, which hang on batch and array alone,
                ``fetch_cycles`` and both operands' ``load_cycles``, which hang on batch and buffers, and
                ``access_energy_j``, which hangs on batch, buffers and memory: of ``Costs.detail``, over all layers.
        """
        latency_s = _overlapped_cycles(sums) / self.clock_hz
        transfer_j = of_hardware(self._transfer_j(1.0)) * (sums["activation_load_cycles"] + sums["weight_load_cycles"])
        return {
            "latency_s": latency_s,
            "dynamic_energy_j": sums["array_energy_j"] + sums["access_energy_j"] + transfer_j,
            "leakage_energy_j": latency_s * of_hardware(self.leakage_w),
        }

    def _mac_cycles(self, work: Layers, layers: Layers, rounding: Rounding) -> Array:
        """Cycles of the lanes, of the layers alone that multiply."""
        xp = array_namespace(work.batch)
        pixels = _blocks(TILE_PIXELS + 0 * work.stride, work.stride)  # of an output tile
        steps = (
            work.groups
            * _tiled(work.batch, TILE_IMAGES, self.pib, rounding)
            * _tiled(work.out_width, pixels, self.pix, rounding)
            * _tiled(work.out_height, pixels, self.piy, rounding)
            * _tiled(work.in_channels / work.groups, TILE_CHANNELS, self.pif, rounding)
            * _tiled(work.out_channels / work.groups, TILE_FILTERS, self.pof, rounding)
            * rounding.ceil_div(work.kernel_width, self.kernel)
            * rounding.ceil_div(work.kernel_height, self.kernel)
        )
        macs = xp.astype(layers.macs, steps.dtype)
        product = rounding.ceil_div(xp.where(macs > 0, macs, 1 + 0 * macs), self.lanes * self.pif)
        return layers.multiplies * xp.where(layers.runs(Op.CONV), steps, product) * self.density

    def _loads(
        self, work: Layers, layers: Layers, activation_block: Array, weight_block: Array, rounding: Rounding
    ) -> _Loads:
        """Blocks of both operands; block sizes are in bits."""
        xp = array_namespace(work.batch)
        convolution = layers.runs(Op.CONV)
        ones = 1 + 0 * work.batch
        depth, filters = work.in_channels / work.groups, work.out_channels / work.groups
        slices = _blocks(depth, self.cube_edge)
        feature_map = (
            work.batch * _blocks(work.in_height, self.cube_edge) * _blocks(work.in_width, self.cube_edge) * slices
        )
        kernels = (
            filters * _blocks(work.kernel_height, self.cube_edge) * _blocks(work.kernel_width, self.cube_edge) * slices
        )
        regions = (  # tiles over the images and their pixels
            _blocks(work.batch, TILE_IMAGES)
            * _blocks(work.in_height, TILE_PIXELS)
            * _blocks(work.in_width, TILE_PIXELS)
        )
        tile = (  # blocks of one tile of activations
            xp.minimum(work.batch, TILE_IMAGES * ones)
            * _blocks(xp.minimum(work.in_height, TILE_PIXELS * ones), self.cube_edge)
            * _blocks(xp.minimum(work.in_width, TILE_PIXELS * ones), self.cube_edge)
            * _blocks(xp.minimum(depth, TILE_CHANNELS * ones), self.cube_edge)
        )
        deep, sweeps = _blocks(depth, TILE_CHANNELS), _blocks(filters, TILE_FILTERS)
        again = rounding.exceeds(tile * activation_block, 8 * MEGABYTE * self.activation_buffer_mb)
        activation_times = 1 + again * (sweeps - 1)
        again = rounding.exceeds(kernels * weight_block, 8 * MEGABYTE * self.weight_buffer_mb)
        weight_times = 1 + again * (regions - 1)

        gemm = layers.gemm._asdict()
        count, m, n, k = (xp.astype(gemm[name], work.batch.dtype) for name in ("count", "m", "n", "k"))
        left = count * _blocks(m, self.matrix_edge) * _blocks(k, self.matrix_edge)
        right = count * _blocks(k, self.matrix_edge) * _blocks(n, self.matrix_edge)
        return _Loads(
            layers.multiplies * xp.where(convolution, work.groups * feature_map * activation_times, left),
            layers.multiplies * xp.where(convolution, work.groups * kernels * weight_times, right),
            xp.where(convolution, work.groups * regions * deep * activation_times, ones),
            xp.where(convolution, work.groups * sweeps * deep * weight_times, ones),
            xp.where(convolution, work.groups * deep * activation_times * weight_times, ones),
        )

    def _serial_cycles(self, work: Layers, layers: Layers, rounding: Rounding) -> dict[str, Array]:
        """Cycles of the modules behind the lanes, by module; ReLU is part of the lanes and free."""
        pixels = work.in_height * work.in_width
        pooled = (layers.valid == 1) & layers.runs(Op.POOL)
        whole = pooled & (layers.out_height * layers.out_width == 1)
        images = rounding.ceil_div(work.batch * work.out_channels, self.elements)
        part = rounding.ceil_div(work.batch * work.out_channels * work.out_height * work.out_width, self.elements)
        positions = work.batch * work.out_height * work.out_width
        normalised = (layers.valid == 1) & layers.runs(Op.NORM)
        return {
            "BatchNorm": normalised * work.out_channels * rounding.ceil_div(positions, self.pif * self.elements),
            "GlobalAvgPooling": whole * _blocks(pixels, POOLED_PIXELS) * images,
            "Pooling": (pooled & ~whole) * part,
        }

    def _work_j(self, layers: Layers, mac_cycles: Array, serial: dict[str, Array]) -> Array:
        """Dynamic energy of the array and of the modules behind it."""
        lane_j = sum(MODULES[name].j_per_cycle for name in ("PreSparsity", "PostSparsity"))
        lane_j = lane_j + self._lane("j_per_cycle") + FIFOS_PER_MAC * self.pif * MODULES["FIFO"].j_per_cycle
        array_j = self.lanes * lane_j + self.elements * MODULES["DataFlow"].j_per_cycle
        unfolding_j = self.lanes * 2 * MODULES["Im2Col"].j_per_cycle  # both operands
        behind_j = sum(cycles * MODULES[name].j_per_cycle for name, cycles in serial.items())
        unfolded = layers.runs(Op.CONV) * mac_cycles
        return mac_cycles * array_j + unfolded * unfolding_j + behind_j * self.elements

    def _access_j(self, xp: Any, accesses: dict[str, Array], like: Array) -> Array:
        """Dynamic energy of main memory and the buffers; ``like`` is an array of the type that is computed in."""
        energies = [memory.access_nj for memory in MEMORIES]
        table = xp.asarray(energies, dtype=like.dtype, device=device(like))
        access_nj = table[self.memory]
        return sum(
            count * (access_nj + _access_nj(BUFFERS[name], self._megabytes(name))) * 1e-9
            for name, count in accesses.items()
        )

    def _transfer_j(self, load_cycles: Array) -> Array:
        """Dynamic energy of the way from main memory to the processing elements."""
        return load_cycles * self.elements * MODULES["DMA"].j_per_cycle

    def _of_modules(self, quantity: str) -> Array:
        """The sum of a quantity over all instances of all modules."""
        of_elements = sum(getattr(MODULES[name], quantity) for name in PER_ELEMENT)
        of_lanes = sum(getattr(MODULES[name], quantity) for name in PER_LANE)
        fifos = FIFOS_PER_MAC * self.pif * getattr(MODULES["FIFO"], quantity)
        return self.elements * of_elements + self.lanes * (of_lanes + fifos + self._lane(quantity))

    def _lane(self, quantity: str) -> Array:
        """A quantity of a MAC lane of ``pif`` MACs."""
        narrow, wide = (getattr(MODULES[f"MacLane_Pif{macs}_ReLU"], quantity) for macs in (1, 16))
        return narrow + (wide - narrow) * (self.pif - 1) / 15

    def _megabytes(self, buffer: str) -> Array:
        """Size of a buffer; that of the masks of zeros follows from the lanes: two masks of 16 bits each."""
        sizes = {
            "weight": self.weight_buffer_mb,
            "activation": self.activation_buffer_mb,
            "mask": self.lanes * 2 * 16 / 8 / MEGABYTE,
        }
        return sizes[buffer]


def _overlapped_cycles(sums: Mapping[str, Array]) -> Array:
    xp = array_namespace(sums["mac_cycles"])
    return xp.maximum(sums["fetch_cycles"], sums["mac_cycles"]) + sums["serial_cycles"]


def _tiled(extent: Array, tile: Array, lanes: Array, rounding: Rounding) -> Array:
    """Steps over an extent in tiles, each of which is spread over the lanes by itself."""
    whole = extent // tile
    rest = extent - whole * tile
    some = rest > 0
    return whole * rounding.ceil_div(tile + 0 * extent, lanes) + some * rounding.ceil_div(rest + ~some, lanes)


def _blocks(extent: Array, edge: Array) -> Array:
    """Blocks along an extent of the network, which is never relaxed."""
    return EXACT.ceil_div(extent, edge)


def _access_nj(buffer: Buffer, megabytes: Array) -> Array:
    """Energy of writing and reading as much as an access moves."""
    return (buffer.read_nj + buffer.write_nj) * (megabytes / buffer.megabytes) ** 0.5
