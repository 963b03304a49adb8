from __future__ import annotations

import re
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import accuracy_samples as samples
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codesign_gym.errors import BadConfig
from codesign_gym.simulators.accuracy import datasets
from codesign_gym.simulators.accuracy.splits import ROLES, Split, Splits, content, stratified


def assert_disjoint(splits: Splits) -> None:
    hashes = {role: content(splits.role(role).images) for role in ROLES}
    for one, other in combinations(ROLES, 2):
        assert not np.intersect1d(hashes[one], hashes[other]).size, (one, other)


def test_digits_are_disjoint_stratified_and_complete() -> None:
    splits = datasets.digits()
    assert_disjoint(splits)
    assert [len(splits.role(role)) for role in ROLES] == [700, 97, 500, 500]
    assert splits.input_shape == (1, 8, 8)
    assert splits.classes == 10
    assert 0 <= splits.test.images.min() < splits.test.images.max() == 1
    for role in ROLES:
        counts = np.bincount(splits.role(role).labels, minlength=10)
        assert np.ptp(counts) <= 2 + 0.05 * counts.mean()


def test_digits_depend_on_their_seed_alone() -> None:
    assert datasets.digits().fingerprint == datasets.digits().fingerprint
    np.testing.assert_array_equal(datasets.digits().search.images, datasets.digits().search.images)
    assert datasets.digits(seed=1).fingerprint != datasets.digits().fingerprint
    assert not np.array_equal(datasets.digits(seed=1).search.labels, datasets.digits().search.labels)


def test_fashion_mnist(fashion: Path) -> None:
    splits = datasets.fashion_mnist()
    assert_disjoint(splits)
    assert [len(splits.role(role)) for role in ROLES] == [58488, 512, 1000, 10000]
    assert np.bincount(splits.search.labels).tolist() == [100] * 10
    assert splits.input_shape == (1, 28, 28)


@given(
    st.lists(st.integers(0, 4), min_size=20, max_size=80),
    st.lists(st.integers(1, 5), min_size=1, max_size=4),
    st.integers(0, 9),
)
def test_stratified_pieces_are_disjoint_and_proportional(labels: list[int], sizes: list[int], seed: int) -> None:
    pieces = stratified(np.array(labels), sizes, np.random.default_rng(seed))
    assert [len(piece) for piece in pieces] == sizes
    assert len(np.unique(np.concatenate(pieces))) == sum(sizes)
    share = np.bincount(labels, minlength=5) / len(labels)
    for piece in pieces:
        counts = np.bincount(np.array(labels)[piece], minlength=5)
        assert np.abs(counts - share * len(piece)).max() < 2.5


def test_mapping_and_tuple_mean_the_same() -> None:
    by_name, by_order = Splits.of(samples.loaders()), Splits.of(samples.tuple_loaders())
    assert by_name.fingerprint == by_order.fingerprint
    assert by_name.train.images.dtype == np.float32
    assert by_name.train.labels.dtype == np.int64
    assert Splits.of(by_name) is by_name


def test_fingerprint_changes_with_one_pixel() -> None:
    data = samples.pairs()
    before = Splits.of(data).fingerprint
    data["search"][0][3, 0, 2, 2] += 0.5
    assert Splits.of(data).fingerprint != before


def nan_image(data: Any) -> Any:
    data["search"][0][0, 0, 0, 0] = np.nan
    return data


def leak(data: Any) -> Any:
    data["test"][0][5] = data["train"][0][7]
    return data


BAD: list[tuple[Callable[[Any], Any], str]] = [
    (lambda data: 3, "found int"),
    (lambda data: {k: v for k, v in data.items() if k != "search"}, "'search' is missing"),
    (lambda data: list(data.values())[:3], "tuple of four"),
    (nan_image, "search: images hold values that are not finite"),
    (leak, "1 images are in both train and test"),
    (lambda data: {**data, "test": 5}, "test: expected a pair"),
    (lambda data: {**data, "test": (np.zeros((0, 1, 6, 6)), np.zeros(0, int))}, "none of them 0"),
    (lambda data: {**data, "test": (data["test"][0][:, 0], data["test"][1])}, "images have shape (24, 6, 6)"),
    (lambda data: {**data, "test": (data["test"][0][..., :5], data["test"][1])}, "test images have shape (1, 6, 5)"),
    (lambda data: {**data, "test": (data["test"][0], data["test"][1][:5])}, "of shape (5,); expected integers"),
    (lambda data: {**data, "test": (data["test"][0], data["test"][1] / 2)}, "labels are float64"),
    (lambda data: {**data, "test": (data["test"][0], data["test"][1] - 1)}, "a label is -1"),
    (lambda data: {**data, "test": (data["test"][0], data["test"][1] + 1)}, "test has label 3; train has labels 0..2"),
    (lambda data: {**data, "test": (data["test"][0].astype(str), data["test"][1])}, "images are of type <U"),
]


@pytest.mark.parametrize(("spoil", "message"), BAD, ids=[message for _, message in BAD])
def test_bad_data_is_one_clear_line(spoil: Callable[[Any], Any], message: str) -> None:
    with pytest.raises(BadConfig, match=re.escape(message)) as caught:
        Splits.of(spoil(samples.pairs()), "mine")
    assert str(caught.value).startswith("mine")
    assert "\n" not in str(caught.value)


def test_unknown_role_and_too_few_images() -> None:
    with pytest.raises(BadConfig, match="split is 'validation'; accepted: train, calibration, search, test"):
        datasets.digits().role("validation")
    with pytest.raises(BadConfig, match="need 3; there are 2"):
        stratified(np.array([0, 1]), [2, 1], np.random.default_rng(0))


def test_split_has_a_length() -> None:
    assert len(Split(np.zeros((4, 1, 2, 2), np.float32), np.zeros(4, np.int64))) == 4
