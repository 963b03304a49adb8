"""The state of a batch of running devices, and what of it a picture needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]

#: Columns of the trace; behind them the clocks, the threshold and the requests that left by each exit.
TRACE = ("temperature_c", "power_w", "waiting", "dropped", "late")


@dataclass(frozen=True)
class DvfsState:
    """A batch of running devices; times are seconds since the episode's start.

    The first five are all that is random, drawn at the start; the trace is empty unless pictures are wanted. Rows
    lie in one piece each.
    """

    arrival_s: Array  # (batch, requests + 1) ascending; the last, and those beyond the end, never come
    sample: Array  # (batch, requests + 1) which recorded image each brings
    ambient_c: Array  # (batch,)
    scale: Array  # (batch, domains) capacitance, relative to the device file's
    arrived_by: Array  # (batch, horizon + 1) requests that have come by each interval's start
    step: Array  # (batch,) intervals done
    arrived: Array  # (batch,) requests that have come
    came: Array  # (batch,) of these in the last interval
    head: Array  # (batch,) first request that has neither started nor been dropped
    left: Array  # (batch,) share of the request in service that is still to do, 0 if there is none
    running: Array  # (batch,) the request in service
    answer: Array  # (batch,) the exit that it leaves by, and as many more as there are exits if its answer is right
    index: Array  # (batch, domains) clock positions
    level: Array  # (batch,) position of the exit threshold
    temperature_c: Array  # (batch, nodes) of the thermal network
    throttled: Array  # (batch,)
    peak_c: Array  # (batch,) highest junction temperature so far
    energy_j: Array  # (batch, rails) so far
    power_w: Array  # (batch, rails) mean over the last interval
    utilisation: Array  # (batch, domains) busy share in the last interval, single precision as the next two
    demand: Array  # (batch,) running mean of the requests that arrive in an interval
    recent: Array  # (batch, exits) running mean of the requests that leave by each exit in an interval
    asleep: Array  # (batch,) share of the last interval in an idle state
    served: Array  # (batch,) answered so far
    late: Array  # (batch,) of these after their deadline
    correct: Array  # (batch,) of these rightly
    dropped: Array  # (batch,) that left the queue unserved
    waiting: Array  # (batch,) that have come and are neither answered nor dropped
    throttling: Array  # (batch,) intervals under throttling so far
    trace: Array  # (batch, horizon or 0, columns of TRACE and those behind)
