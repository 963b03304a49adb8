"""The public checker finds what it is there to find."""

from __future__ import annotations

from dataclasses import dataclass

import gymnasium as gym
import numpy as np
import pytest
from env_samples import core_of, random_problem

from codesign_gym.envs.core.construct import ConstructCore
from codesign_gym.envs.core.views import CodesignEnv, CodesignVectorEnv
from codesign_gym.testing import CHECKS, CORE_CHECKS, CheckFailed, check_env


class Sound(CodesignEnv):
    def __init__(self, render_mode: str | None = None, means: str = "price+project", actions: str = "discrete"):
        super().__init__(core_of(random_problem(1, groups=2), means, actions=actions), render_mode)


@pytest.mark.parametrize("actions", ["discrete", "multidiscrete", "box"])
def test_a_sound_environment_passes_every_check(actions: str) -> None:
    assert check_env(Sound, actions=actions) == (*CHECKS, *CORE_CHECKS)


class Plain(gym.Env):
    """Ends by chance; no core."""

    observation_space = gym.spaces.Box(0.0, 1.0, (2,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.np_random.random(2, dtype=np.float32), {}

    def step(self, action):
        return self.np_random.random(2, dtype=np.float32), float(action), bool(self.np_random.random() < 0.1), False, {}


def test_any_gymnasium_environment_can_be_checked() -> None:
    assert check_env(Plain) == tuple(CHECKS)


@dataclass(frozen=True)
class Broken(ConstructCore):
    """A core with one of the faults below."""

    fault: str = ""

    def initial(self, generators, previous):
        state = super().initial(generators, previous)
        if self.fault == "drawn from nowhere":
            state.price[:] = np.random.default_rng().random(state.price.shape)
        if self.fault == "no legal action":
            state.mask[:] = False
        return state

    def transition(self, state, actions):
        after = super().transition(state, actions)
        if self.fault == "batch matters":
            after.estimate[:] += len(after.step)
        if self.fault == "counts corrections that are none":
            after.corrections[:] += 1
        if self.fault == "forgets corrections":
            after.corrections[:] = 0
        return after

    def terminal(self, state):
        return super().terminal(state) & (self.fault != "never ends")

    def observation(self, state):
        seen = super().observation(state)
        return seen + 2 if self.fault == "observation out of its space" and (state.step > 2).all() else seen

    def reward_terms(self, before, after):
        terms = dict(super().reward_terms(before, after))
        return {**terms, "bonus": np.full(len(after.step), np.inf)} if self.fault == "infinite reward" else terms

    def truncated(self, state):
        return self.terminal(state) if self.fault == "both ends" else super().truncated(state)


class Faulty(CodesignEnv):
    def __init__(self, fault: str, render_mode: str | None = None) -> None:
        sound = core_of(random_problem(1, groups=2), "mask+price")
        parts = (sound.problem, sound.observer, sound.reward, sound.enforcement, sound.actions)
        super().__init__(Broken(*parts, fault=fault), render_mode)
        self.fault = fault
        if fault == "cannot be pickled":
            self.extra = lambda: None

    def step(self, action):
        observation, reward, terminated, truncated, info = super().step(action)
        if self.fault == "reward beside its terms":
            reward += 1.0
        return observation, reward, terminated, truncated, info


@pytest.mark.parametrize(
    ("fault", "check"),
    [
        ("drawn from nowhere", "determinism"),
        ("no legal action", "masks"),
        ("counts corrections that are none", "masks"),
        ("forgets corrections", "masks"),
        ("batch matters", "vector environment"),
        ("observation out of its space", "observations and rewards"),
        ("infinite reward", "observations and rewards"),
        ("both ends", "episode end"),
        ("reward beside its terms", "reward terms"),
        ("cannot be pickled", "pickling"),
    ],
)
def test_a_fault_fails_the_check_that_is_there_for_it(fault: str, check: str) -> None:
    with pytest.raises(CheckFailed) as caught:
        check_env(Faulty, fault=fault)
    message = str(caught.value)
    assert message.startswith(f"Faulty: check {check!r} failed: ")
    assert "\n" not in message


def test_an_episode_without_end_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("codesign_gym.testing.LONGEST_EPISODE", 100)
    with pytest.raises(CheckFailed, match="check 'episode end' failed: no episode ended in 100 steps"):
        check_env(Faulty, fault="never ends")


class Other(CodesignVectorEnv):
    def __init__(self, num_envs: int = 1, autoreset_mode="NextStep", render_mode: str | None = None) -> None:
        super().__init__(core_of(random_problem(2, groups=2)), num_envs, autoreset_mode, render_mode)


def test_a_vector_environment_that_disagrees_is_found() -> None:
    gym.register("broken/Pair-v0", entry_point=Sound, vector_entry_point=Other)
    try:
        with pytest.raises(CheckFailed, match="check 'vector environment' failed: NEXT_STEP, reset, environment 0"):
            check_env("broken/Pair-v0")
    finally:
        del gym.registry["broken/Pair-v0"]
