from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from codesign_gym.envs.core.problem import score
from codesign_gym.simulators.networks.layers import Op
from codesign_gym.simulators.networks.torch_import import from_torch
from codesign_gym.training.cli import app
from codesign_gym.training.studies.codebench.graphs import CLASSES, PIXELS, Accuracy, Family, Graph
from codesign_gym.training.studies.codebench.modules import module
from codesign_gym.training.studies.codebench.problem import CodesignProblem
from codesign_gym.training.studies.codebench.searches import Found, Search, accelerator_first, network_first

FAMILY = Family(width=(4, 8), depth=(1, 2), kernel=(3,), stages=(2,))
ACCURACY = Accuracy(np.linspace(0.5, 0.9, len(FAMILY.graphs)), np.linspace(0.4, 0.8, len(FAMILY.graphs)))


def test_there_are_about_two_hundred_graphs_and_each_differs() -> None:
    graphs = Family().graphs
    assert len(graphs) == len({graph.name for graph in graphs}) == 216


@pytest.mark.parametrize("block", ["separable", "plain", "residual"])
def test_the_layer_table_is_that_of_the_torch_module(block: str) -> None:
    graph = Graph(block, 4, 2, 5, 2)
    torch.manual_seed(0)
    traced = from_torch(module(graph, CLASSES).eval(), (1, PIXELS, PIXELS), graph.name)
    ours = graph.network()
    kept = np.isin(traced.layers.op, [Op.CONV, Op.LINEAR, Op.NORM, Op.POOL])
    for column in ("op", "in_channels", "out_channels", "kernel_height", "groups", "out_height", "in_height"):
        theirs = sorted(getattr(traced.layers, column)[kept].tolist())
        assert sorted(getattr(ours.layers, column).tolist()) == theirs, column
    assert ours.macs.sum() == traced.macs.sum()


def test_the_score_is_codebenchs_weighted_sum() -> None:
    problem = CodesignProblem(FAMILY, ACCURACY)
    designs = problem.space.sample(np.random.default_rng(0), 50)
    accuracy, latency, area, dynamic, leakage = problem.evaluate(designs).T
    by_hand = 0.2 * accuracy + 0.2 * (1 - latency) + 0.1 * (1 - area / 1000)
    by_hand += 0.2 * (1 - dynamic / 10) + 0.3 * (1 - leakage / 10)
    assert np.allclose(score(problem, problem.evaluate(designs)), by_hand)


def test_a_batch_equals_singles_and_the_order_does_not_matter() -> None:
    problem = CodesignProblem(FAMILY, ACCURACY)
    designs = problem.space.sample(np.random.default_rng(1), 300)  # more than a block
    metrics = problem.evaluate(designs)
    singles = np.concatenate([problem.evaluate(design[None]) for design in designs[::60]])
    assert np.allclose(metrics[::60], singles, rtol=1e-12)
    assert np.allclose(problem.evaluate(designs[::-1]), metrics[::-1], rtol=1e-12)
    assert problem.evaluate(designs[:0]).shape == (0, 5)


def test_one_batch_is_charged_as_released_and_a_request_in_rounds() -> None:
    request, released = CodesignProblem(FAMILY, ACCURACY), CodesignProblem(FAMILY, ACCURACY, images=None)
    designs = request.space.sample(np.random.default_rng(2), 20)
    rounds = 512 / np.array([request.space.knobs[11].values[c] for c in designs[:, 11]])
    assert request.space.knobs[11].name == "batch"
    assert np.allclose(request.evaluate(designs)[:, 1], released.evaluate(designs)[:, 1] * rounds)
    assert np.allclose(request.evaluate(designs)[:, 2], released.evaluate(designs)[:, 2])


def test_one_side_is_pinned_and_the_other_is_free() -> None:
    problem = CodesignProblem(FAMILY, ACCURACY)
    first = CodesignProblem(FAMILY, ACCURACY, fixed=network_first(problem))
    designs = first.space.sample(np.random.default_rng(0), 30)
    assert (first.graph(designs) == len(FAMILY.graphs) - 1).all()
    assert (first.evaluate(designs)[:, 0] == 0.9).all()
    assert first.claim(designs[0]) == {"test_accuracy": 0.8}
    other = CodesignProblem(FAMILY, ACCURACY, fixed=accelerator_first(problem))
    assert other.space.size == len(FAMILY.graphs)


def test_evaluations_are_counted_until_a_level_is_reached() -> None:
    found = Found(Search("random", 0, 3, FAMILY, ACCURACY), np.array([0.1, 0.3, 0.3]), np.zeros(1), np.zeros(5), 0.0)
    assert [found.after(level) for level in (0.1, 0.2, 0.3)] == [1, 2, 2]
    assert np.isinf(found.after(0.31))


def test_codebench_at_scale_small_prints_its_claims(cache, tmp_path) -> None:
    out = tmp_path / "claims.json"
    ran = CliRunner().invoke(app, ["study", "codebench", "--scale", "small", "--json", str(out)])
    report = json.loads(out.read_text())
    assert ran.exit_code == (0 if report["passed"] else 1), ran.output
    assert [claim["text"][:3] for claim in report["claims"]] == ["(a)", "(b)", "(c)", "(d)"]
    assert all(claim["passed"] is not None for claim in report["claims"])
    (compared, sides) = report["tables"]
    bound, *rows = compared["rows"]
    assert {row[0] for row in rows} == {"boshcode", "boshcode-sgd", "random", "evolutionary"}
    assert [row[0] for row in sides["rows"]] == ["joint", "network first"]
    scores = {row[0]: float(row[2]) for row in rows}
    assert scores["random"] < scores["boshcode"] < float(bound[2]) < 1
