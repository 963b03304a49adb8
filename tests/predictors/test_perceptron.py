from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign_gym.errors import BadConfig
from codesign_gym.simulators.predictors.fitting import Recipe, fit, spread
from codesign_gym.simulators.predictors.predictor import Perceptron, Predictor, one_hot

LAYERS, CHOICES = 8, 4


def table(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).lognormal(0.0, 0.5, (LAYERS, CHOICES)) * np.arange(1, CHOICES + 1)


def fitted(designs: np.ndarray, seed: int = 0, epochs: int = 40) -> Predictor:
    cost = table(0)[np.arange(LAYERS), designs].sum(-1)
    return fit(lambda: Perceptron(LAYERS, CHOICES), designs, cost, CHOICES, Recipe(epochs=epochs), seed)


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    allowed = np.ones((LAYERS, CHOICES), dtype=bool)
    allowed[2, 3] = False
    return fitted(spread(allowed, 1500, np.random.default_rng(0)))


def test_it_learns_a_sum_and_states_its_error(predictor: Predictor) -> None:
    designs = np.random.default_rng(1).integers(CHOICES - 1, size=(500, LAYERS))
    true = table(0)[np.arange(LAYERS), designs].sum(-1)
    error = np.abs(predictor.predict(designs) / true - 1).mean()
    assert error <= 3 * predictor.mape <= 0.06
    assert predictor.spearman >= 0.99


def test_gradients_point_to_what_costs_more(predictor: Predictor) -> None:
    design = torch.ones((1, LAYERS), dtype=torch.int64)
    probabilities = one_hot(design.numpy(), CHOICES).requires_grad_()
    predictor(probabilities).sum().backward()  # type: ignore[no-untyped-call]
    assert probabilities.grad is not None
    rises = (probabilities.grad[0, :, :3] - probabilities.grad[0, :, 1:2]).numpy()
    true = table(0)[:, :3] - table(0)[:, 1:2]
    agreed = np.sign(rises) == np.sign(true)
    assert agreed[:, [0, 2]].mean() >= 0.8


def test_choices_that_it_was_not_fitted_to_are_refused(predictor: Predictor) -> None:
    design = np.zeros((2, LAYERS), dtype=np.int64)
    design[1, 2] = 3
    with pytest.raises(BadConfig, match="knob 2 takes choice 3; it was fitted to choices 0, 1, 2"):
        predictor.predict(design)


def test_designs_that_are_none_are_refused(predictor: Predictor) -> None:
    design = np.zeros((2, LAYERS), dtype=np.int64)
    for choice in (-1, CHOICES):
        design[1, 5] = choice
        with pytest.raises(
            BadConfig, match=f"knob 5 of row 1 takes choice {choice}; it was fitted to choices 0, 1, 2, 3"
        ):
            predictor.predict(design)
    with pytest.raises(BadConfig, match=r"of shape \(2, 7\); accepted: whole numbers of shape \(batch, 8\)"):
        predictor.predict(design[:, 1:])


@pytest.mark.parametrize("value", [1.5, -0.5, float("nan")])
def test_what_is_no_probability_is_refused(predictor: Predictor, value: float) -> None:
    probabilities = one_hot(np.zeros((2, LAYERS), dtype=np.int64), CHOICES)
    probabilities[1, 4, 2] = value
    with pytest.raises(BadConfig, match=f"choice 2 of knob 4 in row 1 is {value:g}; accepted: 0 to 1"):
        predictor(probabilities)


def test_predictions_beyond_all_targets_are_refused() -> None:
    narrow = np.random.default_rng(0).integers(1, 3, size=(600, LAYERS))
    narrow[:, 0] = np.arange(600) % CHOICES  # every choice of one knob only
    few = fitted(np.unique(narrow, axis=0), epochs=5)
    low = few.lowest * 1.5
    shifted = Predictor(**{**vars(few), "lowest": low})
    designs = np.unique(narrow, axis=0)
    assert (few.predict(designs[few.predict(designs) >= few.lowest]) > 0).all()
    with pytest.raises(BadConfig, match="it was fitted to designs from"):
        shifted.predict(designs)


def test_another_shape_is_refused(predictor: Predictor) -> None:
    with pytest.raises(BadConfig, match=r"accepted: \(batch, 8, 4\)"):
        predictor(torch.zeros((1, LAYERS, CHOICES + 1)))


def test_a_seed_fixes_the_weights_and_leaves_the_global_generator_alone() -> None:
    designs = spread(np.ones((LAYERS, CHOICES), dtype=bool), 100, np.random.default_rng(0))
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first, again, other = (fitted(designs, seed, epochs=1) for seed in (3, 3, 4))
    assert torch.equal(before, torch.get_rng_state())
    with torch.no_grad():
        answers = [one(one_hot(designs[:9], CHOICES)) for one in (first, again, other)]
    assert torch.equal(answers[0], answers[1])
    assert not torch.equal(answers[0], answers[2])


@pytest.mark.parametrize("bad", [np.nan, 0.0, -1.0])
def test_targets_that_are_no_costs_are_refused(bad: float) -> None:
    designs = spread(np.ones((LAYERS, CHOICES), dtype=bool), 50, np.random.default_rng(0))
    cost = np.ones(len(designs))
    cost[3] = bad
    with pytest.raises(BadConfig, match="not a positive, finite number"):
        fit(lambda: Perceptron(LAYERS, CHOICES), designs, cost, CHOICES, Recipe(), 0)


def test_too_few_designs_are_refused() -> None:
    with pytest.raises(BadConfig, match="5 designs; accepted: 10 or more"):
        fit(lambda: Perceptron(1, 9), np.arange(5)[:, None], np.ones(5), 9, Recipe(), 0)


@settings(deadline=None, derandomize=True, max_examples=20)
@given(st.integers(1, 6), st.integers(2, 5), st.integers(20, 60), st.integers(0, 99))
def test_spread_designs_are_different_and_allowed(knobs: int, choices: int, count: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    allowed = generator.random((knobs, choices)) < 0.7
    allowed[:, 0] = True
    designs = spread(allowed, count, generator)
    assert 1 <= len(designs) <= count
    assert len(np.unique(designs, axis=0)) == len(designs)
    assert allowed[np.arange(knobs), designs].all()


def test_spread_designs_reach_the_ends_of_a_space() -> None:
    designs = spread(np.ones((21, 7), dtype=bool), 1000, np.random.default_rng(0))
    assert {(choice,) * 21 for choice in range(7)} <= {tuple(row) for row in designs.tolist()}
    assert designs.mean(-1).std() > 1.5 * np.random.default_rng(0).integers(7, size=(1000, 21)).mean(-1).std()
