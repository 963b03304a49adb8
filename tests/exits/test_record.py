from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from record_samples import plain_leaving, record, records

from codesign_gym.errors import BadConfig
from codesign_gym.simulators.exits.record import replay

quick = settings(deadline=None, derandomize=True, max_examples=25)


@quick
@given(st.integers(0, 10**6), st.floats(0.05, 1.0), st.lists(st.booleans(), min_size=3, max_size=3))
def test_a_replay_is_what_sample_by_sample_gives(seed: int, threshold: float, placed: list[bool]) -> None:
    found = record(seed)
    subset = np.array([*placed, False])
    played = replay(found, subset, np.full(4, threshold))
    expected = plain_leaving(found, subset, np.float64(threshold))
    assert played.leaving.tolist() == expected
    assert played.right.tolist() == [bool(found.correct[i, e]) for i, e in enumerate(expected)]
    assert played.shares.tolist() == [expected.count(e) / len(expected) for e in range(4)]
    assert played.accuracy == played.right.mean()


def test_a_batch_of_replays_is_the_replays_one_by_one() -> None:
    found, thresholds = record(1), np.array([0.3, 0.6, 0.9])
    subsets = np.array(list(product([False, True], repeat=4)))
    together = replay(found, subsets[:, None], thresholds[None, :, None])
    for (i, subset), (j, threshold) in product(enumerate(subsets), enumerate(thresholds)):
        alone = replay(found, subset, threshold * np.ones(4))
        assert (together.leaving[i, j] == alone.leaving).all()
        assert (together.shares[i, j] == alone.shares).all()


@quick
@given(st.integers(0, 10**6), st.floats(0.05, 0.95))
def test_a_higher_threshold_never_lets_a_sample_leave_earlier(seed: int, threshold: float) -> None:
    found, everywhere = record(seed), np.ones(4, dtype=bool)
    low = replay(found, everywhere, np.full(4, threshold))
    high = replay(found, everywhere, np.full(4, threshold + 0.04))
    assert (high.leaving >= low.leaving).all()


def test_work_is_that_of_the_backbone_and_of_the_heads_that_are_placed() -> None:
    found = record(0)
    placed = np.array([False, True, False, False])
    path = found.path(placed)
    for name in ("operations", "bytes", "launches"):
        stages, heads = getattr(found.stages, name), getattr(found.heads, name)
        expected = [stages[: e + 1].sum() + (heads[1] if e >= 1 else 0) + (heads[3] if e == 3 else 0) for e in range(4)]
        assert np.allclose(getattr(path, name), expected, rtol=1e-12)
        assert np.allclose(getattr(found.work, name), np.cumsum(stages + heads), rtol=1e-12)
    assert not placed[-1]  # the caller's array is left as it was


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"confidence": np.zeros((3, 2), dtype=np.float32)}, "confidence has shape (3, 2), correct (60, 4)"),
        ({"confidence": np.full((60, 4), 1.5, dtype=np.float32)}, "field 'confidence' holds values outside [0, 1]"),
        ({"names": ("a", "b")}, "field 'names' has shape (2,)"),
        ({"heads": record(0, exits=3).heads}, "field 'heads' has shape (3,)"),
    ],
)
def test_a_record_that_does_not_fit_together_is_refused(change, words: str) -> None:
    with pytest.raises(BadConfig) as error:
        replace(record(0), **change)
    assert words in str(error.value)


def test_both_splits_of_a_network_share_their_work() -> None:
    found = records()
    assert found.search.work.operations.tolist() == found.test.work.operations.tolist()
