"""Runs where the environment is controlled: train, resume, evaluate, and the bound of the oracle."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "envs"))

from exit_samples import OPTIONS

from codesign_gym.agents import interface
from codesign_gym.envs.dvfs.factory import Options, build
from codesign_gym.errors import BadConfig
from codesign_gym.training import control
from codesign_gym.training.config import RunConfig, configure
from codesign_gym.training.evaluate import evaluate
from codesign_gym.training.folder import RunFolder
from codesign_gym.training.oracle import least_energy_j
from codesign_gym.training.train import train

SMALL = {**OPTIONS, "thresholds": [0.6, 0.9], "horizon": 20}
EPISODE = 32 * 20  # steps of one episode in each of ppo-control's environments


def config(agent: str = "ppo-control", steps: int = 2 * EPISODE, **options: Any) -> RunConfig:
    return configure("codesign/Dvfs-v0", {**SMALL, **options}, agent, steps, seed=3)


def outcome(folder: RunFolder) -> dict[str, Any]:
    """The result, without how long it took."""
    result = folder.result()
    del result["ledger"]["seconds"]
    return result


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    folder = RunFolder(tmp_path_factory.mktemp("runs") / "ppo")
    train(config(), folder)
    return folder


def test_the_default_grant_is_one_of_steps() -> None:
    assert configure("codesign/Dvfs-v0", {}, "ppo-control").evaluations == 200_000
    assert configure("codesign/MixedPrecision-v0", {}, "ppo").evaluations == 200


def test_a_run_spends_steps_and_leaves_a_policy(finished: RunFolder) -> None:
    result = finished.result()
    assert result["ledger"]["simulator_evaluations"] >= 2 * EPISODE
    assert {"power_w", "miss_rate", "accuracy", "throttled", "return"} <= set(result["metrics"])
    assert finished.policy() is not None


def test_domain_metrics_are_logged(tmp_path: Path) -> None:
    logged: dict[str, float] = {}
    told = []
    train(config(), RunFolder(tmp_path / "run"), told.append, lambda scalars, step: logged.update(scalars))
    assert {"episode/power_w", "episode/miss_rate", "episode/peak_c", "train/loss"} <= set(logged)
    assert told[-1].evaluations >= EPISODE


@pytest.mark.parametrize("agent", ["ppo-control", "sac-control"])
def test_an_interrupted_run_ends_as_an_uninterrupted_one(agent: str, tmp_path: Path) -> None:
    class Stopped(Exception):
        pass

    steps = 3 * (EPISODE if agent.startswith("ppo") else EPISODE // 2)
    whole, parts = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "parts")
    train(config(agent, steps), whole)
    episodes = 0

    def stop(_: Any) -> None:
        nonlocal episodes
        episodes += 1
        if episodes == 2:
            raise Stopped

    with pytest.raises(Stopped):
        train(config(agent, steps), parts, stop)
    train(config(agent, steps), parts)
    assert outcome(whole)["metrics"] == outcome(parts)["metrics"]


def test_evaluation_is_on_unseen_episodes_beside_governors_and_is_drawn(finished: RunFolder) -> None:
    result = evaluate(finished, {})
    assert set(result["rows"]) == {"ppo-control", "maximum-clocks", *control.GOVERNORS, control.ORACLE}
    assert result["rows"]["ppo-control"] == finished.result()["metrics"]
    assert [Path(path).stat().st_size > 1000 for path in result["drawn"]] == [True, True]
    assert control.unseen(finished.config(), {}).tables.workload.records[0].split == "test"
    hotter = evaluate(finished, {"ambient_c": (60.0, 60.0)})
    assert not set(hotter["drawn"]) & set(result["drawn"])  # the run's own pictures stay
    hot, cool = (found["rows"]["maximum-clocks"]["power_w"] for found in (hotter, result))  # no policy that reacts
    assert hot > cool


def test_a_governor_is_a_run_too(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    result = train(config("schedutil"), folder)
    assert result["ledger"]["simulator_evaluations"] == 0
    assert evaluate(folder, {})["metrics"] == result["metrics"]


@pytest.mark.parametrize("agent", ["random", "evolutionary"])
def test_a_search_of_designs_is_refused(agent: str, tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match=r"searches designs.*try 'ppo-control'"):
        train(config(agent), RunFolder(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_the_command_line_prints_policies(finished: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    from codesign_gym.training.cli import app

    app(["evaluate", str(finished.path), "--trust", "--json"], standalone_mode=False)
    assert json.loads(capsys.readouterr().out)["kind"] == "control"
    app(["evaluate", str(finished.path), "--trust"], standalone_mode=False)
    assert "schedutil" in capsys.readouterr().out


@pytest.mark.parametrize("load", [{"arrivals": "periodic", "load": 0.6}, {"arrivals": "bursty"}, {"capacitance": 0.5}])
def test_nothing_that_misses_nothing_goes_below_the_oracle(load: dict[str, Any]) -> None:
    core = build(Options(**{**SMALL, **load, "action": "multidiscrete", "capacity": 100}))
    state = core.initial([np.random.default_rng(i) for i in range(3)], None)
    bound_j = least_energy_j(core, state)
    assert np.isfinite(bound_j).all()
    compared = 0
    for name in control.GOVERNORS:
        for threshold in (0, 1, -1):
            governor: Any = replace(interface.build(interface.read(name)), threshold=threshold)  # type: ignore[type-var]
            policy, last = governor.acting(core, {}, {}), state
            while not core.truncated(last).all():
                last = core.transition(last, policy(core.observation(last), core.action_mask(last)))
            kept = core.missed(last) == 0
            compared += int(kept.sum())
            assert (last.energy_j.sum(-1)[kept] >= bound_j[kept]).all()
    assert compared > 10
