from __future__ import annotations

import json
import math

import pytest
from rich.console import Console
from typer.testing import CliRunner

from codesign_gym.training.cli import app
from codesign_gym.training.studies import STUDIES, part
from codesign_gym.training.studies.haq import agents, measured, swap, table
from codesign_gym.training.studies.study import Claim, Report


def test_haq_at_scale_small_prints_and_asserts_its_claims(cache, tmp_path) -> None:
    out = tmp_path / "claims.json"
    ran = CliRunner().invoke(app, ["study", "haq", "--scale", "small", "--json", str(out)])
    report = json.loads(out.read_text())
    verdicts = {claim["text"]: claim["passed"] for claim in report["claims"]}
    assert ran.exit_code == (0 if report["passed"] else 1), ran.output
    assert report["passed"] == all(passed is not False for passed in verdicts.values())
    # Half a point is two and a half of the 500 test images: on another processor the digits may fall either way.
    exact = [passed for text, passed in verdicts.items() if text.startswith(("(b)", "(d)"))]
    assert exact == [True] * 4, ran.output
    assert sum(passed is not None for text, passed in verdicts.items() if text.startswith("(a) digits")) == 2
    assert all(claim["note"] for claim in report["claims"] if claim["passed"] is None)
    assert all(text in ran.output.replace("\n", " ") for text in ("study haq", "not run", "pass"))


@pytest.mark.slow
def test_haq_on_a_really_trained_resnet8(cache) -> None:
    if reason := part.absent("fashion-resnet8"):
        pytest.skip(reason)
    found = measured.run("small", Console(quiet=True), networks=("fashion-resnet8",))
    ran = [claim for claim in found.claims if claim.passed is not None]
    assert [claim.passed for claim in ran] == [True] * len(measured.DEVICES), ran


def test_the_released_table_is_met_in_closed_form() -> None:
    assert [claim.passed for claim in table.run().claims] == [True, True]


def test_a_claim_without_its_data_is_not_run_and_does_not_fail(monkeypatch) -> None:
    monkeypatch.setattr(measured, "absent", lambda network: "no data here")
    monkeypatch.setattr(swap, "absent", lambda network: "no data here")
    claims = measured.run("full", Console(quiet=True)).claims + swap.run("full", Console(quiet=True)).claims
    assert {(claim.passed, claim.note) for claim in claims} == {(None, "no data here")}
    assert Report("haq", "full", claims).passed


def test_a_failed_claim_fails_the_report_and_the_exit_status(monkeypatch) -> None:
    failed = Report("haq", "small", (Claim("x", "", "", "", True), Claim("y", "", "", "", False)))
    study = lambda scale, chosen, console: failed  # noqa: E731
    monkeypatch.setattr("codesign_gym.training.studies.study.attribute", lambda reference: study)
    assert CliRunner().invoke(app, ["study", "haq"]).exit_code == 1


def test_the_median_and_the_tightest_budget_are_picked() -> None:
    assert part.middle([3.0, 1.0, 2.0]) == 2.0
    assert math.isinf(part.middle([1.0, math.inf, math.inf]))


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["haqq"], "unknown study 'haqq'; did you mean 'haq'"),
        (["haq", "--scale", "smal"], "unknown scale 'smal'; did you mean 'small'"),
        (["haq", "--scale", "full", "--agents", "pppo"], "unknown agent 'pppo'; did you mean 'ppo'"),
    ],
)
def test_a_wrong_name_is_refused_before_anything_runs(words, line, monkeypatch) -> None:
    for module in (measured, swap, agents):
        monkeypatch.setattr(module, "run_all", lambda *_: pytest.fail("something ran"))
    ran = CliRunner().invoke(app, ["study", *words])
    assert ran.exit_code != 0
    assert line in str(ran.exception)
    assert {"haq", "hadas"} <= set(STUDIES)
