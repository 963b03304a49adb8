"""Environments that build a design knob by knob."""

from __future__ import annotations

from dataclasses import fields
from itertools import pairwise

import numpy as np
import pytest
from env_samples import RandomProblem, core_of, random_problem, walk
from hypothesis import given
from hypothesis import strategies as st

from codesign_gym.envs.core.construct import DenseReward, TerminalReward
from codesign_gym.envs.core.core import put, take
from codesign_gym.envs.core.enforcement import project
from codesign_gym.envs.core.separable import Separable
from codesign_gym.envs.core.views import CodesignEnv, CodesignVectorEnv
from codesign_gym.errors import BadConfig, Infeasible

seeds = st.integers(0, 10_000)
MEANS = ("none", "project", "mask", "price", "price+project")


def rewards(core, states) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Rewards summed over an episode, and each term's sum."""
    terms = [core.reward_terms(before, after) for before, after in pairwise(states)]
    sums = {name: np.sum([step[name] for step in terms], axis=0) for name in terms[0]}
    return np.sum(list(sums.values()), axis=0), sums


@given(seeds, st.sampled_from(MEANS))
def test_dense_rewards_add_up_to_the_lagrangian(seed: int, means: str) -> None:
    problem = random_problem(seed, groups=4, tightness=0.9)  # no decision uses more than the whole grant
    core = core_of(problem, means, DenseReward())
    states = walk(core, problem.space.sample(np.random.default_rng(seed), 6))
    start, end = states[0], problem.separable.totals(states[-1].design.astype(np.int64))
    expected = (start.estimate - end) @ np.r_[1.0, states[0].price[0]]
    np.testing.assert_allclose(rewards(core, states)[0], expected, rtol=1e-9, atol=1e-9)


def test_a_decision_pays_for_no_more_than_the_whole_grant() -> None:
    problem = random_problem(0, groups=1, tightness=0.0)
    core = core_of(problem, "price", DenseReward())
    before, *_, after = walk(core, np.full((1, len(problem.space)), problem.space.choices - 1))
    (rise,) = (after.estimate - before.estimate)[:, 1]
    assert rise > 1
    assert core.reward_terms(before, after)["price"] == -before.price[0]


@given(seeds, st.sampled_from(MEANS))
def test_terminal_rewards_are_the_score_less_the_price(seed: int, means: str) -> None:
    problem = random_problem(seed, groups=4)
    core = core_of(problem, means, TerminalReward())
    states = walk(core, problem.space.sample(np.random.default_rng(seed), 6))
    total, terms = rewards(core, states)
    final = problem.separable.totals(states[-1].design.astype(np.int64))
    np.testing.assert_allclose(terms["objective"], -final[:, 0], rtol=1e-9)
    excess = np.maximum(final[:, 1:] - 1.0, 0.0)
    np.testing.assert_allclose(terms["price"], -(states[0].price * excess).sum(-1), atol=1e-9)
    np.testing.assert_allclose(rewards(core, states[:-1])[0], 0.0)
    assert np.isfinite(total).all()


@given(seeds, st.sampled_from(MEANS))
def test_a_batch_is_its_singles(seed: int, means: str) -> None:
    problem = random_problem(seed)
    core = core_of(problem, means)
    designs = problem.space.sample(np.random.default_rng(seed), 5)
    together = walk(core, designs)
    for i, design in enumerate(designs):
        for batch, single in zip(together, walk(core, design[None]), strict=True):
            for field in fields(batch):
                np.testing.assert_array_equal(getattr(batch, field.name)[i], getattr(single, field.name)[0])


@given(seeds)
def test_an_unfinished_environment_is_not_touched_by_one_that_finishes(seed: int) -> None:
    """Environments of a batch may be at different steps."""
    problem = random_problem(seed, groups=3)
    core = core_of(problem, "price+project")
    designs = problem.space.sample(np.random.default_rng(seed), 4)
    states = walk(core, designs)
    late, early = np.array([1, 3]), 2
    mixed = put(states[-2], late, take(states[early], late))
    after = core.transition(mixed, np.where(np.isin(np.arange(4), late), designs[:, early], designs[:, -1]))
    expected = put(states[-1], late, take(states[early + 1], late))
    for field in fields(after):
        np.testing.assert_array_equal(getattr(after, field.name), getattr(expected, field.name), err_msg=field.name)


def test_finished_environments_may_be_stepped_to_no_effect() -> None:
    problem = random_problem(2)
    core = core_of(problem, "price+project")
    last = walk(core, problem.space.sample(np.random.default_rng(0), 3))[-1]
    again = core.transition(last, np.zeros(3, dtype=np.int64))
    for field in fields(last):
        np.testing.assert_array_equal(getattr(again, field.name), getattr(last, field.name))
    assert all((term == 0).all() for term in core.reward_terms(last, again).values())


