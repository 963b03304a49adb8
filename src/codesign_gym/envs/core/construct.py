"""Environments that build a design knob by knob."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from codesign_gym.envs.core.actions import ActionView, BadAction, nearest_legal, view
from codesign_gym.envs.core.core import put, take
from codesign_gym.envs.core.drawing import bars
from codesign_gym.envs.core.enforcement import Enforcement, legal, project
from codesign_gym.envs.core.preferences import Preferences, drawn, shown, shown_space
from codesign_gym.envs.core.problem import DesignProblem, objective_names, rewards, usage
from codesign_gym.envs.core.reach import check_feasible
from codesign_gym.errors import BadConfig

Array = NDArray[Any]


@dataclass(frozen=True)
class ConstructState:
    """A batch of half-built designs.

    Estimates are those of the problem's :class:`~codesign_gym.envs.core.outlook.Outlook`, columns
    (loss, usage of each constraint); exact once the design is finished.
    """

    step: Array  # (batch,) decisions taken
    prefix: Array  # (batch,) joint index of the current group's earlier choices
    design: Array  # (batch, knobs) choice indices, int16 since every step copies them; 0 where undecided
    estimate: Array  # (batch, 1 + constraints) where the totals are expected to end
    bound: Array  # (batch, constraints) least usage that can still be reached
    mask: Array  # (batch, choices) legal choices of the next decision
    price: Array  # (batch, constraints) reward given up per unit of usage; outlives episodes
    preference: Array  # (batch, objectives) weights on what the objectives earn; ones where they are fixed
    corrections: Array  # (batch,) illegal choices that were replaced
    metrics: Array  # (batch, metrics) of the finished design; zeros before (NaN would differ from itself)


class Observer(Protocol):
    """What the agent sees of a state."""

    @property
    def space(self) -> gym.spaces.Box:
        """One environment's observation space."""
        ...

    def __call__(self, state: ConstructState) -> NDArray[np.float32]:
        """Observations of shape (batch, features)."""
        ...


class Reward(Protocol):
    """What the agent earns."""

    def __call__(
        self, problem: DesignProblem, before: ConstructState, after: ConstructState, finished: Array
    ) -> Mapping[str, NDArray[np.float64]]:
        """Named, weighted terms, each of shape (batch,); ``finished`` marks episodes that just ended."""
        ...


@dataclass(frozen=True)
class TerminalReward:
    """Nothing until the design is finished; then the objectives' rewards, less the price of usage beyond the limits."""

    def __call__(
        self, problem: DesignProblem, before: ConstructState, after: ConstructState, finished: Array
    ) -> Mapping[str, NDArray[np.float64]]:
        """A term per objective, ``objective`` where there is one, else by its metric; and ``price``."""
        earned, price = np.zeros((len(finished), len(problem.objectives))), np.zeros(len(finished))
        if finished.any():
            metrics = after.metrics[finished]
            earned[finished] = before.preference[finished] * rewards(problem, metrics)
            excess = np.maximum(usage(problem, metrics) - 1.0, 0.0)  # what stays below a limit earns nothing
            price[finished] = -(before.price[finished] * excess).sum(-1)
        return {**dict(zip(objective_names(problem), earned.T, strict=True)), "price": price}


@dataclass(frozen=True)
class DenseReward:
    """Every decision earns the fall of the predicted loss and pays the price of the usage it adds.

    Over an episode the terms add up to the Lagrangian of the separable tables, up to a constant, but for
    one thing: a decision pays for no more than the whole grant. What one ruinous choice uses can be
    thousands of grants, beside which all other differences would vanish.
    """

    def __call__(
        self, problem: DesignProblem, before: ConstructState, after: ConstructState, finished: Array
    ) -> Mapping[str, NDArray[np.float64]]:
        """Terms ``loss`` and ``price``."""
        change = after.estimate - before.estimate
        used = np.minimum(np.maximum(change[:, 1:], -1.0), 1.0)
        return {"loss": -change[:, 0], "price": -(before.price * used).sum(-1)}


