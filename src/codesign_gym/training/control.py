"""Training and evaluation where the environment is controlled step by step: nothing is designed.

What an agent is granted are environment steps. A policy is judged by what a device does under it on episodes that
training has not seen: other seeds, other recorded images, and of a recorded trace another part.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codesign_gym.agents import interface
from codesign_gym.agents.governors.governor import ACTIONS
from codesign_gym.agents.interface import Agent, Task
from codesign_gym.agents.meter import Metered, StepMeter
from codesign_gym.agents.policy import Policy
from codesign_gym.agents.sb3.agent import CHECKPOINT
from codesign_gym.envs.core.core import Core
from codesign_gym.envs.dvfs.core import DvfsCore
from codesign_gym.envs.dvfs.state import DvfsState
from codesign_gym.errors import BadConfig
from codesign_gym.storage import replacing
from codesign_gym.training.config import RunConfig, agent_of
from codesign_gym.training.folder import RunFolder
from codesign_gym.training.oracle import least_energy_j

#: Keeps the seeds of evaluation apart from those of training, which are small numbers.
UNSEEN = 40_000_003
#: Episodes of an evaluation.
EPISODES = 16
#: Ids of the agents that stand beside a policy.
GOVERNORS = ("performance", "powersave", "ondemand", "conservative", "schedutil", "race-to-idle")
#: What the bound with foresight is called beside policies.
ORACLE = "oracle (bound)"
#: Where the drawn run goes; one with other options has those in its name.
ANIMATION = Path("plots") / "run.gif"
FRAMES = 30

Scalars = Callable[[dict[str, float], int], None]
Tell = Callable[[int, dict[str, float]], None]


def control_core(core: Core[Any]) -> DvfsCore:
    """The core, if it is one that this module can train and judge; raises :class:`BadConfig`."""
    if not isinstance(core, DvfsCore):
        raise BadConfig(f"a {type(core).__name__} is neither designed nor controlled; accepted: a core of this package")
    return core


@dataclass(frozen=True)
class Watched(Metered):
    """A counted core that tells what every batch of finished episodes came to."""

    tell: Callable[[dict[str, float]], None] = field(kw_only=True)

    def transition(self, state: Any, actions: NDArray[Any]) -> Any:
        """The core's."""
        after = super().transition(state, actions)
        ended = self.core.truncated(after)
        if ended.any():
            self.tell(metrics(control_core(self.core), after, ended))
        return after

    def with_actions(self, name: str) -> Watched:
        """The core's, watched by the same."""
        return replace(self, core=self.core.with_actions(name))


def metrics(core: DvfsCore, state: DvfsState, kept: NDArray[np.bool_] | slice = slice(None)) -> dict[str, float]:
    """What devices did until now, over those ``kept``.

    Returns:
        Mean power (W), energy per answered request (J), share of the requests that were missed (late, dropped, or
        still open beyond their deadline), accuracy of the answers, share of the time under throttling, and the
        highest junction temperature (degrees Celsius).
    """
    told = core.info(state)
    energy_j = float(told["energy_j"][kept].sum())
    seconds = float(state.step[kept].sum() * core.interval_s)
    served, arrived = int(told["served"][kept].sum()), int(told["arrived"][kept].sum())
    return {
        "power_w": energy_j / max(seconds, 1e-12),
        "request_j": energy_j / max(served, 1),
        "miss_rate": float(core.missed(state)[kept].sum()) / max(arrived, 1),
        "accuracy": float(told["correct"][kept].sum()) / max(served, 1),
        "throttled": float(state.throttling[kept].sum()) / max(int(state.step[kept].sum()), 1),
        "peak_c": float(state.peak_c[kept].max()),
    }


def unseen_generators(episodes: int) -> list[np.random.Generator]:
    """The sources of episodes that no training draws from."""
    return [np.random.default_rng([UNSEEN, i]) for i in range(episodes)]


def measure(core: DvfsCore, policy: Policy, episodes: int = EPISODES) -> tuple[dict[str, float], DvfsState]:
    """The metrics of a policy and its mean return, on unseen episodes, the same for all; and how they ended."""
    state = core.initial(unseen_generators(episodes), None)
    earned = np.zeros(episodes)
    while not core.truncated(state).all():
        before, state = state, core.transition(state, policy(core.observation(state), core.action_mask(state)))
        for term in core.reward_terms(before, state).values():
            earned += term
    return {"return": float(earned.mean()), **metrics(core, state)}, state


def oracle_w(core: DvfsCore, episodes: int = EPISODES) -> float:
    """Mean power (W) that nothing can go below without missing a request, on the same unseen episodes."""
    started = core.initial(unseen_generators(episodes), None)
    return float(least_energy_j(core, started).mean()) / (core.horizon * core.interval_s)


def viewed(agent: Agent, core: DvfsCore) -> DvfsCore:
    """The core with the view of actions that an agent speaks."""
    return core.with_actions(getattr(agent, "actions", ACTIONS))


