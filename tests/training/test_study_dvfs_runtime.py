from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from codesign_gym.training.cli import app


@pytest.mark.slow
def test_dvfs_runtime_at_scale_small_prints_and_judges_its_claims(cache: Path, tmp_path: Path) -> None:
    out = tmp_path / "claims.json"
    ran = CliRunner().invoke(app, ["study", "dvfs-runtime", "--scale", "small", "--json", str(out)])
    report = json.loads(out.read_text())
    assert ran.exit_code == (0 if report["passed"] else 1), ran.output
    judged = [claim["passed"] for claim in report["claims"] if claim["passed"] is not None]
    assert True in judged, ran.output
    assert report["passed"] == all(judged)
