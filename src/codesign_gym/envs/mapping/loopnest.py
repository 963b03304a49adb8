"""Mappings of a machine with a memory hierarchy: loops in space, where every factor lies, and what stays where."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from codesign_gym.envs.core.space import Designs, Knob
from codesign_gym.envs.mapping.mapper import Columns, completed
from codesign_gym.simulators.hardware.device import Device
from codesign_gym.simulators.hardware.loopnest.execution import Operands, charge, occupied
from codesign_gym.simulators.hardware.loopnest.machine import Machine
from codesign_gym.simulators.hardware.loopnest.mapping import DRAM, INDEXED_BY, LEVELS, LOOPS, TENSORS, Mapping, Work
from codesign_gym.simulators.hardware.loopnest.space import ORDERS, Space
from codesign_gym.simulators.hardware.loopnest.traffic import traffic
from codesign_gym.simulators.networks.layers import Network


def _stationary(tensor: int) -> int:
    """The row of ORDERS in which the loops that do not index a tensor are innermost, so that its tile stays."""
    order = sorted(range(len(LOOPS)), key=lambda loop: loop not in INDEXED_BY[tensor])
    return int(np.equal(ORDERS, order).all(-1).argmax())


#: Rows of ORDERS by tensor: weight-, input- and output-stationary.
STATIONARY = np.array([_stationary(tensor) for tensor in range(len(TENSORS))])


@dataclass(frozen=True, eq=False)
class LoopNestMapper:
    """Loop order, dataflow and tiling of one layer.

    Knobs: ``cut``, which loops are spread over the multipliers (ways of the machine's own search space, the fewest
    iterations in time first); ``factor<i>``, the level at which each prime factor of what is left of the loops lies;
    ``<level>``, the tensor that stays at the level while its loops step.

    Attributes:
        machine: its parameters plain numbers.
        work: one layer.
        bits: of the operands.
        steps: times that it runs, one after another.
    """

    machine: Machine
    work: Work
    bits: Operands
    steps: int = 1

    @cached_property
    def space(self) -> Space:
        """The machine's own, of this layer."""
        return Space.of(self.machine, tuple(map(int, self.work.extents)))

    @cached_property
    def knobs(self) -> tuple[Knob, ...]:
        """Cut, factors, stationary tensors."""
        levels, factors = tuple(LEVELS[level] for level in self.space.levels), (self.space.cuts.factor > 1).any(1)
        cuts = tuple(f"cut {i}" for i in range(len(self.space.cuts)))
        return (
            *((Knob("cut", cuts, ordered=False),) if len(cuts) > 1 else ()),
            *(Knob(f"factor{i}", levels) for i in np.flatnonzero(factors)),
            *(Knob(level, TENSORS, ordered=False) for level in levels),
        )

    @property
    def scarce(self) -> str:
        """Any of the buffers."""
        return "fullest buffer"

    @cached_property
    def least(self) -> NDArray[np.int64]:
        """Everything at DRAM, under the cut whose tiles are then smallest."""
        choices = np.zeros((len(self.space.cuts), len(self.knobs)), dtype=np.int64)
        placed = [i for i, knob in enumerate(self.knobs) if knob.name.startswith("factor")]
        choices[:, placed] = len(self.space.levels) - 1
        if self.knobs[0].name == "cut":
            choices[:, 0] = np.arange(len(choices))
        return np.asarray(choices[self.occupancy(choices).argmin()])

    def mapping(self, choices: Designs) -> Mapping:
        """The mappings of choices (batch, knobs), of shape (batch, levels, loops)."""
        levels, cuts = self.space.levels, self.space.cuts
        several = int(self.knobs[0].name == "cut")
        picked = cuts[choices[:, 0] if several else np.zeros(len(choices), dtype=np.int64)]
        level = np.full(picked.factor.shape, DRAM)
        real = np.flatnonzero((cuts.factor > 1).any(1))
        level[real] = levels[choices[:, several : several + len(real)].T]
        order = np.zeros(picked.order.shape, dtype=np.int64)
        order[levels] = STATIONARY[choices[:, several + len(real) :].T]
        return replace(picked, level=level, order=order).mapping

    def occupancy(self, choices: Designs) -> NDArray[np.float64]:
        """Share of the fullest buffer."""
        moved = traffic(self.machine, self.work, self.mapping(choices))
        shares = [used / there for _, used, there in occupied(self.machine, moved, self.bits)]
        return np.asarray(np.max(np.broadcast_arrays(*shares), axis=0))

    def reach(self, choices: Designs, decided: NDArray[np.int64]) -> NDArray[np.float64]:
        """That with all further factors at DRAM: a factor further in makes no tile smaller."""
        return self.occupancy(completed(choices, decided, self.least))

    def cost(self, choices: Designs) -> Columns:
        """Latency and energy."""
        run = charge(self.machine, self.work, traffic(self.machine, self.work, self.mapping(choices)), self.bits)
        latency_s, energy_j = run.cycles / self.machine.clock_hz, run.energy_j
        return {"latency_s": np.asarray(latency_s * self.steps), "energy_j": np.asarray(energy_j * self.steps)}


def mappers(device: Device, network: Network, bits: int, tiles: str) -> tuple[LoopNestMapper, ...]:
    """A mapper for every row; factors are prime, whatever ``tiles`` says."""
    assert isinstance(device.model, Machine)
    rows = network.layers.with_batch(device.batch)
    work, width = Work.of(rows), Operands(np.array([float(bits)]), np.array([float(bits)]))
    return tuple(
        LoopNestMapper(
            device.model, Work(work.extents[i], work.stride_p[i], work.stride_q[i]), width, int(rows.steps[i])
        )
        for i in range(len(network))
    )
