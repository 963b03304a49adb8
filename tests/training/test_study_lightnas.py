from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from codesign_gym.training.cli import app
from codesign_gym.training.studies import lightnas
from codesign_gym.training.studies.fbnet.problems import Setting, measure, problem
from codesign_gym.training.studies.lightnas import searches
from codesign_gym.training.studies.lightnas.searches import PERCEPTRON, TABLE, TARGETS_MS, Fixed, Found, Search


def test_lightnas_at_scale_small_prints_its_claims(tmp_path) -> None:
    out = tmp_path / "claims.json"
    ran = CliRunner().invoke(app, ["study", "lightnas", "--scale", "small", "--json", str(out)])
    report = json.loads(out.read_text())
    assert ran.exit_code == (0 if report["passed"] else 1), ran.output
    verdicts = {claim["text"]: claim["passed"] for claim in report["claims"]}
    assert len(verdicts) == 6
    for text, passed in verdicts.items():
        assert passed is not None
        # How far a fitted network is off depends on the processor, and the worst run of all on the last digits.
        if PERCEPTRON not in text and "best quality" not in text:
            assert passed is True, ran.output
    targets, trace, agents = report["tables"]
    chosen = lightnas.TARGETS["small"]
    assert [row[0] for row in targets["rows"]] == [f"{target:g} ms" for target in chosen]
    assert len(trace["rows"]) == len(chosen)
    assert {claim["note"].split(";")[0] for claim in report["claims"][:4]} == {f"{len(chosen)} targets x 3 seeds"}
    shares = {row[0]: float(row[2].rstrip("%")) for row in agents["rows"]}
    assert shares["milp"] == pytest.approx(100.0, abs=0.1)
    assert max(shares.values()) <= shares["milp"] + 0.1


def found(latency_ms: float, target_ms: float, kind: str = TABLE, share: float = 1.0, last: float = 1.0) -> Found:
    return Found(Search(target_ms, 0, kind), latency_ms * 1e-3, latency_ms * 1e-3, share, (0.0, last))


def test_one_run_off_target_fails_the_claim() -> None:
    near = [found(target * 1.019, target) for target in TARGETS_MS]
    on_target, good = lightnas.on_target(TABLE, near)
    assert on_target.passed is good.passed is True
    near[3] = found(TARGETS_MS[3] * 0.979, TARGETS_MS[3], share=0.96)
    on_target, good = lightnas.on_target(TABLE, near)
    assert on_target.passed is good.passed is False
    assert on_target.worst == "2.10%"


def test_a_fixed_weight_is_counted_by_the_targets_that_it_misses() -> None:
    claim = lightnas.misses([Fixed(0, 9e-3), Fixed(1, 9.4e-3)])
    assert (claim.median, claim.worst, claim.passed) == ("5 of 6", "5 of 6", True)
    assert lightnas.misses([Fixed(0, 1.0)]).worst == "6 of 6"


def test_a_multiplier_that_ends_at_zero_fails_the_claim() -> None:
    some = [found(9.0, 9.0), found(9.0, 9.0, last=0.0)]
    assert lightnas.binding(some).passed is False
    assert lightnas.binding(some[:1]).passed is True


def test_the_perceptron_is_fitted_to_the_simulators_latencies() -> None:
    fitted = searches.predictor(0, "small")
    made = problem(Setting(searches.SPACE, searches.DEVICE, searches.MIDDLE_MS), 0)
    designs = made.space.sample(np.random.default_rng(9), 200)
    simulated = np.array([measure(made, design)[0] for design in designs])
    assert np.abs(fitted.predict(designs) / simulated - 1).mean() <= 3 * fitted.mape <= 0.03
