from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from codesign_gym.agents.baselines.integer_program import solve
from codesign_gym.envs.core.separable import Separable
from codesign_gym.training.cli import app
from codesign_gym.training.studies.lana import agents, exact
from codesign_gym.training.studies.lana.case import Case
from codesign_gym.training.studies.lana.designs import OVERLAP, diverse
from codesign_gym.training.studies.lana.problem import Replaced, replaced, tables, worthwhile


@pytest.fixture(scope="module")
def made(cache: Path) -> Replaced:
    return replaced("digits-cnn-deep", "gemmini-16x16")


def test_lana_at_scale_small_prints_its_claims(cache: Path, tmp_path: Path) -> None:
    out = tmp_path / "claims.json"
    ran = CliRunner().invoke(app, ["study", "lana", "--scale", "small", "--json", str(out)])
    report = json.loads(out.read_text())
    assert ran.exit_code == (0 if report["passed"] else 1), ran.output
    verdicts = {claim["text"]: claim["passed"] for claim in report["claims"]}
    certain = [passed for text, passed in verdicts.items() if "integer program finds" in text or "Spearman" in text]
    assert certain == [True, True], ran.output
    assert [text for text, passed in verdicts.items() if passed is None] == ["fashion-resnet8: all of it"]
    (table,) = [table for table in report["tables"] if table["title"].startswith("sum of loss changes")]
    assert {row[0] for row in table["rows"]} == {agents.LEARNER, *agents.BASELINES}
    assert table["rows"][0][2] == "1.000x"


def test_the_search_needs_no_operator_that_was_left_out(made: Replaced) -> None:
    full = Separable(
        made.loss_changes,
        made.latency_s[None] / (0.4 * made.latency(made.unchanged)[0]),
        np.arange(made.loss_changes.shape[1]) < np.array(made.measurer.trained.sizes)[:, None],
    )
    found = made.numbered(solve(tables(made.problem(0.4)))[None])
    assert made.change(found)[0] == pytest.approx(full.totals(solve(full))[0], abs=1e-6)
    assert full.totals(found[0])[1] <= 1 + 1e-9


def test_a_problems_figures_are_the_tables(made: Replaced) -> None:
    problem = made.problem(0.5)
    designs = problem.space.sample(np.random.default_rng(0), 20)
    quality, latency = problem.evaluate(designs).T
    np.testing.assert_allclose(quality, -made.change(made.numbered(designs)), atol=1e-12)
    np.testing.assert_allclose(latency, made.latency(made.numbered(designs)))


def test_diverse_solutions_share_no_more_than_they_may(made: Replaced) -> None:
    designs = diverse(tables(made.problem(0.4)), 5)
    shared = (designs[:, None] == designs).sum(-1)
    assert len(designs) == 5
    assert shared[~np.eye(5, dtype=bool)].max() <= OVERLAP * designs.shape[1]
    totals = tables(made.problem(0.4)).totals(designs)
    assert (totals[0, 0] <= totals[1:, 0] + 1e-9).all()
    assert (totals[:, 1] <= 1 + 1e-9).all()


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=8))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_worthwhile_operators_are_the_front(points: list[tuple[int, int]]) -> None:
    loss, latency = (np.array(column, dtype=float) for column in zip(*points, strict=True))
    kept = worthwhile(loss, latency, np.inf)
    assert (np.diff(latency[list(kept)]) > 0).all()
    assert (np.diff(loss[list(kept)]) < 0).all()
    for point in points:
        assert any(loss[i] <= point[0] and latency[i] <= point[1] for i in kept)


def test_the_integer_program_agrees_with_enumeration(made: Replaced) -> None:
    assert exact.enumerated(Case("digits-cnn-deep", "gemmini-16x16", 0)) < 1e-9


@pytest.mark.parametrize("seed", range(3))
def test_dynamic_programming_bounds_large_programs_from_both_sides(seed: int) -> None:
    solved = exact.large(((22, 9), seed))
    assert -1e-6 <= solved.above <= 1e-2
    assert 0 <= solved.below <= 1e-2
