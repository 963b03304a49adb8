"""The batched core of runtime control: requests arrive, are queued and served; the chip warms up; clocks are set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from codesign_gym.envs.core.actions import ActionView, BadAction, view
from codesign_gym.envs.core.core import put, take
from codesign_gym.envs.dvfs.arrivals import Arrivals
from codesign_gym.envs.dvfs.device import Device, Interval
from codesign_gym.envs.dvfs.episodes import Episodes, Randomised
from codesign_gym.envs.dvfs.grid import Grid
from codesign_gym.envs.dvfs.observer import Observer
from codesign_gym.envs.dvfs.rewards import Weights
from codesign_gym.envs.dvfs.service import Demand, Server, Standing
from codesign_gym.envs.dvfs.state import TRACE, Array, DvfsState
from codesign_gym.envs.dvfs.tables import Tables
from codesign_gym.simulators.dvfs.thermal import columnwise, stacked

#: Share of the past in running means over intervals.
MEMORY = 0.8


@dataclass(frozen=True)
class DvfsCore:
    """Sets clocks and an exit threshold for one control interval after another; ends by truncation.

    Clocks change at an interval's start, during which nothing runs; a throttled device runs at no more than its caps.
    A device that is out of work enters an idle state of its file (see :class:`Device`), and every request waits until
    it has woken. Waking begins when a request comes, beside whatever runs.

    Attributes:
        tables: device and workload.
        arrivals: when requests come.
        observer: what the agent sees.
        actions: how clocks and threshold are expressed.
        weights: of the reward's terms.
        randomised: what differs between episodes.
        horizon: control intervals of an episode.
        interval_s: length of one, on its own :class:`Grid`.
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

    @property
    def columns(self) -> tuple[str, ...]:
        """The observer's."""
        return self.observer.columns

    @property
    def choices(self) -> tuple[int, ...]:
        """Steps of every domain, and thresholds."""
        return self.actions.sizes

    @cached_property
    def clock_hz(self) -> Mapping[str, NDArray[np.float64]]:
        """Each domain's clocks, ascending, shape (steps,)."""
        return {domain.clocks.name: domain.clocks.clock_hz for domain in self.tables.soc.domains}

    def with_actions(self, name: str) -> DvfsCore:
        """The same environment with clocks and threshold expressed another way; raises :class:`UnknownName`."""
        return replace(self, actions=view(name, self.actions.sizes))

    @cached_property
    def full_power_j(self) -> float:
        """Energy of an interval at the highest clocks, always busy, at the device's reference temperature."""
        soc = self.tables.soc
        top = np.array(soc.steps) - 1
        return float(soc.power_w(top, np.ones(len(top)), soc.reference_c).sum()) * self.interval_s

    @cached_property
    def _grid(self) -> Grid:
        return Grid(self.interval_s)

    @cached_property
    def _server(self) -> Server:
        return Server(self.tables, self._grid, self.deadline_s)

    @cached_property
    def _device(self) -> Device:
        return Device(self.tables.soc, self.tables.settings, self._grid, self.randomised.capacitance > 0)

    @cached_property
    def _episodes(self) -> Episodes:
        domains = len(self.tables.soc.domains)
        return Episodes(self.arrivals, self.tables.workload, self.randomised, self._grid, self.horizon, domains)

    @cached_property
    def _busiest(self) -> int:
        """The domain whose load is told as the time in which anything runs: a GPU that waits for memory is busy, too.

        So does the load that devfreq reports.
        """
        return self.tables.soc.names.index("gpu")

    def initial(self, generators: Sequence[np.random.Generator], previous: DvfsState | None) -> DvfsState:
        """Nothing waits, everything is at the air's temperature, clocks are the highest, no exit is early."""
        soc, batch, domains = self.tables.soc, len(generators), len(self.tables.soc.steps)
        drawn, exits = self._episodes.drawn(generators), self.tables.workload.exits
        none, whole = np.zeros(batch), np.zeros(batch, dtype=np.int64)
        index = stacked([np.full(batch, steps - 1, dtype=np.int64) for steps in soc.steps])
        temperature_c = soc.thermal.initial(drawn.ambient_c)
        trace = (batch, self.horizon if self.traced else 0, len(TRACE) + domains + 1 + exits)
        return DvfsState(
            *drawn,
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
            recent=columnwise(batch, exits, np.float32, 0),
            asleep=none,
            served=whole,
            late=whole,
            correct=whole,
            dropped=whole,
            waiting=whole,
            throttling=whole,
            trace=np.zeros(trace, dtype=np.float32),
        )

    def transition(self, state: DvfsState, actions: Array) -> DvfsState:
        """One control interval of every device whose episode goes on."""
        wanted = np.asfortranarray(self.actions.decode(actions))  # a choice in one piece
        if len(wanted) != len(state.step):
            raise BadAction(f"{len(wanted)} actions for {len(state.step)} environments")
        going = state.step < self.horizon
        if going.all():
            return self._advance(state, wanted)
        index = np.flatnonzero(going)
        return put(state, index, self._advance(take(state, index), wanted[index])) if len(index) else state

    def _advance(self, state: DvfsState, wanted: NDArray[np.int64]) -> DvfsState:
        soc, device, batch = self.tables.soc, self._device, len(wanted)
        index, level = wanted[:, :-1], wanted[:, -1]
        if state.throttled.any():
            index = soc.capped(index, state.throttled)
        changed, setting = index != state.index, self.tables.number(index)
        step = state.step + 1
        arrived = state.arrived_by.take(np.arange(0, batch * (self.horizon + 1), self.horizon + 1) + step)
        came = arrived - state.arrived
        depth = device.depth(state.demand, state.utilisation[:, self._busiest])
        stall_s, wake_s = device.stall_s(changed), device.wake_s(depth)

        start_s = state.step * self.interval_s
        standing, tally = self._server.serve(
            Demand(state.arrival_s, state.sample, arrived, setting, level, start_s, stall_s, wake_s),
            Standing(state.head, state.left, state.running, state.answer),
        )
        head = np.maximum(standing.head, arrived - self.capacity)
        dropped = state.dropped + (head - standing.head)
        in_service = standing.left > 0
        share = tally.busy_s * (1 / self.interval_s)  # (exits, batch)
        busy, activity = reduce(np.add, share), self.tables.busy(setting, share)
        asleep = np.maximum(1 - (busy + (stall_s + wake_s * came) * (1 / self.interval_s)), 0)
        interval = Interval(changed, activity, asleep, depth)
        spent = device.spend(interval, index, setting, state.temperature_c, state.ambient_c, state.scale)
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
            temperature_c=spent.temperature_c,
            throttled=soc.throttled(state.throttled, spent.temperature_c),
            peak_c=np.maximum(state.peak_c, spent.temperature_c[:, 0]),
            energy_j=state.energy_j + spent.energy_j,
            power_w=spent.energy_j * (1 / self.interval_s),
            utilisation=self._seen(activity, busy),
            demand=_mean(state.demand, came),
            recent=_mean(state.recent, tally.by_exit.T),
            asleep=asleep,
            served=head - dropped - in_service,
            late=state.late + tally.late,
            correct=state.correct + tally.correct,
            dropped=dropped,
            waiting=arrived - head + in_service,
            throttling=state.throttling + state.throttled,
            trace=state.trace,
        )
        return self._noted(state, after, tally.by_exit.T) if self.traced else after

    def _seen(self, activity: Array, busy: Array) -> Array:
        """The activity that is told, (batch, domains), from that of the domains, as rows, and of the whole."""
        seen = activity.astype(np.float32)
        seen[self._busiest] = busy
        return seen.T

    @cached_property
    def _scale(self) -> NDArray[np.float32]:
        return self.observer.scale(self)

    def observation(self, state: DvfsState) -> NDArray[np.float32]:
        """The observer's view."""
        return self.observer(self, state, self._scale)

    def reward_terms(self, before: DvfsState, after: DvfsState) -> Mapping[str, NDArray[np.float64]]:
        """Those of :class:`Weights`."""
        return self.weights.terms(before, after, self.full_power_j)

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
            "asleep": state.asleep,
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
