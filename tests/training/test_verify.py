from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from typer.testing import CliRunner

from codesign_gym.catalog import attribute
from codesign_gym.simulators.hardware.verification import VERIFIERS
from codesign_gym.simulators.hardware.verification.check import LEAST_RANKED, Bar, NotRun, check
from codesign_gym.training.cli import app
from codesign_gym.training.verify import Verified, as_dict, notes, rows, verify


def test_a_check_says_how_far_off_it_is() -> None:
    found = check("cycles", "t.csv", [100, 110, 0], [100, 100, 0], Bar(exact_share=0.6, mape_percent=5))
    assert (found.rows, found.exact_share, found.mape_percent) == (3, pytest.approx(2 / 3), pytest.approx(5))
    assert found.passed
    assert not check("cycles", "t.csv", [100, 110], [100, 100], Bar(mape_percent=4.9)).passed
    assert not check("cycles", "t.csv", [np.nan], [1.0], Bar()).passed
    rising = np.arange(LEAST_RANKED)
    assert not check("cycles", "t.csv", rising, -rising, Bar(spearman=0.9)).passed
    assert check("cycles", "t.csv", rising[1:], -rising[1:], Bar(spearman=0.9)).passed  # too few rows to rank
    assert check("cycles", "t.csv", [1.0], [1.0], Bar(spearman=0.9)).passed  # one row has no rank


def test_what_ran_decides_and_the_rest_is_told(tmp_path: Path) -> None:
    models = sorted(set(VERIFIERS) - {"relaxation"})  # which needs no table
    ran = CliRunner().invoke(app, ["verify", *models, "--references", str(tmp_path), "--json"])
    report = json.loads(ran.stdout)
    assert ran.exit_code == 1
    assert not report["passed"]
    assert "nothing was verified: the tables are not there; give the folder that holds them" in ran.stderr
    beside = CliRunner().invoke(app, ["verify", "relaxation", "sigma", "--references", str(tmp_path)])
    assert beside.exit_code == 1
    assert "nothing was verified: the tables are not there" in beside.stderr
    assert {found["model"] for found in report["checks"]} == set(models)
    told = {found["model"]: found for found in report["checks"]}
    assert told["systolic"]["passed"] is None
    assert "is absent" in told["systolic"]["note"]
    damaged = Verified("any", (check("cycles", "t.csv", [1.0], [1.0], Bar()), NotRun("cycles", "t.csv", "no")))
    (fields_of_one,) = {tuple(found) for found in [*report["checks"], *as_dict([damaged])["checks"]]}
    assert fields_of_one[:4] == ("model", "quantity", "table", "rows")


def test_what_reads_no_table_needs_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CODESIGN_GYM_REFERENCES", raising=False)
    monkeypatch.chdir(tmp_path)
    fine = check("latency", "", [1.0], [1.0], Bar(exact_share=1.0))
    monkeypatch.setattr("codesign_gym.training.verify.attribute", lambda reference: lambda folder: [fine])
    assert CliRunner().invoke(app, ["verify", "relaxation"]).exit_code == 0
    wrong = check("latency", "", [2.0], [1.0], Bar(exact_share=1.0))
    monkeypatch.setattr("codesign_gym.training.verify.attribute", lambda reference: lambda folder: [wrong])
    assert CliRunner().invoke(app, ["verify", "relaxation"]).exit_code == 1
    for line in (["verify", "sigma"], ["verify", "relaxation", "sigma"], ["verify"]):
        absent = CliRunner().invoke(app, line)
        assert absent.exit_code == 1
        assert "no folder of reference tables at '../shared/data'; name one with" in str(absent.exception)


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
    assert rows([Verified("any", (check("cycles", "t.csv", [2.0], [1.0], Bar()),))])[0][-1] == "no bar"
    assert notes(verified) == ["wrong, cycles: peer: a peer; a note"]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["systolik"], "unknown model to verify 'systolik'; did you mean 'systolic'"),
        (["systolik", "--references", "absent"], "unknown model to verify 'systolik'; did you mean 'systolic'"),
        (["--references", "absent"], "no folder of reference tables at 'absent'"),
    ],
)
def test_bad_input_is_told(words: list[str], line: str, tmp_path: Path) -> None:
    ran = CliRunner().invoke(
        app, ["verify", *words, *([] if "--references" in words else ["--references", str(tmp_path)])]
    )
    assert ran.exit_code != 0
    assert line in str(ran.exception)


def test_progress_is_told_on_a_terminal_alone(tmp_path: Path) -> None:
    drawn = {}
    for terminal in (True, False):
        drawn[terminal] = io.StringIO()
        verify(tmp_path, ["systolic", "tpu"], Console(file=drawn[terminal], force_terminal=terminal))
    assert "verifying tpu" in drawn[True].getvalue()
    assert drawn[False].getvalue() == ""


SYSTOLIC = "gemm_M,gemm_N,gemm_K,array_rows,array_cols,dataflow,compute_cycles"
ROW = "8,8,8,4,4,os,64"  # 2 x 2 folds of 8 + 4 + 4 - 2 cycles are 56


