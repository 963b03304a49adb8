"""A system on a chip whose clocks can be set: latency, power, heat and the cost of changing a clock.

Latency is the p-norm of the times that each part would take alone, with one exponent p a device:

    t = ((operations / R_gpu)^p + (bytes / R_memory)^p + (traffic / R_fabric)^p + (launches / R_cpu)^p)^(1/p)

where a rate R is the domain's clock times what it does a cycle. At p = 1 the parts wait for each other, at infinity
they overlap perfectly (a roofline); real networks lie between, because each of their layers has a limit of its own. A
higher clock is never slower. A domain's activity is the share of that time its own part takes.

Power of a domain, with V and f of its clock, T the junction's temperature and u the activity:

    P = V I (1 + k (T - T_ref)) + C V^2 f (i + (1 - i) u)

with i the share of the capacitance that switches while idle (the clock tree). What is left of the board draws a
constant and, in its regulators, a share of the domains' power.

Limits: domains do not slow each other except through the norm; a piece of work draws its mean power throughout; u may
exceed 1 for work that switches more than the work the device was calibrated on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from codesign_gym.errors import BadConfig, UnknownName
from codesign_gym.simulators.dvfs.domain import Domain, IdleState
from codesign_gym.simulators.dvfs.lookup import StepTables
from codesign_gym.simulators.dvfs.thermal import Thermal, stacked
from codesign_gym.simulators.dvfs.work import Work

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Advanced(NamedTuple):
    """The end of a step."""

    temperature_c: Floats  # (..., 2) junction and case
    energy_j: Floats  # (..., domains + 1) over the step, in the order of ``Soc.rails``


class Transition(NamedTuple):
    """What a change of clocks costs."""

    seconds: Floats  # (...) during which nothing runs
    joules: Floats  # (...) beyond the power drawn meanwhile


@dataclass(frozen=True, eq=False)
class Soc:
    """A device's clocks and the numbers of its model; methods are pure and broadcast over leading axes (...).

    ``index`` is everywhere an integer array (..., domains): positions in the clock tables.

    Attributes:
        name: the id or file it was loaded by.
        title: one line about the hardware.
        domains: in the order of :data:`~codesign_gym.simulators.dvfs.domain.DOMAINS`.
        overlap: the norm's exponent, 1 or more.
        launches_per_s: of a host whose clock is not the device's, where there is no cpu domain.
        fabric_bytes_per_cycle: of the fabric, where the gpu's clock table has one.
        rest_w: constant power of the rest of the board.
        rest_share: the regulators' losses, relative to the domains' power.
        reference_c: temperature at which leakage is as given.
        thermal: the thermal network.
        throttled_index: (domains,) the highest step of each domain while throttling.
        idle_states: the first is :data:`~codesign_gym.simulators.dvfs.domain.RUNNING`, the deepest the last.
        assumed: paths of the numbers that are assumed, for sensitivity sweeps.
        sources: path of each number to its source.
    """

    name: str
    title: str
    domains: tuple[Domain, ...]
    overlap: float
    launches_per_s: float
    fabric_bytes_per_cycle: float
    rest_w: float
    rest_share: float
    reference_c: float
    thermal: Thermal
    throttled_index: tuple[int, ...]
    idle_states: tuple[IdleState, ...]
    assumed: tuple[str, ...]
    sources: Mapping[str, str]

    @property
    def names(self) -> tuple[str, ...]:
        """The domains' names."""
        return tuple(domain.clocks.name for domain in self.domains)

    @property
    def rails(self) -> tuple[str, ...]:
        """Names of the columns of power and energy: the domains, and the rest of the board."""
        return (*self.names, "rest")

    @property
    def steps(self) -> tuple[int, ...]:
        """How many clocks each domain has."""
        return tuple(len(domain.clocks) for domain in self.domains)

    def domain(self, name: str) -> Domain:
        """A domain by name.

        Raises:
            UnknownName: if the device has none of that name.
        """
        if name not in self.names:
            raise UnknownName(f"domain of {self.name!r}", name, self.names)
        return self.domains[self.names.index(name)]

    def with_clocks(self, name: str, clock_hz: ArrayLike) -> Soc:
        """The device with other steps in one domain; see :meth:`ClockTable.at`."""
        old = self.domain(name)
        new = replace(old, clocks=old.clocks.at(clock_hz))
        caps = [
            int(new.clocks.nearest(domain.clocks.clock_hz[cap])) if domain is old else cap
            for domain, cap in zip(self.domains, self.throttled_index, strict=True)
        ]
        domains = tuple(new if domain is old else domain for domain in self.domains)
        return replace(self, domains=domains, throttled_index=tuple(caps))

    def with_domain(self, name: str, **changes: object) -> Soc:
        """The device with other values in one domain's fields."""
        old = self.domain(name)
        new = replace(old, **changes)  # type: ignore[arg-type]
        return replace(self, domains=tuple(new if domain is old else domain for domain in self.domains))

    def index(self, **clock_hz: ArrayLike) -> Ints:
        """Positions (..., domains) of the steps nearest to the clocks named; the highest where a domain is not."""
        for name in clock_hz:
            self.domain(name)
        columns = [
            domain.clocks.nearest(clock_hz.get(domain.clocks.name, domain.clocks.clock_hz[-1]))
            for domain in self.domains
        ]
        return np.stack(np.broadcast_arrays(*columns), -1)

    def every_index(self) -> Ints:
        """All combinations of clocks, shape (settings, domains), the last domain fastest."""
        return np.stack(np.meshgrid(*map(np.arange, self.steps), indexing="ij"), -1).reshape(-1, len(self.steps))

    def clocks(self, index: ArrayLike) -> Floats:
        """Clocks asked for, Hz, shape (..., domains)."""
        return self._take(self._tables.clock_hz, index)

    def voltages(self, index: ArrayLike) -> Floats:
        """Voltages, V, shape (..., domains)."""
        return self._take(self._tables.voltage_v, index)

    def parts_s(self, work: Work, index: ArrayLike) -> Floats:
        """Times that the parts would take alone, shape (..., 4): operations, bytes, launches and traffic."""
        return np.stack(np.broadcast_arrays(*self._parts(work, index)), -1)

    def latency_s(self, work: Work, index: ArrayLike) -> Floats:
        """Seconds that the work takes, shape (...)."""
        return _norm(self._parts(work, index), self.overlap)

    def activity(self, work: Work, index: ArrayLike) -> Floats:
        """Share of the work's time that each domain is busy, shape (..., domains); 0 where there is no work."""
        parts = self._parts(work, index)
        whole = _norm(parts, self.overlap)
        part = dict(zip(("gpu", "memory", "cpu"), parts, strict=False))
        shares = [part[name] / np.where(whole > 0, whole, 1.0) for name in self.names]
        return np.stack(np.broadcast_arrays(*shares), -1)

    def _parts(self, work: Work, index: ArrayLike) -> list[Floats]:
        places = self._places(index)
        rate = {name: self._tables.per_s.take(places[..., place]) for place, name in enumerate(self.names)}
        gpu = self.names.index("gpu")
        fabric = self._tables.fabric_per_s.take(places[..., gpu] - self._tables.starts[gpu])
        return [
            work.operations / rate["gpu"],
            work.bytes / rate["memory"],
            work.launches / rate.get("cpu", self.launches_per_s),
            work.traffic / fabric,
        ]

    def power_w(self, index: ArrayLike, activity: ArrayLike, temperature_c: ArrayLike, state: ArrayLike = 0) -> Floats:
        """Power of each domain and of the rest of the board, shape (..., domains + 1); idle is activity 0.

        Args:
            index: (..., domains).
            activity: (..., domains).
            temperature_c: (...) of the junction.
            state: (...) position in ``idle_states``.
        """
        constant, slope = self._power(index, activity, state)
        return constant + slope * np.asarray(temperature_c, dtype=np.float64)[..., None]

    def advance(
        self,
        temperature_c: Floats,
        index: ArrayLike,
        activity: ArrayLike,
        ambient_c: ArrayLike,
        seconds: ArrayLike,
        state: ArrayLike = 0,
        spared_w: ArrayLike | None = None,
    ) -> Advanced:
        """Temperature after, and energy over, a step of constant clocks and activity: exact, however long the step.

        Args:
            temperature_c: (..., 2) of junction and case before it.
            index: (..., domains).
            activity: (..., domains).
            ambient_c: (...).
            seconds: (...), 0 or more.
            state: (...) position in ``idle_states``, for the whole step.
            spared_w: (..., domains) power that is not drawn, as of a device that is in an idle state for a part of the
                step; see :meth:`spared_w`.
        """
        none = np.zeros(len(self.domains))
        parts = [(temperature_c, 1), (index, 1), (activity, 1), (ambient_c, 0), (seconds, 0), (state, 0)]
        arrays = [np.asarray(part) for part, _ in parts]
        shape = np.broadcast_shapes(*(a.shape[: a.ndim - tail] for a, (_, tail) in zip(arrays, parts, strict=True)))
        temperature, at, share, ambient, time, gating = (
            np.broadcast_to(a, (*shape, *a.shape[a.ndim - tail :])) for a, (_, tail) in zip(arrays, parts, strict=True)
        )
        spared = np.broadcast_to(none if spared_w is None else spared_w, share.shape)
        constant, slope = self._power(at, share, gating)
        constant[..., :-1] -= spared
        constant[..., -1] -= self.rest_share * spared.sum(-1)
        heated = self.thermal.step(
            temperature, _product(constant, self._tables.heats), _product(slope, self._tables.heats), ambient, time
        )
        energy_j = constant * time[..., None] + slope * heated.junction_k_s[..., None]
        return Advanced(heated.temperature_c, energy_j)

    def spared_w(self, index: ArrayLike, temperature_c: ArrayLike, state: ArrayLike) -> Floats:
        """Power of each domain that an idle state spares a device without work, shape (..., domains).

        Args:
            index: (..., domains).
            temperature_c: (...) of the junction.
            state: (...) position in ``idle_states``.
        """
        none = np.zeros(len(self.domains))
        running, gated = (self.power_w(index, none, temperature_c, at) for at in (0, state))
        return np.asarray(running - gated)[..., :-1]

    def throttled(self, was: ArrayLike, temperature_c: Floats) -> NDArray[np.bool_]:
        """Whether the device throttles, shape (...), given whether it did and its temperatures (..., 2)."""
        return self.thermal.throttled(was, temperature_c[..., 0])

    def capped(self, index: ArrayLike, throttled: ArrayLike) -> Ints:
        """The clocks that run, (..., domains): those asked for, capped where the device throttles."""
        asked = np.asarray(index)
        return np.where(np.asarray(throttled)[..., None], np.minimum(asked, np.array(self.throttled_index)), asked)

    def transition(self, before: ArrayLike, after: ArrayLike) -> Transition:
        """Cost of going from clocks to others, one domain after another; 0 where nothing changes."""
        changed = np.asarray(before) != np.asarray(after)
        return Transition(changed @ self.transition_s, changed @ self.transition_j)

    @cached_property
    def feedback_w_per_k(self) -> Floats:
        """How fast leakage grows at the highest clocks, shape (2,): into junction and case."""
        _, slope = self._power(np.array(self.steps) - 1, 0.0, 0)
        return slope @ self._tables.heats

    @cached_property
    def heat_shares(self) -> Floats:
        """Heat into junction and case a watt of each domain, with its part of the regulators' losses, (2, domains)."""
        heats = self._tables.heats
        return np.asarray((heats[:-1] + self.rest_share * heats[-1]).T)

    @cached_property
    def transition_s(self) -> Floats:
        """Time a change of each domain's clock takes, shape (domains,)."""
        return np.array([domain.transition_s for domain in self.domains])

    @cached_property
    def transition_j(self) -> Floats:
        """Energy of a change of each domain's clock, shape (domains,)."""
        return np.array([domain.transition_j for domain in self.domains])

    def _take(self, table: Floats, index: ArrayLike) -> Floats:
        """Values of a table over all steps of all domains, (steps of all domains,), at positions (..., domains)."""
        return table.take(self._places(index))

    def _places(self, index: ArrayLike) -> Ints:
        """Where the steps at positions (..., domains) are in such a table, checked."""
        positions, steps = np.asarray(index), self._tables.steps
        if positions.shape[-1:] != steps.shape:
            raise BadConfig(f"{self.name}: an index of shape {positions.shape}; accepted: (..., {len(steps)})")
        outside = (positions < 0) | (positions >= steps)
        if outside.any():
            wrong = np.argwhere(outside)[0]
            name, most = self.names[wrong[-1]], self.steps[wrong[-1]] - 1
            raise BadConfig(f"{self.name}: index of {name!r} is {positions[tuple(wrong)]}; accepted: 0 to {most}")
        return np.asarray(positions + self._tables.starts)

    def _power(self, index: ArrayLike, activity: ArrayLike, state: ArrayLike) -> tuple[Floats, Floats]:
        """Power at 0 degrees Celsius and its growth per kelvin, each (..., domains + 1)."""
        tables, places = self._tables, self._places(index)
        gated = places + np.asarray(state)[..., None] * len(tables.busy_w)
        constant = tables.idle_w.take(gated) + tables.busy_w.take(places) * np.asarray(activity, dtype=np.float64)
        return self._with_rest(constant, self.rest_w), self._with_rest(tables.slope_w_per_k.take(gated), 0.0)

    def _with_rest(self, domains_w: Floats, constant: float) -> Floats:
        """Power of the domains (..., domains), and after it that of the rest of the board."""
        domains = [domains_w[..., i] for i in range(domains_w.shape[-1])]
        return stacked([*domains, np.asarray(self.rest_share * sum(domains) + constant)])

    @cached_property
    def _tables(self) -> StepTables:
        return StepTables.of(self)


def _norm(parts: list[Floats], exponent: float) -> Floats:
    """The p-norm of the parts, (...) each, scaled by the largest so that no power under- or overflows."""
    largest = reduce(np.maximum, parts)
    unit = np.where(largest > 0, largest, 1.0)
    return np.asarray(largest * sum((part / unit) ** exponent for part in parts) ** (1 / exponent))


def _product(rows: Floats, matrix: Floats) -> Floats:
    """The matrix product of (..., n) and (n, m), added column by column: BLAS rounds one row otherwise than many."""
    columns = [sum(rows[..., i] * factor for i, factor in enumerate(column)) for column in matrix.T]
    return stacked([np.asarray(column) for column in columns])