@given(seeds)
def test_projection_repairs_what_the_agent_built(seed: int) -> None:
    problem = random_problem(seed, groups=4, tightness=0.3)
    designs = problem.space.sample(np.random.default_rng(seed), 6)
    last = walk(core_of(problem, "project"), designs)[-1]
    np.testing.assert_array_equal(last.design, project(problem.separable, designs))
    np.testing.assert_allclose(last.metrics, problem.evaluate(last.design.astype(np.int64)))
    np.testing.assert_allclose(last.estimate, last.metrics, rtol=1e-9)


@given(seeds)
def test_without_enforcement_the_design_is_as_built(seed: int) -> None:
    problem = random_problem(seed, tightness=0.1)
    designs = problem.space.sample(np.random.default_rng(seed), 6)
    np.testing.assert_array_equal(walk(core_of(problem, "none"), designs)[-1].design, designs)


def test_pinned_knobs_are_put_back_and_counted() -> None:
    problem = next(p for p in map(random_problem, range(50)) if any(pin is not None for pin in p.pinned))
    last = walk(core_of(problem, "none"), np.zeros((2, len(problem.space)), dtype=np.int64))[-1]
    pinned = [i for i, pin in enumerate(problem.pinned) if pin is not None]
    assert (last.design[:, pinned] == problem.space.choices - 1).all()
    assert (last.corrections == len(pinned)).all()


def test_an_infeasible_limit_names_the_metric_and_the_least() -> None:
    fine = random_problem(4)
    tables = fine.separable
    tight = RandomProblem(Separable(tables.loss, tables.usage * 40, tables.allowed), fine.pinned)
    least = float(tight.separable.least.start[1])
    with pytest.raises(Infeasible, match=rf"no design keeps use0 within 1; the least .* is {least:.6g}"):
        core_of(tight)


def test_problems_without_constraints() -> None:
    problem = random_problem(0, constraints=0)
    for means in MEANS:
        env = CodesignEnv(core_of(problem, means))
        env.reset(seed=0)
        for _ in range(len(problem.space)):
            _, reward, terminated, _, info = env.step(1)
        assert terminated
        assert np.isfinite(reward)
        assert info["usage"].shape == (0,)


def test_a_picture_has_a_bar_per_decided_knob() -> None:
    problem = random_problem(0, groups=2)
    env = CodesignEnv(core_of(problem), render_mode="rgb_array")
    env.reset(seed=0)
    blank = env.render()
    env.step(2)
    drawn = env.render()
    assert drawn.dtype == np.uint8
    assert drawn.shape == blank.shape == (96, 2 + 8 * len(problem.space), 3)
    assert ((drawn != 255).sum() > (blank != 255).sum()).all()
    assert CodesignEnv(core_of(problem)).render() is None


def test_modes_and_numbers_are_checked() -> None:
    core = core_of(random_problem(0))
    with pytest.raises(BadConfig, match="render_mode is 'human'; accepted"):
        CodesignEnv(core, render_mode="human")
    with pytest.raises(BadConfig, match="num_envs is 0"):
        CodesignVectorEnv(core, 0)


def test_an_ended_environment_must_be_reset_where_nothing_resets_it() -> None:
    problem = random_problem(0)
    env = CodesignVectorEnv(core_of(problem), 2, "Disabled")
    env.reset(seed=0)
    for _ in range(len(problem.space)):
        env.step(np.zeros(2, dtype=np.int64))
    with pytest.raises(ValueError, match=r"environments \[0, 1\] have ended and were not reset"):
        env.step(np.zeros(2, dtype=np.int64))


@pytest.mark.parametrize("mask", [np.array([True]), np.zeros(2, dtype=bool), [True, False], np.array([1, 0])])
def test_a_reset_mask_is_checked(mask) -> None:
    env = CodesignVectorEnv(core_of(random_problem(0)), 2)
    with pytest.raises(ValueError, match="reset_mask"):
        env.reset(seed=0, options={"reset_mask": mask})


def test_snapshots_go_on_bit_by_bit() -> None:
    problem = random_problem(0)
    env, other = (CodesignVectorEnv(core_of(problem, "price"), 3, "SameStep") for _ in range(2))
    env.reset(seed=0)
    env.step(np.array([0, 1, 2]))
    other.restore(*env.snapshot())
    for _ in range(2 * len(problem.space)):
        for one, two in zip(env.step(np.array([2, 0, 1]))[:4], other.step(np.array([2, 0, 1]))[:4], strict=True):
            np.testing.assert_array_equal(one, two)
