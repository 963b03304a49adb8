"""Everything a learner needs to go on as if it had never stopped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import VecNormalize

from codesign_gym.agents.sb3.trees import flatten, restore
from codesign_gym.agents.sb3.vec_env import CodesignVecEnv

COUNTERS = (
    "num_timesteps",
    "_n_updates",
    "_episode_num",
    "_n_calls",
    "_current_progress_remaining",
    "exploration_rate",
)

#: What reading a state that belongs to another learner, or to none, may raise.
UNFIT = (KeyError, ValueError, TypeError, IndexError, AttributeError, RuntimeError)


def take(model: BaseAlgorithm) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The learner's state as arrays and JSON; the inverse of :func:`put`."""
    arrays: dict[str, np.ndarray] = {}
    env = _inner(model)
    state, generators = env.env.snapshot()
    tree = {
        "parameters": model.get_parameters(),
        "variables": {name: getattr(model, name).data for name in _variables(model)},
        "normalization": normalization(model),
        "observation_shape": list(model.observation_space.shape or ()),
        "counters": {name: getattr(model, name) for name in COUNTERS if hasattr(model, name)},
        "last_obs": model._last_obs,
        "last_original_obs": model._last_original_obs,
        "last_episode_starts": model._last_episode_starts,
        "environment": {field.name: getattr(state, field.name) for field in fields(state)},
        "generators": generators,
        "random": _random_state(model),
        "replay": _replay(model),
    }
    return arrays, {"learner": flatten(tree, "learner", arrays)}


def put(model: BaseAlgorithm, arrays: Mapping[str, np.ndarray], state: Mapping[str, Any]) -> None:
    """Bring a freshly made learner to a saved state."""
    tree = restore(state["learner"], arrays)
    model.set_parameters(tree["parameters"], device="cpu")
    for name, value in tree["variables"].items():
        getattr(model, name).data = value
    _put_normalization(model, tree["normalization"])
    for name, value in tree["counters"].items():
        setattr(model, name, value)
    model._last_obs = tree["last_obs"]
    model._last_original_obs = tree["last_original_obs"]
    model._last_episode_starts = tree["last_episode_starts"]
    env = _inner(model).env
    env.reset()  # whose state tells the type of the saved one
    env.restore(type(env.snapshot()[0])(**tree["environment"]), tree["generators"])
    torch.set_rng_state(tree["random"]["torch"])
    name, keys, position, has_gauss, gauss = tree["random"]["numpy"]
    np.random.set_state((name, keys, position, has_gauss, gauss))  # noqa: NPY002  (the generator SB3 draws from)
    model.action_space.np_random.bit_generator.state = tree["random"]["actions"]
    if tree["replay"] and isinstance(model, OffPolicyAlgorithm) and model.replay_buffer is not None:
        for name, value in tree["replay"].items():
            setattr(model.replay_buffer, name, value)


def policy(arrays: Mapping[str, np.ndarray], state: Mapping[str, Any]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """What acting needs of a learner's state: the policy's parameters and the normalisation."""
    tree = restore(state["learner"], arrays)
    kept: dict[str, np.ndarray] = {}
    part = {"policy": tree["parameters"]["policy"], "normalization": tree["normalization"]}
    return kept, {"tree": flatten(part, "policy", kept)}


def put_policy(model: BaseAlgorithm, tree: Mapping[str, Any]) -> None:
    """Give a freshly made learner a policy to act with; raises one of :data:`UNFIT` if it is another's."""
    model.policy.load_state_dict(tree["policy"])
    _put_normalization(model, tree["normalization"])


def _put_normalization(model: BaseAlgorithm, saved: Mapping[str, Any]) -> None:
    env = model.env
    if not isinstance(env, VecNormalize):
        return
    if saved["obs_rms"]["mean"].shape != env.observation_space.shape:
        raise ValueError(
            f"it sees observations of shape {saved['obs_rms']['mean'].shape}, not {env.observation_space.shape}"
        )
    for name in ("obs_rms", "ret_rms"):
        statistics = RunningMeanStd(shape=saved[name]["mean"].shape)
        statistics.mean, statistics.var, statistics.count = (saved[name][part] for part in ("mean", "var", "count"))
        setattr(env, name, statistics)
    if len(saved["returns"]) == env.num_envs:
        env.returns = saved["returns"]


def normalization(model: BaseAlgorithm) -> dict[str, Any]:
    """The statistics that observations and rewards are scaled by; empty without normalisation."""
    env = model.env
    if not isinstance(env, VecNormalize):
        return {}
    statistics = {
        name: {"mean": np.asarray(rms.mean), "var": np.asarray(rms.var), "count": float(rms.count)}
        for name, rms in (("obs_rms", env.obs_rms), ("ret_rms", env.ret_rms))
        if isinstance(rms, RunningMeanStd)
    }
    return {**statistics, "returns": env.returns}


def _inner(model: BaseAlgorithm) -> CodesignVecEnv:
    assert model.env is not None
    inner = model.env.unwrapped
    assert isinstance(inner, CodesignVecEnv)
    return inner


def _variables(model: BaseAlgorithm) -> list[str]:
    """Trained tensors outside any module, such as SAC's entropy coefficient."""
    return [name for name in model._get_torch_save_params()[1] if hasattr(getattr(model, name), "data")]


def _random_state(model: BaseAlgorithm) -> dict[str, Any]:
    return {
        "torch": torch.get_rng_state(),
        "numpy": np.random.get_state(),  # noqa: NPY002
        "actions": dict(model.action_space.np_random.bit_generator.state),
    }


def _replay(model: BaseAlgorithm) -> dict[str, Any]:
    """The filled part of a replay buffer would do, but whole arrays keep positions simple."""
    buffer = getattr(model, "replay_buffer", None)
    if buffer is None:
        return {}
    names = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts", "pos", "full", "_length")
    return {name: getattr(buffer, name) for name in names if hasattr(buffer, name)}
