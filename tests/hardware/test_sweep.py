"""Sweeps: every combination once, in bounded memory, and the configurations that none beats."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hardware_samples import conv, layers, linear
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner

from codesign_gym.errors import CodesignError, UnknownName
from codesign_gym.pareto import nondominated
from codesign_gym.simulators.hardware import sweep as sweeping
from codesign_gym.simulators.hardware.device import load
from codesign_gym.simulators.hardware.sweep import Front, evaluate, factorial, in_blocks, pages, workload
from codesign_gym.training.cli import app
from codesign_gym.training.sweeping import parse_knob, sweep

few = settings(max_examples=50, deadline=None, derandomize=True)
TABLE = layers(conv(8, 16, 24, 3), linear(64, 10), conv(8, 16, 24, 3), conv(8, 24, 24, 3, groups=24))
BITS = np.array([[8, 8], [8, 8], [8, 8], [4, 6]])
KNOBS = {"rows": [4, 8, 30], "dataflow": ["ws", "os"], "clock_hz": [1e8, 1e9]}


def points(metrics: int) -> st.SearchStrategy[np.ndarray]:
    row = st.lists(st.integers(0, 5), min_size=metrics, max_size=metrics)
    return st.lists(row, min_size=0, max_size=40).map(lambda drawn: np.array(drawn, dtype=float).reshape(-1, metrics))


@few
@given(rows=st.integers(1, 50), columns=st.integers(1, 9), elements=st.integers(1, 60))
def test_blocks_make_the_whole(rows: int, columns: int, elements: int) -> None:
    table = np.arange(rows * columns, dtype=float).reshape(rows, columns)
    widest = []

    def work(part: slice) -> np.ndarray:
        widest.append(table[part].size)
        return table[part] * 2

    np.testing.assert_array_equal(in_blocks(work, rows, columns, elements), table * 2)
    assert max(widest) <= max(elements, columns)


@few
@given(table=st.integers(1, 3).flatmap(points))
def test_the_front_is_what_brute_force_finds(table: np.ndarray) -> None:
    found = table[nondominated(table)]
    distinct = np.unique(table, axis=0)
    best = [row for row in distinct if not any((other <= row).all() and (other < row).any() for other in distinct)]
    np.testing.assert_array_equal(found, np.reshape(best, (-1, table.shape[1])))


@few
@given(table=st.integers(1, 3).flatmap(points), seed=st.integers(0, 99))
def test_a_front_does_not_depend_on_pages(table: np.ndarray, seed: int) -> None:
    names = [f"metric{i}" for i in range(table.shape[1])]
    columns = {name: table[:, i] for i, name in enumerate(names)} | {"position": np.arange(len(table))}
    whole, paged = Front(names), Front(names)
    whole.add(columns)
    cuts = np.sort(np.random.default_rng(seed).integers(0, len(table) + 1, 3))
    for part in np.split(np.arange(len(table)), cuts):
        paged.add({name: column[part] for name, column in columns.items()})
    np.testing.assert_array_equal(whole.columns["position"], paged.columns["position"])
    assert len(whole) == len(np.unique(table[whole.columns["position"]], axis=0))


def test_every_combination_once_and_as_if_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeping, "PAGE", 5)
    monkeypatch.setattr(sweeping, "BLOCK", 6)
    device = load("systolic-edge")
    plan = factorial(device, KNOBS)
    work = workload(device, TABLE, BITS)
    found = list(pages(device, work, plan))
    assert [len(page["rows"]) for page in found] == [5, 5, 2]
    together = {name: np.concatenate([page[name] for page in found]) for name in found[0]}
    seen = set(zip(*(together[name].tolist() for name in KNOBS), strict=True))
    assert len(seen) == plan.size == 12
    for i in range(plan.size):
        knobs = {name: together[name][i : i + 1] for name in KNOBS}
        model = type(device.model)(**{**vars(device.model), **{name: value.item() for name, value in knobs.items()}})
        alone = model.cost(TABLE, BITS)
        assert together["latency_s"][i] == pytest.approx(alone.latency_s.sum(), rel=1e-12)
        assert together["mac_units"][i] == alone.resources["mac_units"]


def test_repeated_rows_are_costed_once() -> None:
    work = workload(load("systolic-edge"), TABLE, BITS)
    np.testing.assert_array_equal(work.repeats, [2, 1, 1])
    np.testing.assert_array_equal(work.bits, [[8, 8], [8, 8], [4, 6]])
    other = workload(load("systolic-edge"), TABLE, np.array([[8, 8], [8, 8], [8, 4], [4, 6]]))
    assert len(other.repeats) == 4


def test_a_model_that_takes_no_arrays_is_asked_one_by_one() -> None:
    device = load("bitfusion")
    plan = factorial(device, {"inputs": [8, 16]})
    table = layers(linear(64, 10))
    work = workload(device, table, np.array([[8, 8]]))
    assert not sweeping.takes_arrays(device, work, plan)
    (page,) = pages(device, work, plan)
    for value, latency_s in zip(page["inputs"], page["latency_s"], strict=True):
        model = replace(device.model, inputs=int(value))
        assert latency_s == model.cost(table, np.array([[8, 8]])).latency_s.sum()


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeping, "PAGE", 1024)
    device = load("systolic-edge")
    work = workload(device, TABLE, BITS)

    def peak(values: int) -> int:
        plan = factorial(device, {"rows": range(1, values + 1), "columns": range(1, 65)})
        tracemalloc.start()
        for page in pages(device, work, plan):
            assert len(page["latency_s"]) <= 1024
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    few_pages, many_pages = peak(32), peak(512)
    assert many_pages < 1.2 * few_pages < 20e6


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("rows=8:32:8", [8, 16, 24, 32]),
        ("rows=8:20:8", [8, 16]),
        ("rows=3:5", [3, 4, 5]),
        ("rows=8:64:*2", [8, 16, 32, 64]),
        ("rows=1,5:7,5", [1, 5, 6, 7]),
        ("rows=1e8:2e8:5e7", [1e8, 1.5e8, 2e8]),
        ("rows=0.1:0.3:0.1", [0.1, 0.2, pytest.approx(0.3)]),
        ("rows=os,ws", ["os", "ws"]),
    ],
)
def test_values_of_a_knob(text: str, values: list[Any]) -> None:
    assert parse_knob(text) == ("rows", values)


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        (["rows"], "--knob 'rows': accepted: name=value"),
        (["rows=8:4"], "'8:4' never reaches its end"),
        (["rows=8:64:0"], "never reaches its end"),
        (["rows=8:64:*1"], "never reaches its end"),
        (["rows=1:1e18"], "has 1e[+]18 values; accepted: at most 1000000"),
        (["rows=a:b"], "'a:b'; accepted: first:last:step"),
        (["rows=8,0"], "device 'systolic-edge': knob 'rows' is 0: Input should be greater than 0"),
        (["rows=8.5"], "knob 'rows' is 8.5: Input should be a valid integer"),
        (["rowz=8"], "unknown knob of device 'systolic-edge' 'rowz'; did you mean 'rows'"),
        (["dataflow=os,wss"], "knob 'dataflow' is 'wss': unknown name; did you mean 'ws'"),
        (["rows=8", "rows=9"], "a knob is given twice"),
        ([], "a sweep needs a knob; accepted: clock_hz, rows"),
    ],
)
def test_every_mistake_is_one_line_that_names_it(knobs: list[str], message: str) -> None:
    with pytest.raises(CodesignError, match=message) as caught:
        sweep("resnet18", "systolic-edge", knobs, Console(quiet=True))
    assert "\n" not in str(caught.value)


def test_an_objective_that_the_model_does_not_have() -> None:
    with pytest.raises(UnknownName, match="unknown objective 'energy_j'"):
        sweep("resnet18", "systolic-edge", ["rows=8,16"], Console(quiet=True), objectives=["energy_j"])


def test_the_command_saves_the_front(tmp_path: Path) -> None:
    knobs = ["rows=8:64:8", "columns=8:64:8", "dataflow=os,ws,is"]
    options = [part for knob in knobs for part in ("--knob", knob)]
    out = tmp_path / "found"
    arguments = ["sweep", "resnet18", "--device", "systolic-edge", *options, "--out", str(out), "--json"]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    summary = json.loads((out / "sweep.json").read_text(encoding="utf-8"))
    assert json.loads(result.stdout) == summary
    assert summary["objectives"] == ["latency_s", "mac_units"]
    assert summary["evaluated"] == summary["configurations"] == 192
    front, sample = pd.read_csv(out / "front.csv"), pd.read_csv(out / "sample.csv")
    assert len(front) == summary["front"] > 1
    assert len(sample) == 192
    assert set(front["dataflow"]) <= {"os", "ws", "is"}
    assert (np.diff(front["latency_s"]) > 0).all()
    assert (np.diff(front["mac_units"]) < 0).all()
    assert (out / "front.png").stat().st_size > 1000


def test_an_interrupted_sweep_leaves_what_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeping, "PAGE", 50)
    real, calls = sweeping.evaluate, iter(range(100))

    def interrupted(*arguments: Any) -> dict[str, Any]:
        if next(calls) > 1:  # both ends together, then a page of one block
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(sweeping, "evaluate", interrupted)
    command = ["sweep", "resnet18", "--device", "systolic-edge", "--knob", "rows=1:200", "--out", str(tmp_path)]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 130
    summary = json.loads((tmp_path / "sweep.json").read_text(encoding="utf-8"))
    assert summary["configurations"] == 200
    assert 0 < summary["evaluated"] < 200
    assert len(pd.read_csv(tmp_path / "sample.csv")) == summary["evaluated"]


def test_metrics_of_a_device_with_energy_and_area_are_objectives() -> None:
    device = load("systolic-edge")
    metrics = evaluate(device, workload(device, TABLE, BITS), {"rows": np.array([4, 8])})
    assert set(metrics) == {"latency_s", "mac_units", "sram_bytes"}
    assert all(column.shape == (2,) for column in metrics.values())
