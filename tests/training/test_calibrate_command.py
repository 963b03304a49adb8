"""``codesign-gym calibrate`` as a user meets it: from a CSV file to a device that says where it may be trusted."""

from __future__ import annotations

import csv
import hashlib
import json
import re
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from training_samples import told_in_one_line

from codesign_gym.simulators.hardware.device import load as load_device
from codesign_gym.simulators.networks import load as load_network
from codesign_gym.simulators.networks.layers import COLUMNS
from codesign_gym.training import cli

CALIBRATE = "calibrate --device bismo-edge --measurements mine.csv --out calibrated.yaml"
TRUE_READ, TRUE_WRITE = 0.7e9, 0.4e9


def call(monkeypatch: pytest.MonkeyPatch, line: str) -> int:
    monkeypatch.setattr(sys, "argv", ["codesign-gym", *line.split()])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    return int(caught.value.code or 0)


def rows(count: int = 40) -> list[dict[str, Any]]:
    """MobileNetV2's layers as slower memory ports would run them, with noise of 3 %."""
    from dataclasses import replace

    net = load_network("mobilenetv2").weighted()
    device = load_device("bismo-edge")
    slower = replace(device.model, read_bytes_per_s=TRUE_READ, write_bytes_per_s=TRUE_WRITE)  # type: ignore[type-var]
    random = np.random.default_rng(0)
    bits = random.choice([4, 8], (len(net), 2))
    latency = slower.cost(net.layers, bits).latency_s * np.exp(random.normal(0, 0.03, len(net)))
    shape = [name for name in COLUMNS if name not in ("valid", "extra_parameters")]
    return [
        {name: int(getattr(net.layers, name)[i]) for name in shape}
        | {"weight_bits": bits[i, 0], "activation_bits": bits[i, 1], "latency_ms": 1e3 * latency[i], "note": "x"}
        for i in range(count)
    ]


