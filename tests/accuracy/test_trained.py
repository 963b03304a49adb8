from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import accuracy_samples as samples
import numpy as np
import pytest
import torch

from codesign_gym.errors import BadConfig, StorageError, UnknownName
from codesign_gym.simulators import networks
from codesign_gym.simulators.accuracy import trained
from codesign_gym.simulators.accuracy.architectures import mobilenetv2_small, resnet8
from codesign_gym.simulators.accuracy.splits import Splits
from codesign_gym.simulators.accuracy.trained import TrainedNetwork, load
from codesign_gym.simulators.hardware import device

QUICK = """
title: a quick one
source: this test
module: accuracy_samples:build
data: accuracy_samples:loaders
input_shape: [1, 6, 6]
training: {epochs: 3, batch_size: 8, learning_rate: 0.1, seed: 3}
"""


@pytest.fixture
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CODESIGN_GYM_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "quick.yaml"
    path.write_text(QUICK)
    return path


def weights(network: TrainedNetwork) -> list[np.ndarray]:
    return [value.numpy() for value in network.module.state_dict().values()]


def test_digits_cnn_is_really_trained(digits_cnn: TrainedNetwork) -> None:
    assert digits_cnn.test_accuracy >= 0.97
    assert not digits_cnn.module.training
    names = digits_cnn.network.weighted().layer_names
    assert len(names) == 7
    assert all(isinstance(digits_cnn.module.get_submodule(name).weight, torch.Tensor) for name in names)


def test_second_load_reads_the_cache(digits_cnn: TrainedNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("trained or traced again")

    monkeypatch.setattr(trained, "fit", never)
    monkeypatch.setattr(trained, "from_torch", never)
    again = load("digits-cnn")
    assert again.fingerprint == digits_cnn.fingerprint
    assert again.test_accuracy == digits_cnn.test_accuracy
    assert again.network.layer_names == digits_cnn.network.layer_names
    np.testing.assert_array_equal(again.network.macs, digits_cnn.network.macs)


def test_training_is_deterministic(quick: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load(str(quick))
    monkeypatch.setenv("CODESIGN_GYM_CACHE", str(tmp_path / "other"))
    torch.manual_seed(99)
    second = load(str(quick))
    for one, other in zip(weights(first), weights(second), strict=True):
        np.testing.assert_array_equal(one, other)
    assert first.fingerprint == second.fingerprint


@pytest.mark.parametrize("change", ["seed: 4", "learning_rate: 0.2", "epochs: 2"])
def test_another_recipe_is_another_network(quick: Path, change: str) -> None:
    first = load(str(quick)).fingerprint
    field = change.split(":")[0]
    quick.write_text(re.sub(rf"{field}: [\d.]+", change, QUICK))
    assert load(str(quick)).fingerprint != first


def test_training_leaves_the_callers_randomness_alone(quick: Path) -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    load(str(quick))
    assert torch.equal(torch.rand(3), expected)


def test_two_processes_may_train_at_once(quick: Path) -> None:
    code = "import sys; from codesign_gym.simulators.accuracy.trained import load; print(load(sys.argv[1]).fingerprint)"
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    loaders = [
        subprocess.Popen([sys.executable, "-c", code, str(quick)], stdout=subprocess.PIPE, text=True, env=environment)
        for _ in range(2)
    ]
    marks = [loader.communicate()[0].strip() for loader in loaders]
    assert marks == [load(str(quick)).fingerprint] * 2
    folder = Path(os.environ["CODESIGN_GYM_CACHE"]) / "networks"
    assert sorted(file.suffix for file in folder.iterdir()) == [".json", ".safetensors"]


@pytest.mark.parametrize("suffix", [".json", ".safetensors"])
def test_a_damaged_cache_is_one_line(quick: Path, suffix: str) -> None:
    load(str(quick))
    (damaged,) = (Path(os.environ["CODESIGN_GYM_CACHE"]) / "networks").glob(f"*{suffix}")
    damaged.write_bytes(damaged.read_bytes()[:40])
    with pytest.raises(StorageError, match="delete it") as caught:
        load(str(quick))
    assert "\n" not in str(caught.value)


def test_a_module_without_a_recipe_keeps_its_weights(cache: Path) -> None:
    before = [value.clone() for value in samples.trained_already.state_dict().values()]
    found = load("accuracy_samples:trained_already", "accuracy_samples:loaders")
    for one, other in zip(before, weights(found), strict=True):
        np.testing.assert_array_equal(one.numpy(), other)
    assert found.network.weighted().layer_names == ("0", "4")


def test_a_users_function_and_loaders(cache: Path) -> None:
    by_reference = load("accuracy_samples:build", "accuracy_samples:tuple_loaders")
    by_value = load("accuracy_samples:build", Splits.of(samples.pairs()))
    assert by_reference.fingerprint == by_value.fingerprint
    assert load("accuracy_samples:build", Splits.of(samples.pairs(1))).fingerprint != by_value.fingerprint


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("accuracy_samples:build_nan", "0.weight holds values that are not finite numbers"),
        ("accuracy_samples:Infinite", "logits that are not finite numbers"),
        ("accuracy_samples:build_number", "is a int; accepted: a torch module"),
        ("accuracy_samples:build_two_classes", "answers (2,) numbers an image; its data have 3 classes"),
        ("accuracy_samples:build_wrong_shape", "fails on images of shape (1, 6, 6)"),
        ("accuracy_samples:absent", "has no 'absent'"),
        ("mobilenetv1", "a table of shapes, without weights"),
    ],
)
def test_bad_networks_are_one_line(cache: Path, name: str, message: str) -> None:
    with pytest.raises(BadConfig, match=re.escape(message)) as caught:
        load(name, "accuracy_samples:loaders")
    assert "\n" not in str(caught.value)


