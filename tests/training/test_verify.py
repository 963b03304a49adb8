from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from codesign_gym.catalog import attribute
from codesign_gym.simulators.hardware.verification import VERIFIERS
from codesign_gym.simulators.hardware.verification.check import Bar, check
from codesign_gym.training.cli import app
from codesign_gym.training.verify import Verified, as_dict, notes, rows


def test_a_check_says_how_far_off_it_is() -> None:
    found = check("cycles", "t.csv", [100, 110, 0], [100, 100, 0], Bar(exact_share=0.6, mape_percent=5))
    assert (found.rows, found.exact_share, found.mape_percent) == (3, pytest.approx(2 / 3), pytest.approx(5))
    assert found.passed
    assert not check("cycles", "t.csv", [100, 110], [100, 100], Bar(mape_percent=4.9)).passed
    assert not check("cycles", "t.csv", [np.nan], [1.0], Bar()).passed
    assert not check("cycles", "t.csv", [1, 2, 3], [3, 2, 1], Bar(spearman=0.9)).passed
    assert check("cycles", "t.csv", [1.0], [1.0], Bar(spearman=0.9)).passed  # one row has no rank


def test_what_ran_decides_and_the_rest_is_told(tmp_path: Path) -> None:
    ran = CliRunner().invoke(app, ["verify", "--references", str(tmp_path), "--json"])
    report = json.loads(ran.output)
    assert ran.exit_code == 0
    assert {found["model"] for found in report["checks"]} >= set(VERIFIERS) - {"relaxation"}
    told = {found["model"]: found for found in report["checks"]}
    assert told["systolic"]["passed"] is None
    assert "is absent" in told["systolic"]["note"]


def test_a_failed_check_fails_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    wrong = check("cycles", "t.csv", [1.0, 2.0], [1.0, 1.0], Bar(exact_share=1.0), peer="a peer", note="a note")
    monkeypatch.setitem(VERIFIERS, "wrong", "test_verify_model:verify")
    monkeypatch.setattr("codesign_gym.training.verify.attribute", lambda reference: lambda folder: [wrong])
    ran = CliRunner().invoke(app, ["verify", "wrong", "--references", str(tmp_path), "--plots", str(tmp_path)])
    assert ran.exit_code == 1
    assert "FAIL" in ran.output
    assert "wrong, cycles: peer: a peer; a note" in ran.output
    assert (tmp_path / "wrong.png").read_bytes().startswith(b"\x89PNG")
    verified = [Verified("wrong", (wrong,))]
    assert not as_dict(verified)["passed"]
    assert rows(verified)[0][-1] == "FAIL"
    assert notes(verified) == ["wrong, cycles: peer: a peer; a note"]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["systolik"], "unknown model to verify 'systolik'; did you mean 'systolic'"),
        (["--references", "absent"], "no folder of reference tables at 'absent'"),
    ],
)
def test_bad_input_is_told(words: list[str], line: str, tmp_path: Path) -> None:
    ran = CliRunner().invoke(
        app, ["verify", *words, *([] if "--references" in words else ["--references", str(tmp_path)])]
    )
    assert ran.exit_code != 0
    assert line in str(ran.exception)


def test_a_torn_table_is_named(tmp_path: Path) -> None:
    (tmp_path / "scalesim").mkdir()
    (tmp_path / "scalesim" / "scalesim_v3.csv").write_text("a,b\n1,2\n")
    ran = CliRunner().invoke(app, ["verify", "systolic", "relaxation", "--references", str(tmp_path)])
    assert ran.exit_code == 1
    assert "scalesim_v3.csv: no column" in ran.output
    assert "pass" in ran.output  # the others run all the same


def test_every_verifier_is_there() -> None:
    assert all(callable(attribute(reference)) for reference in VERIFIERS.values())


@pytest.mark.reference
def test_every_model_meets_its_reference(references: Path) -> None:
    ran = CliRunner().invoke(app, ["verify", "--references", str(references), "--json"])
    failed = [found for found in json.loads(ran.output)["checks"] if found["passed"] is False]
    assert failed == []
    assert ran.exit_code == 0
