"""Public checkers: does an environment keep the promises that agents and the other views rely on?

```python
import gymnasium
from codesign_gym.testing import check_env

gymnasium.register("mine/Thing-v0", entry_point="mine:ThingEnv", vector_entry_point="mine:ThingVectorEnv")
check_env("mine/Thing-v0", difficulty=3)  # an id and the environment's options
check_env(ThingEnv, difficulty=3)  # or its class
```
"""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode

from codesign_gym.envs.core.views import CodesignEnv, CodesignVectorEnv
from codesign_gym.errors import CodesignError

ENVIRONMENTS = 3  # how many the views are compared on
LONGEST_EPISODE = 100_000  # steps
SEED = 7
COLOURS = re.compile(r"\x1b\[\d*m")  # Gymnasium's warnings have them


class CheckFailed(CodesignError):
    """An environment that breaks a promise; the message names the check."""


@dataclass(frozen=True)
class Subject:
    """The environment under test.

    Attributes:
        name: in messages.
        make: returns a new single environment.
        make_vector: returns a new registered vector environment of a number and an autoreset mode;
            None where there is none.
    """

    name: str
    make: Callable[[], gym.Env[Any, Any]]
    make_vector: Callable[[int, AutoresetMode], gym.vector.VectorEnv[Any, Any, Any]] | None = None

    @cached_property
    def episode(self) -> int:
        """Steps of an episode of sampled actions."""
        env = self.make()
        env.reset(seed=SEED)
        actions = _actions(env.action_space)
        for step in range(1, LONGEST_EPISODE + 1):
            _, _, terminated, truncated, _ = env.step(actions())
            if terminated or truncated:
                return step
        raise AssertionError(f"no episode ended in {LONGEST_EPISODE} steps")


def check_env(env: str | type[gym.Env[Any, Any]], **options: Any) -> tuple[str, ...]:
    """Check an environment against everything that this package's agents and views expect of one.

    Any ``gymnasium.Env`` goes through the libraries' own checkers, determinism, observations, rewards
    and the end of episodes. One that is built on :class:`CodesignEnv` is also compared bit by bit with
    its vector environment in every autoreset mode and with the Stable-Baselines3 adapter, and its
    masks, reward terms and pickling are checked.

    Args:
        env: a registered id (``"module:ns/Name-v0"`` imports a module first), or a class.
        options: the environment's arguments.

    Returns:
        The names of the checks that were passed.

    Raises:
        CheckFailed: one line with the environment, the first check that failed, and why.
    """
    subject = _subject(env, options)
    ours = isinstance(subject.make().unwrapped, CodesignEnv)
    checks = {**CHECKS, **(CORE_CHECKS if ours else {})}
    for name, check in checks.items():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                check(subject)
        except Exception as error:
            reason = " ".join(COLOURS.sub("", str(error)).split()) or type(error).__name__
            raise CheckFailed(f"{subject.name}: check {name!r} failed: {reason}") from error
    return tuple(checks)


def _subject(env: str | type[gym.Env[Any, Any]], options: Mapping[str, Any]) -> Subject:
    if not isinstance(env, str):
        return Subject(env.__name__, lambda: env(**options))
    made = gym.make(env, **options).spec
    assert made is not None
    if made.vector_entry_point is None:
        return Subject(made.id, lambda: gym.make(env, **options).unwrapped)
    return Subject(
        made.id,
        lambda: gym.make(env, **options).unwrapped,
        lambda number, mode: gym.make_vec(
            env, number, vectorization_mode="vector_entry_point", autoreset_mode=mode, **options
        ),
    )


def _actions(space: gym.Space[Any], seed: int = SEED) -> Callable[[], Any]:
    """A source of sampled actions that leaves the environment's own space as it was."""
    own = pickle.loads(pickle.dumps(space))
    own.seed(seed)
    sample: Callable[[], Any] = own.sample
    return sample


# Checks of any environment


def _gymnasium(subject: Subject) -> None:
    from gymnasium.utils.env_checker import check_env as check

    with warnings.catch_warnings():
        # An infinite bound is sound for a quantity without one, and rendering needs an id.
        for harmless in ("infinity", "render modes due to the environment not having a spec"):
            warnings.filterwarnings("ignore", f"[\\s\\S]*{harmless}")
        check(subject.make())


def _stable_baselines3(subject: Subject) -> None:
    from stable_baselines3.common.env_checker import check_env as check

    check(subject.make())


def _seeded(subject: Subject) -> None:
    """Two environments with one seed agree over two episodes; so does one that is seeded again."""
    one, other = subject.make(), subject.make()
    first = _record(one, 2 * subject.episode)
    _same(first, _record(other, 2 * subject.episode), "another environment with the same seed")
    _same(first, _record(one, 2 * subject.episode), "the same environment, seeded again")


def _sound(subject: Subject) -> None:
    """Observations lie in their space; rewards are finite numbers."""
    env = subject.make()
    for step, (observation, reward, *_) in enumerate(_record(env, 2 * subject.episode)):
        assert env.observation_space.contains(observation), (
            f"step {step}: observation {observation} is not in its space"
        )
        assert np.isfinite(reward), f"step {step}: reward is {reward}"


