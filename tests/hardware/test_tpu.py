"""The TPU: its closed form by hand, and the measured products."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hardware_samples import conv, layers, linear

from codesign_gym.simulators.hardware.device import load
from codesign_gym.simulators.hardware.rounding import RELAXED
from codesign_gym.simulators.hardware.tpu import Tpu
from codesign_gym.simulators.hardware.verification import tpu as verification
from codesign_gym.simulators.hardware.verification.check import Check, NotRun
from codesign_gym.simulators.networks.layers import Op

SIMPLE = Tpu(tile_rows=8, tile_columns=128, macs_per_s=1e6, bytes_per_s=1e3, launch_s=5.0)


def latency(*rows: dict[str, int]) -> list[float]:
    return SIMPLE.cost(layers(*rows), np.full((len(rows), 2), 16)).latency_s.tolist()


def test_products_are_padded_to_tiles() -> None:
    rows = {"in_height": 9, "out_height": 9}
    small, whole = linear(100, 129) | rows, linear(128, 256) | rows
    slots, moved = 16 * 256 * 128, 2 * (9 * 100 + 100 * 129 + 9 * 129)
    assert latency(small) == [pytest.approx(slots / 1e6 + moved / 1e3 + 5.0)]
    assert SIMPLE.cost(layers(whole), np.full((1, 2), 16)).detail["mac_slots"] == slots


def test_a_convolution_reads_its_input_once() -> None:
    costs = SIMPLE.cost(layers(conv(8, 128, 128, 3)), np.full((1, 2), 16))
    assert costs.detail["mac_slots"] == 64 * 9 * 128 * 128
    assert costs.detail["dram_bytes"] == 2 * (64 * 128 + 9 * 128 * 128 + 64 * 128)


def test_heads_share_a_launch_and_other_rows_are_fused() -> None:
    heads = {"op": Op.MATMUL, "in_channels": 64, "out_channels": 32, "groups": 2, "in_height": 4, "out_height": 4}
    moved = 2 * (4 * 64 + 4 * 32 + 64 * 32 // 2)
    pool = {**conv(8, 8, 8, 3), "op": Op.POOL}
    assert latency(heads, pool) == [pytest.approx(2 * 8 * 128 * 128 / 1e6 + moved / 1e3 + 5.0), 0.0]


def test_relaxed_sizes_of_tiles_have_gradients() -> None:
    torch = pytest.importorskip("torch")
    columns = torch.tensor(96.0, dtype=torch.float64, requires_grad=True)
    model = Tpu(tile_rows=8, tile_columns=columns, macs_per_s=1e6, bytes_per_s=1e3, launch_s=5.0)
    table = layers(linear(100, 129)).map(lambda column: torch.asarray(np.array(column)))
    model.cost(table, torch.full((1, 2), 16), RELAXED).latency_s.sum().backward()
    assert torch.isfinite(columns.grad)
    assert columns.grad > 0


def test_the_verifier_fits_what_the_model_computes() -> None:
    table = pd.DataFrame({"d0": [32, 200], "d1": [64, 640], "d2": [1000, 96]})
    costs, model = verification.products(table), load("tpu-v4").model
    parts = costs.detail["mac_slots"] / model.macs_per_s + costs.detail["dram_bytes"] / model.bytes_per_s
    np.testing.assert_allclose(costs.latency_s, parts + model.launch_s, rtol=1e-12)


@pytest.mark.reference
def test_measured_products_are_met(references: Path) -> None:
    found = verification.verify(references)
    assert all(isinstance(one, Check) and one.passed for one in found)
    assert ("; by source: " in found[1].note) == ("source" in pd.read_csv(references / verification.TABLE))


@pytest.mark.reference
def test_few_rows_and_no_deviations(references: Path, tmp_path: Path) -> None:
    (tmp_path / "tpu_matmul").mkdir()
    few = pd.read_csv(references / verification.TABLE).head(10).drop(columns=[verification.DEVIATION])
    few.to_csv(tmp_path / verification.TABLE, index=False)
    shipped, refitted = verification.verify(tmp_path)
    assert isinstance(shipped, Check)
    assert isinstance(refitted, NotRun)
    assert refitted.reason == "10 sizes; cross-validation needs 24"
