"""Study bifrost: what the paper states fully, the optimum by enumeration, and the verdicts that the command prints."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from codesign_gym.simulators.hardware.stonne.tiles import Loops
from codesign_gym.training.cli import app
from codesign_gym.training.studies.bifrost import published
from codesign_gym.training.studies.bifrost.optima import optimum
from codesign_gym.training.studies.bifrost.tuners import Tuned, _beside


def test_the_published_cycles_are_met() -> None:
    for claim in published.claims():
        assert claim.passed
        assert float(claim.worst.split("%")[0]) < 0.2


def test_the_optimum_is_that_of_a_plain_loop() -> None:
    layer = published.LAYERS["FC 3"]
    table = published.rows([layer]).layers
    one, cycles = np.ones(1, dtype=np.int64), []
    sizes = [[size for size in range(1, 129) if extent % size == 0] for extent in (4096, 1000)]
    for channels, filters in product(*sizes):
        if (channels + 1) * filters <= 128:  # a multiplier more for partial sums that come back
            tiles = Loops(one, one, channels * one, filters * one, one, one, one, one)
            cost = published.machine().at(table, np.full((1, 2), 8), tiles)
            cycles.append(float(cost.detail["cycles"][0]))
    found = optimum(layer, "divisors")
    assert found.mappings == len(cycles)
    assert found.cycles == min(cycles) / 1e6
    assert optimum(layer, "passes").cycles <= found.cycles <= found.by_psums


@pytest.mark.parametrize(("name", "tolerance"), [("conv 1", 0.005), ("conv 4", 0.005)])
def test_bifrost_tuned_by_partial_sums(name: str, tolerance: float) -> None:
    layer = published.LAYERS[name]
    assert optimum(layer, "divisors").by_psums == pytest.approx(layer.tuned, rel=tolerance)


def test_a_tie_is_no_more_but_not_fewer() -> None:
    one, other = (Tuned(np.array([[1.0, worse]] * 3), np.ones((3, 2))) for worse in (1.1, 1.1))
    assert not _beside("", one, other, strictly=True).passed
    assert _beside("", one, other, strictly=False).passed
    assert not _beside("", Tuned(one.of_optimum * 1.01, one.faster), other, strictly=False).passed


@pytest.mark.slow
def test_bifrost_at_scale_small_prints_and_judges_its_claims(tmp_path: Path) -> None:
    out = tmp_path / "claims.json"
    ran = CliRunner().invoke(app, ["study", "bifrost", "--scale", "small", "--json", str(out)])
    report = json.loads(out.read_text())
    assert ran.exit_code == (0 if report["passed"] else 1), ran.output
    judged = [claim["passed"] for claim in report["claims"]]
    assert None not in judged
    assert report["passed"] == all(judged)
    assert all(claim["passed"] for claim in report["claims"] if "1.3x" in claim["text"] or "30x" in claim["text"])