def _ends(subject: Subject) -> None:
    """Every episode ends, by termination or by truncation and not by both."""
    env = subject.make()
    for step, (_, _, terminated, truncated, _) in enumerate(_record(env, subject.episode)):
        assert not (terminated and truncated), f"step {step}: terminated and truncated at once"


# Checks of environments with a core


def _masks(subject: Subject) -> None:
    """A mask always has a legal choice; legal choices are taken, and illegal ones are replaced and counted."""
    env = subject.make()
    assert isinstance(env, CodesignEnv)
    generator, actions = np.random.default_rng(SEED), _actions(env.action_space)
    # A mask over several choices at once has no place for joint legality: only a single choice can be picked by it.
    numbered = isinstance(env.action_space, gym.spaces.Discrete | gym.spaces.MultiDiscrete)
    numbered = numbered and env.action_space.shape in ((), (1,))
    corrections = 0
    env.reset(seed=SEED)
    for step in range(2 * subject.episode):
        mask = env.action_masks()
        assert mask.dtype == np.int8, f"step {step}: the mask is of type {mask.dtype}"
        assert mask.any(), f"step {step}: no action is legal"
        illegal = step % 2 == 1 and not mask.all()
        choice = generator.choice(np.flatnonzero(mask != illegal))
        action = np.full(env.action_space.shape or (), choice, dtype=np.int64) if numbered else actions()
        _, _, terminated, truncated, info = env.step(action)
        if numbered and "corrections" in info:
            rise, corrections = int(info["corrections"]) - corrections, int(info["corrections"])
            word = "an illegal" if illegal else "a legal"
            assert rise == illegal, f"step {step}: {word} action was counted as {rise} corrections"
        if terminated or truncated:
            corrections = 0
            env.reset()


def _terms(subject: Subject) -> None:
    """The reward is the sum of its named terms."""
    for step, (_, reward, _, _, info) in enumerate(_record(subject.make(), 2 * subject.episode)):
        if "reward_terms" in info:
            total = sum(float(term) for term in info["reward_terms"].values())
            assert np.isclose(reward, total, rtol=1e-12, atol=1e-12), f"step {step}: reward {reward}, terms {total}"


