"""What a device's methods look up: numbers of every step of every domain."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from codesign_gym.simulators.dvfs.clocks import ClockTable
from codesign_gym.simulators.dvfs.domain import Domain, IdleState

if TYPE_CHECKING:
    from codesign_gym.simulators.dvfs.soc import Soc

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class StepTables(NamedTuple):
    """Numbers by step; "all" is the steps of all domains, one after another."""

    steps: Ints  # (domains,)
    starts: Ints  # (domains,) where each domain's steps begin
    clock_hz: Floats  # (all,)
    voltage_v: Floats  # (all,)
    per_s: Floats  # (all,) launches, operations or bytes
    busy_w: Floats  # (all,) what activity 1 adds
    idle_w: Floats  # (states * all,) at activity 0 and 0 degrees Celsius, state by state
    slope_w_per_k: Floats  # (states * all,) how leakage grows
    fabric_per_s: Floats  # (steps of the gpu,)
    heats: Floats  # (domains + 1, 2) share of each rail's power that heats junction and case

    @classmethod
    def of(cls, soc: Soc) -> StepTables:
        """Those of a device."""
        steps = np.array(soc.steps, dtype=np.int64)
        junction = np.array([*(domain.junction_share for domain in soc.domains), 0.0])
        gpu = soc.domain("gpu").clocks

        def every(value: Callable[[Domain, ClockTable], Floats]) -> Floats:
            return np.concatenate([value(domain, domain.clocks) for domain in soc.domains])

        def left(shares: Callable[[IdleState], Floats]) -> Floats:
            return np.stack([np.repeat(shares(state), steps) for state in soc.idle_states])  # (states, all)

        switched_w = every(lambda domain, clocks: domain.capacitance_f * clocks.voltage_v**2 * clocks.running_hz)
        idle = every(lambda domain, clocks: np.full(len(clocks), domain.idle_activity))
        leakage_w = every(lambda domain, clocks: domain.leakage_a * clocks.voltage_v)
        slope_w_per_k = every(lambda domain, clocks: domain.leakage_per_k * domain.leakage_a * clocks.voltage_v)
        tree_left, leakage_left = left(lambda state: state.clock_share), left(lambda state: state.leakage_share)
        return cls(
            steps=steps,
            starts=np.cumsum(steps) - steps,
            clock_hz=every(lambda _, clocks: clocks.clock_hz),
            voltage_v=every(lambda _, clocks: clocks.voltage_v),
            per_s=every(lambda domain, clocks: domain.per_cycle * clocks.running_hz),
            busy_w=switched_w * (1 - idle),
            idle_w=(
                switched_w * idle * tree_left + (leakage_w - slope_w_per_k * soc.reference_c) * leakage_left
            ).ravel(),
            slope_w_per_k=(slope_w_per_k * leakage_left).ravel(),
            fabric_per_s=np.inf * gpu.clock_hz if gpu.fabric_hz is None else gpu.fabric_hz * soc.fabric_bytes_per_cycle,
            heats=np.stack([junction, 1 - junction], -1),
        )
