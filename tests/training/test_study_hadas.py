from __future__ import annotations

import json

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from codesign_gym.agents import interface
from codesign_gym.agents.recorder import Limits
from codesign_gym.envs.early_exit.factory import Options, build, early_exit_problem
from codesign_gym.training.cli import app
from codesign_gym.training.studies.hadas import designs, searches, sensitivity, systems
from codesign_gym.training.studies.hadas.designs import (
    CONVENTIONAL,
    DVFS_ONLY,
    EXITS_ONLY,
    JOINT,
    SAME_BACKBONE,
    compared,
    hypervolume,
)


@pytest.fixture(scope="module")
def problem(cache):
    return early_exit_problem(Options(backbones=("digits-exits-tiny", "digits-exits-shallow"), floor=1.0))


def test_hadas_at_scale_small_prints_its_claims(cache, tmp_path) -> None:
    out = tmp_path / "claims.json"
    ran = CliRunner().invoke(app, ["study", "hadas", "--scale", "small", "--json", str(out)])
    report = json.loads(out.read_text())
    assert ran.exit_code == (0 if report["passed"] else 1), ran.output
    verdicts = {claim["text"]: claim["passed"] for claim in report["claims"]}
    for soc, rail in systems.TARGETS:
        reached, _, ahead, volume = (verdicts[text] for text in systems._texts(f"digits on {soc}, {rail}"))
        # What is claimed on test depends on a few images, and those on the processor that trained the networks.
        assert reached is ahead is volume is True, ran.output
    assert verdicts[sensitivity.TEXT] is not None
    assert all(claim["note"] for claim in report["claims"] if claim["passed"] is not True)
    assert len(report["tables"]) == len(systems.TARGETS) + 1


def test_each_system_is_a_special_case_of_the_next(problem) -> None:
    found = compared(problem)
    energy = {label: system.energy_j for label, system in found.items()}
    assert energy[JOINT] <= energy[SAME_BACKBONE] <= min(energy[EXITS_ONLY], energy[DVFS_ONLY])
    assert max(energy[EXITS_ONLY], energy[DVFS_ONLY]) <= energy[CONVENTIONAL]
    fastest = [steps - 1 for steps in problem.soc.steps]
    assert found[CONVENTIONAL].design[-3:].tolist() == found[EXITS_ONLY].design[-3:].tolist() == fastest
    exits_and_threshold = slice(1, -3)
    base, clocks = (found[label].design[exits_and_threshold].tolist() for label in (CONVENTIONAL, DVFS_ONLY))
    assert base == clocks
    assert base[:-1] == [0, 1, 0, 1]


def test_the_conventional_threshold_is_the_cheapest_that_keeps_the_floor(problem) -> None:
    base = designs.conventional(problem)
    others = np.tile(base.design, (len(problem.thresholds), 1))
    others[:, 5] = np.arange(len(problem.thresholds))
    metrics = problem.evaluate(others)
    kept = problem.constraints[0].usage(metrics[:, 1]) <= 1 + 1e-9
    assert base.energy_j == metrics[kept, 2].min()


def test_hypervolume_is_the_area_that_is_dominated(problem) -> None:
    floor, deadline = (bound.limit for bound in problem.constraints)

    def row(energy: float, share: float, latency: float = 0.0) -> list[float]:
        sure = floor + share * (1 - floor)
        return [sure, sure, energy, 0.0, latency]

    corner = np.array([row(0.5, 0.5), row(0.25, 0.25), row(0.6, 0.4), row(2.0, 0.9), row(0.1, 0.9, 2 * deadline)])
    assert hypervolume(problem, corner, 1.0) == pytest.approx(0.5 * 0.5 + 0.25 * 0.25, rel=1e-9)
    assert hypervolume(problem, corner[:0], 1.0) == 0.0


def test_both_searches_spend_their_grant_and_the_sequential_one_fixes_what_it_has_chosen(cache) -> None:
    core = build(Options(backbones=("digits-exits-tiny", "digits-exits-shallow"), floor=1.0))
    for name, agent in searches.agents().items():
        recorder = interface.searched(agent, core, Limits.of(300), 0)
        assert recorder.evaluations <= 300
        assert recorder.spent == 1
        tried = np.array(recorder.designs)
        if name == "sequential":
            assert len(np.unique(tried[2:, 0])) == 1
            slow = (tried[:, -3:] != np.array(core.problem.soc.steps) - 1).any(1)  # type: ignore[attr-defined]
            assert 0 < slow.sum() < len(slow)
            assert (np.diff(slow.astype(int)) >= 0).all()
            assert len(np.unique(tried[slow, :-3], axis=0)) == 1


def test_without_data_the_harder_family_is_not_run(cache, monkeypatch) -> None:
    monkeypatch.setattr(systems, "absent", lambda family: "no data here" if family == "fashion" else None)
    monkeypatch.setattr(systems, "TARGETS", systems.TARGETS[:1])
    monkeypatch.setattr(systems, "FAMILIES", {"fashion": systems.FAMILIES["fashion"]})
    claims = systems.run("full", Console(quiet=True)).claims
    assert {(claim.passed, claim.note) for claim in claims} == {(None, "no data here")}
