"""The command line as a user meets it: answers on stdout, one line on stderr for a mistake, exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from training_samples import finished, outcome, rows, told_in_one_line

from codesign_gym.records import read_yaml
from codesign_gym.simulators.hardware import device as devices
from codesign_gym.training import catalogue, cli
from codesign_gym.training.folder import RunFolder

TRAIN = "train --network digits-cnn --device haq-cloud --option accuracy=tabular --budget latency=0.6 --seed 3"
IMAGES = "codesign_gym.simulators.accuracy.datasets:digits"

USER_MODULE = """
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from codesign_gym.simulators.hardware.model import Costs


def not_numbers():
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    with torch.no_grad():
        module[1].weight[0, 0] = float("nan")
    return module


def bare():
    return nn.Sequential(nn.Flatten(), nn.ReLU())


@dataclass(frozen=True)
class NotNumbers:
    def cost(self, layers, bits):
        column = np.full(bits.shape[:-1], np.nan)
        return Costs(latency_s=column, size_bytes=column)


@dataclass(frozen=True)
class Raising:
    def cost(self, layers, bits):
        raise TypeError("wrong")
"""
USER_DEVICES = {
    "nan.yaml": "title: t\nmodel: user_module:NotNumbers\nbatch: 1\nsources: {}\nparameters: {}\n",
    "raises.yaml": "title: t\nmodel: user_module:Raising\nbatch: 1\nsources: {}\nparameters: {}\n",
    "twice.yaml": "title: t\nmodel: haq-cloud\nbatch: 1\nbatch: 2\nsources: {}\nparameters: {}\n",
    "upside_down.yaml": "title: t\nmodel: haq-cloud\nbatch: 1\nmin_bits: 9\nsources: {}\nparameters: {}\n",
    "torn.yaml": "title: [t",
    "list.yaml": "- 1\n",
    "batch.yaml": "title: t\nmodel: haq-cloud\nbatch: 0\nsources: {}\nparameters: {}\n",
    "field.yaml": "title: t\nmodle: haq-cloud\nbatch: 1\nsources: {}\nparameters: {}\n",
    "model.yaml": "title: t\nmodel: haq-clod\nbatch: 1\nsources: {}\nparameters: {}\n",
    "shell.yaml": "title: t\nsource: s\nagent: os:system\nparameters: {command: 'touch harm'}\n",
    "setting.yaml": "title: t\nsource: s\nagent: codesign_gym.agents.sb3.agent:Sb3Agent\n"
    "parameters: {algorithm: 'stable_baselines3:PPO', settings: {n_stepz: 1}}\n",
    "field_of_agent.yaml": "title: t\nsource: s\nagent: codesign_gym.agents.sb3.agent:Sb3Agent\n"
    "parameters: {algoritm: 'stable_baselines3:PPO'}\n",
    "agent.yaml": "title: t\nsource: s\nagent: codesign_gym.agents.sb3.agent:Sb3Agent\n"
    "parameters: {algorithm: 'stable_baselines3:SAC', actions: discrete}\n",
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a module and device files of the user's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "user_module", raising=False)
    (tmp_path / "user_module.py").write_text(USER_MODULE)
    for name, text in USER_DEVICES.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def call(monkeypatch: pytest.MonkeyPatch, line: str) -> int:
    monkeypatch.setattr(sys, "argv", ["codesign-gym", *line.split()])
    with pytest.raises(SystemExit) as left:
        cli.main()
    return int(left.value.code or 0)


BAD: dict[str, tuple[str, ...]] = {
    "trian": ("No such command 'trian'",),
    "train --sed 3": ("No such option: --sed", "--seed"),
    "train --evaluations many": ("--evaluations", "integer"),
    "train --evaluations 0": ("evaluations is 0", "1 or more"),
    "train --proposals 0": ("proposals is 0", "1 or more"),
    "train --seed -1": ("seed is -1", "0 or more"),
    "train --agent pp0": ("unknown agent 'pp0'", "did you mean 'ppo'"),
    "train --network digits-cn": ("unknown network 'digits-cn'", "did you mean 'digits-cnn'"),
    "train --device bitfusio": ("unknown device 'bitfusio'", "did you mean 'bitfusion'"),
    "train --env codesign/MixedPrecison-v0": ("unknown environment", "did you mean 'codesign/MixedPrecision-v0'"),
    "train --env no_module:codesign/MixedPrecision-v0": ("no_module",),
    TRAIN + " --option acuracy=tabular": ("unknown field 'acuracy'", "did you mean 'accuracy'"),
    TRAIN + " --option accuracy=tabulr": ("unknown accuracy 'tabulr'", "did you mean 'tabular'"),
    TRAIN + " --option accuracy=[": ("--option 'accuracy=['", "not valid YAML"),
    TRAIN + " --option reward": ("--option 'reward'", "name=value"),
    TRAIN + " --option bits=[1,99]": ("bits is [1, 99]", "between"),
    TRAIN + " --option bits=[8,4]": ("bits is [8, 4]", "lowest and highest"),
    TRAIN + " --option enforcement=prise": ("unknown enforcement 'prise'", "did you mean 'price'"),
    TRAIN + " --option pinned=some": ("unknown pinned 'some'", "ends"),
    TRAIN + " --budget latency=0.9": ("one budget for each cost",),
    TRAIN + " --option enforcement=price+none": ("enforcement is 'price+none'", "'none' alone"),
    TRAIN + " --seed 4294967296": ("seed is 4294967296; accepted: 0 to 4294967295",),
    TRAIN + " --device user_module.py": ("device file 'user_module.py'", "ends in .yaml"),
    TRAIN + " --device twice.yaml": ("twice.yaml", "field 'batch' is given twice"),
    TRAIN + " --device upside_down.yaml": ("upside_down.yaml: min_bits 9 is above max_bits 8",),
    TRAIN + " --device raises.yaml": ("its model Raising failed: TypeError", "wrong"),
    "cost mobilenetv2 --input-shape 3,96,96": ("'mobilenetv2' is a table of shapes",),
    TRAIN.replace("0.6", "0.001"): ("no design keeps latency_s within", "the least that any design needs is"),
    TRAIN + " --budget lateny=0.5": ("unknown budget 'lateny'", "did you mean 'latency'"),
    TRAIN.replace("0.6", "-1"): ("budget 'latency' is -1.0", "positive"),
    TRAIN.replace("0.6", "3kg"): ("budget 'latency' is '3kg'", "ms"),
    TRAIN.replace("0.6", "nan"): ("budget 'latency' is nan", "positive"),
    TRAIN + " --budget energy=0.5": ("budget 'energy'", "no source"),
    TRAIN + " --floor 1": ("give a budget or a floor",),
    TRAIN + " --agent agent.yaml": ("SAC cannot take 'discrete' actions", "accepted: box"),
    TRAIN + " --agent shell.yaml": ("field 'agent' is 'os:system'", "a class with a method run"),
    TRAIN + " --agent setting.yaml": ("stable_baselines3:PPO: settings", "n_stepz"),
    TRAIN + " --agent field_of_agent.yaml": ("parameters", "algoritm"),
    TRAIN + " --device absent.yaml": ("device file 'absent.yaml' does not exist",),
    TRAIN + " --device torn.yaml": ("torn.yaml", "not valid YAML"),
    TRAIN + " --device list.yaml": ("list.yaml", "expected a mapping"),
    TRAIN + " --device batch.yaml": ("batch.yaml", "field 'batch' is 0"),
    TRAIN + " --device field.yaml": ("field.yaml", "'modle'", "did you mean 'model'"),
    TRAIN + " --device model.yaml": ("model.yaml", "'haq-clod'", "did you mean 'haq-cloud'"),
    TRAIN + " --device nan.yaml": ("nan.yaml", "latency_s nan", "layer 0"),
    TRAIN + " --network user_module:absent": ("user_module has no 'absent'",),
    f"train --network user_module:not_numbers --data {IMAGES}": ("1.weight", "not finite"),
    f"train --network user_module:bare --data {IMAGES}": ("'user_module:bare' has no layer that can be quantized",),
    TRAIN + " --run user_module.py": ("user_module.py",),
    TRAIN + " --run user_module.py/run": ("user_module.py/run", "Not a directory"),
    TRAIN + " --run .": ("is not empty and holds no run",),
    "train --resume absent": ("absent is not a run folder",),
    "train --resume absent --seed 4": ("--seed beside --resume",),
    "evaluate": ("Missing argument",),
    "evaluate absent": ("absent is not a run folder",),
    "compare absent": ("absent is not a run folder",),
    "cost mobilenetv3": ("unknown network 'mobilenetv3'", "did you mean"),
    "cost mobilenetv2 --bits 99": ("'bits' is 99", "2 to 8"),
    "cost mobilenetv2 --bits four": ("bits 'four'", "whole numbers"),
    "cost mobilenetv2 --bits 4;5": ("bits '4;5'", "53 such pairs"),
    "cost user_module:bare --input-shape 1,8,8": ("no layer that can be quantized",),
    "cost mobilenetv2 --input-shape 3,x": ("input shape '3,x'", "sizes as in 3x224x224"),
    "show bitfusion --input-shape 3,8,8": ("'bitfusion' is no network",),
    "verify --network mobilenetv2": ("--network", "accepted: beside --device"),
    "verify --device bitfusion --network mobilenetv2": ("'bitfusion' is not calibrated",),
    "verify --device bitfusio": ("unknown device 'bitfusio'", "did you mean 'bitfusion'"),
    "list device": ("unknown kind 'device'", "did you mean 'devices'"),
    "show bitfusio": ("unknown id 'bitfusio'", "did you mean 'bitfusion'", "codesign-gym list shows them"),
    "show resnt18": ("did you mean 'resnet18' or 'resnet50' or ", "names); codesign-gym list"),
    "show no/such/file.yaml": ("no such file: 'no/such/file.yaml'",),
    "show nosuch.onnx": ("no such file: 'nosuch.onnx'",),
    "show pixel-3-cpu --kind device": ("unknown kind 'device'", "did you mean 'devices'"),
    "show pixel-3-cpu --kind socs": ("unknown soc 'pixel-3-cpu'",),
    "study hak": ("unknown study 'hak'", "did you mean 'haq'"),
    "study haq --scale tiny": ("unknown scale 'tiny'", "small"),
}


@pytest.mark.parametrize("line", BAD)
def test_bad_input_is_one_line_and_leaves_nothing(
    line: str, here: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(here.rglob("*"))
    assert call(monkeypatch, line) in (1, 2)
    told_in_one_line(capsys.readouterr(), BAD[line])
    (here / "runs").rmdir() if (here / "runs").is_dir() else None  # empty, or this fails
    left = [path for path in sorted(here.rglob("*")) if "__pycache__" not in path.parts]
    assert left == before


@pytest.mark.parametrize("line", ["--debug list device", "list device --debug"])
def test_debug_shows_the_traceback(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from codesign_gym.errors import UnknownName

    monkeypatch.setattr(sys, "argv", ["codesign-gym", *line.split()])
    with pytest.raises(UnknownName, match="did you mean 'devices'"):
        cli.main()


def test_without_a_command_it_helps(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(monkeypatch, "") == 0
    assert "train" in capsys.readouterr().out
    assert call(monkeypatch, "--version") == 0
    assert capsys.readouterr().out == "0.1.0\n"


def answer(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], line: str) -> Any:
    """The JSON on standard output, down to what C code may print there."""
    assert call(monkeypatch, line) == 0
    told = capfd.readouterr()
    assert told.err == ""
    return json.loads(told.out)


def test_json_is_nothing_but_json(
    here: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for agent in ("milp", "random"):
        result = answer(monkeypatch, capfd, f"{TRAIN} --agent {agent} --evaluations 20 --run {agent} --json")
        assert result == RunFolder(here / agent).result()
    elsewhere = answer(monkeypatch, capfd, "evaluate milp --device bitfusion --json")
    assert (elsewhere["source"], elsewhere["options"]["device"]) == ("design", "bitfusion")
    compared = answer(monkeypatch, capfd, "compare milp random --out out --json")
    assert [row["agent"] for row in compared] == ["milp", "random"]
    costs = answer(monkeypatch, capfd, "cost mobilenetv2 --device haq-cloud --bits 4,8 --json")
    assert sum(row["latency_s"] for row in costs["layers"]) == pytest.approx(costs["total"]["latency_s"])


def test_tables_for_people(here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(monkeypatch, TRAIN + " --agent uniform --evaluations 5") == 0
    assert "run folder: runs/uniform-digits-cnn-haq-cloud-seed3" in capsys.readouterr().out
    assert (here / "runs" / "uniform-digits-cnn-haq-cloud-seed3" / "result.json").is_file()
    assert call(monkeypatch, "evaluate runs/uniform-digits-cnn-haq-cloud-seed3 --budget latency=0.5") == 0
    assert "within its limits" in " ".join(capsys.readouterr().out.split())
    assert call(monkeypatch, "cost digits-cnn") == 0
    assert "total" in capsys.readouterr().out


@pytest.mark.parametrize("kind", catalogue.listing())
def test_everything_with_an_id_is_listed_and_shown(
    kind: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, f"list {kind}") == 0
    listed = capsys.readouterr().out
    for name, title in catalogue.listing(kind)[kind]:
        assert title
        assert name in listed
        assert call(monkeypatch, f"show {name}") == 0
        assert name in capsys.readouterr().out


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind, found in catalogue.FILES.items() for name in found.shipped()]
)
def test_what_is_shown_loads_again_from_a_file(kind: str, name: str, tmp_path: Path) -> None:
    """As ``codesign-gym show ID > mine.yaml`` writes it."""
    told = catalogue.describe(name, kind=kind)
    (tmp_path / "mine.yaml").write_text(told + "\n")
    shipped = catalogue.FILES[kind].shipped()[name]
    assert read_yaml(tmp_path / "mine.yaml") == read_yaml(shipped)
    first = catalogue.describe(name)
    (tmp_path / "first.yaml").write_text(first + "\n")
    assert read_yaml(tmp_path / "first.yaml")["title"]


def test_a_redirected_device_is_the_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the command itself, whose terminal is narrow, so that nothing is wrapped, coloured or replaced."""
    monkeypatch.chdir(tmp_path)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "40"}
    shown = subprocess.run(
        [sys.executable, "-m", "codesign_gym", "show", "jetson-tx2"], env=environment, capture_output=True, check=True
    )
    Path("mine.yaml").write_bytes(shown.stdout)
    assert devices.load("mine.yaml").model == devices.load("jetson-tx2").model
    Path("mine.yaml").write_bytes(shown.stdout.replace(b"title: ", b"title: a:car:[bold] "))
    command = [sys.executable, "-m", "codesign_gym", "show", "mine.yaml"]
    again = subprocess.run(command, env=environment, capture_output=True, check=True)
    assert b"title: a:car:[bold] " in again.stdout


def test_ctrl_c_says_how_to_go_on(tmp_path: Path) -> None:
    whole, parts = finished(tmp_path / "whole", "ppo", 400), RunFolder(tmp_path / "parts")
    command = [sys.executable, "-m", "codesign_gym"]
    given = [*TRAIN.split(), "--agent", "ppo", "--evaluations", "400", "--run", str(parts.path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [*command, *given],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # What a shell starts in the background ignores Ctrl-C, and so would its children.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    ) as process:
        deadline = time.monotonic() + 120
        while not parts.rows.exists() or parts.rows.read_bytes().count(b"\n") < 20:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.002)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err == f"interrupted; go on with: codesign-gym train --resume {parts.path}\n"
    resumed = subprocess.run(
        [*command, "train", "--resume", str(parts.path)], env=environment, capture_output=True, text=True, check=False
    )
    assert (resumed.returncode, resumed.stderr) == (0, "")
    assert rows(parts).equals(rows(whole))
    assert outcome(parts)["design"] == outcome(whole)["design"]