@dataclass(frozen=True)
class ConstructCore:
    """Visits the problem's knobs in order, one decision a step, and evaluates the design after the last.

    Ends by termination only. Choices that are not legal are replaced by the nearest legal one and
    counted in ``info["corrections"]``.

    Attributes:
        problem: the design problem.
        observer: what the agent sees.
        reward: what it earns.
        enforcement: how constraints are kept.
        actions: how a choice is expressed.
        preferences: weights on the objectives that are drawn for every episode and shown; None where they are fixed.

    Raises:
        Infeasible: if no design keeps within the constraints; names the tightest one.
        BadConfig: for a reward or an enforcement that needs tables, where the problem has none.
    """

    problem: DesignProblem
    observer: Observer
    reward: Reward
    enforcement: Enforcement
    actions: ActionView
    preferences: Preferences | None = None

    def __post_init__(self) -> None:
        check_feasible(self.problem)
        if self.preferences is not None and isinstance(self.reward, DenseReward):
            raise BadConfig("reward 'dense' follows one predicted loss, and preferences vary; try terminal")
        if self.problem.separable is not None:
            return
        if self.enforcement.project:
            raise BadConfig("enforcement 'project' repairs by sums over knobs, and this problem has none; try mask")
        if isinstance(self.reward, DenseReward):
            raise BadConfig("reward 'dense' is made of sums over knobs, and this problem has none; try terminal")

    @property
    def observation_space(self) -> gym.spaces.Box:
        """The observer's, and the preferences behind it, in [0, objectives]."""
        return shown_space(self.preferences, self.observer.space)

    @property
    def action_space(self) -> gym.Space[Any]:
        """The action view's."""
        return self.actions.space

    @property
    def objectives(self) -> Sequence[str]:
        """The problem's."""
        return objective_names(self.problem)

    @property
    def horizon(self) -> int:
        """One step per knob."""
        return len(self.problem.space)

    def with_actions(self, name: str) -> ConstructCore:
        """The same environment with choices expressed another way; raises :class:`UnknownName`."""
        return replace(self, actions=view(name, self.actions.sizes))

    def initial(self, generators: Sequence[np.random.Generator], previous: ConstructState | None) -> ConstructState:
        """No knob decided; the price goes on from ``previous``."""
        batch, problem = len(generators), self.problem
        view_of = np.tile(problem.outlook.start(), (batch, 1))
        columns = 1 + len(problem.constraints)
        step, prefix = np.zeros(batch, dtype=np.int64), np.zeros(batch, dtype=np.int64)
        design = np.zeros((batch, len(problem.space)), dtype=np.int16)
        return ConstructState(
            step=step,
            prefix=prefix,
            design=design,
            estimate=view_of[:, :columns],
            bound=view_of[:, columns:],
            mask=self._mask(design, step, prefix, view_of[:, columns:]),
            price=np.tile(self._start_price, (batch, 1)) if previous is None else previous.price,
            preference=drawn(self.preferences, len(problem.objectives), generators),
            corrections=np.zeros(batch, dtype=np.int64),
            metrics=np.zeros((batch, len(problem.metrics))),
        )

    def transition(self, state: ConstructState, actions: Array) -> ConstructState:
        """Decide the next knob of every unfinished design."""
        knobs = len(self.problem.space)
        wanted = self.actions.decode(actions)[:, 0]
        if len(wanted) != len(state.step):
            raise BadAction(f"{len(wanted)} actions for {len(state.step)} environments")
        going = state.step < knobs
        if going.all():
            after = self._decide(state, wanted)
            finished = after.step == knobs
        else:
            index = np.flatnonzero(going)
            after = put(state, index, self._decide(take(state, index), wanted[index]))
            finished = going & (after.step == knobs)
        return self._finish(after, finished) if finished.any() else after

    def _decide(self, state: ConstructState, wanted: NDArray[np.int64]) -> ConstructState:
        """The next knob of designs that all have one left."""
        outlook, at = self.problem.outlook, state.step
        choice = nearest_legal(wanted, state.mask)
        design = state.design.copy()
        design[np.arange(len(at)), at] = choice
        columns = state.estimate.shape[1]
        added = outlook.added(design, at, state.prefix, choice)
        bound = state.bound + added[:, columns:]
        step = at + 1
        prefix = np.where(step % outlook.slots == 0, 0, state.prefix * self.problem.space.choices + choice)
        return replace(
            state,
            step=step,
            prefix=prefix,
            design=design,
            estimate=state.estimate + added[:, :columns],
            bound=bound,
            mask=self._mask(design, step, prefix, bound),
            corrections=state.corrections + (choice != wanted),
        )

    def _finish(self, state: ConstructState, finished: Array) -> ConstructState:
        """Repair, evaluate and price the designs that have just been completed."""
        designs = state.design[finished].astype(np.int64)
        if self.enforcement.project and self.problem.separable is not None:
            designs = project(self.problem.separable, designs)
        metrics, found = state.metrics.copy(), self.problem.evaluate(designs)
        metrics[finished] = found
        totals = self.problem.outlook.totals(designs, usage(self.problem, found))
        design, price = state.design.copy(), state.price.copy()
        estimate, bound = state.estimate.copy(), state.bound.copy()
        if self.enforcement.price is not None:
            # Charged on the design as the agent built it: a repaired one never exceeds its limit.
            built = estimate[finished, 1:] if self.enforcement.project else totals[:, 1:]
            price[finished] = self.enforcement.price.update(price[finished], built, self._start_price)
        design[finished], estimate[finished], bound[finished] = designs, totals, totals[:, 1:]
        return replace(state, design=design, estimate=estimate, bound=bound, metrics=metrics, price=price)

    def observation(self, state: ConstructState) -> NDArray[np.float32]:
        """The observer's view, and the preferences where they are drawn."""
        return shown(self.preferences, self.observer(state), state.preference)

    def reward_terms(self, before: ConstructState, after: ConstructState) -> Mapping[str, NDArray[np.float64]]:
        """The reward's terms."""
        finished = (before.step < after.step) & (after.step == len(self.problem.space))
        return self.reward(self.problem, before, after, finished)

    def terminal(self, state: ConstructState) -> NDArray[np.bool_]:
        """After the last knob."""
        return np.asarray(state.step == len(self.problem.space))

    def truncated(self, state: ConstructState) -> NDArray[np.bool_]:
        """Never."""
        return np.zeros(len(state.step), dtype=bool)

    def action_mask(self, state: ConstructState) -> NDArray[np.bool_]:
        """Legal choices of the next knob."""
        return np.asarray(state.mask)

    def info(self, state: ConstructState) -> Mapping[str, Array]:
        """Mask, running usage of the constraints (the cost signal), price, corrections, design and its metrics."""
        return {
            "action_mask": state.mask,
            "usage": state.estimate[:, 1:],
            "price": state.price,
            "corrections": state.corrections,
            "design": state.design,
            "metrics": state.metrics,
        }

    def result(self, state: ConstructState) -> NDArray[np.int64]:
        """The design that an episode comes to, shape (batch, knobs)."""
        return np.asarray(state.design, dtype=np.int64)

    def render(self, state: ConstructState) -> NDArray[np.uint8]:
        """A bar per decided knob of the first environment."""
        return bars(self.problem.space, state.design[0], int(state.step[0]), self.problem.outlook.slots)

    @cached_property
    def _start_price(self) -> NDArray[np.float64]:
        price, separable = self.enforcement.price, self.problem.separable
        if price is None:
            return np.zeros(len(self.problem.constraints))
        return np.ones(len(self.problem.constraints)) if separable is None else price.start(separable)

    def _mask(self, design: Array, step: Array, prefix: Array, bound: Array) -> NDArray[np.bool_]:
        at = np.minimum(step, len(self.problem.space) - 1)
        allowed = self.problem.space.allowed[at]
        if not (self.enforcement.mask and self.problem.constraints):
            return allowed
        return legal(allowed, bound, self.problem.outlook.changes(design, at, prefix))
