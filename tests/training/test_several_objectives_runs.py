"""Runs with several objectives over bitwidths and early exits: every kind of agent ends, or says why it does not."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from training_samples import told_in_one_line

from codesign_gym.pareto import nondominated
from codesign_gym.training import cli
from codesign_gym.training.config import configure
from codesign_gym.training.folder import RunFolder
from codesign_gym.training.train import train

BITWIDTHS = "codesign/MixedPrecision-v0"
EXITS = "codesign/EarlyExit-v0"
OPTIONS: dict[str, dict[str, Any]] = {
    BITWIDTHS: {
        "network": "digits-cnn",
        "device": "bitfusion",
        "accuracy": "tabular",
        "budget": {"latency": 0.95},
        "objectives": {"energy": 5},
    },
    EXITS: {
        "backbones": ("digits-exits-tiny",),
        "pixels": None,
        "device": "v100",
        "floor": 5.0,
        "objectives": {"accuracy": 10},
    },
}


@pytest.mark.parametrize("weights", ["fixed", "sampled"])
@pytest.mark.parametrize("agent", ["nsga2", "maskable-ppo", "milp", "bilevel"])
@pytest.mark.parametrize("env", OPTIONS)
def test_an_agent_ends_with_a_front(tmp_path: Path, cache: Path, env: str, agent: str, weights: str) -> None:
    options = {**OPTIONS[env], "preferences": weights}
    result = train(configure(env, options, agent, 24, 96, seed=1), RunFolder(tmp_path))
    assert result["ledger"]["simulator_evaluations"] >= 1
    assert result["front"]["hypervolume"] > 0
    assert result["objective"].count(" + ") == 1
    assert len(result["front"]["reference_point"]) == 2


def test_dynamic_programming_and_the_integer_program_agree(tmp_path: Path) -> None:
    scores = [
        train(configure(BITWIDTHS, OPTIONS[BITWIDTHS], agent, 20), RunFolder(tmp_path / agent))["score"]
        for agent in ("dynamic-programming", "milp")
    ]
    assert scores[0] == pytest.approx(scores[1], rel=1e-2)
    drawn = train(configure(BITWIDTHS, OPTIONS[BITWIDTHS], "random", 200), RunFolder(tmp_path / "random"))["score"]
    assert drawn < min(scores)


def train_command(monkeypatch: pytest.MonkeyPatch, run: Path, env: str, agent: str, **options: Any) -> int:
    given = [part for name, value in options.items() for part in ("--option", f"{name}={json.dumps(value)}")]
    command = ["train", "--env", env, "--agent", agent, "--evaluations", "60", "--run", str(run), *given]
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "argv", ["codesign-gym", *command])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return int(end.value.code or 0)


def test_the_command_writes_the_front(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = {**OPTIONS[BITWIDTHS], "objectives": {"latency": 5, "energy": 5}}
    run = tmp_path / "run"
    assert train_command(monkeypatch, run, BITWIDTHS, "random", **options) == 0
    assert "no other beats" in " ".join(capsys.readouterr().out.split())
    result, front = json.loads((run / "result.json").read_text()), pd.read_csv(run / "front.csv")
    names = list(result["front"]["reference_point"])
    assert names == ["loss", "latency_s", "energy_j"]
    everything = RunFolder(run).evaluations()[0]
    kept = everything[everything["feasible"] == 1]
    expected = kept.iloc[nondominated(kept[names].to_numpy())]
    assert 1 < len(expected) < len(everything)
    np.testing.assert_array_equal(np.sort(front["loss"]), np.sort(expected["loss"]))


@pytest.mark.parametrize(
    ("env", "agent", "why"),
    [
        (EXITS, "dynamic-programming", "the problem has 2 constraints (sure_accuracy, worst_latency_s); accepted: one"),
        (BITWIDTHS, "exhaustive", "accepted: at most 1000000"),
        (BITWIDTHS, "ondemand", "a governor sets clocks, and this environment has none"),
    ],
)
def test_an_agent_for_something_else_says_so(
    tmp_path: Path,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    env: str,
    agent: str,
    why: str,
) -> None:
    assert train_command(monkeypatch, tmp_path / "run", env, agent, **OPTIONS[env]) == 1
    told_in_one_line(capsys.readouterr(), [why])
