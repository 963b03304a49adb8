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

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from codesign_gym.errors import BadConfig, UnknownName
from codesign_gym.simulators.dvfs.clocks import ClockTable
from codesign_gym.simulators.dvfs.thermal import OUTPUTS, Thermal, as_columns, as_rows, bounded, stacked
from codesign_gym.simulators.dvfs.work import Work

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Domains a device may have, in their order.
DOMAINS = ("cpu", "gpu", "memory")


class Advanced(NamedTuple):
    """The end of a step."""

    temperature_c: Floats  # (..., 2) junction and case
    energy_j: Floats  # (..., domains + 1) over the step, in the order of ``Soc.rails``


class Transition(NamedTuple):
    """What a change of clocks costs."""

    seconds: Floats  # (...) during which nothing runs
    joules: Floats  # (...) beyond the power drawn meanwhile


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
    """How much of a domain's idle power is left, shape (domains,), and how long it takes to wake."""

    name: str
    clock_share: Floats  # of the clock tree's switching
    leakage_share: Floats
    wake_s: float


#: Nothing gated: the first idle state of every device.
RUNNING = "running"


@dataclass(frozen=True, eq=False)
class Soc:
    """A device's clocks and the numbers of its model; methods are pure and broadcast over leading axes (...).

    ``index`` is everywhere an integer array (..., domains): positions in the clock tables.

    Attributes:
        name: the id or file it was loaded by.
        title: one line about the hardware.
        domains: in the order of :data:`DOMAINS`.
        overlap: the norm's exponent, 1 or more.
        launches_per_s: of a host whose clock is not the device's, where there is no cpu domain.
        fabric_bytes_per_cycle: of the fabric, where the gpu's clock table has one.
        rest_w: constant power of the rest of the board.
        rest_share: the regulators' losses, relative to the domains' power.
        reference_c: temperature at which leakage is as given.
        thermal: the thermal network.
        throttled_index: (domains,) the highest step of each domain while throttling.
        idle_states: the first is :data:`RUNNING`.
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
    ) -> Advanced:
        """Temperature after, and energy over, a step of constant clocks and activity: exact, however long the step.

        Args:
            temperature_c: (..., 2) of junction and case before it.
            index: (..., domains).
            activity: (..., domains).
            ambient_c: (...).
            seconds: (...), 0 or more.
            state: (...) position in ``idle_states``.
        """
        parts = [(temperature_c, 1), (index, 1), (activity, 1), (ambient_c, 0), (seconds, 0), (state, 0)]
        arrays = [np.asarray(part) for part, _ in parts]
        shape = np.broadcast_shapes(*(a.shape[: a.ndim - tail] for a, (_, tail) in zip(arrays, parts, strict=True)))
        temperature, at, share, ambient, time, gating = (
            np.broadcast_to(a, (*shape, *a.shape[a.ndim - tail :])) for a, (_, tail) in zip(arrays, parts, strict=True)
        )
        return self.advanced(self.regime(at, time, gating), temperature, share, ambient, time)

    def regime(self, index: ArrayLike, seconds: ArrayLike, state: ArrayLike = 0) -> Floats:
        """All that :meth:`advanced` needs to know of clocks and a step's length, shape (rows, ...); to be looked up.

        Rows are what 1, each of both temperatures, the air's and the activity of each domain adds to each of the
        thermal network's outputs; then each domain's energy at activity 0 and 0 degrees Celsius, what activity 1 adds
        to it, and its growth per kelvin-second.

        Args:
            index: (..., domains).
            seconds: (...), 0 or more.
            state: (...) position in ``idle_states``.
        """
        tables, places = self._tables, self._places(index)
        gated = places + np.asarray(state)[..., None] * len(tables.busy_w)
        idle_w, busy_w, slope = tables.idle_w.take(gated), tables.busy_w.take(places), tables.slope_w_per_k.take(gated)
        by_junction, by_case, by_junction_w, by_case_w, by_ambient = self.thermal.response(
            _product(self._with_rest(slope, 0.0), tables.heats), seconds
        )

        def by(power_w: Floats, rest_w: float) -> Floats:
            heat_w = _product(self._with_rest(power_w, rest_w), tables.heats)
            return np.asarray(by_junction_w * heat_w[..., 0] + by_case_w * heat_w[..., 1])  # (outputs, ...)

        alone = [by(busy_w * one, 0.0) for one in np.eye(len(self.domains))]
        network = np.stack([by(idle_w, self.rest_w), by_junction, by_case, by_ambient, *alone])
        shape, time = network.shape[2:], np.asarray(seconds, dtype=np.float64)[..., None]
        energy = [np.broadcast_to(as_rows(of), (len(alone), *shape)) for of in (idle_w * time, busy_w * time, slope)]
        return np.concatenate([network.reshape(-1, *shape), *energy])

    def advanced(
        self, regime: Floats, temperature_c: Floats, activity: Floats, ambient_c: Floats, seconds: Any
    ) -> Advanced:
        """What :meth:`advance` returns, from a :meth:`regime`, which is used up, and its ``seconds``.

        Other arguments as there, but all of the same leading axes (...).
        """
        count, shape = len(self.domains), regime.shape[1:]
        first = len(regime) - 3 * count
        constant, *network = regime[:first].reshape(4 + count, len(OUTPUTS), *shape)
        idle_j, busy_j, slope = regime[first:].reshape(3, count, *shape)
        shares = as_rows(activity)
        grown = constant.copy()
        for row, value in zip(network, (*as_rows(temperature_c), ambient_c, *shares), strict=True):
            row *= value  # the regime's rows are used up
            grown += row
        energy_j = np.empty((count + 1, *shape))
        np.multiply(busy_j, shares, out=energy_j[:-1])
        energy_j[:-1] += idle_j
        energy_j[:-1] += slope * grown[2]
        energy_j[-1] = self.rest_share * sum(energy_j[:-1]) + self.rest_w * seconds
        return Advanced(bounded(as_columns(grown[:2]), temperature_c, ambient_c), as_columns(energy_j))

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
    def _tables(self) -> _Tables:
        return _Tables.of(self)


class _Tables(NamedTuple):
    """What the methods look up; "all" is the steps of all domains, one after another."""

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
    def of(cls, soc: Soc) -> _Tables:
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


def _norm(parts: list[Floats], exponent: float) -> Floats:
    """The p-norm of the parts, (...) each, scaled by the largest so that no power under- or overflows."""
    largest = reduce(np.maximum, parts)
    unit = np.where(largest > 0, largest, 1.0)
    return np.asarray(largest * sum((part / unit) ** exponent for part in parts) ** (1 / exponent))


def _product(rows: Floats, matrix: Floats) -> Floats:
    """The matrix product of (..., n) and (n, m), added column by column: BLAS rounds one row otherwise than many."""
    columns = [sum(rows[..., i] * factor for i, factor in enumerate(column)) for column in matrix.T]
    return stacked([np.asarray(column) for column in columns])
