"""What runs with several objectives say of their fronts."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from training_samples import finished as with_one_objective
from training_samples import interrupt_after

from codesign_gym.envs.core.problem import Constraint, Metric, Objective
from codesign_gym.training.compare import compare
from codesign_gym.training.config import RunConfig, configure
from codesign_gym.training.folder import RunFolder
from codesign_gym.training.front import Front
from codesign_gym.training.printing import print_comparison
from codesign_gym.training.run import front_line, run
from codesign_gym.training.tables import hypervolume as told
from codesign_gym.training.train import train

METRICS = (Metric("accuracy", minimize=False), Metric("latency_s"), Metric("size_bytes"))
OBJECTIVES = (Objective("accuracy", 10.0, 0.8, worst=0.0), Objective("latency_s", -2.0, 4.0, worst=4.0))


def problem(objectives: tuple[Objective, ...] = OBJECTIVES, **parts: Any) -> Any:
    return SimpleNamespace(metrics=METRICS, objectives=objectives, constraints=(), **parts)


def front_of(made: Any, values: Any) -> Front:
    front = Front(made)
    front.add(np.array(values, dtype=np.float64))
    return front


def test_gains_are_shares_of_the_reference_points_values() -> None:
    """.4 of an accuracy of .8 at 1 of 4 s is half of one axis and three quarters of the other; sizes do not count."""
    assert front_of(problem(), [[0.4, 1.0, 7.0]]).hypervolume == pytest.approx(0.5 * 0.75)
    stairs = [[0.4, 1.0, 1.0], [0.8, 3.0, 1.0], [0.3, 2.0, 0.0], [0.1, 5.0, 0.0]]  # the last two add nothing
    front = front_of(problem(), stairs)
    assert front.hypervolume == pytest.approx(0.5 * 0.75 + 0.5 * 0.25)
    assert front.as_dict()["reference_point"] == {"accuracy": 0.0, "latency_s": 4.0}
    assert front.as_dict()["unit"] == {"accuracy": 0.8, "latency_s": 4.0}


def test_weights_and_designs_beyond_the_limits_do_not_count() -> None:
    heavier = tuple(Objective(o.metric, 7 * o.weight, o.reference, o.worst) for o in OBJECTIVES)
    values = [[0.4, 1.0, 7.0], [0.7, 0.5, 9.0]]
    assert front_of(problem(heavier), values).hypervolume == front_of(problem(), values).hypervolume
    limited = problem()
    limited.constraints = (Constraint("size_bytes", 8.0),)
    assert front_of(limited, values).hypervolume == pytest.approx(0.5 * 0.75)


def test_without_a_worst_value_there_is_none() -> None:
    front = front_of(problem((OBJECTIVES[0], Objective("latency_s", -2.0, 4.0))), [[0.4, 1.0, 7.0]])
    assert front.hypervolume is None
    assert "no worst value is stated for latency_s" in told(front.as_dict())


@settings(derandomize=True, deadline=None)
@given(st.lists(st.tuples(*[st.floats(0, 1)] * 3), min_size=1, max_size=12), st.integers(1, 5))
def test_a_front_in_parts_is_the_front_of_all(rows: list[tuple[float, ...]], size: int) -> None:
    values, parts = np.array(rows), Front(problem())
    for start in range(0, len(values), size):
        parts.add(values[start : start + size])
    assert parts.hypervolume == pytest.approx(front_of(problem(), values).hypervolume)


def several(agent: str = "random", seed: int = 0, **options: Any) -> RunConfig:
    chosen = {"space": "fbnet", "objectives": {"latency": 5}, **options}
    return configure("codesign/LayerOps-v0", chosen, agent, 30, seed=seed)


def test_a_run_states_the_volume_of_its_front(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from rich.console import Console

    seen: list[float] = []
    train(several(), RunFolder(tmp_path / "logged"), scalars=lambda s, _: seen.append(s["front/hypervolume"]))
    result = run(several(), tmp_path / "run", Console(quiet=True))
    found, front = result["front"], pd.read_csv(tmp_path / "run" / "front.csv").sort_values("latency_s")
    full = found["reference_point"]["latency_s"]
    saved = 1 - front["latency_s"].to_numpy() / full
    steps = -np.diff(np.append(saved, 0.0))  # of a staircase: the slower a design, the better it is
    assert found["hypervolume"] == pytest.approx((steps * front["quality"] / found["unit"]["quality"]).sum())
    assert found["reference_point"]["quality"] == 0.0
    assert full == pytest.approx(result["reference"]["latency_s"])
    assert seen == sorted(seen)
    assert seen[-1] == pytest.approx(found["hypervolume"])
    line = front_line(tmp_path / "run", result)
    assert line is not None
    assert f"front.csv ({len(front)} designs that no other beats); hypervolume {found['hypervolume']:.5g} from" in line
    assert "from quality 0, latency us" in line


def test_a_resumed_run_counts_what_it_remembers(tmp_path: Path) -> None:
    whole, parts = [], []
    train(several("nsga2"), RunFolder(tmp_path / "whole"), scalars=lambda s, _: whole.append(s["front/hypervolume"]))
    with pytest.raises(KeyboardInterrupt):
        train(several("nsga2"), RunFolder(tmp_path / "parts"), interrupt_after(10))
    train(several("nsga2"), RunFolder(tmp_path / "parts"), scalars=lambda s, _: parts.append(s["front/hypervolume"]))
    assert parts[-1] == whole[-1]


def test_runs_with_one_objective_have_no_front(tmp_path: Path) -> None:
    folder = with_one_objective(tmp_path / "run")
    assert "front" not in folder.result()
    assert front_line(folder.path, folder.result()) is None
    assert not any("hypervolume" in name for name in compare([folder.path], tmp_path / "out")[0])


def test_agents_are_compared_by_their_fronts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = {(agent, seed): tmp_path / f"{agent}{seed}" for agent in ("random", "nsga2") for seed in (0, 1)}
    volumes = {key: train(several(*key), RunFolder(path))["front"]["hypervolume"] for key, path in paths.items()}
    rows = {row["agent"]: row for row in compare(list(paths.values()), tmp_path / "out")}
    for agent, row in rows.items():
        mine = [volumes[agent, seed] for seed in (0, 1)]
        assert (row["hypervolume_median"], row["hypervolume_worst"]) == (np.median(mine), min(mine))
    print_comparison(list(rows.values()))
    assert "hypervolume: from quality 0" in capsys.readouterr().out

    older = paths["random", 0] / "result.json"
    content = json.loads(older.read_text())
    del content["front"]
    older.write_text(json.dumps(content))
    again = compare(list(paths.values()), tmp_path / "out")
    assert {row["hypervolume_median"] for row in again} == {None}
    print_comparison(again)
    assert "the runs state no reference point, or not the same one" in capsys.readouterr().out
