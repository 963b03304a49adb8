"""What a finished run is worth elsewhere, and beside others."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training_samples import PROBLEM, finished

from codesign_gym.envs.mixed_precision.factory import Options, build
from codesign_gym.errors import BadConfig, CodesignError, StorageError
from codesign_gym.training.compare import compare
from codesign_gym.training.evaluate import evaluate
from codesign_gym.training.folder import RunFolder


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs")
    for agent in ("ppo", "haq-ddpg", "maskable-ppo", "random", "evolutionary"):
        finished(path / agent, agent)
    return path


def check(result: dict[str, Any], options: dict[str, Any]) -> None:
    """The figures are those of the design in the changed environment, within its limits."""
    problem = build(Options(**options)).problem
    design = [knob.values.index(result["design"][knob.name]) for knob in problem.space.knobs]
    metrics = problem.evaluate(np.array([design]))[0]
    assert list(result["metrics"].values()) == pytest.approx(metrics.tolist())
    assert result["feasible"]
    for name, limit in result["constraints"].items():
        assert result["metrics"][name] <= limit * (1 + 1e-9)


CHANGES: list[dict[str, Any]] = [
    {"device": "bitfusion"},
    {"device": "bismo-edge"},
    {"budget": {"latency": 0.4}},
    {"network": "mobilenetv2-imagenet100"},
]


@pytest.mark.parametrize("agent", ["ppo", "haq-ddpg", "maskable-ppo"])
@pytest.mark.parametrize("changes", CHANGES, ids=str)
def test_a_policy_designs_where_it_was_not_trained(agent: str, changes: dict[str, Any], runs: Path) -> None:
    result = evaluate(RunFolder(runs / agent), changes)
    assert result["source"] == "policy"
    check(result, {**PROBLEM, **changes})


def test_without_changes_the_best_design_is_measured(runs: Path) -> None:
    for agent in ("ppo", "random"):
        folder = RunFolder(runs / agent)
        result = evaluate(folder, {})
        assert result["source"] == "design"
        assert result["design"] == folder.result()["design"]
        assert result["metrics"] == pytest.approx(folder.result()["metrics"])


@pytest.mark.parametrize("changes", CHANGES[:3], ids=str)
def test_a_design_is_repaired_where_it_does_not_keep_the_limits(changes: dict[str, Any], runs: Path) -> None:
    result = evaluate(RunFolder(runs / "random"), changes)
    assert result["source"] == "design"
    check(result, {**PROBLEM, **changes})


def test_bitwidths_are_carried_over_by_value(runs: Path) -> None:
    """A design of 2 to 8 bits names other choices among 2 to 7; where a value is missing it says so."""
    with pytest.raises(BadConfig, match=r"has 8 for '.*weight_bits'; accepted here"):
        evaluate(RunFolder(runs / "random"), {"bits": [2, 7]})
    folder = RunFolder(runs / "evolutionary")
    low = min(folder.result()["design"].values())
    wider = evaluate(folder, {"bits": [1, 8], "device": "bismo-edge", "budget": {"latency": 1.0}})
    assert min(wider["design"].values()) == low


@pytest.mark.parametrize(
    ("agent", "changes", "message"),
    [
        ("random", {"network": "mobilenetv2-imagenet100"}, "leaves no policy, and its design of 14 knobs"),
        ("ppo", {"budget": {"latency": 0.6, "size": 0.6}}, "does not fit this environment"),
        ("maskable-ppo", {"bits": [2, 6]}, "does not fit this environment"),
        ("haq-ddpg", {"observation": "rich"}, "does not fit this environment"),
        ("ppo", {"device": "bitfuson"}, "did you mean 'bitfusion'"),
        ("ppo", {"budget": {"latency": 0.0001}}, "the least that any design needs"),
    ],
)
def test_what_does_not_fit_is_one_line(agent: str, changes: dict[str, Any], message: str, runs: Path) -> None:
    with pytest.raises(CodesignError, match=message) as caught:
        evaluate(RunFolder(runs / agent), changes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("damage", [b"", b"\x80\x04pickle", b"\x08\0\0\0\0\0\0\0{}      "])
def test_a_damaged_policy_is_named(damage: bytes, tmp_path: Path) -> None:
    folder = finished(tmp_path, "a2c", 20)
    (tmp_path / "policy.safetensors").write_bytes(damage)
    with pytest.raises(StorageError, match=r"policy\.safetensors is damaged or not a checkpoint"):
        evaluate(folder, {"device": "bitfusion"})


def test_a_folder_without_a_result(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="is not a run folder"):
        evaluate(RunFolder(tmp_path), {})
    with pytest.raises(StorageError, match="is not a run folder"):
        compare([tmp_path], tmp_path / "out")


def test_a_result_that_is_something_else(tmp_path: Path) -> None:
    folder = finished(tmp_path, "random", 20)
    (tmp_path / "result.json").write_text('{"design": {}}')
    with pytest.raises(StorageError, match=r"result\.json is not a run's result: it lacks metrics, score"):
        evaluate(folder, {})
    (tmp_path / "result.json").unlink()
    with pytest.raises(StorageError, match=r"not a finished run folder: no result\.json; go on with: .* --resume"):
        compare([tmp_path], tmp_path / "out")


def test_a_policy_that_is_lost_is_missed(tmp_path: Path) -> None:
    folder = finished(tmp_path, "a2c", 20)
    (tmp_path / "policy.safetensors").unlink()
    with pytest.raises(StorageError, match=r"has lost its policy\.safetensors"):
        evaluate(folder, {"device": "bitfusion"})


def test_one_run_counts_once(runs: Path, tmp_path: Path) -> None:
    assert compare([runs / "random", runs / "random"], tmp_path / "out")[0]["runs"] == 1
    shutil.copytree(runs / "random", tmp_path / "copy")
    with pytest.raises(BadConfig, match="are the same run, seed"):
        compare([runs / "random", tmp_path / "copy"], tmp_path / "out")


def test_a_row_an_agent_and_pictures(runs: Path, tmp_path: Path) -> None:
    agents = ["ppo", "random", "evolutionary"]
    finished(tmp_path / "again", "random", 20)
    rows = compare([*(runs / agent for agent in agents), tmp_path / "again"], tmp_path / "out")
    assert sorted(row["agent"] for row in rows) == sorted(agents)
    medians = [row["score_median"] for row in rows]
    assert medians == sorted(medians, reverse=True)
    row = next(row for row in rows if row["agent"] == "random")
    scores = [RunFolder(path).result()["score"] for path in (runs / "random", tmp_path / "again")]
    assert (row["runs"], row["score_worst"]) == (2, min(scores))
    assert row["score_median"] == pytest.approx(np.median(scores))
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"pareto.png", "learning_curves.png"}
    json.dumps(rows)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"device": "bitfusion"}, "limits"),
        ({"budget": {"latency": 0.5}}, "limits"),
        ({"budget": {"latency": "60us"}, "network": "mobilenetv2-imagenet100"}, "limits|metrics|knobs"),
        ({"seed": 1}, "metrics of the highest choice"),
    ],
)
def test_runs_of_other_problems_are_not_mixed(options: dict[str, Any], field: str, runs: Path, tmp_path: Path) -> None:
    if options.get("network"):
        options = {**options, "budget": {"latency": 0.6}}
    finished(tmp_path / "other", "uniform", 5, **options)
    with pytest.raises(BadConfig, match=f"another problem.*({field})"):
        compare([runs / "random", tmp_path / "other"], tmp_path / "out")
    assert not (tmp_path / "out").exists()
