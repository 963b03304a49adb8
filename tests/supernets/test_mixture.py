from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import one_hot

from codesign_gym.errors import BadConfig
from codesign_gym.simulators.supernets.library import TrainedSupernet
from codesign_gym.simulators.supernets.measuring import SharedWeights
from codesign_gym.simulators.supernets.mixture import Batch, Mixture


@pytest.fixture(scope="module")
def mixture(quick: TrainedSupernet) -> Mixture:
    return Mixture(quick, Batch(images=100))


def uniform() -> torch.Tensor:
    return torch.tensor([[[1 / 3, 1 / 3, 1 / 3], [0.5, 0.5, 0.0]]])


def test_one_hot_mixtures_are_ordered_as_the_designs(mixture: Mixture, shared: SharedWeights) -> None:
    designs = np.array([[0, 0], [1, 0], [2, 1]])
    loss = mixture.loss(one_hot(torch.from_numpy(designs), 3).double())
    assert np.argsort(loss.numpy()).tolist() == np.argsort(shared.loss(designs)).tolist()


def test_the_loss_is_a_function_of_each_row(mixture: Mixture) -> None:
    rows = torch.cat([uniform(), one_hot(torch.tensor([[2, 1]]), 3).float()])
    torch.testing.assert_close(mixture.loss(rows), torch.cat([mixture.loss(rows[1:]), mixture.loss(rows[:1])]).flip(0))
    assert torch.equal(mixture.loss(rows), mixture.loss(rows))


def test_gradients_are_those_of_differences(mixture: Mixture) -> None:
    # In float32 the difference carries about 1e-7 / 2e-2 of noise; curvature adds the rest.
    at = uniform().requires_grad_(True)
    mixture.loss(at).sum().backward()
    for layer, choice in ((0, 0), (0, 2), (1, 1)):
        step = torch.zeros_like(at)
        step[0, layer, choice] = 1e-2
        with torch.no_grad():
            slope = (mixture.loss(at + step) - mixture.loss(at - step)) / 2e-2
        assert float(slope) == pytest.approx(float(at.grad[0, layer, choice]), rel=0.03, abs=2e-3)


def test_what_a_layer_does_not_have_is_not_read(mixture: Mixture) -> None:
    at = uniform().requires_grad_(True)
    mixture.loss(at).sum().backward()
    assert at.grad[0, 1, 2] == 0


def test_gradient_search_beats_the_median_design(mixture: Mixture, shared: SharedWeights) -> None:
    scores = torch.zeros(1, 2, 3, requires_grad=True)
    allowed = torch.tensor([[[0.0, 0.0, 0.0], [0.0, 0.0, -torch.inf]]])
    optimizer = torch.optim.Adam([scores], 0.2)
    for _ in range(25):
        optimizer.zero_grad()
        mixture.loss((scores + allowed).softmax(-1)).sum().backward()
        optimizer.step()
    found = (scores + allowed).argmax(-1).numpy()
    every = np.array([[first, second] for first in range(3) for second in range(2)])
    assert shared.loss(found)[0] < np.median(shared.loss(every))


def test_other_shapes_are_refused(mixture: Mixture) -> None:
    with pytest.raises(BadConfig, match=r"expected \(batch, 2, 3\)"):
        mixture.loss(torch.zeros(1, 2, 4))