def test_bad_data_references_are_one_line(cache: Path) -> None:
    with pytest.raises(BadConfig, match="names no data"):
        load("accuracy_samples:build")
    with pytest.raises(BadConfig, match="failed: FileNotFoundError: no such drive"):
        load("accuracy_samples:build", "accuracy_samples:failing_loaders")
    with pytest.raises(BadConfig, match="found int"):
        load("accuracy_samples:build", "accuracy_samples:build_number")
    with pytest.raises(BadConfig, match=re.escape("input_shape is (1, 8, 8); its images are (1, 6, 6)")):
        load("digits-cnn", "accuracy_samples:loaders")
    with pytest.raises(UnknownName, match="did you mean 'digits-cnn'"):
        load("digit-cnn")


def test_diverging_training_is_one_line(quick: Path) -> None:
    quick.write_text(QUICK.replace("learning_rate: 0.1", "learning_rate: 1.0e+30"))
    with pytest.raises(BadConfig, match=r"training diverged .* lower training\.learning_rate"):
        load(str(quick))


def test_sizes_of_the_shipped_architectures() -> None:
    assert sum(p.numel() for p in resnet8().parameters()) == 868_842
    assert sum(p.numel() for p in mobilenetv2_small().parameters()) == 47_978


@pytest.mark.parametrize("name", ["digits-cnn", "fashion-resnet8"])
@pytest.mark.parametrize("hardware", ["bitfusion", "bismo-edge"])
def test_bitwidths_decide_the_latency_of_the_shipped_networks(name: str, hardware: str) -> None:
    layers = networks.load(name).weighted().layers
    bits = np.full((2, len(layers.op), 2), [[[8]], [[4]]])
    bits[:, [0, -1]] = 8  # ends pinned, as published
    eight, four = device.load(hardware).cost(layers, bits).latency_s.sum(-1)
    assert four < eight / 1.6


@pytest.mark.slow
@pytest.mark.parametrize(("name", "floor"), [("fashion-resnet8", 0.89), ("fashion-mobilenetv2-small", 0.89)])
def test_fashion_networks(fashion: Path, name: str, floor: float) -> None:
    found = load(name)
    assert found.test_accuracy >= floor
    assert load(name).fingerprint == found.fingerprint
