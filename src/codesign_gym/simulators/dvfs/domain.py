"""What a device is made of: clock domains, and the idle states that gate them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from codesign_gym.simulators.dvfs.clocks import ClockTable

Floats = NDArray[np.float64]

#: Domains a device may have, in their order.
DOMAINS = ("cpu", "gpu", "memory")


@dataclass(frozen=True, eq=False)
class Domain:
    """A clock domain.

    Attributes:
        clocks: its steps.
        per_cycle: what it does a cycle: launches (cpu), operations (gpu), bytes (memory).
        capacitance_f: switched at activity 1.
        idle_activity: share of it that switches at activity 0.
        leakage_a: leakage current at the reference temperature.
        leakage_per_k: its growth, relative to that, per kelvin.
        transition_s: time a change of this clock takes.
        transition_j: energy of such a change, beyond the power drawn meanwhile.
        junction_share: share of its heat that arises in the junction; the rest arises in the case.
    """

    clocks: ClockTable
    per_cycle: float
    capacitance_f: float
    idle_activity: float
    leakage_a: float
    leakage_per_k: float
    transition_s: float
    transition_j: float
    junction_share: float


@dataclass(frozen=True, eq=False)
class IdleState:
    """A state that a device without work may enter.

    Attributes:
        name: what it is called.
        clock_share: what is left of the switching of each domain's clock tree, shape (domains,).
        leakage_share: what is left of each domain's leakage, shape (domains,).
        wake_s: how long it takes to leave.
        residency_s: how long it must last to be worth while.
    """

    name: str
    clock_share: Floats
    leakage_share: Floats
    wake_s: float
    residency_s: float


#: Nothing gated: the first idle state of every device.
RUNNING = "running"