@pytest.mark.parametrize(
    ("text", "passed", "told"),
    [
        ("", None, "scalesim_v3.csv is empty"),
        (f"{SYSTOLIC}\n", None, "scalesim_v3.csv: no rows"),
        ("gemm_M,gemm_N\n1,2\n", None, "scalesim_v3.csv: no column gemm_K, array_rows, array_cols, dataflow"),
        (f"{SYSTOLIC}\n8,8,,4,4,os,56\n", None, "scalesim_v3.csv: no row with all of gemm_M"),
        (f"{SYSTOLIC}\n{ROW.replace('64', '56')}\n8,8,,4,4,os,56\n", True, "no column stall_cycles"),
        (f"{SYSTOLIC}\n{ROW}\n", False, "cycles"),
        (f"{SYSTOLIC}\n{ROW.replace('os', 'xs')}\n", False, "its tables hold what cannot be compared"),
        ("a,b\n1,2\n1,2,3\n", False, "scalesim_v3.csv cannot be read"),
        (f"{SYSTOLIC}\n{ROW}\n8,8,8\n", False, "csv cannot be read: row 2 has 3 cells, 4 fewer than the header"),
        (f"{SYSTOLIC}\n{ROW}\n8,eight,8,4,4,os,56\n", False, "scalesim_v3.csv: row 2: gemm_N is 'eight'; accepted: a"),
        (f"{SYSTOLIC}\n{ROW[:-2]}many\n", False, "scalesim_v3.csv: row 1: compute_cycles is 'many'; accepted: a num"),
    ],
)
def test_what_a_table_lacks_is_not_run_and_what_is_torn_fails(
    tmp_path: Path, text: str, passed: bool | None, told: str
) -> None:
    (tmp_path / "scalesim").mkdir()
    (tmp_path / "scalesim" / "scalesim_v3.csv").write_text(text)
    ran = CliRunner().invoke(app, ["verify", "systolic", "tpu", "--references", str(tmp_path)])
    assert ran.exit_code == (0 if passed else 1)
    assert told in " ".join(ran.output.split())
    assert "tpu: not run" in ran.output  # the others run all the same
    assert ("nothing was verified" in ran.output) == (passed is None)


#: A table of every verifier that reads CSV files, and a column of numbers in it.
TABLES = {
    "bitfusion": ("bitfusion/bitfusion.csv", "IC"),
    "gemmini": ("gemmini/gemmini_rtl_cycles.csv", "prob.N"),
    "timeloop": ("gemmini/gemmini_rtl_cycles.csv", "prob.N"),
    "tpu": ("tpu_matmul/tpu_matmul_vs_scalesim.csv", "d1"),
    "mesh": ("stonne/stonne.csv", "cycles"),
    "bifrost": ("bifrost/sigma_cycles_alexnet.csv", " Conv 2"),
    "systolic": ("scalesim/scalesim_v3.csv", "array_rows"),
}


@pytest.mark.reference
@pytest.mark.parametrize("model", TABLES)
@pytest.mark.parametrize("damage", ["text", "cut"])
def test_a_damaged_cell_is_named(references: Path, tmp_path: Path, model: str, damage: str) -> None:
    name, column = TABLES[model]
    rows = list(csv.reader((references / name).read_text().splitlines()))[:6]
    if damage == "text":
        rows[2][rows[0].index(column)] = "n/k"
        told = f"{name}: row 2: {column} is 'n/k'; accepted: a number, or nothing"
    else:
        rows[2] = rows[2][:-1]
        told = f"{name} cannot be read: row 2 has {len(rows[2])} cells, 1 fewer than the header"
    (tmp_path / name).parent.mkdir()
    (tmp_path / name).write_text("".join(",".join(f'"{cell}"' for cell in row) + "\n" for row in rows))
    (found,) = [one for one in verify(tmp_path, [model], Console(quiet=True))[0].checks if not isinstance(one, NotRun)]
    assert not found.passed
    assert told in found.reason


@pytest.mark.reference
@pytest.mark.parametrize("model", ["accelbench", "gemmini", "jetson-tx2", "systolic", "tpu"])
@pytest.mark.parametrize("cells", ["rows", "columns"])
def test_a_share_of_the_tables_is_answered(references: Path, tmp_path: Path, model: str, cells: str) -> None:
    """Three rows in ten, or those rows with every fifth cell empty: whatever runs passes, and the rest says why."""
    for path in references.glob("*/*.csv"):
        table, random = pd.read_csv(path), np.random.default_rng(len(model))
        some = table.sample(frac=0.3, random_state=len(model))
        if cells == "columns":
            some = some.mask(random.random(some.shape) < 0.2)
        (tmp_path / path.parent.name).mkdir(exist_ok=True)
        some.to_csv(tmp_path / path.parent.name / path.name, index=False)
    found = verify(tmp_path, [model], Console(quiet=True))[0].checks
    assert found
    assert [one for one in found if not isinstance(one, NotRun) and not one.passed] == []
    assert all(one.reason for one in found if isinstance(one, NotRun))


def test_every_verifier_is_there() -> None:
    assert all(callable(attribute(reference)) for reference in VERIFIERS.values())


@pytest.mark.reference
def test_every_model_meets_its_reference(references: Path) -> None:
    ran = CliRunner().invoke(app, ["verify", "--references", str(references), "--json"])
    failed = [found for found in json.loads(ran.output)["checks"] if found["passed"] is False]
    assert failed == []
    assert ran.exit_code == 0
