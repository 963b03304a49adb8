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
from codesign_gym.envs.dvfs.device import Chip, Duty, Power
from codesign_gym.envs.dvfs.episodes import Episodes, Randomised
from codesign_gym.envs.dvfs.interval import advance
from codesign_gym.envs.dvfs.observer import Observer
from codesign_gym.envs.dvfs.rewards import Weights
from codesign_gym.envs.dvfs.state import TRACE, Array, DvfsState
from codesign_gym.envs.dvfs.tables import Tables


@dataclass(frozen=True)
class DvfsCore:
    """Sets clocks and an exit threshold for one control interval after another; ends by truncation.

    Clocks change at an interval's start, during which nothing runs; a throttled device runs at no more than its caps.
    A device that is out of work enters an idle state of its file (see :func:`.interval.idle_state`), and every request
    waits until it has woken. Waking begins when a request comes, beside whatever runs.

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

    @property
    def objectives(self) -> tuple[str, ...]:
        """Terms of the reward that have a weight."""
        return self.weights.objectives

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
    def _duty(self) -> Duty:
        return Duty.of(self.tables, self.interval_s, self.deadline_s, self.capacity)

    @cached_property
    def _chip(self) -> Chip:
        return Chip.of(self.tables.soc, self.tables.strides)

    @cached_property
    def _power(self) -> Power:
        return Power.of(self.tables.soc, self.interval_s)

    @cached_property
    def _episodes(self) -> Episodes:
        domains = len(self.tables.soc.domains)
        return Episodes(self.arrivals, self.tables.workload, self.randomised, self.interval_s, self.horizon, domains)

    def initial(self, generators: Sequence[np.random.Generator], previous: DvfsState | None) -> DvfsState:
        """Nothing waits, everything is at the air's temperature, clocks are the highest, no exit is early."""
        soc, batch, domains = self.tables.soc, len(generators), len(self.tables.soc.steps)
        drawn, exits = self._episodes.drawn(generators), self.tables.workload.exits
        none, whole = np.zeros(batch), np.zeros(batch, dtype=np.int64)
        index = np.tile(np.array(soc.steps, dtype=np.int64) - 1, (batch, 1))
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
            peak_c=temperature_c[:, 0].copy(),
            energy_j=np.zeros((batch, domains + 1)),
            power_w=soc.power_w(index, np.zeros((batch, domains)), temperature_c[:, 0]),
            utilisation=np.zeros((batch, domains), dtype=np.float32),
            demand=none.astype(np.float32),
            recent=np.zeros((batch, exits), dtype=np.float32),
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
        wanted = np.ascontiguousarray(self.actions.decode(actions))
        if len(wanted) != len(state.step):
            raise BadAction(f"{len(wanted)} actions for {len(state.step)} environments")
        going = state.step < self.horizon
        if going.all():
            return self._advance(state, wanted)
        index = np.flatnonzero(going)
        return put(state, index, self._advance(take(state, index), wanted[index])) if len(index) else state

    def _advance(self, state: DvfsState, wanted: NDArray[np.int64]) -> DvfsState:
        after, by_exit = advance(self._chip, self._power, self._duty, state, wanted)
        return self._noted(state, after, by_exit) if self.traced else after

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
