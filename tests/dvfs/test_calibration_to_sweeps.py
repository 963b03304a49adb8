"""Calibration: planted devices are found again, and the verifiers judge any part of the tables."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from dvfs_samples import SEEDS
from hypothesis import given, settings

from codesign_gym.simulators.dvfs import ClockTable, Soc, Work, load
from codesign_gym.simulators.dvfs.fit import (
    Powered,
    Sweep,
    board_power,
    fit_board,
    fit_fabric,
    fit_intensity,
    fit_overlap,
    fit_work,
)
from codesign_gym.simulators.hardware.verification import tx2, v100
from codesign_gym.simulators.hardware.verification.check import Check, NotRun

LINES = ("operations", "bytes", "traffic")


def works(soc: Soc, seed: int, count: int) -> list[Work]:
    """Pieces of work whose parts at the middle clocks take 0.2 to 2 ms each, without launches."""
    random = np.random.default_rng(seed)
    unit = soc.parts_s(Work(1.0, 1.0, 1.0, 1.0), np.array(soc.steps) // 2)
    fabric = 1.0 if np.isfinite(soc.fabric_bytes_per_cycle) else 0.0
    demand = 1e-3 * 10 ** random.uniform(-0.7, 0.3, (count, 4)) * [1.0, 1.0, 0.0, fabric]
    return [Work(*(part / max(one, 1e-30) for part, one in zip(row, unit, strict=True))) for row in demand]


@given(seed=SEEDS)
@settings(derandomize=True, deadline=None, max_examples=20)
def test_work_is_found_from_three_clocks(seed: int) -> None:
    soc = load("v100")
    (planted,) = works(soc, seed, 1)
    index = soc.index(gpu=[502e6, 945e6, 1380e6])
    found = fit_work(soc, Sweep(index, soc.latency_s(planted, index), LINES))
    every = soc.every_index()
    np.testing.assert_allclose(soc.latency_s(found, every), soc.latency_s(planted, every), rtol=1e-5)


def test_intensities_are_found_from_board_power() -> None:
    soc = load("v100")
    (planted,) = works(soc, 1, 1)
    index = soc.index(gpu=[502e6, 945e6, 1380e6])
    power_w = board_power(soc, planted, np.array([1.7, 0.4]), index)
    found = fit_intensity(soc, planted, index, power_w, soc.reference_c)
    np.testing.assert_allclose(found, [1.7, 0.4], rtol=1e-6)


def test_the_exponent_is_found() -> None:
    soc = replace(load("jetson-tx2"), overlap=2.2)
    index = soc.every_index()[-13 * 4 :]
    sweeps = [Sweep(index, soc.latency_s(work, index)) for work in works(soc, 2, 3)]
    assert fit_overlap(load("jetson-tx2"), sweeps).overlap == pytest.approx(2.2, rel=1e-3)


def test_fabric_voltage_and_constant_power_are_found() -> None:
    planted = load("v100")
    gpu = planted.domain("gpu").clocks
    flat = ClockTable("gpu", gpu.clock_hz, np.full(len(gpu), gpu.voltage_v[0]))
    index = planted.every_index()
    pieces = works(planted, 3, 12)
    sweeps = [Sweep(index, planted.latency_s(work, index), LINES) for work in pieces]
    timed = fit_fabric(replace(planted.with_domain("gpu", clocks=flat), rest_w=1.0), sweeps)
    error = [timed.latency_s(fit_work(timed, sweep), index) / sweep.latency_s - 1 for sweep in sweeps]
    assert np.abs(error).max() < 0.01
    random = np.random.default_rng(4)
    intensities = random.uniform(0.2, 2.0, (12, 2))
    measured = [
        Powered(work, index, board_power(planted, work, intensity, index))
        for work, intensity in zip(pieces, intensities, strict=True)
    ]
    powered = fit_board(planted.with_domain("gpu", clocks=replace(gpu, voltage_v=flat.voltage_v)), measured, 0.7125)
    np.testing.assert_allclose(powered.domain("gpu").clocks.voltage_v, gpu.voltage_v, rtol=0.01)
    assert powered.rest_w == pytest.approx(planted.rest_w, rel=0.02)


def applications(folder: Path, count: int, clocks: list[float]) -> pd.DataFrame:
    """A table of applications that the shipped V100 ran, written where the verifier looks."""
    soc = load("v100").with_clocks("gpu", 1e6 * np.array(clocks))
    rows = []
    for place, work in enumerate(works(soc, 5, count)):
        index = soc.every_index()
        power_w = board_power(soc, work, np.array([1.0, 0.5]), index)
        for mhz, time_s, watts in zip(sorted(set(clocks)), soc.latency_s(work, index), power_w, strict=True):
            rows.append((f"app{place}", "kernel", "input0", mhz, 877, 1e3 * time_s, watts))
    table = pd.DataFrame(
        rows, columns=["benchmark", "kernel", "argNo", "core_frequency", *v100.COLUMNS[3:4], *v100.COLUMNS[-2:]]
    )
    (folder / "nv-dvfs").mkdir(exist_ok=True)
    table.to_csv(folder / v100.TABLE, index=False)
    return table


@pytest.mark.parametrize(
    "clocks", [[405, 502, 705, 945, 1237, 1380], [600, 802, 1087, 1102], [300, 450, 1200, 1500, 1530]]
)
def test_a_few_applications_at_any_clocks(tmp_path: Path, clocks: list[float]) -> None:
    applications(tmp_path, 3, clocks)
    found = v100.verify(tmp_path)
    ran = [one for one in found if isinstance(one, Check)]
    assert len(ran) == 3
    assert all(one.passed and one.mape_percent < 1.0 for one in ran)
    assert sum(isinstance(one, NotRun) for one in found) == 3


def test_applications_at_too_few_clocks_are_not_run(tmp_path: Path) -> None:
    applications(tmp_path, 2, [502, 945, 1380])
    assert [type(one) for one in v100.verify(tmp_path)] == [NotRun] * 3


def test_applications_left_out(tmp_path: Path) -> None:
    applications(tmp_path, 10, [405, 502, 705, 945, 1237, 1380])
    found = v100.verify(tmp_path)
    assert len(found) == 6
    assert all(isinstance(one, Check) and one.passed for one in found)


@pytest.mark.reference
@pytest.mark.parametrize("keep", ["all", "apps", "clocks"])
def test_v100_on_parts_of_the_table(references: Path, tmp_path: Path, keep: str) -> None:
    table = pd.read_csv(references / v100.TABLE)
    if keep == "apps":
        table = table[table["benchmark"].isin(sorted(set(table["benchmark"]))[::4])]
    if keep == "clocks":
        table = table[table["benchmark"].isin(sorted(set(table["benchmark"]))[1::3])]
        table = table[table["core_frequency"].isin([405, 600, 802, 945, 1102, 1237])]
    (tmp_path / "nv-dvfs").mkdir()
    table.to_csv(tmp_path / v100.TABLE, index=False)
    found = [one for one in v100.verify(tmp_path) if isinstance(one, Check)]
    assert found
    assert [one.quantity for one in found if not one.passed] == []


@pytest.mark.reference
@pytest.mark.parametrize("network", ["inception_v4", "resnet", "vgg19", "super_resolution", None])
def test_tx2_on_parts_of_the_table(references: Path, tmp_path: Path, network: str | None) -> None:
    (tmp_path / "jetson_tx2_dvfs").mkdir()
    grid, rails = pd.read_csv(references / tx2.GRID), pd.read_csv(references / tx2.RAILS)
    grid = grid if network is None else grid[grid["model"] == network]
    rails = rails if network is None else rails.iloc[::2].drop(columns=[c for c in rails if c.startswith("idle_")])
    grid.to_csv(tmp_path / tx2.GRID, index=False)
    rails.to_csv(tmp_path / tx2.RAILS, index=False)
    found = [one for one in tx2.verify(tmp_path) if isinstance(one, Check)]
    assert len(found) >= 5
    assert [one.quantity for one in found if not one.passed] == []
    if network is None:
        assert sum("least" in one.quantity for one in found) == 4  # rail and board, also with each clock left out


def test_tx2_without_tables(tmp_path: Path) -> None:
    assert [type(one) for one in tx2.verify(tmp_path)] == [NotRun] * 2
