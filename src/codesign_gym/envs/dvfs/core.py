"""The batched core of runtime control: requests arrive, are queued and served; the chip warms up; clocks are set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from codesign_gym.envs.core.actions import ActionView, BadAction, view
from codesign_gym.envs.core.core import put, take
from codesign_gym.envs.dvfs.arrivals import Arrivals
from codesign_gym.envs.dvfs.observer import Observer
from codesign_gym.envs.dvfs.service import Demand, Server, Standing
from codesign_gym.envs.dvfs.tables import Tables
from codesign_gym.simulators.dvfs.thermal import columnwise, stacked

Array = NDArray[Any]

#: Episodes drawn at a time, few enough to stay in a cache.
BLOCK = 32

#: Share of the past in running means over intervals.
MEMORY = 0.8


@dataclass(frozen=True)
class DvfsState:
    """A batch of running devices; times are seconds since the episode's start.

    The first four are all that is random, drawn at the start; the trace is empty unless pictures are wanted.
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
    answer: Array  # (batch,) twice the exit that it leaves by, and one more if its answer is right
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
    served: Array  # (batch,) answered so far
    late: Array  # (batch,) of these after their deadline
    correct: Array  # (batch,) of these rightly
    dropped: Array  # (batch,) that left the queue unserved
    waiting: Array  # (batch,) that have come and are neither answered nor dropped
    throttling: Array  # (batch,) intervals under throttling so far
    trace: Array  # (batch, horizon or 0, columns of TRACE and exits)


#: Columns of the trace; behind them the requests that left by each exit.
TRACE = ("temperature_c", "power_w", "waiting", "dropped", "late")


@dataclass(frozen=True)
class Weights:
    """What each part of the reward is worth.

    Attributes:
        energy: of an interval at the highest clocks, always busy.
        misses: of a request that is answered late or dropped.
        accuracy: of a wrong answer.
        throttling: of an interval under throttling.
    """

    energy: float = 1.0
    misses: float = 1.0
    accuracy: float = 0.0
    throttling: float = 0.1


@dataclass(frozen=True)
class Randomised:
    """What differs between episodes.

    Attributes:
        ambient_c: lowest and highest temperature of the air.
        capacitance: each domain's switched capacitance is off by up to this share.
    """

    ambient_c: tuple[float, float] = (25.0, 25.0)
    capacitance: float = 0.0


