"""FBNet's space with looked-up latencies: steps beside CartPole's, and the exact optimum beside a genetic search."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
from interleaved import episode, seconds, speed

from codesign_gym.agents import interface
from codesign_gym.agents.baselines.integer_program import solve
from codesign_gym.agents.interface import Task, search
from codesign_gym.agents.recorder import Limits, Recorder
from codesign_gym.envs.core.problem import feasible
from codesign_gym.envs.layer_ops.factory import Options, build

ENVIRONMENTS = 1024
STEPS = 110  # five episodes of 22 layers
BAR = 0.1

OPTIONS = {
    "default": {},
    "richest": {"enforcement": "price+project", "observation": "rich", "reward": "dense"},
    "projected": {"enforcement": "project"},
}
#: How near to the optimal quality a search is to come, and the most designs that it may spend on it.
NEAR, MOST = 0.01, 6000
SEEDS = range(3)
#: Searches, and what of their shipped settings is changed: those are for grants of hundreds of designs, where a small
#: population learns soonest; with thousands to spend it settles too early.
SEARCHES: dict[str, dict[str, int]] = {"ga": {"population": 100}, "evolutionary": {"population": 100}, "random": {}}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_a_step_beside_cartpoles(report, options: dict[str, Any]) -> None:
    ours = episode("codesign/LayerOps-v0", ENVIRONMENTS, STEPS, budget={"latency": 0.5}, **options)
    ratio = speed(ours, episode("CartPole-v1", ENVIRONMENTS, STEPS), repeats=15)
    report("rate of steps, LayerOps over CartPole", ratio, BAR, ours)
    assert ratio >= BAR


@pytest.mark.parametrize("name", SEARCHES)
def test_the_exact_optimum_beside_a_search(report, capsys: pytest.CaptureFixture[str], name: str) -> None:
    """Seconds of the integer program on 9^22 designs, and designs that a search scores to come within 1 %."""
    agent: Any = replace(cast(Any, interface.build(interface.read(name))), **SEARCHES[name])
    core = build(Options(budget={"latency": 0.5}, enforcement="project"))
    tables = core.problem.separable
    assert tables is not None
    exact_s = seconds(lambda: solve(tables))
    optimum = float(core.problem.evaluate(solve(tables)[None])[0, 0])
    spent, best, search_s = [], [], []
    for seed in SEEDS:
        recorder = Recorder(core.problem, Limits(MOST, 2 * MOST))
        task = Task(replace(core, problem=recorder), recorder, seed)
        search_s.append(seconds(lambda task=task: search(agent, task)))
        metrics = recorder.known_metrics
        quality = np.where(feasible(core.problem, metrics), metrics[:, 0], 0.0)
        near = np.flatnonzero(quality >= (1 - NEAR) * optimum)
        spent.append(str(near[0] + 1) if near.size else f"more than {len(quality)}")
        best.append(float(quality.max()))
    with capsys.disabled():
        print(f"\n9^22, quality {optimum:.4f}: MILP {exact_s:.2f} s; {name} within {NEAR:.0%} after {', '.join(spent)}")
        print(f"  designs; best of {MOST}: {', '.join(f'{value / optimum:.4f}' for value in best)} of the optimum")
    report(f"seconds, {name} over MILP", float(np.median(search_s)) / exact_s, None, lambda: solve(tables))
    assert max(best) <= optimum * (1 + 1e-6)
