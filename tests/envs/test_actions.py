"""Ways to express a choice, and the nearest legal one."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from env_samples import core_of, random_problem
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from codesign_gym.envs.core.actions import VIEWS, BadAction, BoxView, nearest_legal, view
from codesign_gym.envs.core.views import CodesignVectorEnv
from codesign_gym.errors import UnknownName


@given(st.integers(1, 7), st.integers(1, 8), st.floats(-1.0, 1.0))
def test_the_box_is_haqs_map_of_actors_to_bitwidths(low: int, count: int, action: float) -> None:
    """HAQ's code: round((min - 0.5) + a * ((max + 0.5) - (min - 0.5))) for a in [0, 1], clipped to the bitwidths."""
    high, share = low + count - 1, (action + 1.0) / 2.0
    position = (low - 0.5) + share * ((high + 0.5) - (low - 0.5))
    if abs(position % 1.0 - 0.5) < 1e-9:
        return  # the border of two intervals, which rounding to even gives now to one and now to the other
    expected = int(np.clip(np.rint(position), low, high))
    assert low + BoxView((count,)).decode(np.array([[action]]))[0, 0] == expected


@given(st.integers(1, 9), st.floats(width=32, allow_nan=False))
def test_any_number_is_a_choice(count: int, action: float) -> None:
    ((choice,),) = BoxView((count,)).decode(np.array([[action]], dtype=np.float32))
    assert 0 <= choice < count


@given(st.integers(1, 9))
def test_the_box_is_cut_into_equal_intervals(count: int) -> None:
    middles = -1.0 + (np.arange(count) + 0.5) * 2.0 / count
    np.testing.assert_array_equal(BoxView((count,)).decode(middles[:, None])[:, 0], np.arange(count))


@pytest.mark.parametrize("name", VIEWS)
def test_actions_of_a_space_cover_all_choices(name: str) -> None:
    chosen = view(name, (5,))
    chosen.space.seed(0)
    actions = np.array([chosen.space.sample() for _ in range(200)])
    assert set(chosen.decode(actions)[:, 0].tolist()) == set(range(5))
    assert isinstance(chosen.space, gym.spaces.Discrete | gym.spaces.MultiDiscrete | gym.spaces.Box)


def test_an_unknown_view_is_named() -> None:
    with pytest.raises(UnknownName, match="action view 'boxes'; did you mean 'box'"):
        view("boxes", (3,))


@given(arrays.arrays(np.bool_, (6, 5)), st.integers(0, 1000))
def test_the_nearest_legal_choice(mask: np.ndarray, seed: int) -> None:
    generator = np.random.default_rng(seed)
    mask[np.arange(6), generator.integers(0, 5, 6)] = True
    choice = generator.integers(0, 5, 6)
    for row, wanted, found in zip(mask, choice, nearest_legal(choice, mask), strict=True):
        assert found == min(np.flatnonzero(row), key=lambda legal: (abs(legal - wanted), legal))


@pytest.mark.parametrize("actions", [[-1, 0], [0, 3], [0, 2**40], [0.5, 1.0], [np.nan, 0.0]])
def test_actions_outside_the_space_are_one_clear_line(actions: list[float]) -> None:
    env = CodesignVectorEnv(core_of(random_problem(0)), 2)
    env.reset(seed=0)
    with pytest.raises(BadAction, match=r"^actions are \[.*\]; accepted: whole numbers from 0 to 2$"):
        env.step(np.array(actions))


@pytest.mark.parametrize("actions", [[0.0, np.nan], [np.nan, np.nan], [0.0], [0.0, 0.5, 1.0]])
def test_reals_that_are_no_action_are_one_clear_line(actions: list[float]) -> None:
    with pytest.raises(BadAction, match=r"^actions are \[.*\]; accepted: 2 numbers from -1 to 1 each$"):
        view("box", (3, 4)).decode(np.array(actions))


def test_choices_of_which_some_are_missing_are_one_clear_line() -> None:
    with pytest.raises(BadAction, match=r"^actions are \[0\]; accepted: 2 whole numbers each$"):
        view("multidiscrete", (3, 4)).decode(np.array([0]))


@pytest.mark.parametrize("count", [1, 3])
def test_a_wrong_number_of_actions_is_one_clear_line(count: int) -> None:
    env = CodesignVectorEnv(core_of(random_problem(0)), 2)
    env.reset(seed=0)
    with pytest.raises(BadAction, match=f"{count} actions for 2 environments"):
        env.step(np.zeros(count, dtype=np.int64))
