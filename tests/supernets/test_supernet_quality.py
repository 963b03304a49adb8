from __future__ import annotations

from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch

import codesign_gym  # noqa: F401
from codesign_gym.envs.layer_ops.factory import Options, layer_ops_problem
from codesign_gym.simulators import operators
from codesign_gym.simulators.supernets.library import TrainedSupernet
from codesign_gym.simulators.supernets.quality import MeasuredQuality, measured


@pytest.fixture(scope="module")
def quality(quick: TrainedSupernet, quick_file: Path) -> MeasuredQuality:
    return measured(operators.load(str(quick_file)), 0)


def test_losses_are_single_swaps_from_the_dearest(quality: MeasuredQuality) -> None:
    losses = quality.losses
    assert losses.shape == (2, 3)
    assert (losses >= 0).all()
    assert losses[1, 2] == 0  # the second layer has two operators
    swapped = quality.score(np.array([[0, 1], [2, 1]]))
    assert swapped[1] == quality.reference
    assert losses[0, 0] - losses[0, 2] == pytest.approx(swapped[1] - swapped[0])
    assert quality.prepared == 4


def test_a_claim_is_of_images_that_no_search_saw(quality: MeasuredQuality, quick: TrainedSupernet) -> None:
    claim = quality.claim(np.array([1, 1]))
    assert claim["test_images"] == len(quick.splits.test)
    assert claim["test_change_low_points"] <= claim["test_change_points"] <= claim["test_change_high_points"]
    change = 100 * (claim["test_accuracy"] - claim["test_accuracy_reference"])
    assert claim["test_change_points"] == pytest.approx(change)
    assert claim["test_accuracy"] > 0.8
    assert quality.claim(quick.dearest)["test_change_points"] == 0


def test_an_environment_measures_its_designs(quality: MeasuredQuality, quick_file: Path) -> None:
    env = gymnasium.make(
        "codesign/LayerOps-v0", space=str(quick_file), quality="measured", device="bitfusion", budget={"latency": 0.9}
    )
    _, info = env.reset(seed=0)
    total, ended, design = 0.0, False, []
    while not ended:
        action = int(np.flatnonzero(info["action_mask"])[-1])
        _, reward, ended, _, info = env.step(action)
        total += reward
        design.append(action)
    score = quality.score(np.array([design]))[0]
    assert total == pytest.approx(10 * (score - quality.reference))
    assert design != [2, 1]  # the dearest design breaks the budget
    env.close()


def test_the_problem_knows_that_it_measures_and_relaxes(quality: MeasuredQuality, quick_file: Path) -> None:
    problem = layer_ops_problem(
        Options(space=str(quick_file), quality="measured", device="bitfusion", budget={"latency": 0.9})
    )
    assert problem.measured
    assert problem.preparation == {"designs_measured": 4.0}
    metrics = problem.evaluate(np.array([[2, 1], [0, 0]]))
    np.testing.assert_array_equal(metrics[:, 0], quality.score(np.array([[2, 1], [0, 0]])))
    assert (problem.standard_error(metrics) > 0).all()
    assert problem.relaxed is not None
    onehot = torch.nn.functional.one_hot(torch.tensor([[2, 1], [0, 0]]), 3).double()
    latency = problem.relaxed.metric("latency_s", onehot).numpy()
    names = [metric.name for metric in problem.metrics]
    np.testing.assert_allclose(latency, metrics[:, names.index("latency_s")], rtol=1e-9)
    loss = problem.relaxed.loss(onehot)
    assert loss[0] < loss[1]
