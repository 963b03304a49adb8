"""Governors: which clock follows from which load, and what they refuse."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "envs"))

from exit_samples import OPTIONS

from codesign_gym.agents import interface
from codesign_gym.agents.governors.fixed import BestFixed
from codesign_gym.agents.governors.governor import ACTIONS, Governor, Seen
from codesign_gym.agents.governors.rules import Conservative, Fixed, Ondemand, RaceToIdle, Schedutil
from codesign_gym.agents.interface import Task
from codesign_gym.agents.meter import Metered, StepMeter
from codesign_gym.agents.policy import walk
from codesign_gym.envs.dvfs.core import DvfsCore
from codesign_gym.envs.dvfs.factory import Options, build
from codesign_gym.errors import BadConfig

CLOCKS = np.array([1.0, 2.0, 3.0, 4.0, 10.0])
IDS = ("maximum-clocks", "minimum-clocks", "performance", "powersave", "ondemand", "conservative", "schedutil")


def core_of(**options: Any) -> DvfsCore:
    return build(Options(**{**OPTIONS, "horizon": 20, "action": ACTIONS, **options}))


def chosen(governor: Governor, position: int, utilisation: float, waiting: float = 0.0) -> int:
    seen = Seen(CLOCKS, np.array([position]), np.array([utilisation]), np.array([waiting]))
    return int(governor.positions(seen)[0])


@pytest.mark.parametrize(
    ("governor", "position", "utilisation", "expected"),
    [
        (Fixed(position=-1), 0, 0.0, 4),
        (Fixed(position=0), 4, 1.0, 0),
        (Ondemand(), 0, 0.96, 4),  # above the threshold: the highest
        (Ondemand(), 4, 0.30, 3),  # 1 + 0.3 * 9 = 3.7, nearest 4
        (Ondemand(), 4, 0.0, 0),
        (Conservative(), 1, 0.9, 2),  # 5 percent of 10 is 0.5, less than a step: one step
        (Conservative(freq_step=0.2), 0, 0.9, 2),  # 1 + 2 = 3
        (Conservative(), 3, 0.5, 3),
        (Conservative(), 3, 0.1, 2),
        (Conservative(), 0, 0.1, 0),
        (Conservative(), 4, 1.0, 4),
        (Schedutil(), 3, 0.6, 2),  # 1.25 * 0.6 * 4 = 3
        (Schedutil(), 4, 0.33, 4),  # 4.1 is above 4
        (Schedutil(), 4, 1.0, 4),
        (Schedutil(), 4, 0.0, 0),
        (RaceToIdle(), 0, 1.0, 0),
    ],
)
def test_a_clock_follows_from_the_load(governor: Governor, position: int, utilisation: float, expected: int) -> None:
    assert chosen(governor, position, utilisation) == expected


def test_race_to_idle_races_while_a_request_is_open() -> None:
    assert chosen(RaceToIdle(), 0, 0.0, waiting=0.1) == len(CLOCKS) - 1


@pytest.mark.parametrize("name", [*IDS, "race-to-idle"])
def test_every_governor_plays_an_episode(name: str) -> None:
    core = core_of()
    governor: Any = interface.build(interface.read(name))
    meter = StepMeter(100, core.horizon)
    governor.run(Task(Metered(core, meter), meter, 0))
    last = walk(core, governor.acting(core, {}, {}), [np.random.default_rng(i) for i in range(4)])
    assert meter.steps == 0
    assert (last.level == core.actions.sizes[-1] - 1).all()
    assert (last.served > 0).all()


def test_the_highest_clocks_draw_most_and_the_lowest_least() -> None:
    core, drawn = core_of(arrivals="poisson"), {}
    for name in (*IDS, "race-to-idle"):
        governor: Any = interface.build(interface.read(name))
        last = walk(core, governor.acting(core, {}, {}), [np.random.default_rng(i) for i in range(8)])
        drawn[name] = last.energy_j.sum()
    assert max(drawn.values()) == drawn["performance"] == drawn["maximum-clocks"]
    assert min(drawn.values()) == drawn["powersave"] == drawn["minimum-clocks"]


def test_a_governor_needs_what_it_goes_by() -> None:
    with pytest.raises(BadConfig, match="needs the observation 'utilisation_cpu', which is hidden"):
        Schedutil().acting(core_of(hidden=("utilisation",)), {}, {})


def test_a_governor_needs_clocks() -> None:
    core: Any = SimpleNamespace(action_space=gym.spaces.Discrete(2), with_actions=None)
    for needing in (Schedutil(), BestFixed()):
        with pytest.raises(
            BadConfig, match=r"sets clocks, and this environment has none; try it on 'codesign/Dvfs-v0'"
        ):
            needing.acting(core, {"choice": np.zeros(2)}, {})


def test_the_best_fixed_setting_is_the_best() -> None:
    core = core_of(arrivals="poisson", load=0.4)
    agent = BestFixed(episodes=1)
    choices, energy_j, missed = agent.tried(core, 0)
    assert len(choices) == np.prod(core.actions.sizes)
    store = Store()
    meter = StepMeter(len(choices) * core.horizon, core.horizon)
    agent.run(Task(Metered(core, meter), meter, 0, store))
    best = store.saved["choice"]
    at = int((choices == best).all(-1).argmax())
    assert missed[at] <= agent.misses
    assert energy_j[at] == energy_j[missed <= agent.misses].min()
    assert meter.steps == len(choices) * core.horizon
    assert (agent.acting(core, {"choice": best}, {})(np.zeros((3, 1)), np.ones((3, 1), dtype=bool)) == best).all()


def test_an_exhaustive_search_says_what_it_needs() -> None:
    core, meter = core_of(), StepMeter(1000, 20)
    with pytest.raises(BadConfig, match=r"evaluations is 1000; accepted: \d+ or more, \d+ combinations on 2 episodes"):
        BestFixed().run(Task(Metered(core, meter), meter, 0))


class Store:
    """Keeps the last checkpoint."""

    def __init__(self) -> None:
        self.saved: dict[str, Any] = {}

    def save(self, name: str, arrays: Any, state: Any) -> None:
        self.saved = dict(arrays)

    def read(self, name: str) -> None:
        return None
