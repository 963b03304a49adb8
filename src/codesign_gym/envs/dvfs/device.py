"""What a control interval costs a batch of devices: clocks that change, energy, heat and idle states."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, reduce
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from codesign_gym.envs.dvfs.grid import Grid
from codesign_gym.simulators.dvfs import Soc
from codesign_gym.simulators.dvfs.thermal import INPUTS, OUTPUTS, bounded

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Interval(NamedTuple):
    """How an interval was spent."""

    changed: NDArray[np.bool_]  # (batch, domains) clocks that changed at its start
    busy: Floats  # (domains, batch) busy share of each domain
    asleep: Floats  # (batch,) share in an idle state
    depth: Ints  # (batch,) which one


class Spent(NamedTuple):
    """The end of an interval."""

    temperature_c: Floats  # (batch, nodes)
    energy_j: Floats  # (batch, rails)


@dataclass(frozen=True, eq=False)
class Device:
    """A system on a chip, tabulated for intervals of one length.

    Energy and heat of an interval are those of its mean activity, exact for the linear thermal network, as those of
    :meth:`Soc.advance`. What idle states spare on average is counted at the temperature of the interval's start.

    Attributes:
        soc: the device.
        settings: (settings, domains) clock positions, in the order in which settings are numbered.
        grid: of the interval.
        scaled: whether episodes have capacitances of their own.
    """

    soc: Soc
    settings: Ints
    grid: Grid
    scaled: bool

    def stall_s(self, changed: NDArray[np.bool_]) -> Floats:
        """How long a change of clocks takes, shape (batch,), from which ones change, (batch, domains)."""
        return reduce(np.add, [row * seconds for row, seconds in zip(changed.T, self._transition_s, strict=True)])

    def wake_s(self, depth: Ints) -> Floats:
        """How long a device takes to leave an idle state, shape (batch,)."""
        return self._wake_s.take(depth)

    def depth(self, demand: NDArray[np.float32], utilisation: NDArray[np.float32]) -> Ints:
        """The idle state that a device enters whenever it is out of work, shape (batch,).

        It is the deepest one that is worth while over the gap that is to be expected between requests, as the kernel's
        menu governor decides by a prediction. Expected is the idle time of the last interval over the running mean of
        the requests that come.

        Args:
            demand: (batch,) that running mean.
            utilisation: (batch,) share of the last interval in which the device was busy.
        """
        gap_s = np.maximum(1 - utilisation, np.float32(0)) * np.float32(self.grid.interval_s)
        depth = np.zeros(len(demand), dtype=np.int64)
        for state in self.soc.idle_states[1:]:
            depth += gap_s >= demand * np.float32(state.residency_s)
        return depth

    def spend(
        self,
        interval: Interval,
        index: Ints,
        setting: Ints,
        temperature_c: Floats,
        ambient_c: Floats,
        scale: Floats,
    ) -> Spent:
        """Run an interval.

        Args:
            interval: how it is spent.
            index: (batch, domains) clocks.
            setting: (batch,) their number.
            temperature_c: (batch, nodes) at its start.
            ambient_c: (batch,).
            scale: (batch, domains) capacitance relative to the device file's.
        """
        soc, domains = self.soc, len(interval.busy)
        rows = self._by_setting.take(setting, axis=1)
        idle_w, power_w, slope = rows[: 3 * domains].reshape(3, domains, -1)
        power_w *= self._switching(interval.busy, scale.T) if self.scaled else interval.busy
        power_w += idle_w
        self._spare(power_w, interval, index, temperature_c[:, 0])  # (domains, batch) at 0 degrees Celsius

        junction_w, case_w = reduce(np.add, power_w[:, None] * self._heat_shares)
        case_w += ambient_c * (1 / soc.thermal.case_ambient_k_per_w)
        case_w += soc.rest_w
        response = rows[3 * domains :].reshape(len(INPUTS), len(OUTPUTS), -1)
        for row, value in zip(response, (*temperature_c.T, junction_w, case_w), strict=True):
            row *= value
        grown = reduce(np.add, response)

        energy_j = np.empty((domains + 1, len(setting)))
        np.multiply(power_w, self.grid.interval_s, out=energy_j[:-1])
        slope *= grown[2]
        energy_j[:-1] += slope
        energy_j[-1] = reduce(np.add, energy_j[:-1])
        energy_j[-1] *= soc.rest_share
        energy_j[-1] += soc.rest_w * self.grid.interval_s
        energy_j[:-1] += interval.changed.T * soc.transition_j[:, None]
        return Spent(bounded(grown[:2].T, temperature_c, ambient_c), energy_j.T)

    def _spare(self, power_w: Floats, interval: Interval, index: Ints, junction_c: Floats) -> None:
        """Take from the power of the domains, (domains, batch), what an idle state spares on average."""
        for domain, (constant, slope) in self._gated.items():
            at = interval.depth * self.soc.steps[domain]
            at += index[:, domain]
            spared_w = slope.take(at)
            spared_w *= junction_c
            spared_w += constant.take(at)
            spared_w *= interval.asleep
            power_w[domain] -= spared_w

    def _switching(self, busy: Floats, scale: Floats) -> Floats:
        """The activity at which the file's capacitance, i + (1 - i) u, switches as an episode's does, as rows."""
        idle = np.array([domain.idle_activity for domain in self.soc.domains])[:, None]
        return np.asarray(scale * busy + (scale - 1) * (idle / (1 - idle)))

    @cached_property
    def _transition_s(self) -> Floats:
        return self.grid.near(self.soc.transition_s)

    @cached_property
    def _wake_s(self) -> Floats:
        return self.grid.near([state.wake_s for state in self.soc.idle_states])

    @cached_property
    def _by_setting(self) -> Floats:
        """Power and heat at every setting, as rows that are quick to look up.

        Each domain's idle power at 0 degrees Celsius, what activity 1 adds to it, and its growth per kelvin; then the
        thermal network's response, an output after the other for every input.
        """
        none, full = np.zeros(len(self.soc.steps)), np.ones(len(self.soc.steps))
        idle_w, busy_w, hot_w = (
            self.soc.power_w(self.settings, activity, celsius)[:, :-1]
            for activity, celsius in ((none, 0.0), (full, 0.0), (none, 1.0))
        )
        slope = hot_w - idle_w
        response = self.soc.thermal.response(slope @ self.soc.heat_shares.T, self.grid.interval_s)
        return np.concatenate([idle_w.T, (busy_w - idle_w).T, slope.T, response.reshape(-1, len(self.settings))])

    @cached_property
    def _heat_shares(self) -> Floats:
        """Heat into junction and case a watt of each domain, (domains, 2, 1)."""
        return self.soc.heat_shares.T[:, :, None]

    @cached_property
    def _gated(self) -> dict[int, tuple[Floats, Floats]]:
        """Domain to what each idle state spares at 0 degrees Celsius, and by how much more a kelvin, (states * steps,).

        Only of domains that some state gates.
        """
        soc, gated = self.soc, {}
        for domain, steps in enumerate(soc.steps):
            index = np.zeros((steps, len(soc.steps)), dtype=np.int64)
            index[:, domain] = np.arange(steps)
            cool, warm = (
                np.concatenate(
                    [soc.spared_w(index, celsius, state)[:, domain] for state in range(len(soc.idle_states))]
                )
                for celsius in (0.0, 1.0)
            )
            if cool.any() or warm.any():
                gated[domain] = cool, warm - cool
        return gated
