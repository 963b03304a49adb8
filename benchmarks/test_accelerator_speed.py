"""Accelerator-v0 with CODEBench's model, beside a Python loop over designs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from interleaved import episode, speed
from numpy.typing import NDArray

from codesign_gym.envs.accelerator.factory import Options, accelerator_problem
from codesign_gym.envs.accelerator.problem import AcceleratorProblem
from codesign_gym.simulators import networks

NETWORK = "resnet18"
DESIGNS = 65_536
ENVIRONMENTS = 1024
BAR = 1000  # times the rate of either loop
LAYERS = networks.load(NETWORK).layers


@pytest.fixture(scope="module")
def problem() -> AcceleratorProblem:
    return accelerator_problem(Options(network=NETWORK))


@pytest.fixture(scope="module")
def designs(problem: AcceleratorProblem) -> NDArray[np.int64]:
    return problem.space.sample(np.random.default_rng(0), DESIGNS)


def model_of(problem: AcceleratorProblem, design: NDArray[np.int64]) -> tuple[Any, int]:
    """The cost model of one design, and its images."""
    template = problem.template
    chosen = {knob.name: knob.values[i] for knob, i in zip(problem.space.knobs, design, strict=True)}
    images = chosen.pop("batch")
    return replace(template.device.model, **chosen), images


def by_design(models: list[tuple[Any, int]]) -> list[float]:
    """One call of the model a design, whose 68 layers are an array already; the network's latency."""
    bits, found = np.full((len(LAYERS.op), 2), 20), []
    for model, images in models:
        total = model.cost(LAYERS.with_batch(images), bits).total()
        found.append(float(model.overlapped_cycles(total)) / model.clock_hz / images)
    return found


def by_layer(models: list[tuple[Any, int]]) -> list[float]:
    """One call of the model a design and layer."""
    rows = [LAYERS.map(lambda column, i=i: column[i : i + 1]) for i in range(len(LAYERS.op))]
    bits, found = np.full((1, 2), 20), []
    for model, images in models:
        detail = [model.cost(row.with_batch(images), bits).detail for row in rows]
        fetch, mac, serial = (
            sum(float(part[f"{name}_cycles"][0]) for part in detail) for name in ("fetch", "mac", "serial")
        )
        found.append((max(fetch, mac) + serial) / model.clock_hz / images)
    return found


@pytest.mark.parametrize(("loop", "sample"), [(by_design, 64), (by_layer, 2)])
def test_a_batch_beside_a_loop(report, problem: AcceleratorProblem, designs, loop, sample: int) -> None:
    """The loop is timed on a sample of the designs: its time is proportional to their number."""
    models = [model_of(problem, design) for design in designs[:sample]]
    np.testing.assert_allclose(problem.evaluate(designs)[:sample, 0], loop(models), rtol=1e-9)
    ratio = speed(lambda: problem.evaluate(designs), lambda: loop(models), repeats=9) * DESIGNS / sample
    report(f"codebench, {DESIGNS} designs at once over {loop.__name__}", ratio, BAR, lambda: problem.evaluate(designs))
    assert ratio >= BAR


@pytest.mark.parametrize(("mode", "steps", "built"), [("construct", 10, 1), ("refine", 20, 20)])
def test_environments_beside_a_loop(
    report, problem: AcceleratorProblem, designs, mode: str, steps: int, built: int
) -> None:
    """Designs that random actions build in 1,024 environments: one in an episode of ten knobs, or one a move."""
    models = [model_of(problem, design) for design in designs[:64]]
    ours = episode("codesign/Accelerator-v0", ENVIRONMENTS, steps, network=NETWORK, mode=mode)
    ratio = speed(ours, lambda: by_design(models), repeats=9) * ENVIRONMENTS * built / len(models)
    report(f"codebench, {mode}, {ENVIRONMENTS} environments over by_design", ratio, None, ours)
