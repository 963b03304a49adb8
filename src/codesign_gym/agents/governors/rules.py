"""Rules by which clocks follow the load, one class each.

The Linux governors are those of the kernel's CPUFreq documentation (Documentation/admin-guide/pm/cpufreq.rst) and of
drivers/cpufreq/cpufreq_ondemand.c (od_update), cpufreq_conservative.c (cs_dbs_update) and
kernel/sched/cpufreq_schedutil.c (get_next_freq), whose rules and default numbers are used. They are applied to each
domain with its own utilisation, as devfreq does for GPU and memory, once a control interval: that interval stands for
the sampling period of the first two (with sampling_down_factor 1, their default, no sample is skipped) and for
schedutil's rate limit, all of which are derived from how long a change of clocks takes, of the order of milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from codesign_gym.agents.governors.governor import Governor, Ints, Seen


@dataclass(frozen=True)
class Fixed(Governor):
    """One position, whatever happens: the kernel's ``performance`` (-1) and ``powersave`` (0).

    Attributes:
        position: of every domain; negative ones count from the highest.
    """

    position: int = -1

    def positions(self, seen: Seen) -> Ints:
        """See :class:`Governor`."""
        return np.full(len(seen.position), self.position % len(seen.clock_hz))


@dataclass(frozen=True)
class Ondemand(Governor):
    """The highest clock above a load, else a clock in proportion to it.

    Attributes:
        up_threshold: MICRO_FREQUENCY_UP_THRESHOLD, 95 percent, which holds where idle time is accounted in
            microseconds, as on every tickless kernel; DEF_FREQUENCY_UP_THRESHOLD, 80 percent, where it is in ticks.
    """

    up_threshold: float = 0.95

    def positions(self, seen: Seen) -> Ints:
        """See :class:`Governor`."""
        low, high = seen.clock_hz[0], seen.clock_hz[-1]
        wanted = low + np.minimum(seen.utilisation, 1.0) * (high - low)
        nearest = np.abs(seen.clock_hz - wanted[:, None]).argmin(-1)  # CPUFREQ_RELATION_C
        return np.where(seen.utilisation > self.up_threshold, len(seen.clock_hz) - 1, nearest)


@dataclass(frozen=True)
class Conservative(Governor):
    """Small steps up above a load, and down below another.

    As in the kernel, a request between two table steps is rounded to the lower one on the way up
    (CPUFREQ_RELATION_H), to the higher one on the way down (CPUFREQ_RELATION_L). The kernel remembers what it asked
    for, so that small requests add up; this rule does not remember, and moves by at least one step of the table.

    Attributes:
        up_threshold: DEF_FREQUENCY_UP_THRESHOLD, 80 percent.
        down_threshold: DEF_FREQUENCY_DOWN_THRESHOLD, 20 percent.
        freq_step: DEF_FREQUENCY_STEP, 5 percent of the highest clock.
    """

    up_threshold: float = 0.8
    down_threshold: float = 0.2
    freq_step: float = 0.05

    def positions(self, seen: Seen) -> Ints:
        """See :class:`Governor`."""
        hz, step_hz = seen.clock_hz, self.freq_step * seen.clock_hz[-1]
        now = hz[seen.position]
        up = np.maximum(np.searchsorted(hz, now + step_hz, side="right") - 1, seen.position + 1)
        down = np.minimum(np.searchsorted(hz, now - step_hz), seen.position - 1)
        wanted = np.where(seen.utilisation > self.up_threshold, up, seen.position)
        wanted = np.where(seen.utilisation < self.down_threshold, down, wanted)
        return np.asarray(np.clip(wanted, 0, len(hz) - 1))


@dataclass(frozen=True)
class Schedutil(Governor):
    """The lowest clock at which the load would be 80 percent: 1.25 times the share of the present clock that is used.

    This is the kernel's rule for utilisation that does not scale with the clock (get_next_freq: C * curr_freq *
    util / max). The kernel's utilisation decays over tens of milliseconds (PELT); here it is that of the last interval.

    Attributes:
        margin: the kernel's C, 1.25: a quarter of headroom (map_util_freq, in later kernels map_util_perf).
    """

    margin: float = 1.25

    def positions(self, seen: Seen) -> Ints:
        """See :class:`Governor`."""
        wanted = self.margin * np.minimum(seen.utilisation, 1.0) * seen.clock_hz[seen.position]
        return np.minimum(np.searchsorted(seen.clock_hz, wanted * (1 - 1e-9)), len(seen.clock_hz) - 1)


@dataclass(frozen=True)
class RaceToIdle(Governor):
    """The highest clocks while a request is open, else the lowest."""

    def positions(self, seen: Seen) -> Ints:
        """See :class:`Governor`."""
        return np.where(seen.waiting > 0, len(seen.clock_hz) - 1, 0)
