"""PPO's rate on the environment, beside its rate on one that costs nothing."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from interleaved import speed
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from codesign_gym.agents import interface
from codesign_gym.agents.sb3.agent import Sb3Agent
from codesign_gym.envs.mixed_precision.factory import Options, build

BAR = 0.85
EPISODES = 1  # of every environment per timing: one rollout, after which PPO trains


class FreeVecEnv(VecEnv):
    """Hands out the same arrays for ever, with episodes of a given length."""

    def __init__(self, num_envs: int, observations: gym.Space[Any], actions: gym.Space[Any], length: int) -> None:
        super().__init__(num_envs, observations, actions)
        self.length, self.clock = length, 0
        generator = np.random.default_rng(0)
        self.seen = generator.random((num_envs, *observations.shape), dtype=np.float32)
        self.reward = generator.random(num_envs, dtype=np.float32)
        self.going, self.ended = np.zeros(num_envs, dtype=bool), np.ones(num_envs, dtype=bool)
        self.nothing: list[dict[str, Any]] = [{}] * num_envs
        self.final = [{"terminal_observation": row, "TimeLimit.truncated": False} for row in self.seen]

    def reset(self):
        return self.seen

    def step_async(self, actions) -> None:
        self.clock += 1

    def step_wait(self):
        if self.clock % self.length == 0:
            return self.seen, self.reward, self.ended, self.final
        return self.seen, self.reward, self.going, self.nothing

    def close(self) -> None:
        pass

    def get_attr(self, attr_name, indices=None):
        return [None] * self.num_envs

    def set_attr(self, attr_name, value, indices=None) -> None:
        pass

    def env_method(self, method_name, *method_args, indices=None, **method_kwargs):
        return [None] * self.num_envs

    def env_is_wrapped(self, wrapper_class, indices=None):
        return [False] * self.num_envs


def test_ppo_hardly_waits_for_the_environment(report) -> None:
    content = interface.read("ppo")
    agent = interface.build(content)
    assert isinstance(agent, Sb3Agent)
    options = {
        "network": "mobilenetv2-imagenet100",
        "device": "haq-cloud",
        "accuracy": "tabular",
        "budget": {"latency": 0.6},
    }
    core = build(Options(**{**options, **content.environment})).with_actions(agent.actions)
    knobs = len(core.problem.space)
    real, free = (agent._model(core, None, seed=0) for _ in range(2))
    assert isinstance(free.env, VecNormalize)
    free.env.venv = FreeVecEnv(agent.environments, core.observation_space, core.action_space, knobs)
    steps = EPISODES * knobs * agent.environments

    def learn(model: Any):
        return lambda: model.learn(steps, reset_num_timesteps=False)

    ratio = speed(learn(real), learn(free), repeats=41)
    report("rate of PPO, MixedPrecision over a free environment", ratio, BAR, learn(real))
    assert ratio >= BAR
