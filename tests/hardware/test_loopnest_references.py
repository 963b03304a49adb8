"""The loop-nest model against Timeloop's and ZigZag's tables, and their verifiers on what else a folder may hold."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from loopnest_samples import EIGHT, machine

from codesign_gym.simulators.hardware.loopnest.execution import evaluate
from codesign_gym.simulators.hardware.loopnest.mapping import Mapping, Work
from codesign_gym.simulators.hardware.loopnest.presets import gemmini
from codesign_gym.simulators.hardware.verification import timeloop, zigzag
from codesign_gym.simulators.hardware.verification.check import Check, NotRun, TableAbsent


@pytest.mark.reference
def test_timeloop_is_met_on_every_table(references: Path) -> None:
    checks = timeloop.verify(references)
    assert len(checks) == 4
    for found in checks:
        assert isinstance(found, Check)
        assert found.passed, found
        assert found.mape_percent < 0.05


@pytest.mark.reference
def test_timeloops_cycles_digit_by_digit(references: Path) -> None:
    """Of 3,153 rows, three differ: two in the overlap of windows that two loops slide, one by a rounding."""
    sample, _, rtl, _ = timeloop.verify(references)
    assert isinstance(sample, Check)
    assert isinstance(rtl, Check)
    assert (rtl.predicted == rtl.reference).all()
    assert (sample.predicted != sample.reference).sum() <= 3


@pytest.mark.reference
def test_timeloops_mappings_fit_and_cover(references: Path) -> None:
    """What Timeloop accepts, the checks accept."""
    rows = pd.read_csv(references / timeloop.TABLES[0]).head(500)
    side, column_words, words = (rows[column].to_numpy() for column in timeloop.HARDWARE)
    mapping = Mapping.from_text(list(rows["mapping.mapping"]))
    work = Work(mapping.extents, *(rows[column].to_numpy() for column in timeloop.STRIDES))
    evaluate(gemmini(side, words, 4 * column_words), work, mapping, EIGHT)


@pytest.mark.reference
def test_zigzags_band(references: Path) -> None:
    checks = zigzag.verify(references)
    assert len(checks) >= 4
    assert all(isinstance(found, Check) and found.passed for found in checks), checks


ROW = {
    "mapping.mapping": "L3[WIO] C13 K256 - L2[WI] N1 - L1[O] K2 - L0[W] N1",
    "arch.meshX": 128,
    "arch.mem1_entries": 2,
    "arch.mem2_entries": 16384,
    **{f"prob.{loop}": size for loop, size in zip("NKCPQRS", (1, 512, 13, 1, 1, 1, 1), strict=True)},
    "prob.Wstride": 1,
    "prob.Hstride": 1,
}


def folder_of(folder: Path, name: str, rows: list[dict[str, object]]) -> Path:
    (folder / name).parent.mkdir(exist_ok=True)
    pd.DataFrame(rows).to_csv(folder / name, index=False)
    return folder


def test_a_table_without_energy_or_with_dilated_rows(tmp_path: Path) -> None:
    """By hand: 6,656 steps, and (2 * 6,656 - 512 + 6,656) words through an accumulator of two words a cycle.

    6,656 / (2 / (19,456 / 6,656)) is 9,728 and in floats a little more, which Timeloop rounds up.
    """
    rows = [{**ROW, "target.cycle": 9729, "prob.Wdilation": 1}, {**ROW, "target.cycle": 1, "prob.Wdilation": 2}]
    cycles, energy, absent = timeloop.verify(folder_of(tmp_path, timeloop.TABLES[0], rows))
    assert isinstance(cycles, Check)
    assert (cycles.rows, cycles.exact_share) == (1, 1.0)
    assert cycles.note.endswith(
        "1 dilated rows left out; rounded in floats as Timeloop does; the model counts a cycle less in 100.0 %"
    )
    assert energy == NotRun("energy, uJ", timeloop.TABLES[0], "no column target.energy")
    assert isinstance(absent, NotRun)


def test_a_folder_without_tables(tmp_path: Path) -> None:
    with pytest.raises(TableAbsent):
        zigzag.verify(tmp_path)
    assert all(isinstance(found, NotRun) for found in timeloop.verify(tmp_path))


def test_tables_of_other_machines_loops_or_operators(tmp_path: Path) -> None:
    row = {
        "hw": "tpu_like",
        "opt": "latency",
        "operator": "Conv",
        "loop_dims": "{B: 1, K: 64, C: 32}",
        "energy_pJ": 1e6,
    }
    others = [{**row, "hw": "meta_prototype"}, {**row, "loop_dims": "{OZ: 3}"}, {**row, "operator": "Add"}]
    others += [{**row, "loop_dims": "K64"}, {**row, "loop_dims": "{K: 0}"}, {**row, "hw": "ascend_like"}]
    name, reason = "zigzag/one.csv", "no device like it ships; known: eyeriss_like, tpu_like"
    absent = [NotRun(f"cycles and energy of {hw}", name, reason) for hw in ("meta_prototype", "ascend_like")]
    found = zigzag.verify(folder_of(tmp_path, name, others))
    assert found == [
        NotRun("cycles", name, "no products on eyeriss_like or tpu_like for latency or energy or EDP"),
        *absent,
    ]
    assert zigzag.verify(folder_of(tmp_path, name, [others[0]])) == absent[:1]
    cycles, energy, *rest = zigzag.verify(folder_of(tmp_path, name, [row, *others]))
    assert cycles == NotRun("cycles", name, "no column latency_total2_total")
    assert isinstance(energy, Check)
    assert (energy.rows, energy.note) == (1, "a band; 4 other rows left out")
    assert rest == absent
    assert zigzag.extents("{C: 512, D: 2, K: 1000}") == (2, 1, 1000, 512, 1, 1, 1, 1)


def test_the_band_is_around_machines_that_ship() -> None:
    assert {machine(name).clock_hz for name in zigzag.DEVICES.values()} == {200e6, 700e6}
