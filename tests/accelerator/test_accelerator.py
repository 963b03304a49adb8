"""Accelerator-v0: limits of half-built designs, batches, several networks, refinement, options with mistakes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from codesign_gym.envs.accelerator.factory import Options, accelerator_problem, build
from codesign_gym.envs.core.problem import feasible, score
from codesign_gym.envs.core.sampling import legal_designs
from codesign_gym.errors import BadConfig, CodesignError, Infeasible
from codesign_gym.training.cli import app

#: No shrinking: a problem's text is long, and a seed says enough.
quick = settings(max_examples=10, deadline=None, derandomize=True, phases=[Phase.generate])
FPGA = accelerator_problem(Options(template="fpga-engine", device="fpga-ultra96", network="alexnet"))
CODEBENCH = accelerator_problem(Options(network="alexnet", budget={"area_mm2": 30.0}))
LOOPNEST = accelerator_problem(Options(template="loopnest", network="squeezenet"))
PROBLEMS = {"fpga-engine": FPGA, "codebench": CODEBENCH, "loopnest": LOOPNEST}


@pytest.mark.parametrize("problem", [FPGA, CODEBENCH], ids=["fpga-engine", "codebench"])
@quick
@given(seed=st.integers(0, 10**6))
def test_a_batch_is_its_designs_one_by_one(problem: Any, seed: int) -> None:
    generator = np.random.default_rng(seed)
    designs = problem.space.sample(generator, 9)
    metrics, order = problem.evaluate(designs), generator.permutation(9)
    assert np.isfinite(metrics).all()
    assert (metrics > 0).all()
    np.testing.assert_array_equal(metrics, np.concatenate([problem.evaluate(row[None]) for row in designs]))
    np.testing.assert_array_equal(metrics[order], problem.evaluate(designs[order]))


@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
@quick
@given(seed=st.integers(0, 10**6), decided=st.integers(0, 10))
def test_the_least_that_a_half_built_design_can_use_is_the_least(problem: Any, seed: int, decided: int) -> None:
    """No completion of a design uses less than the outlook says, and one of each constraint uses just that."""
    generator, outlook = np.random.default_rng(seed), problem.outlook
    decided = min(decided, len(problem.space))
    design = problem.space.sample(generator, 1)
    bound = outlook.start()[1 + len(problem.constraints) :]
    for knob in range(decided):
        at = np.array([knob])
        change = outlook.changes(design, at, at * 0)[0]
        bound = bound + change[:, design[0, knob]]
    rest = problem.space.sample(generator, 200)
    rest[:, :decided] = design[:, :decided]
    used = outlook.usage(rest)
    assert (used >= bound * (1 - 1e-12)).all()
    completed = outlook.least.copy()
    completed[:, :decided] = design[:, :decided]
    np.testing.assert_allclose(np.diagonal(outlook.usage(completed)), bound, rtol=1e-12)


@pytest.mark.parametrize("problem", [FPGA, CODEBENCH], ids=["fpga-engine", "codebench"])
def test_masked_designs_keep_the_limits_and_none_is_lost(problem: Any) -> None:
    generator = np.random.default_rng(0)
    shape = (256, len(problem.space), problem.space.choices)
    masked = legal_designs(problem, generator.random(shape))
    assert feasible(problem, problem.evaluate(masked)).all()
    drawn = problem.space.sample(generator, 4000)
    kept = drawn[feasible(problem, problem.evaluate(drawn))][:256]
    keys = np.zeros((len(kept), *shape[1:]))
    np.put_along_axis(keys, kept[:, :, None], 1.0, axis=-1)  # a walk that wants just these designs
    assert len(kept) > 20
    np.testing.assert_array_equal(legal_designs(problem, keys), kept)


def test_networks_add_up_with_their_weights() -> None:
    designs = FPGA.space.sample(np.random.default_rng(1), 5)
    parts = [accelerator_problem(Options(template="fpga-engine", network=name)) for name in ("alexnet", "squeezenet")]
    both = accelerator_problem(Options(template="fpga-engine", network={"alexnet": 0.5, "squeezenet": 3.0}))
    one, other, together = (problem.evaluate(designs) for problem in (*parts, both))
    np.testing.assert_allclose(together[:, :2], 0.5 * one[:, :2] + 3 * other[:, :2], rtol=1e-12)
    np.testing.assert_array_equal(together[:, 2:], one[:, 2:])


def test_refining_earns_what_the_score_rises_by_and_is_cut_off() -> None:
    env = gym.make(
        "codesign/Accelerator-v0", template="fpga-engine", network="alexnet", mode="refine", steps=6, enforcement="mask"
    )
    observation, info = env.reset(seed=5)
    problem = env.unwrapped.core.problem
    first, earned, left = score(problem, info["metrics"][None])[0], 0.0, [observation[-1]]
    for step in range(6):
        action = int(np.flatnonzero(info["action_mask"])[step])
        observation, reward, terminated, truncated, info = env.step(action)
        earned += float(reward)
        left.append(observation[-1])
        assert not terminated
        assert feasible(problem, info["metrics"][None])[0]
        assert truncated == (step == 5)
    assert earned == pytest.approx(score(problem, info["metrics"][None])[0] - first, abs=1e-9)
    np.testing.assert_allclose(left, np.linspace(1, 0, 7), atol=1e-6)


INFEASIBLE: dict[str, tuple[dict[str, Any], str]] = {
    "area": ({"area_mm2": 0.5}, "no design keeps area_mm2 within 0.5; the least that any design needs is"),
    "latency": (
        {"latency_s": 1e-9},
        r"of \d+,\d+ designs tried none keeps latency_s within 1e-09; the least of any is",
    ),
    "the tighter of two": ({"latency_s": 1e-6, "dynamic_energy_j": 1e-12}, "tried none keeps dynamic_energy_j"),
    "two together": (
        {"latency_s": 2.5e-5, "dynamic_energy_j": 0.0155},
        r"none keeps latency_s within 2\.5e-05 and dynamic_energy_j within 0\.0155 together; the nearest uses 1\.",
    ),
    "within the area": (
        {"latency_s": 2.5e-5, "area_mm2": 30},
        r"tried that keep area_mm2 within 30 none keeps latency_s within 2\.5e-05",
    ),
}


@pytest.mark.parametrize(("budget", "message"), INFEASIBLE.values(), ids=INFEASIBLE)
def test_limits_that_no_design_keeps_name_the_tightest(budget: dict[str, float], message: str) -> None:
    with pytest.raises(Infeasible, match=message) as caught:
        build(Options(network="alexnet", budget=budget))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("budget", [{"latency": 0.1}, {"latency": 0.24}])
def test_where_designs_are_costed_one_by_one_few_are_tried_and_counted(budget: dict[str, float]) -> None:
    """The fastest MAERI within the area of the device's own takes 0.2504 of its latency, by costing all 209."""
    with pytest.raises(Infeasible, match=r"of \d\d designs tried that keep area.* the least of any is 0\.0242"):
        build(Options(template="maeri", network="alexnet", budget=budget))
    build(Options(template="maeri", network="alexnet", budget={"latency": 0.26}))


