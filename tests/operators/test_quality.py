"""The made-up quality: a sum between known ends, with diminishing returns."""

from __future__ import annotations

import numpy as np
import pytest
from space_samples import chain, every_design

from codesign_gym.simulators import operators
from codesign_gym.simulators.operators.quality import TabulatedQuality, additive_quality


@pytest.mark.parametrize("name", ["fbnet", "lightnas", "nasa-add-all", "nasbench201"])
def test_the_best_of_all_layers_is_worth_one(name: str) -> None:
    quality = additive_quality(operators.load(name), seed=3)
    best, worst = quality.table.argmax(1), quality.table.argmin(1)
    assert quality.score(np.stack([best, worst])) == pytest.approx([1.0, quality.table.min(1).sum()])
    assert 0 <= quality.score(worst[None])[0] < 0.1


def test_losses_are_what_scores_lack() -> None:
    space = chain()
    quality = additive_quality(space, seed=1)
    designs = every_design(space)
    lost = quality.losses[np.arange(3), designs].sum(-1)
    assert quality.score(designs) == pytest.approx(quality.reference - lost)


def test_returns_diminish() -> None:
    """Without deviations, work that doubles again brings less than it did the first time."""
    space = operators.load("fbnet")
    quality = additive_quality(space, seed=0, sigma=0.0)
    layer = space.layers[1].operators
    table, macs = quality.table[1], space.macs[1]
    k3 = [layer.index(f"k3_e{expansion}") for expansion in (1, 3, 6)]
    slopes = np.diff(table[k3]) / np.diff(macs[k3])
    assert slopes[0] > slopes[1] > 0


def test_draws_differ_by_seed_alone() -> None:
    space = chain()
    assert np.array_equal(additive_quality(space, 5).table, additive_quality(space, 5).table)
    assert not np.array_equal(additive_quality(space, 5).table, additive_quality(space, 6).table)


def test_a_table_of_designs_is_looked_up() -> None:
    table = np.arange(8.0).reshape(2, 2, 2)
    quality = TabulatedQuality(table)
    assert quality.score(np.array([[0, 0, 1], [1, 1, 1]])).tolist() == [1.0, 7.0]
    assert quality.reference == 7.0
