"""Environments that improve a complete design."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from product_samples import Tiles

from codesign_gym.envs.core.enforcement import enforcement
from codesign_gym.envs.core.preferences import Preferences
from codesign_gym.envs.core.problem import feasible, objective_names, rewards, score
from codesign_gym.envs.core.refine import Moves, RefineCore
from codesign_gym.envs.core.views import CodesignEnv, CodesignVectorEnv
from codesign_gym.errors import BadConfig

seeds = st.integers(0, 10_000)
STEPS = 7


def core_of(means: str = "mask", problem: Tiles | None = None, action: str = "discrete") -> RefineCore:
    return RefineCore.of(problem or Tiles(), enforcement(means), STEPS, action)


def wander(core: RefineCore, seed: int, batch: int = 6) -> list:
    """The states of an episode of random moves."""
    generator = np.random.default_rng(seed)
    states = [core.initial([np.random.default_rng(seed + i) for i in range(batch)], None)]
    for _ in range(STEPS):
        states.append(core.transition(states[-1], generator.integers(0, core.actions.sizes[0], batch)))
    return states


@given(seeds, st.sampled_from(["mask", "none", "price"]))
def test_a_move_changes_one_knob_at_most(seed: int, means: str) -> None:
    core = core_of(means)
    for before, after in zip(wander(core, seed)[:-1], wander(core, seed)[1:], strict=True):
        changed = before.design != after.design
        assert (changed.sum(-1) <= 1).all()
        assert (abs(after.design - before.design)[:, :3] <= 1).all()
        np.testing.assert_array_equal(after.metrics, core.problem.evaluate(after.design))


@given(seeds)
def test_masked_walks_never_leave_the_limits(seed: int) -> None:
    core = core_of("mask")
    assert all(feasible(core.problem, state.metrics).all() for state in wander(core, seed))


@given(seeds, st.sampled_from(["mask", "none", "price"]))
def test_rewards_add_up_to_the_gain_and_the_best_design_is_kept(seed: int, means: str) -> None:
    core = core_of(means)
    states = wander(core, seed)
    steps = [core.reward_terms(*pair) for pair in itertools.pairwise(states)]
    earned = sum(step["latency_s"] + step["area_mm2"] for step in steps)
    scores = np.array([score(core.problem, state.metrics) for state in states])
    np.testing.assert_allclose(earned, scores[-1] - scores[0], atol=1e-12)
    price = sum(step["price"] for step in steps)
    excess = [np.maximum(state.metrics[:, 2] / 12.0 - 1.0, 0.0) for state in (states[0], states[-1])]
    np.testing.assert_allclose(price, (excess[0] - excess[1]) * (means == "price"), atol=1e-9)
    for row in range(len(scores[0])):
        kept = [feasible(core.problem, state.metrics)[row] for state in states]
        if any(kept):
            best = max(s[row] for s, k in zip(scores, kept, strict=True) if k)
            found = core.problem.evaluate(core.result(states[-1])[[row]])
            assert score(core.problem, found)[0] == best


def test_an_episode_is_cut_off_and_shows_the_time_that_is_left() -> None:
    core = core_of()
    states = wander(core, 0)
    assert [bool(core.truncated(state).all()) for state in states] == [False] * STEPS + [True]
    left = [core.observation(state)[0, -1] for state in states]
    np.testing.assert_allclose(left, 1 - np.arange(STEPS + 1) / STEPS, atol=1e-6)
    assert not core.terminal(states[-1]).any()
    again = core.transition(states[-1], np.zeros(6, dtype=np.int64))
    np.testing.assert_array_equal(again.design, states[-1].design)


def test_moves_of_ordered_and_unordered_knobs() -> None:
    moves = Moves.of(Tiles().space)
    assert len(moves) == 3 * 2 + 3 + 1
    targets = moves.all_targets(np.array([[0, 3, 1, 2]]))
    np.testing.assert_array_equal(targets[0, :-1], [-1, 1, 2, 4, 0, 2, 0, 1, 2])
    mask = core_of("none").initial([np.random.default_rng(0)], None).mask
    assert mask[0, -1]


@given(seeds)
def test_drawn_preferences_are_seen_and_weigh_every_move(seed: int) -> None:
    core = RefineCore.of(Tiles(), enforcement("mask"), STEPS, "discrete", Preferences(2))
    plain, states = core_of("mask"), wander(core, seed)
    weights = states[0].preference
    np.testing.assert_allclose(weights.sum(-1), 2.0)
    assert len(np.unique(weights, axis=0)) == len(weights)
    for before, after in itertools.pairwise(states):
        unweighted = plain.reward_terms(before, replace(after, preference=np.ones_like(weights)))
        terms = core.reward_terms(before, after)
        for column, name in enumerate(objective_names(core.problem)):
            np.testing.assert_allclose(terms[name], weights[:, column] * unweighted[name], atol=1e-12)
        seen = core.observation(after)
        assert all(core.observation_space.contains(row) for row in seen)
        np.testing.assert_array_equal(seen[:, -2:], weights.astype(np.float32))
    earned = [(weights * rewards(core.problem, state.metrics)).sum(-1) for state in states]
    found = (weights * rewards(core.problem, core.problem.evaluate(core.result(states[-1])))).sum(-1)
    np.testing.assert_allclose(found, np.max(earned, axis=0), atol=1e-12)


def test_repair_is_refused() -> None:
    with pytest.raises(BadConfig, match="accepted here: mask, price, none"):
        core_of("project")


@pytest.mark.parametrize("action", ["discrete", "multidiscrete", "box"])
def test_the_views_agree(action: str) -> None:
    core = core_of("mask", action=action)
    vector = CodesignVectorEnv(core, 3, "SameStep")
    singles = [CodesignEnv(core) for _ in range(3)]
    seen, _ = vector.reset(seed=5)
    np.testing.assert_array_equal(seen, [env.reset(seed=5 + i)[0] for i, env in enumerate(singles)])
    vector.action_space.seed(1)
    for _ in range(STEPS - 1):
        actions = vector.action_space.sample()
        seen, reward, *_ = vector.step(actions)
        steps = [env.step(action) for env, action in zip(singles, actions, strict=True)]
        np.testing.assert_array_equal(seen, [step[0] for step in steps])
        np.testing.assert_array_equal(reward, [step[1] for step in steps])
