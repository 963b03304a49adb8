"""Any Stable-Baselines3 algorithm as an agent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import torch
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import KVWriter, Logger
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from codesign_gym.agents.interface import Task
from codesign_gym.agents.meter import BudgetSpent, Meter
from codesign_gym.agents.policy import Policy, walk
from codesign_gym.agents.sb3 import snapshot
from codesign_gym.agents.sb3.noise import DecayingNoise
from codesign_gym.agents.sb3.trees import restore
from codesign_gym.agents.sb3.vec_env import CodesignVecEnv
from codesign_gym.catalog import attribute
from codesign_gym.envs.core.core import Core
from codesign_gym.envs.core.designing import DesignCore
from codesign_gym.envs.core.space import Designs
from codesign_gym.envs.core.views import CodesignVectorEnv
from codesign_gym.errors import BadConfig, StorageError

CHECKPOINT = "learner"

#: Which views of actions each algorithm takes (the libraries' documentation of their action spaces).
ACTIONS: dict[str, tuple[str, ...]] = {
    "PPO": ("discrete", "multidiscrete", "box"),
    "A2C": ("discrete", "multidiscrete", "box"),
    "MaskablePPO": ("discrete", "multidiscrete"),
    "DQN": ("discrete",),
    "DDPG": ("box",),
    "TD3": ("box",),
    "SAC": ("box",),
}
FOREVER = 2**31  # time steps; the meter ends a run


@dataclass(frozen=True)
class Sb3Agent:
    """Learns in the task's environment with an algorithm of Stable-Baselines3 or its contrib package.

    Attributes:
        algorithm: ``"stable_baselines3:PPO"``.
        actions: how choices are expressed: ``discrete``, ``multidiscrete`` or ``box``.
        environments: how many run in step.
        settings: arguments of the algorithm, as its documentation names them. ``n_steps`` (on-policy)
            and ``learning_starts`` (off-policy) are counted in episodes, whose length is the
            network's, and an on-policy ``batch_size`` is a share of the rollout.
        learning_rate: at the start.
        learning_rate_end: share of it that is left when the evaluations are spent.
        normalize: whether observations and rewards are scaled by their running statistics.
        noise: ``start`` and ``decay`` of exploration noise for algorithms that take it.
        replay_buffer: ``"module:attribute"`` of a replay buffer class.
        greedy: whether the design of the mean policy is scored, too, after every rollout.
    """

    algorithm: str
    actions: str = "discrete"
    environments: int = 10
    settings: Mapping[str, Any] = field(default_factory=dict)
    learning_rate: float = 1e-3
    learning_rate_end: float = 1.0
    normalize: bool = True
    noise: Mapping[str, float] | None = None
    replay_buffer: str | None = None
    greedy: bool = True

    def __post_init__(self) -> None:
        algorithm = attribute(self.algorithm)
        if not (isinstance(algorithm, type) and issubclass(algorithm, BaseAlgorithm)):
            raise BadConfig(
                f"algorithm is {self.algorithm!r}; accepted: a subclass of stable_baselines3's BaseAlgorithm"
            )
        _check_actions(algorithm, self.actions)

    def run(self, task: Task) -> None:
        """Learn until the recorder's limits are reached; goes on from a checkpoint if there is one."""
        torch.set_num_threads(1)
        task = task.with_actions(self.actions)
        model = self._model(task.core, task.meter, task.seed)
        model.set_logger(Logger(None, [_Forward(task)]))
        callback = _EveryRollout(task, self)
        saved = task.checkpoints.read(CHECKPOINT) if task.checkpoints else None
        resumed = saved is not None and _resume(model, task.meter, *saved)
        try:
            # SB3 adds what is asked for to what is done; the sum decides DQN's exploration.
            model.learn(FOREVER - model.num_timesteps, callback=callback, reset_num_timesteps=not resumed)
        except BudgetSpent:
            callback.save(spent=True)
            raise

    def designs(self, core: DesignCore, arrays: Mapping[str, np.ndarray], state: Mapping[str, Any]) -> Designs:
        """The design that a trained policy builds in an environment, shape (1, knobs); errors as :meth:`acting`."""
        core = core.with_actions(self.actions)
        last: Any = walk(cast(Core[Any], core), self.acting(core, arrays, state), [np.random.default_rng(0)])
        return core.result(last)

    def acting(self, core: Core[Any], arrays: Mapping[str, np.ndarray], state: Mapping[str, Any]) -> Policy:
        """A trained policy that acts in an environment, deterministically.

        Args:
            core: the environment, with this agent's view of actions; it may be of another network or device than
                the policy was trained on, as long as its observations have the same shape.
            arrays: of a policy, see :func:`~codesign_gym.agents.sb3.snapshot.policy`.
            state: its JSON.

        Raises:
            BadConfig: if the policy does not fit the environment's observations or choices.
        """
        model = self._model(core, None, 0)
        try:
            snapshot.put_policy(model, restore(state["tree"], arrays))
        except snapshot.UNFIT as error:
            reason = " ".join(str(error).split())
            raise BadConfig(
                "the policy does not fit this environment: constraints, bitwidths, observation and action must be as "
                f"in training ({reason[:200]})"
            ) from error
        return _Greedy(model)

    def policy(
        self, arrays: Mapping[str, np.ndarray], state: Mapping[str, Any]
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """What acting needs of a checkpoint: the part worth sharing."""
        return snapshot.policy(arrays, state)

    def _model(self, core: Core[Any], meter: Meter | None, seed: int) -> BaseAlgorithm:
        """The algorithm over a fresh environment."""
        algorithm = attribute(self.algorithm)
        env: VecEnv = CodesignVecEnv(CodesignVectorEnv(core, self.environments, AutoresetMode.SAME_STEP))
        settings = dict(self.settings)
        if self.normalize:
            env = VecNormalize(env, gamma=settings.get("gamma", 0.99))
        for name, unit in (("n_steps", core.horizon), ("learning_starts", core.horizon * self.environments)):
            if name in settings:
                settings[name] = max(1, round(settings[name] * unit))
        if 0 < settings.get("batch_size", 0) <= 1:
            rollout = settings["n_steps"] * self.environments
            wanted = round(1 / settings["batch_size"])
            settings["batch_size"] = rollout // max(n for n in range(1, wanted + 1) if rollout % n == 0)
        if self.noise is not None:
            settings["action_noise"] = DecayingNoise(
                self.noise["start"], self.noise["decay"], lambda: meter.episodes if meter else 0
            )
        if self.replay_buffer is not None:
            settings["replay_buffer_class"] = attribute(self.replay_buffer)
        try:
            model: BaseAlgorithm = algorithm(
                "MlpPolicy", env, learning_rate=self._schedule(meter), seed=seed, device="cpu", **settings
            )
        except TypeError as error:
            raise BadConfig(f"{self.algorithm}: settings: {error}") from error
        return model

    def _schedule(self, meter: Meter | None) -> Any:
        """Linear in what is left of the grant; SB3's own counts steps."""

        def rate(_: float) -> float:
            spent = meter.spent if meter else 0.0
            return self.learning_rate * (1.0 - (1.0 - self.learning_rate_end) * spent)

        return rate


def _resume(model: BaseAlgorithm, meter: Meter, arrays: Mapping[str, np.ndarray], state: Mapping[str, Any]) -> bool:
    """Bring learner and meter to a checkpoint; False, and nothing changed, if the meter cannot go on from there.

    Raises:
        StorageError: if the checkpoint is not one of this agent on this problem.
        BudgetSpent: if it was taken when everything was spent.
    """
    try:
        if not meter.go_on(state["meter"]):
            return False
        snapshot.put(model, arrays, state)
    except snapshot.UNFIT as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise StorageError(f"the checkpoint {CHECKPOINT!r} does not fit this run ({reason}); delete it") from error
    if state["spent"]:
        raise BudgetSpent
    return True


@dataclass(frozen=True)
class _Greedy:
    """The preferred actions of a learner's policy, for observations that are not normalised yet."""

    model: BaseAlgorithm

    def __call__(self, observation: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[Any]:
        env = self.model.env
        seen: Any = env.normalize_obs(observation) if isinstance(env, VecNormalize) else observation
        masked = "action_masks" in self.model.predict.__code__.co_varnames
        masks: dict[str, Any] = {"action_masks": mask} if masked else {}
        actions, _ = self.model.predict(seen, deterministic=True, **masks)
        return np.asarray(actions)


def _check_actions(algorithm: type[BaseAlgorithm], view: str) -> None:
    """One line where an algorithm cannot take a view of actions; one that we do not know decides for itself."""
    accepted = ACTIONS.get(algorithm.__name__, (view,))
    if view not in accepted:
        raise BadConfig(f"{algorithm.__name__} cannot take {view!r} actions; accepted: {', '.join(accepted)}")


class _EveryRollout(BaseCallback):
    """Before each rollout: keep a checkpoint, and score the mean policy."""

    def __init__(self, task: Task, agent: Sb3Agent) -> None:
        super().__init__()
        self.task, self.agent = task, agent
        self._saved_at = -1

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        core = self.task.core
        episode = core.horizon * self.agent.environments
        if self._saved_at >= 0 and self.num_timesteps - self._saved_at < episode:
            return  # off-policy rollouts are a few steps long
        if self._saved_at >= 0 and self.agent.greedy and self._has_learned() and isinstance(core, DesignCore):
            walk(
                cast(Core[Any], core), _Greedy(self.model), [np.random.default_rng(0)]
            )  # evaluates the design it ends with
        self.save()

    def save(self, spent: bool = False) -> None:
        """Keep the learner's whole state; ``spent`` says that there is nothing to go on with."""
        self._saved_at = self.num_timesteps
        if self.task.checkpoints:
            arrays, state = snapshot.take(self.model)
            state["meter"] = self.task.meter.counts()
            state["spent"] = spent
            self.task.checkpoints.save(CHECKPOINT, arrays, state)

    def _has_learned(self) -> bool:
        model = self.model
        return not isinstance(model, OffPolicyAlgorithm) or model.num_timesteps > model.learning_starts


class _Forward(KVWriter):
    """Hands the algorithm's own scalars to the task's log."""

    def __init__(self, task: Task) -> None:
        self.task = task

    def write(self, key_values: dict[str, Any], key_excluded: dict[str, tuple[str, ...]], step: int = 0) -> None:
        self.task.log({k: float(v) for k, v in key_values.items() if isinstance(v, int | float | np.number)})

    def close(self) -> None:
        """Nothing is open."""
