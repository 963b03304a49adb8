from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from codesign_gym.errors import BadConfig
from codesign_gym.simulators.accuracy.bootstrap import paired_difference
from codesign_gym.simulators.accuracy.quantized import QuantizedNetwork
from codesign_gym.simulators.accuracy.sensitivity import additive, sensitivities
from codesign_gym.simulators.accuracy.surrogate import Surrogate

BITS = (2, 3, 4, 5, 6, 7, 8)


@pytest.fixture(scope="module")
def rises(measured: QuantizedNetwork) -> np.ndarray:
    return sensitivities(measured, BITS)


@pytest.fixture(scope="module")
def designs(measured: QuantizedNetwork) -> np.ndarray:
    return np.random.default_rng(0).integers(2, 9, (160, measured.layers, 2))


@pytest.fixture(scope="module")
def surrogate(measured: QuantizedNetwork, rises: np.ndarray, designs: np.ndarray) -> Surrogate:
    return Surrogate.fit(designs[:100], measured.accuracy(designs[:100]), rises, BITS)


def test_sensitivities_never_fall_as_bits_are_taken_away(measured: QuantizedNetwork, rises: np.ndarray) -> None:
    assert rises.shape == (measured.layers, 2, len(BITS))
    assert (rises >= 0).all()
    assert (np.diff(rises, axis=-1) <= 0).all()
    assert (rises[..., -1] == 0).all()
    assert (rises[..., 0] > 0).all()


def test_a_sensitivity_is_the_rise_when_one_knob_is_lowered(measured: QuantizedNetwork, rises: np.ndarray) -> None:
    design = np.full((measured.layers, 2), 8)
    base = measured.loss(design)
    design[3, 1] = 2
    assert rises[3, 1, 0] == pytest.approx(measured.loss(design) - base)


def test_the_order_of_bit_values_does_not_matter(measured: QuantizedNetwork, rises: np.ndarray) -> None:
    shuffled = sensitivities(measured, (8, 2, 5))
    np.testing.assert_array_equal(shuffled[..., 0], rises[..., -1])
    assert (shuffled[..., 2] <= rises[..., 3]).all()
    bits = np.full((4, measured.layers, 2), 2)
    np.testing.assert_allclose(additive(shuffled, (8, 2, 5), bits), shuffled[..., 1].sum())


def test_the_sum_ranks_real_designs(measured: QuantizedNetwork, rises: np.ndarray, designs: np.ndarray) -> None:
    predicted = additive(rises, BITS, designs)
    assert predicted.shape == (160,)
    assert spearmanr(-predicted, measured.accuracy(designs)).statistic > 0.7


def test_bad_sensitivity_arguments_are_one_line(measured: QuantizedNetwork, rises: np.ndarray) -> None:
    with pytest.raises(BadConfig, match=r"bit_values is \[4, 4\]"):
        sensitivities(measured, (4, 4))
    with pytest.raises(BadConfig, match="a bitwidth is 9; accepted: 2, 3"):
        additive(rises, BITS, np.full((7, 2), 9))
    with pytest.raises(BadConfig, match="bits have shape"):
        additive(rises, BITS, np.full((6, 2), 8))


def test_the_stated_error_holds_on_fresh_designs(
    measured: QuantizedNetwork, surrogate: Surrogate, designs: np.ndarray
) -> None:
    fresh = designs[100:]
    real, guess = measured.accuracy(fresh), surrogate.predict(fresh)
    error = 100 * np.abs(real - guess).mean()
    # The error of 60 fresh designs scatters around the stated one; half as much again is beyond chance.
    assert error < 1.5 * surrogate.mae_points
    assert surrogate.mae_points < 0.6 * 100 * np.abs(real - real.mean()).mean()
    assert spearmanr(real, guess).statistic > surrogate.spearman - 0.15
    assert surrogate.spearman > 0.7
    assert surrogate.designs == 100


def test_copies_of_a_design_do_not_flatter_the_error(
    measured: QuantizedNetwork, rises: np.ndarray, designs: np.ndarray
) -> None:
    few, accuracy = designs[:30], measured.accuracy(designs[:30])
    once = Surrogate.fit(few, accuracy, rises, BITS)
    twice = Surrogate.fit(np.concatenate([few, few]), np.concatenate([accuracy, accuracy]), rises, BITS)
    assert twice.mae_points == once.mae_points
    assert twice.designs == 30


def test_predictions_keep_the_batch_and_are_deterministic(
    measured: QuantizedNetwork, surrogate: Surrogate, rises: np.ndarray, designs: np.ndarray
) -> None:
    fresh = designs[100:160].reshape(3, 20, measured.layers, 2)
    predicted = surrogate.predict(fresh)
    assert predicted.shape == (3, 20)
    assert float(surrogate.predict(fresh[1, 4])) == pytest.approx(predicted[1, 4])
    again = Surrogate.fit(designs[:100], measured.accuracy(designs[:100]), rises, BITS)
    np.testing.assert_array_equal(again.predict(fresh), predicted)
    assert surrogate.predict(fresh[:0]).shape == (0, 20)


def test_a_surrogate_does_not_guess_outside_what_it_saw(
    measured: QuantizedNetwork, rises: np.ndarray, designs: np.ndarray
) -> None:
    high = np.maximum(designs[:40], 4)
    surrogate = Surrogate.fit(high, measured.accuracy(high), rises, BITS)
    low = high[:1].copy()
    low[0, 2, 1] = 3
    with pytest.raises(BadConfig, match=r"bits\[..., 2, 1\] is 3; the surrogate was fitted to 4 to 8 there"):
        surrogate.predict(low)
    with pytest.raises(BadConfig, match="bits have shape"):
        surrogate.predict(low[:, :3])


def test_bad_surrogate_arguments_are_one_line(rises: np.ndarray, designs: np.ndarray) -> None:
    with pytest.raises(BadConfig, match="needs at least 10"):
        Surrogate.fit(designs[:9], np.full(9, 0.5), rises, BITS)
    with pytest.raises(BadConfig, match="outside"):
        Surrogate.fit(designs[:20], np.full(20, 98.0), rises, BITS)
    with pytest.raises(BadConfig, match="expected"):
        Surrogate.fit(designs[:20], np.full(19, 0.5), rises, BITS)


def test_bootstrap_covers_the_true_difference(generator: np.random.Generator) -> None:
    covered = 0
    for _ in range(200):
        hard = generator.random(400)
        first, second = hard < 0.90 + 0.05 * (generator.random(400) < 0.4), hard < 0.90
        interval = paired_difference(first, second, generator, resamples=1000)
        covered += interval.low <= 2.0 <= interval.high
    assert 0.88 <= covered / 200 <= 1


def test_bootstrap_is_paired_and_signed(generator: np.random.Generator) -> None:
    first = generator.random(1000) < 0.9
    second = first.copy()
    second[:50] = False
    interval = paired_difference(first, second, generator)
    assert interval.difference == pytest.approx(100 * (first.mean() - second.mean()))
    assert 0 < interval.low < interval.difference < interval.high < 8
    mirrored = paired_difference(second, first, generator)
    assert mirrored.difference == -interval.difference
    same = paired_difference(first, first, generator)
    assert (same.difference, same.low, same.high) == (0, 0, 0)


def test_bad_bootstrap_arguments_are_one_line(generator: np.random.Generator) -> None:
    with pytest.raises(BadConfig, match="expected the same images"):
        paired_difference(np.ones(3, bool), np.ones(4, bool), generator)
    with pytest.raises(BadConfig, match="confidence is 95"):
        paired_difference(np.ones(3, bool), np.ones(3, bool), generator, confidence=95)