def _pickled(subject: Subject) -> None:
    """An environment that was pickled in the middle of an episode goes on as the original does."""
    env, actions = subject.make(), _actions(subject.make().action_space)
    env.reset(seed=SEED)
    for _ in range(subject.episode // 2):
        env.step(actions())
    copy = pickle.loads(pickle.dumps(env))
    rest = range(2 * subject.episode)
    moves = [actions() for _ in rest]
    _same(_play(env, moves), _play(copy, moves), "the pickled environment")


def _vector(subject: Subject) -> None:
    for mode in AutoresetMode:
        _Parity(subject, mode).run()


def _adapter(subject: Subject) -> None:
    """The Stable-Baselines3 adapter tells what the SAME_STEP vector environment tells."""
    from codesign_gym.agents.sb3.vec_env import CodesignVecEnv

    vector, inner = (_vector_env(subject, AutoresetMode.SAME_STEP) for _ in range(2))
    adapter = CodesignVecEnv(inner)
    adapter.seed(SEED)
    observation, _ = vector.reset(seed=SEED)
    _equal(adapter.reset(), observation, "reset: the adapter's observation")
    actions = _actions(vector.action_space)
    for step in range(2 * subject.episode):
        action = actions()
        observation, reward, terminated, truncated, info = vector.step(action)
        seen, earned, done, told = adapter.step(action)
        _equal(seen, observation, f"step {step}: the adapter's observation")
        _equal(earned, reward.astype(np.float32), f"step {step}: the adapter's reward")
        _equal(done, terminated | truncated, f"step {step}: the adapter's done")
        _equal(np.array(adapter.env_method("action_masks")), vector.action_masks(), f"step {step}: the adapter's mask")
        for i in np.flatnonzero(done):
            _equal(told[i]["terminal_observation"], info["final_obs"][i], f"step {step}: terminal_observation")
            cut = bool(truncated[i] and not terminated[i])
            assert told[i]["TimeLimit.truncated"] == cut, f"step {step}: TimeLimit.truncated is not {cut}"


CHECKS: dict[str, Callable[[Subject], None]] = {
    "episode end": _ends,
    "determinism": _seeded,
    "observations and rewards": _sound,
    "gymnasium's checker": _gymnasium,
    "stable-baselines3's checker": _stable_baselines3,
}

CORE_CHECKS: dict[str, Callable[[Subject], None]] = {
    "masks": _masks,
    "reward terms": _terms,
    "pickling": _pickled,
    "vector environment": _vector,
    "stable-baselines3 adapter": _adapter,
}


class _Parity:
    """n single environments, reset as an autoreset mode says, beside a vector environment of n."""

    def __init__(self, subject: Subject, mode: AutoresetMode) -> None:
        self.mode, self.steps = mode, 3 * subject.episode
        self.vector = _vector_env(subject, mode)
        self.singles = [subject.make() for _ in range(ENVIRONMENTS)]
        self.done = np.zeros(ENVIRONMENTS, dtype=bool)
        self.partial = {subject.episode // 2, 2 * subject.episode}  # steps before which one environment is reset

    def run(self) -> None:
        observations, infos = self.vector.reset(seed=SEED)
        for i, single in enumerate(self.singles):
            self._compare("reset", i, single.reset(seed=SEED + i), observations, infos)
        actions = _actions(self.vector.action_space)
        for step in range(self.steps):
            if step in self.partial:
                self._reset_some(step, np.arange(ENVIRONMENTS) == step % ENVIRONMENTS, seed=None)
            if self.mode is AutoresetMode.DISABLED and self.done.any():
                self._reset_some(step, self.done.copy(), seed=[SEED, *[None] * (ENVIRONMENTS - 1)])
            self._step(step, actions())

    def _reset_some(self, step: int, mask: Any, seed: Any) -> None:
        observations, infos = self.vector.reset(seed=seed, options={"reset_mask": mask})
        for i in np.flatnonzero(mask):
            answer = self.singles[i].reset(seed=None if seed is None else seed[i])
            self._compare(f"reset before step {step}", int(i), answer, observations, infos)
        self.done &= ~mask

    def _step(self, step: int, actions: Any) -> None:
        observations, rewards, terminated, truncated, infos = self.vector.step(actions)
        for i, (single, action) in enumerate(zip(self.singles, actions, strict=True)):
            where = f"step {step}"
            if self.done[i] and self.mode is AutoresetMode.NEXT_STEP:
                self._compare(where, i, single.reset(), observations, infos)
                expected: tuple[Any, ...] = (0.0, False, False)
                self.done[i] = False
            else:
                observation, *expected_list, info = single.step(action)
                expected = tuple(expected_list)
                self.done[i] = expected[1] or expected[2]
                if self.done[i] and self.mode is AutoresetMode.SAME_STEP:
                    self._compare(f"{where}, final", i, (observation, info), infos["final_obs"], infos["final_info"])
                    observation, info = single.reset()
                    self.done[i] = False
                self._compare(where, i, (observation, info), observations, infos)
            found = (rewards[i], terminated[i], truncated[i])
            _equal(np.array(found), np.array(expected), f"{self._at(where, i)} reward, terminated, truncated")
            if isinstance(single, CodesignEnv) and isinstance(self.vector.unwrapped, CodesignVectorEnv):
                _equal(self.vector.unwrapped.action_masks()[i], single.action_masks(), f"{self._at(where, i)} mask")

    def _compare(
        self, where: str, i: int, single: tuple[Any, Mapping[str, Any]], observations: Any, infos: Any
    ) -> None:
        observation, info = single
        _equal(observations[i], observation, f"{self._at(where, i)} observation")
        for name, value in info.items():
            rows = infos[name]
            if isinstance(value, Mapping):
                for part, number in value.items():
                    _equal(rows[part][i], number, f"{self._at(where, i)} info {name}.{part}")
            else:
                _equal(rows[i], value, f"{self._at(where, i)} info {name}")

    def _at(self, where: str, i: Any) -> str:
        return f"{self.mode.name}, {where}, environment {i}:"


def _vector_env(subject: Subject, mode: AutoresetMode) -> CodesignVectorEnv:
    """The registered vector environment, else one over the single environment's core."""
    if subject.make_vector is not None:
        found = subject.make_vector(ENVIRONMENTS, mode).unwrapped
        assert isinstance(found, CodesignVectorEnv), f"its vector_entry_point is a {type(found).__name__}"
        return found
    single = subject.make()
    assert isinstance(single, CodesignEnv)
    return CodesignVectorEnv(single.core, ENVIRONMENTS, mode)


def _record(env: gym.Env[Any, Any], steps: int) -> list[tuple[Any, ...]]:
    """What a seeded environment tells over some steps of sampled actions."""
    env.reset(seed=SEED)
    actions = _actions(env.action_space)
    return _play(env, [actions() for _ in range(steps)])


def _play(env: gym.Env[Any, Any], actions: list[Any]) -> list[tuple[Any, ...]]:
    """(observation, reward, terminated, truncated, info) of every step; episodes that end are begun anew."""
    told = []
    for action in actions:
        observation, reward, terminated, truncated, info = env.step(action)
        told.append((observation, reward, terminated, truncated, info))
        if terminated or truncated:
            env.reset()
    return told


def _same(one: Any, other: Any, what: str) -> None:
    """Whether two records agree bit by bit."""
    for step, (left, right) in enumerate(zip(one, other, strict=True)):
        for part, a, b in zip(("observation", "reward", "terminated", "truncated", "info"), left, right, strict=True):
            assert pickle.dumps(a) == pickle.dumps(b) or _alike(a, b), f"step {step}: {what} has another {part}"


def _alike(one: Any, other: Any) -> bool:
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(_alike(one[name], other[name]) for name in one)
    return bool(np.array_equal(np.asarray(one), np.asarray(other), equal_nan=np.asarray(one).dtype.kind == "f"))


def _equal(found: Any, expected: Any, what: str) -> None:
    assert _alike(found, expected), f"{what} is {found} where {expected} is expected"
