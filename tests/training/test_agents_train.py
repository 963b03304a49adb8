"""Every learning agent runs through ``train`` and leaves a whole run behind."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from safetensors import safe_open
from training_samples import KNOBS, LEARNERS, PROBLEM, config

from codesign_gym.envs.mixed_precision.factory import Options, build
from codesign_gym.errors import BadConfig
from codesign_gym.training.config import agent_of
from codesign_gym.training.folder import RunFolder
from codesign_gym.training.run import default_path, run
from codesign_gym.training.train import train

EVALUATIONS = 36


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module", params=[*LEARNERS, "evolutionary"])
def folder(request: pytest.FixtureRequest, runs: Path) -> RunFolder:
    path = runs / request.param
    run(config(request.param, EVALUATIONS), path, Console(file=io.StringIO()))
    return RunFolder(path)


def test_the_grant_is_kept_and_every_design_recorded_once(folder: RunFolder) -> None:
    table, designs = folder.evaluations()
    ledger = folder.result()["ledger"]
    assert 0 < len(designs) == ledger["simulator_evaluations"] <= EVALUATIONS
    assert ledger["simulator_evaluations"] <= ledger["proposals"] <= 4 * EVALUATIONS
    assert len(np.unique(designs, axis=0)) == len(designs)
    assert table["evaluation"].tolist() == list(range(len(designs)))
    assert designs.shape[1] == KNOBS


def test_the_result_is_what_the_problem_says_of_its_design(folder: RunFolder) -> None:
    result = folder.result()
    problem = build(Options(**PROBLEM)).problem
    design = np.array([result["choices"]])
    names = [metric.name for metric in problem.metrics]
    assert result["metrics"] == pytest.approx(dict(zip(names, problem.evaluate(design)[0], strict=True)))
    assert result["metrics"]["latency_s"] <= result["constraints"]["latency_s"] * (1 + 1e-9)
    assert list(result["design"]) == [knob.name for knob in problem.space.knobs]
    assert list(result["design"].values()) == [
        knob.values[choice] for knob, choice in zip(problem.space.knobs, result["choices"], strict=True)
    ]
    best = folder.evaluations()[0].query("feasible > 0")["score"].max()
    assert result["score"] == best


def test_the_folder_holds_what_its_table_says(folder: RunFolder) -> None:
    there = {str(path.relative_to(folder.path)) for path in folder.path.rglob("*") if path.is_file()}
    expected = {"config.json", "evaluations.csv", "result.json", "front.csv", ".lock"}
    expected |= {f"plots/{name}.png" for name in ("design", "learning_curve", "pareto")}
    learned = {"checkpoints/learner.safetensors", "policy.safetensors"}
    if folder.config().agent in LEARNERS:
        expected |= learned
    assert expected <= there
    assert {name for name in there - expected if not name.startswith("tensorboard/")} == set()
    for picture in folder.path.glob("plots/*.png"):
        assert picture.read_bytes().startswith(b"\x89PNG")


def test_tensorboard_holds_the_metrics_of_the_domain(folder: RunFolder) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder.path / "tensorboard"))
    events.Reload()
    tags = set(events.Tags()["scalars"])
    result = folder.result()
    assert {f"best/{name}" for name in result["metrics"]} <= tags
    assert {f"design/{name}" for name in result["design"]} <= tags
    assert any(tag.endswith(".weight_bits") for tag in tags)
    assert events.Scalars("best/latency_s")[-1].value == pytest.approx(result["metrics"]["latency_s"], rel=1e-6)


def test_a_policy_is_arrays_and_json(folder: RunFolder) -> None:
    if folder.config().agent not in LEARNERS:
        assert folder.policy() is None
        return
    with safe_open(folder.path / "policy.safetensors", framework="numpy") as file:
        json.loads(file.metadata()["state"])
        names = list(file.keys())
    assert any(".policy." in name for name in names)
    assert not any("optimizer" in name or "replay" in name for name in names)


def test_a_finished_run_answers_at_once(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a finished run was run again")

    monkeypatch.setattr("codesign_gym.training.run.train", refuse)
    assert run(folder.config(), folder.path, Console(file=io.StringIO())) == folder.result()


def test_no_bar_where_nobody_watches(tmp_path: Path) -> None:
    quiet, watched = io.StringIO(), io.StringIO()
    run(config("uniform", 5), tmp_path / "quiet", Console(file=quiet))
    run(config("uniform", 5), tmp_path / "watched", Console(file=watched, force_terminal=True, width=120))
    assert quiet.getvalue() == ""
    assert "uniform seed 3" in watched.getvalue()
    assert "best loss" in watched.getvalue()


def test_the_default_folder_tells_what_is_in_it() -> None:
    assert default_path(config("ppo")) == Path("runs/ppo-digits-cnn-haq-cloud-seed3")
    assert default_path(config("ppo", network="a/b c.yaml")) == Path("runs/ppo-b_c.yaml-haq-cloud-seed3")


def test_a_named_view_of_actions_is_the_agents(tmp_path: Path) -> None:
    assert agent_of(config("ppo", 5, action="discrete")).actions == "discrete"
    with pytest.raises(BadConfig, match="DQN cannot take 'box' actions; accepted: discrete"):
        train(config("dqn", 5, action="box"), RunFolder(tmp_path / "run"))
    assert not (tmp_path / "run").exists()
