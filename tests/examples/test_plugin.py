"""The example plug-in, installed beside this package and not into it, is found, passes the checker, and trains."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = ROOT / "examples" / "codesign-gym-plugin"

CHECK = """
import json, sys
from codesign_gym.testing import check_env
name = "codesign_gym_plugin.envs:plugin/SparseNet-v0"
print(json.dumps([check_env(name, **options) for options in json.loads(sys.argv[1])]))
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory, cache: Path):
    """Runs Python where only an installed copy of the plug-in is importable; returns what it prints."""
    folder = tmp_path_factory.mktemp("plugin")
    source, target = folder / "source", folder / "site"
    shutil.copytree(PLUGIN, source, ignore=shutil.ignore_patterns("*.egg-info", "__pycache__", "build"))
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run([*install, "--target", target, source], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    shutil.rmtree(source)
    environment = {**os.environ, "PYTHONPATH": str(target), "OMP_NUM_THREADS": "1"}

    def run(*arguments: str) -> str:
        command = [sys.executable, "-W", "error::UserWarning", *arguments]
        told = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, env=environment)
        assert told.returncode == 0, told.stdout[-1000:] + told.stderr[-2000:]
        return told.stdout

    return run


def test_its_environment_passes_the_public_checker(python) -> None:
    options = [{}, {"reward": "terminal", "observation": "plain", "enforcement": "mask", "action": "box"}]
    passed = json.loads(python("-c", CHECK, json.dumps(options)))
    assert all("vector environment" in names and "pickling" in names for names in passed)


def test_its_environment_is_trained_from_the_command_line(python, tmp_path: Path) -> None:
    run = tmp_path / "run"
    environment = ["--env", "codesign_gym_plugin.envs:plugin/SparseNet-v0"]
    python("-m", "codesign_gym", "train", *environment, "--agent", "ppo", "--evaluations", "40", "--run", str(run))
    result = json.loads((run / "result.json").read_text())
    assert result["ledger"]["simulator_evaluations"] <= 40
    assert result["metrics"]["macs"] <= result["constraints"]["macs"] * (1 + 1e-9)
    assert result["reference"]["loss"] == 0.0
    assert set(result["design"]) == {f"layer{i}.{knob}" for i in range(6) for knob in ("kept", "block")}


@pytest.mark.parametrize(
    "network",
    [
        ["--network", "gratings-cnn"],
        [
            *("--network", "codesign_gym_plugin.network:build"),
            *("--data", "codesign_gym_plugin.network:loaders"),
        ],
    ],
    ids=["by id", "by reference"],
)
def test_its_network_is_quantized_for_its_device(python, tmp_path: Path, network: list[str]) -> None:
    run = tmp_path / "run"
    options = ["--device", "pocket-array", "--agent", "random", "--budget", "latency=0.7", "--evaluations", "10"]
    python("-m", "codesign_gym", "train", *network, *options, "--run", str(run))
    result = json.loads((run / "result.json").read_text())
    assert result["ledger"]["accuracy_evaluations"] == 10
    assert result["reference"]["accuracy"] > 0.9, "the network has learned something that quantization can lose"
    assert result["metrics"]["latency_s"] <= 0.7 * result["reference"]["latency_s"] * (1 + 1e-9)


def test_its_ids_are_listed(python) -> None:
    listed = python("-m", "codesign_gym", "list")
    for name in ("plugin/SparseNet-v0", "pocket-array", "gratings-cnn"):
        assert name in listed
