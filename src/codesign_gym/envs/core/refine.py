"""Environments that improve a complete design by local moves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from codesign_gym.envs.core.actions import ActionView, BadAction, nearest_legal, view
from codesign_gym.envs.core.core import put, take
from codesign_gym.envs.core.drawing import bars
from codesign_gym.envs.core.enforcement import TOLERANCE, Enforcement
from codesign_gym.envs.core.preferences import Preferences, drawn, shown, shown_space
from codesign_gym.envs.core.problem import DesignProblem, excess, objective_names, rewards, usage
from codesign_gym.envs.core.reach import check_feasible
from codesign_gym.envs.core.sampling import legal_designs
from codesign_gym.envs.core.space import DesignSpace
from codesign_gym.errors import BadConfig

Array = NDArray[Any]

PENALTY = 1.0  # reward given up per unit of usage beyond a limit, where a price is charged


@dataclass(frozen=True)
class RefineState:
    """A batch of complete designs on their way."""

    step: Array  # (batch,) moves made
    design: Array  # (batch, knobs) choice indices
    metrics: Array  # (batch, metrics) of the design
    best: Array  # (batch, knobs) the best design of the episode so far
    best_rank: Array  # (batch, 2) minus its excess over the limits, then its score
    mask: Array  # (batch, moves) legal moves
    preference: Array  # (batch, objectives) weights on what the objectives earn; ones where they are fixed
    corrections: Array  # (batch,) illegal moves that were replaced


@dataclass(frozen=True)
class Moves:
    """What can be done to a design: one step down or up an ordered knob, any value of another, or nothing.

    Attributes:
        knob: which knob a move concerns, shape (moves,).
        shift: how far an ordered knob goes, -1 or 1; 0 for others, shape (moves,).
        value: the choice that another knob takes, shape (moves,).
    """

    knob: Array
    shift: Array
    value: Array

    @classmethod
    def of(cls, space: DesignSpace) -> Moves:
        """Every local move in a space; the last one changes nothing."""
        rows: list[tuple[int, int, int]] = []
        for index, knob in enumerate(space.knobs):
            if space.allowed[index].sum() > 1:
                several = enumerate(knob.values)
                rows += [(index, -1, 0), (index, 1, 0)] if knob.ordered else [(index, 0, v) for v, _ in several]
        if not rows:
            raise BadConfig("every knob is pinned; there is nothing to refine")
        knob_column, shift, value = np.array(rows).T
        return cls(np.append(knob_column, 0), np.append(shift, 0), np.append(value, -1))

    def __len__(self) -> int:
        return len(self.knob)

    def target(self, design: Array, move: Array) -> Array:
        """The choice that a move leads to, (batch,), of designs (batch, knobs) and moves (batch,)."""
        now = design[np.arange(len(design)), self.knob[move]]
        jump = (self.shift[move] == 0) & (self.value[move] >= 0)
        return np.where(jump, self.value[move], now + self.shift[move])

    def all_targets(self, design: Array) -> Array:
        """The choice that every move leads to, shape (batch, moves)."""
        jump = (self.shift == 0) & (self.value >= 0)
        return np.where(jump, self.value, design[:, self.knob] + self.shift)


@dataclass(frozen=True)
class RefineCore:
    """Starts every episode from a random design and improves it move by move; ends by truncation.

    Every design on the way is evaluated. Moves that are not legal are replaced by the nearest legal one and counted in
    ``info["corrections"]``; staying is always legal.

    Attributes:
        problem: the design problem.
        enforcement: ``mask`` leaves only moves to designs that are known to keep the constraints and starts from one;
            ``price`` charges for excess. There is no repair.
        steps: moves of an episode.
        actions: how a move is expressed.
        preferences: weights on the objectives that are drawn for every episode and shown; None where they are fixed.

    Raises:
        Infeasible: if no design keeps within the constraints; names the tightest one.
        BadConfig: for an enforcement by projection.
    """

    problem: DesignProblem
    enforcement: Enforcement
    steps: int
    actions: ActionView
    preferences: Preferences | None = None

    @classmethod
    def of(
        cls,
        problem: DesignProblem,
        enforcement: Enforcement,
        steps: int,
        action: str,
        preferences: Preferences | None = None,
    ) -> RefineCore:
        """The core with moves expressed by the view of a name; raises :class:`UnknownName` besides the others."""
        return cls(problem, enforcement, steps, view(action, (len(Moves.of(problem.space)),)), preferences)

    def __post_init__(self) -> None:
        if self.enforcement.project:
            raise BadConfig("enforcement 'project' repairs designs that are built; accepted here: mask, price, none")
        check_feasible(self.problem)

    @property
    def observation_space(self) -> gym.spaces.Box:
        """``Box(-1, 1, (knobs + constraints + 2,), float32)``, and the preferences behind it, in [0, objectives]."""
        features = len(self.problem.space) + len(self.problem.constraints) + 2
        return shown_space(self.preferences, gym.spaces.Box(-1.0, 1.0, (features,), np.float32))

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
        """Moves of an episode."""
        return self.steps

    def with_actions(self, name: str) -> RefineCore:
        """The same environment with moves expressed another way; raises :class:`UnknownName`."""
        return replace(self, actions=view(name, self.actions.sizes))

    def initial(self, generators: Sequence[np.random.Generator], previous: RefineState | None) -> RefineState:
        """Random designs, among those that are known to keep the constraints where moves are masked."""
        space = self.problem.space
        keys = np.stack([generator.random((len(space), space.choices)) for generator in generators])
        if self.enforcement.mask and self.problem.constraints:
            design = legal_designs(self.problem, keys)
        else:
            design = np.where(space.allowed, keys, -1.0).argmax(-1)
        metrics, step = self.problem.evaluate(design), np.zeros(len(generators), dtype=np.int64)
        preference = drawn(self.preferences, len(self.problem.objectives), generators)
        return RefineState(
            step=step,
            design=design,
            metrics=metrics,
            best=design,
            best_rank=self._rank(metrics, preference),
            mask=self._mask(design),
            preference=preference,
            corrections=np.zeros_like(step),
        )

    def transition(self, state: RefineState, actions: Array) -> RefineState:
        """Make one move in every unfinished design, and evaluate."""
        wanted = self.actions.decode(actions)[:, 0]
        if len(wanted) != len(state.step):
            raise BadAction(f"{len(wanted)} actions for {len(state.step)} environments")
        going = state.step < self.steps
        if going.all():
            return self._move(state, wanted)
        index = np.flatnonzero(going)
        return put(state, index, self._move(take(state, index), wanted[index])) if len(index) else state

    def _move(self, state: RefineState, wanted: Array) -> RefineState:
        move = nearest_legal(wanted, state.mask)
        design, rows = state.design.copy(), np.arange(len(move))
        design[rows, self._moves.knob[move]] = self._moves.target(state.design, move)
        metrics = self.problem.evaluate(design)
        rank = self._rank(metrics, state.preference)
        ahead = (rank[:, 0] > state.best_rank[:, 0]) | (
            (rank[:, 0] == state.best_rank[:, 0]) & (rank[:, 1] > state.best_rank[:, 1])
        )
        return RefineState(
            step=state.step + 1,
            design=design,
            metrics=metrics,
            best=np.where(ahead[:, None], design, state.best),
            best_rank=np.where(ahead[:, None], rank, state.best_rank),
            mask=self._mask(design),
            preference=state.preference,
            corrections=state.corrections + (move != wanted),
        )

    def observation(self, state: RefineState) -> NDArray[np.float32]:
        """Choices as shares of the highest, of each grant what is left, the score (squashed), time left, weights."""
        left = np.clip(1.0 - usage(self.problem, state.metrics), -1.0, 1.0)
        squashed = np.tanh((state.preference * rewards(self.problem, state.metrics)).sum(-1))
        time_left = 1.0 - state.step / self.steps
        columns = [state.design / self.problem.space.highest, left, squashed[:, None], time_left[:, None]]
        return shown(self.preferences, np.concatenate(columns, axis=1).astype(np.float32), state.preference)

    def reward_terms(self, before: RefineState, after: RefineState) -> Mapping[str, NDArray[np.float64]]:
        """How much the move improved every objective, by its weight, and what the change of excess costs."""
        gain = rewards(self.problem, after.metrics) - rewards(self.problem, before.metrics)
        terms = dict(zip(objective_names(self.problem), (after.preference * gain).T, strict=True))
        change = excess(self.problem, after.metrics) - excess(self.problem, before.metrics)
        return {**terms, "price": -PENALTY * change * (self.enforcement.price is not None)}

    def terminal(self, state: RefineState) -> NDArray[np.bool_]:
        """Never."""
        return np.zeros(len(state.step), dtype=bool)

    def truncated(self, state: RefineState) -> NDArray[np.bool_]:
        """After the last move."""
        return np.asarray(state.step >= self.steps)

    def action_mask(self, state: RefineState) -> NDArray[np.bool_]:
        """Legal moves."""
        return np.asarray(state.mask)

    def info(self, state: RefineState) -> Mapping[str, Array]:
        """Mask, usage of the constraints, corrections, the design, its metrics, and the episode's best design."""
        return {
            "action_mask": state.mask,
            "usage": usage(self.problem, state.metrics),
            "corrections": state.corrections,
            "design": state.design,
            "metrics": state.metrics,
            "best": state.best,
        }

    def result(self, state: RefineState) -> NDArray[np.int64]:
        """The design that an episode comes to: the best on its way, shape (batch, knobs)."""
        return np.asarray(state.best, dtype=np.int64)

    def render(self, state: RefineState) -> NDArray[np.uint8]:
        """A bar per knob of the first environment."""
        return bars(self.problem.space, state.design[0], len(self.problem.space), self.problem.outlook.slots)

    @cached_property
    def _moves(self) -> Moves:
        return Moves.of(self.problem.space)

    def _rank(self, metrics: Array, preference: Array) -> Array:
        """Shape (batch, 2): feasible first, then by score."""
        earned = (preference * rewards(self.problem, metrics)).sum(-1)
        return np.stack([-excess(self.problem, metrics), earned], axis=-1)

    def _mask(self, design: Array) -> NDArray[np.bool_]:
        """Moves that lead to an allowed choice, and where masks enforce, to a design that is known to keep limits."""
        space, moves, batch = self.problem.space, self._moves, len(design)
        target = moves.all_targets(design)  # (batch, moves)
        inside = (target >= 0) & (target < space.choices)
        mask = inside & space.allowed[moves.knob, np.clip(target, 0, space.choices - 1)]
        mask &= target != design[:, moves.knob]
        if self.enforcement.mask and self.problem.constraints:
            row, move = np.nonzero(mask)
            moved = design[row]
            moved[np.arange(len(row)), moves.knob[move]] = target[row, move]
            mask[row, move] = (self.problem.outlook.usage(moved) <= 1 + TOLERANCE).all(-1)
        mask[:, -1] = True
        return np.asarray(mask.reshape(batch, len(moves)))
