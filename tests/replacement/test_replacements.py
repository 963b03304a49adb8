from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from codesign_gym.errors import BadConfig, StorageError, UnsupportedNetwork
from codesign_gym.simulators.accuracy.recipe import logits, tensors
from codesign_gym.simulators.accuracy.splits import Splits
from codesign_gym.simulators.accuracy.trained import load
from codesign_gym.simulators.hardware import device as devices
from codesign_gym.simulators.networks.torch_import import from_torch
from codesign_gym.simulators.replacement import replacements
from codesign_gym.simulators.replacement.patched import Patched
from codesign_gym.simulators.replacement.replacements import Replacements
from codesign_gym.simulators.replacement.space import operator_space


def draw(given: Replacements, seed: int, count: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, given.sizes, size=(count, len(given.sizes)))


def test_sites_are_the_dense_convolutions(untrained: Replacements) -> None:
    assert [site.name for site in untrained.teacher.sites] == ["0.conv", "1.first.conv", "1.second.conv", "2.conv"]
    assert untrained.teacher.rest.layer_names == ("3.conv", "4.linear")
    assert "identity" in untrained.operators[1]


def test_the_unchanged_design_is_the_teacher(untrained: Replacements, measurer: Patched) -> None:
    images, labels = tensors(untrained.splits.search)
    answers = logits(untrained.teacher.trained.module, images)
    np.testing.assert_array_equal(measurer.correct(untrained.unchanged[None])[0], (answers.argmax(1) == labels).numpy())
    model = untrained.patched(untrained.unchanged)
    torch.testing.assert_close(logits(model, images), answers, atol=1e-4, rtol=1e-3)


def test_designs_share_weights_and_no_places(untrained: Replacements) -> None:
    images, _ = tensors(untrained.splits.search)
    before = logits(untrained.teacher.model, images)
    other, unchanged = untrained.patched(untrained.unchanged - 1), untrained.patched(untrained.unchanged)
    torch.testing.assert_close(logits(untrained.teacher.model, images), before, atol=0, rtol=0)
    torch.testing.assert_close(logits(unchanged, images), before, atol=0, rtol=0)
    assert not torch.equal(logits(other, images), before)
    assert {id(weight) for weight in unchanged.parameters()} == {
        id(weight) for weight in untrained.teacher.model.parameters()
    }


@given(seed=st.integers(0, 1000))
@settings(max_examples=8, deadline=None, derandomize=True)
def test_a_designs_rows_are_those_of_its_traced_network(untrained: Replacements, seed: int) -> None:
    design = draw(untrained, seed, 1)[0]
    space = operator_space(untrained)
    traced = from_torch(untrained.patched(design), untrained.splits.input_shape, "patched").weighted()
    assert sorted(space.network(design).macs) == sorted(traced.macs)
    assert sorted(space.network(design).layers.weights) == sorted(traced.layers.weights)


def test_tables_add_up_to_what_a_device_says_of_whole_networks(untrained: Replacements) -> None:
    space, device = operator_space(untrained), devices.load("gemmini-16x16")
    designs = np.vstack([untrained.unchanged, draw(untrained, 0, 20)])
    table = space.tabulate(device).latency_s
    summed = table[np.arange(len(space)), designs].sum(-1)
    np.testing.assert_allclose(summed, space.cost(device, designs).latency_s)
    whole = untrained.teacher.trained.network.weighted()
    own = device.cost(whole.layers, np.full((len(whole), 2), 8)).latency_s.sum()
    assert summed[0] == pytest.approx(own)


def test_a_space_of_some_operators_keeps_their_order(untrained: Replacements) -> None:
    kept = [[size - 1, 0] for size in untrained.sizes]
    space = operator_space(untrained, kept)
    assert [layer.operators for layer in space.layers] == [(own[-1], own[0]) for own in untrained.operators]
    full = operator_space(untrained)
    np.testing.assert_array_equal(space.macs[:, 0], full.macs[np.arange(len(full)), untrained.unchanged])


def test_loss_changes_are_those_of_single_replacements(untrained: Replacements, measurer: Patched) -> None:
    changes = measurer.loss_changes()
    base = measurer.loss(untrained.unchanged[None])[0]
    swaps = untrained.swaps()
    assert len(swaps) == sum(untrained.sizes) - len(untrained.sizes)
    assert ((swaps != untrained.unchanged).sum(1) == 1).all()
    for swap in swaps[::7]:
        site = int((swap != untrained.unchanged).argmax())
        assert changes[site, swap[site]] == pytest.approx(measurer.loss(swap[None])[0] - base)
    assert not changes[np.arange(len(untrained.sizes)), untrained.unchanged].any()


def test_a_batch_measures_what_its_designs_measure_alone(untrained: Replacements) -> None:
    plain, designs = Patched(untrained), draw(untrained, 1, 4)
    together = plain.loss(designs[[0, 1, 2, 3, 0]])
    alone = [plain.loss(design[None])[0] for design in designs[[0, 1, 2, 3, 0]]]
    np.testing.assert_array_equal(together, alone)


def test_operators_are_read_from_the_cache(untrained: Replacements, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("fitted again")

    monkeypatch.setattr(replacements, "_fit", never)
    again = Replacements.of(untrained.teacher.trained)
    assert again.fingerprint == untrained.fingerprint


def test_a_damaged_cache_is_told(untrained: Replacements, cache: Path) -> None:
    (path,) = (cache / "networks").glob("*build-replacements-*.safetensors")
    whole = path.read_bytes()
    try:
        path.write_bytes(whole[:200])
        with pytest.raises(StorageError, match="does not hold the operators; delete it"):
            Replacements.of(untrained.teacher.trained)
    finally:
        path.write_bytes(whole)


def test_bad_designs_and_teachers_are_refused(untrained: Replacements, measurer: Patched) -> None:
    with pytest.raises(BadConfig, match="accepted: 0 to"):
        measurer.loss(untrained.unchanged[None] + 1)
    with pytest.raises(BadConfig, match="shape"):
        measurer.loss(untrained.unchanged)
    flat = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    splits = untrained.splits
    assert isinstance(splits, Splits)
    with pytest.raises(UnsupportedNetwork, match="no layer that could be replaced"):
        Replacements.of(_trained(flat, splits))


def _trained(module: nn.Module, splits: Splits) -> object:
    import replacement_samples

    replacement_samples.flat = lambda: module  # type: ignore[attr-defined]
    return load("replacement_samples:flat", splits)