def test_a_limit_can_be_lifted() -> None:
    lifted = accelerator_problem(Options(template="fpga-engine", network="alexnet", budget={"dsp": None, "bram": 100}))
    assert {bound.metric: bound.limit for bound in lifted.constraints} == {"bram": 100.0, "lut": 218600.0}


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "budget on no metric": ({"budget": {"aera": 1.0}}, "did you mean 'area'"),
    "budget of nothing": ({"budget": {"area_mm2": 0.0}}, "budget 'area_mm2' is 0.0"),
    "device of another model": ({"device": "bitfusion"}, "device 'bitfusion' is a BitFusion; template 'codebench'"),
    "bits": ({"bits": 32}, "bits is 32; device 'accelbench-spring' accepts: 2 to 20"),
    "weight": ({"network": {"alexnet": -1.0}}, "weight of network 'alexnet' is -1.0; accepted: a positive number"),
    "no network": ({"network": {}}, "accepted: a network"),
    "unknown network": ({"network": "alexnot"}, "did you mean 'alexnet'"),
    "action": ({"action": "disrete"}, "did you mean 'discrete'"),
}


@pytest.mark.parametrize(("options", "message"), BAD.values(), ids=BAD)
def test_a_bad_option_is_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(CodesignError, match=message) as caught:
        build(Options.model_validate({"network": "alexnet", **options}))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "options", [{"enforcement": "project"}, {"mode": "improve"}, {"reward": "dense"}, {"steps": 0}]
)
def test_an_option_that_is_none_names_itself(options: dict[str, Any]) -> None:
    with pytest.raises(BadConfig, match=next(iter(options))):
        gym.make("codesign/Accelerator-v0", network="alexnet", **options)


@pytest.mark.parametrize("agent", ["random", "evolutionary", "ppo"])
def test_it_is_trained_on_from_the_command_line(tmp_path: Path, agent: str) -> None:
    arguments = f"train --env codesign/Accelerator-v0 --agent {agent} --network alexnet --evaluations 40 --seed 3"
    arguments += f" --option template=fpga-engine --budget dsp=300 --run {tmp_path / agent}"
    ran = CliRunner().invoke(app, arguments.split())
    assert ran.exit_code == 0, ran.output
    assert (tmp_path / agent / "result.json").is_file()
