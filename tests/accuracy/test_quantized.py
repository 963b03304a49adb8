from __future__ import annotations

import re
from pathlib import Path

import accuracy_samples as samples
import numpy as np
import pytest
import torch

from codesign_gym.errors import BadConfig, UnsupportedNetwork
from codesign_gym.simulators.accuracy.finetune import FineTune
from codesign_gym.simulators.accuracy.folding import folded
from codesign_gym.simulators.accuracy.memo import Memo
from codesign_gym.simulators.accuracy.quantized import Quantization, QuantizedNetwork
from codesign_gym.simulators.accuracy.recipe import logits, tensors
from codesign_gym.simulators.accuracy.splits import Splits
from codesign_gym.simulators.accuracy.trained import TrainedNetwork, load


def uniform(network: QuantizedNetwork, bits: int) -> np.ndarray:
    """All knobs at ``bits``, the image at 8."""
    design = np.full((network.layers, 2), bits)
    design[0, 1] = max(bits, 8)
    return design


def test_float_bits_measure_the_network_itself(measured: QuantizedNetwork) -> None:
    trained = measured.trained
    accuracy = measured.accuracy(np.full((measured.layers, 2), 32), "test")
    assert accuracy.shape == ()
    assert float(accuracy) == pytest.approx(trained.test_accuracy, abs=0.0021)
    images, labels = tensors(trained.splits.search)
    expected = (logits(trained.module, images).argmax(1) == labels).numpy()
    assert (measured.correct(np.full((measured.layers, 2), 32)) == expected).mean() > 0.99


def test_plateau_and_cliff(measured: QuantizedNetwork) -> None:
    designs = np.stack([uniform(measured, bits) for bits in (32, 8, 4, 3, 2)])
    whole, eight, four, three, two = 100 * measured.accuracy(designs)
    assert abs(eight - whole) <= 0.5
    assert whole - four <= 3
    assert two < three - 5
    assert two < four - 20
    losses = measured.loss(designs)
    assert losses[4] > losses[3] > losses[1]


def test_a_batch_is_its_singles_in_any_order(digits_cnn: TrainedNetwork, generator: np.random.Generator) -> None:
    fresh = QuantizedNetwork(digits_cnn)
    designs = generator.integers(2, 9, (2, 3, fresh.layers, 2))
    batch = fresh.accuracy(designs)
    assert batch.shape == (2, 3)
    again = QuantizedNetwork(digits_cnn)
    for place in [(1, 2), (0, 0), (1, 0), (0, 2), (0, 1), (1, 1)]:
        assert again.accuracy(designs[place]) == batch[place]
    assert fresh.accuracy(np.empty((0, fresh.layers, 2), int)).shape == (0,)
    assert fresh.correct(designs).shape == (2, 3, 500)
    np.testing.assert_array_equal(fresh.correct(designs).mean(-1), batch)


def test_measuring_leaves_the_network_alone(digits_cnn: TrainedNetwork) -> None:
    before = {key: value.clone() for key, value in digits_cnn.module.state_dict().items()}
    threads = torch.get_num_threads()
    tuned = QuantizedNetwork(digits_cnn, Quantization(fine_tune=FineTune(steps=2)))
    tuned.accuracy(uniform(tuned, 3))
    assert torch.get_num_threads() == threads
    for key, value in digits_cnn.module.state_dict().items():
        assert torch.equal(value, before[key])


