from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kendalltau, spearmanr

from codesign_gym.errors import BadConfig, StorageError
from codesign_gym.simulators.accuracy.datasets import find_fashion_mnist
from codesign_gym.simulators.accuracy.memo import Memo
from codesign_gym.simulators.supernets.library import TrainedSupernet, load
from codesign_gym.simulators.supernets.measuring import OwnTraining, OwnWeights, SharedWeights
from codesign_gym.simulators.supernets.ranking import correlation, draw, rank


def test_the_interval_holds_the_value_and_shrinks_with_more_pairs() -> None:
    generator = np.random.default_rng(0)
    x = generator.normal(size=160)
    y = x + generator.normal(size=160)
    few, many = (correlation(spearmanr, x[:n], y[:n], np.random.default_rng(1), 300) for n in (16, 160))
    for found in (few, many):
        assert found.low < found.value < found.high
    assert many.high - many.low < few.high - few.low
    assert many.value == spearmanr(x, y).statistic
    assert correlation(kendalltau, x, -x, generator, 100).high < -0.99


def test_draws_are_different_designs() -> None:
    drawn = draw((3, 2), 6, np.random.default_rng(0))
    assert len(np.unique(drawn, axis=0)) == 6
    for count in (3, 7):
        with pytest.raises(BadConfig, match=f"designs is {count}; accepted: 4 to the space's 6"):
            draw((3, 2), count, np.random.default_rng(0))


def test_shared_weights_rank_a_small_space_as_own_trainings_do(quick: TrainedSupernet, shared: SharedWeights) -> None:
    own = [OwnWeights(quick, OwnTraining.like(quick, seed), shared.memo) for seed in (0, 1)]
    found = rank(shared, own, 6, np.random.default_rng(0), 200)
    assert found.own.shape == found.shared.shape == (6,)
    assert found.kendall.value == kendalltau(found.shared, found.own).statistic
    assert found.spearman.value > 0.5
    assert found.spearman.low <= found.spearman.value <= found.spearman.high
    assert -1 <= found.agreement <= 1
    with pytest.raises(BadConfig, match="no training"):
        rank(shared, [], 6, np.random.default_rng(0))


@pytest.mark.slow
def test_digits_supernet_ranks_designs_drawn_at_random(cache: object) -> None:
    trained, memo = load("digits-supernet"), Memo.default()
    own = [OwnWeights(trained, OwnTraining.like(trained), memo)]
    found = rank(SharedWeights(trained, memo=memo), own, 24, np.random.default_rng(0))
    assert found.spearman.low > 0
    assert found.kendall.low > 0
    assert np.median(found.own) > 0.94
    assert np.median(found.shared) > 0.8


@pytest.mark.slow
def test_fashion_supernet_is_really_trained(cache: object) -> None:
    try:
        find_fashion_mnist()
    except StorageError as error:
        pytest.skip(str(error))
    trained, memo = load("fashion-supernet"), Memo.default()
    shared = SharedWeights(trained, memo=memo)
    designs = np.concatenate([trained.dearest[None], np.zeros((1, len(trained.sizes)), dtype=np.int64)])
    accuracy = shared.accuracy(designs)
    assert accuracy[0] > 0.75
    assert accuracy[0] > accuracy[1]
