"""An interrupted run that goes on ends exactly as one that was never interrupted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import gymnasium
import numpy as np
import pandas as pd
import pytest
from training_samples import LEARNERS, config, finished, interrupt_after, outcome, rows

from codesign_gym.errors import StorageError
from codesign_gym.storage import write_text
from codesign_gym.training.cli import main
from codesign_gym.training.config import DEFAULT_ENVIRONMENT, configure
from codesign_gym.training.folder import RunFolder
from codesign_gym.training.train import train

EVALUATIONS = 50


def same(one: RunFolder, other: RunFolder) -> None:
    pd.testing.assert_frame_equal(rows(one), rows(other), check_exact=True)
    assert outcome(one) == outcome(other)


@pytest.mark.parametrize("agent", [*LEARNERS, "random", "evolutionary", "greedy", "milp", "uniform"])
def test_interrupted_twice_and_resumed_is_as_uninterrupted(agent: str, tmp_path: Path) -> None:
    whole, parts = finished(tmp_path / "whole", agent, EVALUATIONS), RunFolder(tmp_path / "parts")
    total = len(rows(whole))
    interruptions = 0
    for stop in (total // 3, 2 * total // 3):
        try:
            train(config(agent, EVALUATIONS), parts, interrupt_after(max(stop, 1)))
        except KeyboardInterrupt:
            interruptions += 1
            assert not parts.finished
    assert interruptions  # one is enough where all designs are scored in one batch
    train(config(agent, EVALUATIONS), parts)
    same(whole, parts)


def test_a_kill_between_the_last_checkpoint_and_the_result(tmp_path: Path) -> None:
    whole = finished(tmp_path / "whole", "ppo", EVALUATIONS)
    before = outcome(whole)
    (whole.path / "result.json").unlink()
    train(config("ppo", EVALUATIONS), whole)
    assert outcome(whole) == before


def test_rows_that_are_gone_are_found_again(tmp_path: Path) -> None:
    """A checkpoint of which not all evaluations are known is no use: the run begins anew, and ends as it did."""
    whole, parts = finished(tmp_path / "whole", "ppo", EVALUATIONS), RunFolder(tmp_path / "parts")
    with pytest.raises(KeyboardInterrupt):
        train(config("ppo", EVALUATIONS), parts, interrupt_after(40))
    lines = parts.rows.read_text().splitlines(keepends=True)
    write_text(parts.rows, "".join(lines[:8]))
    train(config("ppo", EVALUATIONS), parts)
    same(whole, parts)


@pytest.mark.parametrize("cut", [1, 30])
def test_a_torn_last_line_is_scored_again(cut: int, tmp_path: Path) -> None:
    whole, parts = finished(tmp_path / "whole", "evolutionary", EVALUATIONS), RunFolder(tmp_path / "parts")
    with pytest.raises(KeyboardInterrupt):
        train(config("evolutionary", EVALUATIONS), parts, interrupt_after(30))
    parts.rows.write_bytes(parts.rows.read_bytes()[:-cut])
    train(config("evolutionary", EVALUATIONS), parts)
    same(whole, parts)


def test_seconds_go_on(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        train(config("random"), folder, interrupt_after(5))
    text = folder.rows.read_text().splitlines()
    text[1:] = [",".join([line.split(",")[0], "100.0", *line.split(",")[2:]]) for line in text[1:]]
    write_text(folder.rows, "\n".join(text) + "\n")
    assert train(config("random"), folder)["ledger"]["seconds"] >= 100.0


def test_measured_designs_are_not_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from codesign_gym.envs.mixed_precision.problem import MixedPrecisionProblem

    folder, scored = RunFolder(tmp_path), []
    with pytest.raises(KeyboardInterrupt):
        train(config("evolutionary", EVALUATIONS), folder, interrupt_after(30))
    known = {row.tobytes() for row in folder.evaluations()[1]}
    evaluate = MixedPrecisionProblem.evaluate

    def watched(self: MixedPrecisionProblem, designs: np.ndarray) -> np.ndarray:
        scored.extend(row.tobytes() for row in designs)
        return evaluate(self, designs)

    monkeypatch.setattr(MixedPrecisionProblem, "evaluate", watched)
    result = train(config("evolutionary", EVALUATIONS), folder)
    reference = np.full(len(result["choices"]), 6).tobytes()
    assert len(scored) > 1
    assert known.isdisjoint(set(scored) - {reference})


def test_kill_9_and_resume(tmp_path: Path) -> None:
    """A real kill at whatever moment it comes; the command line goes on from what is on disk, replay buffer and all."""
    agent, evaluations = "ddpg", 120
    whole = finished(tmp_path / "whole", agent, evaluations)
    parts = RunFolder(tmp_path / "parts")
    options = ["--network", "digits-cnn", "--device", "haq-cloud", "--budget", "latency=0.6"]
    given = ["--agent", agent, "--evaluations", str(evaluations), "--seed", "3", "--option", "accuracy=tabular"]
    command = [sys.executable, "-m", "codesign_gym", "train", *options, *given, "--run", str(parts.path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while not parts.rows.exists() or parts.rows.read_bytes().count(b"\n") < 40:
            assert process.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.002)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert not parts.finished
    resumed = subprocess.run(
        [*command[:4], "--resume", str(parts.path), "--json"], env=environment, capture_output=True, check=False
    )
    assert (resumed.returncode, resumed.stderr) == (0, b"")
    table = rows(parts)
    pd.testing.assert_frame_equal(table, rows(whole), check_exact=True)
    assert outcome(parts)["choices"] == outcome(whole)["choices"]


def test_another_configuration_is_refused_and_named(tmp_path: Path) -> None:
    folder = finished(tmp_path)
    for other, field in (
        (config("ppo"), "options"),
        (config(evaluations=41), "evaluations: 40 there, 41 asked for"),
        (config(device="bitfusion"), "options.device: 'haq-cloud' there, 'bitfusion' asked for"),
    ):
        with pytest.raises(StorageError, match=field):
            train(other, folder)


@pytest.mark.parametrize("damage", [b"", b"not a checkpoint", b"\xff" * 64])
def test_a_corrupt_checkpoint_is_named(damage: bytes, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        train(config("ppo", EVALUATIONS), folder, interrupt_after(30))
    (tmp_path / "checkpoints" / "learner.safetensors").write_bytes(damage)
    with pytest.raises(StorageError, match=r"learner\.safetensors is damaged or not a checkpoint"):
        train(config("ppo", EVALUATIONS), folder)


def test_a_checkpoint_of_another_learner_is_refused(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "mine")
    with pytest.raises(KeyboardInterrupt):
        train(config("ppo", EVALUATIONS), folder, interrupt_after(40))
    arrays, state = finished(tmp_path / "other", "sac", EVALUATIONS).read("learner") or ({}, {})
    folder.save("learner", arrays, {**state, "meter": {"evaluations": 10, "proposals": 10}})
    with pytest.raises(StorageError, match="does not fit this run"):
        train(config("ppo", EVALUATIONS), folder)
    folder.save("learner", {}, {"something": "else"})
    with pytest.raises(StorageError, match="does not fit this run"):
        train(config("ppo", EVALUATIONS), folder)


def test_two_processes_do_not_run_in_one_folder(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    with folder.locked(), pytest.raises(StorageError, match=r"another process is running in .*run; wait for it"):
        train(config("random"), RunFolder(folder.path))
    assert train(config("random"), folder)["metrics"]


def test_code_that_a_stranger_names_is_not_imported_unasked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = finished(tmp_path / "run")
    content = json.loads((folder.path / "config.json").read_text())
    content["run"]["options"]["device"] = "this_module:does_not_exist"
    (folder.path / "config.json").write_text(json.dumps(content))
    for command in (["evaluate", str(folder.path)], ["train", "--resume", str(folder.path)]):
        monkeypatch.setattr(sys, "argv", ["codesign-gym", *command])
        with pytest.raises(SystemExit):
            main()
        assert "'this_module:does_not_exist'; give --trust" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["codesign-gym", "evaluate", str(folder.path), "--trust"])
    with pytest.raises(SystemExit):
        main()
    assert "cannot import 'this_module'" in capsys.readouterr().err


def test_an_agent_suggests_only_options_that_the_environment_has(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {"reward", "observation"} <= set(configure(DEFAULT_ENVIRONMENT, {}, "ppo", 10).options)
    gymnasium.register("test/Bare-v0", entry_point=lambda reward="dense": None)
    try:
        assert set(configure("test/Bare-v0", {}, "ppo", 10).options) == {"reward"}
    finally:
        del gymnasium.registry["test/Bare-v0"]