@dataclass(frozen=True)
class DvfsCore:
    """Sets clocks and an exit threshold for one control interval after another; ends by truncation.

    Energy and heat of an interval are those of its mean activity, exact for the linear thermal network. Clocks change
    at its start, during which nothing runs; a throttled device runs at no more than its caps. Without work a device
    idles at its clocks: the idle states of its file, which gate clocks and leakage, are not entered.

    Attributes:
        tables: device and workload.
        arrivals: when requests come.
        observer: what the agent sees.
        actions: how clocks and threshold are expressed.
        weights: of the reward's terms.
        randomised: what differs between episodes.
        horizon: control intervals of an episode.
        interval_s: length of one.
        deadline_s: from a request's arrival to its answer.
        capacity: requests that may wait; of more the oldest are dropped at the end of an interval, as a leaky video
            queue does.
        traced: whether states keep what a picture needs.
    """

    tables: Tables
    arrivals: Arrivals
    observer: Observer
    actions: ActionView
    weights: Weights
    randomised: Randomised
    horizon: int
    interval_s: float
    deadline_s: float
    capacity: int
    traced: bool = False

    @property
    def observation_space(self) -> gym.spaces.Box:
        """The observer's."""
        return self.observer.space

    @property
    def action_space(self) -> gym.Space[Any]:
        """The action view's."""
        return self.actions.space

    def with_actions(self, name: str) -> DvfsCore:
        """The same environment with clocks and threshold expressed another way; raises :class:`UnknownName`."""
        return replace(self, actions=view(name, self.actions.sizes))

    @cached_property
    def full_power_j(self) -> float:
        """Energy of an interval at the highest clocks, always busy, at the device's reference temperature."""
        soc = self.tables.soc
        top = np.array(soc.steps) - 1
        return float(soc.power_w(top, np.ones(len(top)), soc.reference_c).sum()) * self.interval_s

    def initial(self, generators: Sequence[np.random.Generator], previous: DvfsState | None) -> DvfsState:
        """Nothing waits, everything is at the air's temperature, clocks are the highest, no exit is early."""
        soc, batch, domains = self.tables.soc, len(generators), len(self.tables.soc.steps)
        arrival_s = np.empty((batch, self.arrivals.requests + 1))
        sample = np.empty(arrival_s.shape, dtype=np.int32)
        arrived_by = np.empty((batch, self.horizon + 1), dtype=np.int64)
        uniform = np.empty((batch, 1 + domains))
        for first in range(0, batch, BLOCK):
            part = slice(first, first + BLOCK)
            self._draw(generators[part], arrival_s[part], sample[part], arrived_by[part], uniform[part])
        low, high = self.randomised.ambient_c
        ambient_c = low + (high - low) * uniform[:, 0]
        none, whole = np.zeros(batch), np.zeros(batch, dtype=np.int64)
        index = stacked([np.full(batch, steps - 1, dtype=np.int64) for steps in soc.steps])
        temperature_c = soc.thermal.initial(ambient_c)
        columns = len(TRACE) + domains + 1 + self.tables.workload.exits
        return DvfsState(
            arrival_s=arrival_s,
            sample=sample,
            ambient_c=ambient_c,
            scale=1 + self.randomised.capacitance * (2 * uniform[:, 1:] - 1),
            arrived_by=arrived_by,
            step=whole,
            arrived=whole,
            came=whole,
            head=whole,
            left=none,
            running=whole,
            answer=whole,
            index=index,
            level=np.full(batch, self.actions.sizes[-1] - 1),
            temperature_c=temperature_c,
            throttled=np.zeros(batch, dtype=bool),
            peak_c=temperature_c[:, 0],
            energy_j=columnwise(batch, domains + 1, np.float64, 0),
            power_w=soc.power_w(index, columnwise(batch, domains, np.float64, 0), temperature_c[:, 0]),
            utilisation=columnwise(batch, domains, np.float32, 0),
            demand=none.astype(np.float32),
            recent=columnwise(batch, self.tables.workload.exits, np.float32, 0),
            served=whole,
            late=whole,
            correct=whole,
            dropped=whole,
            waiting=whole,
            throttling=whole,
            trace=np.zeros((batch, self.horizon if self.traced else 0, columns), dtype=np.float32),
        )

    def _draw(
        self, generators: Sequence[np.random.Generator], arrival_s: Array, sample: Array, arrived_by: Array, own: Array
    ) -> None:
        """Write all that is random in episodes: arrivals, samples, arrivals by interval, and a number for all else."""
        others, numbers, requests = own.shape[1], self.arrivals.numbers, self.arrivals.requests
        uniform = np.empty((len(generators), others + numbers + requests), dtype=np.float32)
        for row, generator in zip(uniform, generators, strict=True):
            generator.random(out=row, dtype=np.float32)
        own[:] = uniform[:, :others]
        arrival_s[:, :-1], arrival_s[:, -1] = self.arrivals.times(uniform[:, others : others + numbers]), np.inf
        sample[:, :-1], sample[:, -1] = self.tables.workload.samples(uniform[:, others + numbers :]), 0
        interval = np.minimum(arrival_s / self.interval_s, self.horizon + 1)
        np.ceil(interval, out=interval)
        interval += np.arange(len(own))[:, None] * (self.horizon + 2)
        counts = np.bincount(interval.astype(np.int64).ravel(), minlength=len(own) * (self.horizon + 2))
        counts.reshape(len(own), -1)[:, :-1].cumsum(-1, out=arrived_by)

    def transition(self, state: DvfsState, actions: Array) -> DvfsState:
        """One control interval of every device whose episode goes on."""
        wanted = np.asfortranarray(self.actions.decode(np.asfortranarray(actions)))  # a choice in one piece
        if len(wanted) != len(state.step):
            raise BadAction(f"{len(wanted)} actions for {len(state.step)} environments")
        going = state.step < self.horizon
        if going.all():
            return self._advance(state, wanted)
        index = np.flatnonzero(going)
        return put(state, index, self._advance(take(state, index), wanted[index])) if len(index) else state

    def _advance(self, state: DvfsState, wanted: NDArray[np.int64]) -> DvfsState:
        soc, batch = self.tables.soc, len(wanted)
        index, level = wanted[:, :-1], wanted[:, -1]
        if state.throttled.any():
            index = soc.capped(index, state.throttled)
        changed = index != state.index
        setting = self.tables.number(index)
        stall_s = sum(column * seconds for column, seconds in zip(changed.T, soc.transition_s, strict=True))
        step = state.step + 1
        arrived = state.arrived_by.take(np.arange(0, batch * (self.horizon + 1), self.horizon + 1) + step)
        came = arrived - state.arrived

        demand = Demand(state.arrival_s, state.sample, arrived, setting, level, step * self.interval_s)
        free_s = state.step * self.interval_s + stall_s
        standing, tally = self._server.serve(
            demand, Standing(state.head, state.left, state.running, state.answer, free_s)
        )
        by_exit = tally.answers[::2] + tally.answers[1::2]  # (exits, batch)
        head = np.maximum(standing.head, arrived - self.capacity)
        dropped = state.dropped + (head - standing.head)
        in_service = standing.left > 0

        activity = self._activity(tally.busy_s, setting)
        heated = soc.advanced(
            self._regimes.take(setting, axis=1),
            state.temperature_c,
            self._scaled(activity, state.scale),
            state.ambient_c,
            self.interval_s,
        )
        energy = heated.energy_j
        energy[:, :-1] += changed * soc.transition_j
        after = DvfsState(
            arrival_s=state.arrival_s,
            sample=state.sample,
            ambient_c=state.ambient_c,
            scale=state.scale,
            arrived_by=state.arrived_by,
            step=step,
            arrived=arrived,
            came=came,
            head=head,
            left=standing.left,
            running=standing.running,
            answer=standing.answer,
            index=index,
            level=level,
            temperature_c=heated.temperature_c,
            throttled=soc.throttled(state.throttled, heated.temperature_c),
            peak_c=np.maximum(state.peak_c, heated.temperature_c[:, 0]),
            energy_j=state.energy_j + energy,
            power_w=energy * (1 / self.interval_s),
            utilisation=self._seen(activity, tally.busy_s),
            demand=_mean(state.demand, came),
            recent=_mean(state.recent, by_exit.T),
            served=head - dropped - in_service,
            late=state.late + tally.late,
            correct=state.correct + tally.answers[1::2].sum(0).astype(np.int64),
            dropped=dropped,
            waiting=arrived - head + in_service,
            throttling=state.throttling + state.throttled,
            trace=state.trace,
        )
        return self._noted(state, after, by_exit.T) if self.traced else after

    @cached_property
    def _server(self) -> Server:
        return Server(self.tables, self.deadline_s)

    @cached_property
    def _regimes(self) -> NDArray[np.float64]:
        """What an interval at each setting does to heat and energy, (rows, settings); see :meth:`Soc.regime`."""
        return self.tables.soc.regime(self.tables.settings, self.interval_s)

    @cached_property
    def _shares(self) -> NDArray[np.float64]:
        """How busy each domain is over an interval per second at each exit, (exits * domains, settings)."""
        return self.tables.activity_rows / self.interval_s

    def _activity(self, busy_s: Array, setting: Array) -> Array:
        """Busy share of each domain over the interval, (batch, domains), from seconds at each exit, (exits, batch)."""
        of_exit = self._shares.take(setting, axis=1).reshape(len(busy_s), -1, len(setting))
        of_exit *= busy_s[:, None]
        # No matrix product, which may round a batch of one otherwise than a batch of many.
        return np.asarray(sum(of_exit[1:], start=of_exit[0]).T)

    def _seen(self, activity: Array, busy_s: Array) -> Array:
        """The activity, but a GPU that waits for memory counts as busy, as in the load that devfreq reports."""
        seen = activity.astype(np.float32, order="K")
        seen[:, self.tables.soc.names.index("gpu")] = sum(busy_s) * (1 / self.interval_s)
        return seen

    @cached_property
    def position_share(self) -> NDArray[np.float64]:
        """One position as a share of the highest of its choice, shape (domains + 1,)."""
        return np.asarray(1.0 / np.maximum(np.array(self.actions.sizes) - 1, 1))

    @cached_property
    def _idle(self) -> NDArray[np.float64]:
        return np.array([domain.idle_activity for domain in self.tables.soc.domains])

    def _scaled(self, activity: Array, scale: Array) -> Array:
        """The activity at which the device file's capacitance, i + (1 - i) u, switches as the episode's does."""
        if not self.randomised.capacitance:
            return activity
        return scale * activity + (scale - 1) * (self._idle / (1 - self._idle))

    def observation(self, state: DvfsState) -> NDArray[np.float32]:
        """The observer's view."""
        return self.observer(self, state)

    def reward_terms(self, before: DvfsState, after: DvfsState) -> Mapping[str, NDArray[np.float64]]:
        """Terms ``energy``, ``misses``, ``accuracy`` and ``throttling``, none above 0."""
        weights = self.weights
        wrong = (after.served - after.correct) - (before.served - before.correct)
        missed = after.late + after.dropped - before.late - before.dropped
        spent = sum((after.energy_j - before.energy_j).T)
        return {
            "energy": -weights.energy / self.full_power_j * spent,
            "misses": -weights.misses * missed,
            "accuracy": -weights.accuracy * wrong,
            "throttling": -weights.throttling * (after.throttling - before.throttling),
        }

    def terminal(self, state: DvfsState) -> NDArray[np.bool_]:
        """Never."""
        return np.zeros(len(state.step), dtype=bool)

    def truncated(self, state: DvfsState) -> NDArray[np.bool_]:
        """After the last interval."""
        return np.asarray(state.step == self.horizon)

    def action_mask(self, state: DvfsState) -> NDArray[np.bool_]:
        """All true, (batch, values of all choices): the device itself caps clocks while it throttles."""
        space = self.action_space
        values = int(space.n) if isinstance(space, gym.spaces.Discrete) else sum(self.actions.sizes)
        return np.ones((len(state.step), values), dtype=bool)

    def missed(self, state: DvfsState) -> NDArray[np.int64]:
        """Requests answered late or dropped, and those still open beyond their deadline, shape (batch,)."""
        numbers = np.arange(state.arrival_s.shape[1])
        still = (numbers >= state.head[:, None]) & (numbers < state.arrived[:, None])
        still |= (numbers == state.running[:, None]) & (state.left > 0)[:, None]
        due_s = (state.step * self.interval_s - self.deadline_s)[:, None]
        return np.asarray(state.late + state.dropped + (still & (state.arrival_s < due_s)).sum(-1))

    def info(self, state: DvfsState) -> Mapping[str, Array]:
        """Counts so far, energy and power by rail, temperature, clocks (positions) and threshold (position)."""
        return {
            "arrived": state.arrived,
            "served": state.served,
            "late": state.late,
            "correct": state.correct,
            "dropped": state.dropped,
            "waiting": state.waiting,
            "energy_j": state.energy_j,
            "power_w": state.power_w,
            "junction_c": state.temperature_c[:, 0],
            "throttled": state.throttled,
            "clocks": state.index,
            "threshold": state.level,
        }

    def _noted(self, before: DvfsState, after: DvfsState, by_exit: Array) -> DvfsState:
        """The interval written into the trace."""
        told = np.column_stack(
            [
                after.temperature_c[:, 0],
                after.power_w.sum(-1),
                after.waiting,
                after.dropped - before.dropped,
                after.late - before.late,
                after.index,
                after.level,
                by_exit,
            ]
        )
        trace = after.trace.copy()
        trace[np.arange(len(told)), before.step] = told
        return replace(after, trace=trace)

    def render(self, state: DvfsState) -> NDArray[np.uint8]:
        """The first environment's run so far; see :mod:`codesign_gym.envs.dvfs.viewer`."""
        from codesign_gym.envs.dvfs.viewer import picture

        return picture(self, state)


def _mean(before: Array, value: Array) -> NDArray[np.float32]:
    """A running mean, single precision, and what it is of."""
    mean: NDArray[np.float32] = value.astype(np.float32, order="K")
    mean *= np.float32(1 - MEMORY)
    mean += np.float32(MEMORY) * before
    return mean