def write(path: Path, table: list[dict[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(table[0]))
        writer.writeheader()
        writer.writerows(table)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with measurements."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    write(tmp_path / "mine.csv", rows())
    return tmp_path


def test_from_measurements_to_a_device_that_says_where_it_holds(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, CALIBRATE + " --plots plots") == 0
    told = capsys.readouterr()
    assert told.err == ""
    for part in ("MAPE before", "cross-validated", "read_bytes_per_s", "95 % interval", "device file: calibrated.yaml"):
        assert part in told.out
    assert (here / "plots" / "calibrated.png").stat().st_size > 10_000
    assert sorted(path.name for path in here.iterdir()) == ["calibrated.yaml", "mine.csv", "plots"]

    device = load_device("calibrated.yaml")
    assert device.calibration is not None
    for name, truth in (("read_bytes_per_s", TRUE_READ), ("write_bytes_per_s", TRUE_WRITE)):
        bar = device.calibration.fitted[name]
        assert bar.low is not None
        assert bar.high is not None
        assert bar.low < truth < bar.high
        assert (
            "Fitted by codesign-gym calibrate to 40 rows of mine.csv" in device.sources[device.parameters[name].source]
        )
    assert device.parameters["dm"].source == "fpl"
    assert "port" not in device.sources  # nothing comes from there any more
    error = device.calibration.errors["latency_s"]
    assert error.cross_validated_mape_percent < 4 < error.before_mape_percent
    assert device.calibration.sha256 == hashlib.sha256((here / "mine.csv").read_bytes()).hexdigest()

    assert call(monkeypatch, "show calibrated.yaml") == 0
    shown = capsys.readouterr().out
    assert "calibrated on 40 rows of mine.csv" in shown
    assert "outside that range its figures are extrapolations" in shown
    assert call(monkeypatch, "cost resnet50 --device calibrated.yaml") == 0
    costs = capsys.readouterr().out
    assert "outside the calibration: layer conv1: 1.18e+08 MACs, beyond the calibrated" in costs
    assert call(monkeypatch, "cost mobilenetv2 --device calibrated.yaml --bits 2 --json") == 0
    doubts = json.loads(capsys.readouterr().out)["outside_calibration"]
    assert any("2 weight bits, beyond the calibrated 4 to 8" in line for line in doubts)


def test_by_default_what_the_measurements_exercise_is_fitted(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A phone's CPU in 32 bits: its peaks of other types stay, the rest is found within the noise."""
    from dataclasses import replace

    layers, device = load_network("mobilenetv2").weighted().layers, load_device("pixel-3-cpu")
    truth = {"ops_per_s_32": 6e10, "bytes_per_s": 9e9, "launch_s": 9e-6}
    model = replace(device.model, **truth)  # type: ignore[type-var]
    latency = model.cost(layers, np.full((len(layers.op), 2), 32)).latency_s
    noisy = 1e3 * latency * np.exp(np.random.default_rng(0).normal(0, 0.03, len(latency)))
    shape = [name for name in COLUMNS if name not in ("valid", "extra_parameters")]
    columns = {name: getattr(layers, name) for name in shape} | {"latency_ms": noisy}
    write(here / "float.csv", [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)])
    assert call(monkeypatch, "calibrate --device pixel-3-cpu --measurements float.csv --out phone.yaml --json") == 0
    told = json.loads(capsys.readouterr().out)
    assert {row["constant"] for row in told["constants"]} == set(truth)
    assert told["kept"] == ["ops_per_s_4", "ops_per_s_8", "ops_per_s_16"]
    assert told["errors"]["latency_s"]["cross_validated_mape_percent"] < 4
    for row in told["constants"]:
        assert row["low"] < truth[row["constant"]] < row["high"]
    assert call(monkeypatch, "calibrate --device pixel-3-cpu --measurements float.csv --out words.yaml") == 0
    kept = "kept as they were, as no row depends on them: ops_per_s_4, ops_per_s_8, ops_per_s_16\n"
    assert kept in capsys.readouterr().out


def test_a_poor_fit_is_told_with_what_else_to_free(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, CALIBRATE + " --free read_bytes_per_s") == 0
    assert "rows not seen" not in capsys.readouterr().out
    write(here / "mine.csv", [{**row, "latency_ms": 3.0**i} for i, row in enumerate(rows(12))])
    assert call(monkeypatch, CALIBRATE + " --free read_bytes_per_s --force") == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "latency_s of rows not seen is still" in told
    assert "--free read_bytes_per_s,clock_hz,write_bytes_per_s frees" in told


def test_whole_networks_are_left_out_one_at_a_time(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from dataclasses import replace

    device = load_device("bismo-edge")
    slower = replace(device.model, read_bytes_per_s=TRUE_READ, write_bytes_per_s=TRUE_WRITE)  # type: ignore[type-var]
    random, table = np.random.default_rng(0), []
    for name in ("resnet18", "resnet50", "mobilenetv1", "mobilenetv2"):
        for batch, bits in ((1, 8), (4, 8), (1, 4)):
            layers = load_network(name).layers.with_batch(batch)
            latency = slower.cost(layers, np.full((len(layers.op), 2), bits)).latency_s.sum()
            noisy = latency * np.exp(random.normal(0, 0.02))
            table.append({"network": name, "batch": batch, "bits": bits, "latency_s": noisy})
    write(here / "mine.csv", table)
    assert call(monkeypatch, CALIBRATE) == 0
    capsys.readouterr()
    calibration = load_device("calibrated.yaml").calibration
    assert calibration is not None
    assert calibration.cross_validation == "leaving out one of 4 networks"
    bar = calibration.fitted["read_bytes_per_s"]
    assert bar.low is not None
    assert bar.high is not None
    assert bar.low < TRUE_READ < bar.high
    assert calibration.errors["latency_s"].cross_validated_mape_percent < 4
    assert "norm" in calibration.ranges.operators  # every row of a network was measured with it


def test_json_is_nothing_but_json_and_the_answer_is_the_same(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers, files = [], []
    for _ in range(2):
        assert call(monkeypatch, CALIBRATE + " --free read_bytes_per_s,clock_hz --folds 3 --seed 5 --json --force") == 0
        told = capsys.readouterr()
        assert told.err == ""
        answers.append(json.loads(told.out))
        files.append((here / "calibrated.yaml").read_text())
    assert answers[0] == answers[1]
    assert files[0] == files[1]
    assert [row["constant"] for row in answers[0]["constants"]] == ["read_bytes_per_s", "clock_hz"]
    assert answers[0]["rows"] == 40


def test_marked_constants_are_fitted_and_a_calibration_can_be_repeated(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, CALIBRATE + " --folds 2") == 0
    content = yaml.safe_load((here / "calibrated.yaml").read_text())
    content["parameters"]["write_bytes_per_s"]["free"] = True
    (here / "marked.yaml").write_text(yaml.safe_dump(content))
    again = "calibrate --device marked.yaml --measurements mine.csv --out again.yaml --folds 2"
    assert call(monkeypatch, again) == 0
    capsys.readouterr()
    device = load_device("again.yaml")
    assert device.calibration is not None
    assert list(device.calibration.fitted) == ["write_bytes_per_s"]
    assert device.title.count("calibrated on") == 1
    assert {quantity.source for quantity in device.parameters.values()} == set(device.sources)
    assert device.parameters["write_bytes_per_s"].free


def test_verify_says_how_far_a_calibrated_device_may_be_trusted(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, CALIBRATE + " --folds 2") == 0
    capsys.readouterr()
    verify = "verify --device calibrated.yaml --json"

    assert call(monkeypatch, verify + " --network resnet50 --network mobilenetv2") == 0
    told = json.loads(capsys.readouterr().out)
    stated = load_device("calibrated.yaml").calibration
    assert stated is not None
    found = told["checks"][0]
    assert (found["model"], found["rows"], found["passed"]) == ("calibrated.yaml", 40, True)
    assert found["mape_percent"] == pytest.approx(stated.errors["latency_s"].mape_percent, rel=1e-3)
    assert told["devices"][0]["calibration"] == stated.summary()
    outside = told["devices"][0]["outside_calibration"]
    assert any("layer conv1: 1.18e+08 MACs, beyond the calibrated" in line for line in outside["resnet50"])

    write(here / "other.csv", rows(53))  # the last ones were not measured, and are smaller
    assert call(monkeypatch, verify + " --measurements other.csv") == 0
    note = json.loads(capsys.readouterr().out)["checks"][0]["note"]
    assert note == "other rows than those of the calibration, 3 of them outside its range"

    (here / "mine.csv").rename(here / "away.csv")
    assert call(monkeypatch, verify) == 1
    absent = json.loads(capsys.readouterr().out)["checks"][0]
    assert absent["passed"] is None
    assert "mine.csv is absent" in absent["note"]

    text = (here / "calibrated.yaml").read_text()
    (here / "bent.yaml").write_text(text.replace("read_bytes_per_s: {value: ", "read_bytes_per_s: {value: 3"))
    (here / "away.csv").rename(here / "mine.csv")
    assert call(monkeypatch, "verify --device bent.yaml --network mobilenetv1") == 1
    assert "FAIL" in (out := capsys.readouterr().out)
    assert "mobilenetv1 on bent.yaml: outside the calibration: layer" in out


BAD: dict[str, tuple[str, ...]] = {
    "calibrate --device bismo-edge": ("Missing option",),
    "calibrate --device bismo-egde --measurements mine.csv --out a.yaml": ("did you mean 'bismo-edge'",),
    "calibrate --device bismo-edge --measurements absent.csv --out a.yaml": (
        "absent.csv: cannot be read: No such file",
    ),
    "calibrate --device bismo-edge --measurements mine.csv --out a.txt": ("--out 'a.txt'", "ends in .yaml"),
    "calibrate --device bismo-edge --measurements mine.csv --out mine.csv/a.yaml": ("mine.csv",),
    "calibrate --device bismo-edge --measurements mine.csv --out there.yaml": (
        "--out 'there.yaml' is there already; accepted: another name, or --force",
    ),
    "calibrate --device phone --measurements mine.csv --out a.yaml": ("'phone' is a system on a chip", "your-soc.md"),
    "calibrate --device marked.yaml --measurements wide.csv --out a.yaml": ("wide.csv: no row depends on ops_per_s_4",),
    "calibrate --device bismo-edge --measurements absurd.csv --out a.yaml": (
        "'absurd.csv' has",
        "layer 'row 2'",
        "of them",
    ),
    CALIBRATE + " --free clok_hz": ("unknown parameter 'clok_hz'; did you mean 'clock_hz'",),
    CALIBRATE + " --free dm": ("free constant 'dm' is not a real number; accepted: clock_hz",),
    CALIBRATE + " --folds 1": ("--folds", "2"),
    "calibrate --device bitfusion --measurements mine.csv --out a.yaml": (
        "no constant is marked",
        "--free (known: clock_hz",
    ),
    "calibrate --device bismo-edge --measurements wide.csv --out a.yaml": (
        "row 1: weight and activation bits are 16/8",
    ),
    "verify --device bismo-edge --measurements wide.csv": ("row 1: weight and activation bits are 16/8",),
    "verify --device bismo-edge --measurements absent.csv": ("absent.csv: cannot be read",),
    "calibrate --device bismo-edge --measurements joule.csv --out a.yaml": ("the model gives no energy_j", "joule.csv"),
    "calibrate --device bismo-edge --measurements few.csv --out a.yaml": ("2 rows for 2 free constants; accepted: 3",),
}


@pytest.mark.parametrize("line", BAD)
def test_bad_input_is_one_line_and_leaves_nothing(
    line: str, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(here / "wide.csv", [row | {"weight_bits": 16, "activation_bits": 8} for row in rows(10)])
    write(here / "joule.csv", [row | {"energy_mJ": 1} for row in rows(10)])
    write(here / "few.csv", rows(2))
    absurd = dict.fromkeys(("in_height", "in_width", "out_height", "out_width"), 10**7)
    write(here / "absurd.csv", [row | (absurd if number == 1 else {}) for number, row in enumerate(rows(4))])
    (here / "there.yaml").write_text("mine")
    cpu = (Path(str(files("codesign_gym.configs"))) / "devices" / "pixel-3-cpu.yaml").read_text()
    (here / "marked.yaml").write_text(re.sub(r"(ops_per_s_[^4].*|bytes_per_s.*|launch_s.*), free: true", r"\1", cpu))
    before = sorted(here.rglob("*"))
    assert call(monkeypatch, line) in (1, 2)
    told_in_one_line(capsys.readouterr(), BAD[line])
    assert sorted(here.rglob("*")) == before
