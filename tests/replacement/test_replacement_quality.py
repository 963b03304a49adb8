from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from scipy.stats import spearmanr

import codesign_gym  # noqa: F401  (registers the environments)
from codesign_gym.simulators.replacement.patched import Patched
from codesign_gym.simulators.replacement.quality import measured, predicted
from codesign_gym.simulators.replacement.space import operator_space
from codesign_gym.simulators.replacement.tuning import Tuning

SPACE = "codesign_gym.simulators.replacement.space:digits"
QUALITY = "codesign_gym.simulators.replacement.quality"


def test_the_teacher_is_really_trained_and_deep_enough(digits: Patched) -> None:
    assert digits.trained.teacher.trained.test_accuracy >= 0.97
    assert len(digits.trained.sizes) == 9
    assert min(digits.trained.sizes) >= 5


@pytest.mark.slow
def test_the_sum_of_loss_changes_ranks_designs(digits: Patched) -> None:
    generator = np.random.default_rng(5)
    unchanged = digits.trained.unchanged
    layers = len(unchanged)
    many = generator.random((40, layers)) < generator.random((40, 1))
    designs = np.where(many, generator.integers(0, unchanged, size=(40, layers)), unchanged)
    quality = predicted(operator_space(digits.trained), 0)
    assert spearmanr(quality.score(designs), digits.accuracy(designs)).statistic >= 0.7


def test_predicted_and_measured_quality_agree_on_the_teacher(digits: Patched) -> None:
    space, unchanged = operator_space(digits.trained), digits.trained.unchanged
    by_sum, real = predicted(space, 0), measured(space, 0)
    assert by_sum.score(unchanged[None])[0] == pytest.approx(0.0)
    assert real.reference == real.score(unchanged[None])[0] == digits.accuracy(unchanged[None])[0]
    assert real.losses.min() == 0
    assert (real.losses >= 0).all()
    assert real.images == 500


def test_a_short_training_recovers_what_replacements_lost(digits: Patched) -> None:
    space = operator_space(digits.trained)
    cheap = np.array(
        [layer.operators.index("grouped-4" if i else "half-width") for i, layer in enumerate(space.layers)]
    )
    claims = measured(space, 0).claim(cheap)
    assert claims["test_accuracy"] > claims["untrained_test_accuracy"]
    assert claims["test_accuracy"] >= 0.9
    assert claims["test_change_low_points"] <= claims["test_change_points"] <= claims["test_change_high_points"]
    again = Patched(digits.trained, None, Tuning()).accuracy(cheap[None], "test")[0]
    assert again == claims["test_accuracy"]


@pytest.mark.parametrize("quality", ["predicted", "measured"])
def test_layer_ops_walks_the_layers_of_a_teacher(digits: Patched, quality: str) -> None:
    env = gym.make(
        "codesign/LayerOps-v0",
        space=SPACE,
        quality=f"{QUALITY}:{quality}",
        device="gemmini-16x16",
        budget={"latency": 0.4},
    )
    _, info = env.reset(seed=0)
    done = False
    while not done:
        _, reward, done, _, info = env.step(int(np.flatnonzero(info["action_mask"])[-1]))
    assert np.isfinite(reward)
    assert info["usage"][0] <= 1 + 1e-9
