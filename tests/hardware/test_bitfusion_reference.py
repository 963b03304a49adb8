"""BitFusion beside the public simulator's rows, on all of them, on parts of them, and with columns missing."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hardware_samples import conv, layers

from codesign_gym.errors import StorageError
from codesign_gym.simulators.hardware.device import load
from codesign_gym.simulators.hardware.verification.bitfusion import TABLE, TILED, verify
from codesign_gym.simulators.hardware.verification.check import Check, NotRun, TableAbsent

#: A row of the simulator, worked out by hand: one tile, whose 16 x 32 weights and pixel are moved once.
BY_HAND = {
    "batch": 1,
    "O": 1,
    "IC": 16,
    "OC": 32,
    "K": 1,
    "stride": 1,
    "im2col": 0,
    "wprec": 8,
    "iprec": 8,
    "b": 1,
    "ow": 1,
    "oh": 1,
    "ic": 16,
    "oc": 32,
    "order": "OC/oc>IC/ic>B/b>OH/oh>OW/ow",
    "perf_factor": 1,
    "cycles": 1 + -(-(16 * 32 * 8 + 16 * 8 + 32 * 32) // 192) + -(-32 * 32 // 192),
    "dram_wr_bits": 32 * 32,
}


def folder(path: Path, rows: list[dict[str, object]]) -> Path:
    (path / TABLE).parent.mkdir(exist_ok=True)
    pd.DataFrame(rows).to_csv(path / TABLE, index=False)
    return path


def results(path: Path) -> dict[str, Check | NotRun]:
    return {found.quantity: found for found in verify(path)}


@pytest.mark.reference
def test_every_row_of_the_simulator_is_met_exactly(references: Path) -> None:
    found = verify(references)
    assert len(found) == len(TILED) + 3
    assert all(isinstance(part, Check) and part.passed for part in found)


def test_a_row_worked_out_by_hand(tmp_path: Path) -> None:
    found = results(folder(tmp_path, [BY_HAND]))
    ran = {name for name, part in found.items() if isinstance(part, Check)}
    assert ran == {"perf factor", "cycles", "dram wr bits", "cycles of the search", "cycles, never above"}
    assert all(found[name].passed for name in ran)


def test_a_wrong_figure_fails(tmp_path: Path) -> None:
    found = results(folder(tmp_path, [BY_HAND, {**BY_HAND, "cycles": BY_HAND["cycles"] - 1}]))
    assert found["cycles"].exact_share == 0.5
    assert not any(found[name].passed for name in ("cycles", "cycles of the search", "cycles, never above"))
    assert found["dram wr bits"].passed


def test_rows_of_other_hardware_run_on_it(tmp_path: Path) -> None:
    wide = {**BY_HAND, "if_width_bits": 10**6, "cycles": 3}
    found = results(folder(tmp_path, [wide, {**BY_HAND, "if_width_bits": 192}]))
    assert found["cycles"].passed


def test_without_tilings_the_search_is_still_checked(tmp_path: Path) -> None:
    found = results(folder(tmp_path, [{name: value for name, value in BY_HAND.items() if name != "order"}]))
    assert found["cost of a tiling"].reason == "no column order"
    assert found["cycles of the search"].passed


def test_absent_and_broken_tables(tmp_path: Path) -> None:
    with pytest.raises(TableAbsent):
        verify(tmp_path)
    with pytest.raises(StorageError, match="no column batch, O"):
        verify(folder(tmp_path, [{"cycles": 1}]))


def test_costs_carry_the_area_of_the_array_and_its_buffers() -> None:
    model = load("bitfusion").model
    costs = model.cost(layers(conv(8, 8, 8, 3)), np.full((1, 2), 8))
    assert costs.area_mm2 == pytest.approx(0.888 + 0.767 + 0.242 + 0.243)
    assert costs.total().area_mm2 == costs.area_mm2


def test_bismo_costs_carry_its_resources() -> None:
    resources = load("bismo-edge").cost(layers(conv(8, 8, 8, 3)), np.full((1, 2), 8)).resources
    assert resources["lut"] == pytest.approx(8 * 8 * (1.17 * 256 + 164.2))
    assert resources["bram"] == 256 / 32 * (8 + 8)