def acting(agent: Agent, core: DvfsCore, folder: RunFolder) -> Policy:
    """What a run has trained, at work in a core with its view; raises :class:`BadConfig` where there is nothing."""
    found = getattr(agent, "acting", None)
    if found is None:
        raise BadConfig(f"{type(agent).__name__} leaves nothing that could act; try 'ppo-control' or a governor")
    policy: Policy = found(core, *(folder.policy() or ({}, {})))
    return policy


def train(
    config: RunConfig, agent: Agent, core: DvfsCore, folder: RunFolder, tell: Tell, scalars: Scalars
) -> dict[str, Any]:
    """Spend the steps in an open folder; returns the content of ``result.json``."""
    if not hasattr(agent, "acting"):
        folder.forget()
        raise BadConfig(f"agent {config.agent!r} searches designs, and {config.env} is controlled; try 'ppo-control'")
    meter = StepMeter(config.evaluations, core.horizon)
    began = time.monotonic()

    def ended(found: dict[str, float]) -> None:
        tell(meter.steps, found)
        scalars({f"episode/{name}": value for name, value in found.items()}, meter.steps)

    watched = Watched(core, meter, tell=ended)
    task = Task(watched, meter, config.seed, folder, lambda told: scalars(dict(told), meter.steps))
    try:
        interface.search(agent, task)
    except BadConfig:
        if not meter.steps:
            folder.forget()
        raise
    saved = folder.read(CHECKPOINT)
    if saved is not None:
        folder.save_policy(*agent.policy(*saved))  # type: ignore[attr-defined]  # who saves has it
    seconds = time.monotonic() - began
    result = {**_judged(config, agent, folder, {}), "ledger": _ledger(meter.steps, seconds)}
    folder.write("result.json", result)
    return result


def evaluate(folder: RunFolder, changes: dict[str, Any]) -> dict[str, Any]:
    """Judge a finished run's policy on unseen episodes beside the governors and the oracle, and draw one of them.

    Args:
        folder: a finished run.
        changes: environment options to replace.

    Returns:
        As in ``result.json``, with ``rows`` for all governors, a row :data:`ORACLE` with the mean power (W) below which
        nothing can answer every request in time, and ``drawn``, the pictures' paths.
    """
    config = folder.config()
    result = _judged(config, agent_of(config), folder, changes, beside=GOVERNORS)
    least_w = oracle_w(unseen(config, changes), EPISODES)
    if np.isfinite(least_w):
        result["rows"][ORACLE] = {"power_w": least_w, "miss_rate": 0.0}
    return {**result, "source": "policy", "feasible": True, "drawn": [str(path) for path in draw(folder, changes)]}


def _judged(
    config: RunConfig, agent: Agent, folder: RunFolder, changes: dict[str, Any], beside: tuple[str, ...] = ()
) -> dict[str, Any]:
    """A run's policy and others on the same unseen episodes."""
    core = unseen(config, changes)
    own, _ = measure(viewed(agent, core), acting(agent, viewed(agent, core), folder))
    rows = {config.agent: own}
    for name in ("maximum-clocks", *beside):
        governor: Any = interface.build(interface.read(name))
        if name != config.agent and not core.observer.hidden:
            rows[name] = measure(viewed(governor, core), governor.acting(viewed(governor, core), {}, {}))[0]
    return {
        "kind": "control",
        "options": {**config.options, **changes},
        "metrics": own,
        "score": own["return"],
        "objective": "return",
        "claims": {},
        "preparation": {},
        "reference": rows.get("maximum-clocks", own),
        "constraints": {},
        "design": {},
        "rows": rows,
    }


def unseen(config: RunConfig, changes: Mapping[str, Any]) -> DvfsCore:
    """The environment of a run as it is judged: with the test split, unless the user says otherwise."""
    from codesign_gym.training.train import any_core_of

    return control_core(any_core_of(config.env, {**config.options, "split": "test", **changes}))


def draw(folder: RunFolder, changes: dict[str, Any]) -> list[Path]:
    """One unseen episode of a run's policy as a plot and as an animation in its folder."""
    from PIL import Image

    from codesign_gym.envs.dvfs.viewer import frames

    config = folder.config()
    agent = agent_of(config)
    core = viewed(agent, replace(unseen(config, changes), traced=True))
    _, state = measure(core, acting(agent, core, folder), episodes=1)
    changed = "".join(f"-{option}-{value}" for option, value in sorted(changes.items()))
    name = ANIMATION.stem + re.sub(r"[^\w.]+", "-", changed)[:80]
    plot, animation = (folder.path / ANIMATION.with_name(name + suffix) for suffix in (".png", ANIMATION.suffix))
    images = [Image.fromarray(frame) for frame in frames(core, state, FRAMES)]
    with replacing(plot) as aside:
        images[-1].save(aside)
    colours = images[-1].quantize(64)
    coloured = [image.quantize(palette=colours, dither=Image.Dither.NONE) for image in images]
    with replacing(animation) as aside:
        coloured[0].save(aside, save_all=True, append_images=coloured[1:], duration=100, loop=0)
    return [plot, animation]


def _ledger(steps: int, seconds: float) -> dict[str, Any]:
    return {"accuracy_evaluations": 0, "simulator_evaluations": steps, "proposals": 0, "seconds": round(seconds, 3)}
