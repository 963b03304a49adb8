"""The example's rows are measurements that ``codesign-gym calibrate`` reads."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
import torch

from codesign_gym.simulators.hardware.calibration.data import read_measurements

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "calibrate-this-cpu.py"


def test_what_it_writes_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = importlib.util.spec_from_file_location("calibrate_this_cpu", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    monkeypatch.setattr(example, "median_ms", lambda module, images: 1e3 * module(images).numel())
    monkeypatch.setattr(example.torch, "set_num_threads", lambda threads: None)
    monkeypatch.setattr(sys, "argv", ["example", str(tmp_path / "mine.csv")])
    with torch.device("meta"):  # shapes alone
        example.main()
    data = read_measurements(tmp_path / "mine.csv", batch=1, bits=32)
    assert len(data) > 100
    assert (data.layers.out_elements[:, 0] == data.measured["latency_s"]).all()  # the shapes are torch's own