def test_known_designs_are_not_measured_again(
    digits_cnn: TrainedNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memo = Memo(tmp_path / "memo.sqlite")
    first = QuantizedNetwork(digits_cnn, memo=memo)
    expected = first.results([uniform(first, 5), uniform(first, 4), uniform(first, 5)])
    again = QuantizedNetwork(digits_cnn, memo=memo)
    monkeypatch.setattr(again, "_measure", lambda *_: pytest.fail("measured again"))
    for one, other in zip(
        expected, again.results([uniform(first, 5), uniform(first, 4), uniform(first, 5)]), strict=True
    ):
        np.testing.assert_array_equal(one.correct, other.correct)
        assert one.loss == other.loss


@pytest.mark.parametrize(
    "other", [Quantization(samples=99), Quantization(seed=1), Quantization(fine_tune=FineTune(steps=1))]
)
def test_other_settings_and_splits_are_other_results(
    digits_cnn: TrainedNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: Quantization
) -> None:
    memo = Memo(tmp_path / "memo.sqlite")
    first = QuantizedNetwork(digits_cnn, memo=memo)
    first.accuracy(uniform(first, 4))
    changed = QuantizedNetwork(digits_cnn, other, memo)

    def measured_anew(*_: object) -> None:
        raise InterruptedError

    for network, split in ((changed, "search"), (first, "calibration")):
        monkeypatch.setattr(network, "_measure", measured_anew)
        with pytest.raises(InterruptedError):
            network.accuracy(uniform(first, 4), split)


def test_a_short_fine_tune_restores_low_bits(measured: QuantizedNetwork) -> None:
    tuned = QuantizedNetwork(measured.trained, Quantization(fine_tune=FineTune(steps=50)))
    design = uniform(tuned, 2)
    before, after = measured.accuracy(design), tuned.accuracy(design)
    assert after > before + 0.2
    again = QuantizedNetwork(measured.trained, Quantization(fine_tune=FineTune(steps=50)))
    assert again.accuracy(design) == after
    other = QuantizedNetwork(measured.trained, Quantization(fine_tune=FineTune(steps=50, seed=1)))
    assert other.loss(design) != tuned.loss(design)


def test_diverging_fine_tune_is_one_line(digits_cnn: TrainedNetwork) -> None:
    wild = QuantizedNetwork(digits_cnn, Quantization(fine_tune=FineTune(steps=20, learning_rate=1e38)))
    with pytest.raises(BadConfig, match="'learning_rate' is 1e\\+38"):
        wild.accuracy(uniform(wild, 3))


@pytest.mark.parametrize(
    ("bits", "message"),
    [
        (np.full((7, 3), 8), "bits have shape (7, 3); expected (..., 7, 2)"),
        (np.full((6, 2), 8), "bits have shape (6, 2)"),
        (np.full((7, 2), 1), "bits[0, 0] is 1; accepted: integers from 2 to 8, or 32"),
        (np.full((7, 2), 9), "bits[0, 0] is 9"),
        (np.full((3, 7, 2), 4.5), "bits[0, 0, 0] is 4.5"),
        (np.full((7, 2), np.nan), "bits[0, 0] is nan"),
        (np.full((7, 2), 258), "bits[0, 0] is 258"),
        (8, "bits have shape ()"),
    ],
)
def test_bad_bits_are_one_line(measured: QuantizedNetwork, bits: object, message: str) -> None:
    with pytest.raises(BadConfig, match=re.escape(message)):
        measured.accuracy(bits)


def test_unknown_split_is_one_line(measured: QuantizedNetwork) -> None:
    with pytest.raises(BadConfig, match="split is 'val'; accepted: train, calibration, search, test"):
        measured.accuracy(uniform(measured, 4), "val")


def test_folding_removes_normalisation_and_keeps_the_function(digits_cnn: TrainedNetwork) -> None:
    images, _ = tensors(digits_cnn.splits.search)
    copy = folded(digits_cnn.module, images[:8])
    assert not any(isinstance(part, torch.nn.BatchNorm2d) for part in copy.modules())
    torch.testing.assert_close(logits(copy, images), logits(digits_cnn.module, images), rtol=1e-3, atol=1e-4)


def test_networks_that_fx_cannot_trace_are_measured_unfolded(cache: Path) -> None:
    network = QuantizedNetwork(load("accuracy_samples:Untraceable", Splits.of(samples.pairs())))
    assert any(isinstance(part, torch.nn.BatchNorm2d) for part in network._model.modules())
    assert 0 <= float(network.accuracy(np.full((2, 2), 4))) <= 1


def test_a_layer_called_twice_is_refused(cache: Path) -> None:
    with pytest.raises(UnsupportedNetwork, match="layer 'inner"):
        QuantizedNetwork(load("accuracy_samples:Twice", Splits.of(samples.pairs())))


@pytest.mark.slow
def test_fine_tune_restores_two_bits_on_fashion_mnist(fashion: Path, cache: Path) -> None:
    trained = load("fashion-resnet8")
    plain, tuned = QuantizedNetwork(trained), QuantizedNetwork(trained, Quantization(fine_tune=FineTune()))
    design = uniform(plain, 2)
    assert plain.accuracy(design, "test") < 0.7
    assert tuned.accuracy(design, "test") > 0.82
    assert abs(plain.accuracy(uniform(plain, 8), "test") - trained.test_accuracy) < 0.005
