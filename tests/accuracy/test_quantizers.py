from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign_gym.simulators.accuracy.finetune import _quantized
from codesign_gym.simulators.accuracy.quantizers import Grid, activation_grid, weight_grid


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@given(st.integers(2, 8), st.integers(0, 50))
@settings(deadline=None, max_examples=25)
def test_weight_grids_are_symmetric_per_channel_and_scale_with_it(bits: int, seed: int) -> None:
    weight = normal(4, 3, 3, 3, seed=seed)
    grid = weight_grid(weight, bits)
    assert grid.high == -grid.low == 2 ** (bits - 1) - 1
    assert grid.step.shape == (4, 1, 1, 1)
    factors = torch.tensor([1.0, 2.0, 0.5, 8.0]).view(-1, 1, 1, 1)
    torch.testing.assert_close(weight_grid(weight * factors, bits)(weight * factors), grid(weight) * factors)


@given(st.booleans(), st.integers(0, 50))
@settings(deadline=None, max_examples=20)
def test_more_bits_lose_less(signed: bool, seed: int) -> None:
    values = normal(2000, seed=seed)
    values = values if signed else values.relu()
    for grid_of, x in ((activation_grid, values), (weight_grid, values.view(4, 500))):
        errors = [float((grid_of(x, bits)(x) - x).square().mean()) for bits in range(2, 9)]
        assert errors == sorted(errors, reverse=True)
        assert errors[-1] < 1e-3


def test_activation_grids_are_unsigned_after_relu_and_keep_zero() -> None:
    unsigned, affine = activation_grid(normal(500).relu(), 4), activation_grid(normal(500) + 1, 4)
    assert (unsigned.low, unsigned.high) == (0, 15)
    assert affine.low < 0 < affine.high
    assert affine.high - affine.low == 15
    assert affine(torch.zeros(3)).tolist() == [0, 0, 0]


def test_low_bits_clip_outliers() -> None:
    values = torch.cat([torch.linspace(0, 1, 2000), torch.tensor([30.0])])
    assert float(activation_grid(values, 4)(values).max()) < 30


def test_constant_and_zero_tensors_stay_finite() -> None:
    for value in (0.0, 3.0, -2.0):
        x = torch.full((2, 8), value)
        assert weight_grid(x, 2)(x).isfinite().all()
        torch.testing.assert_close(activation_grid(x[0], 8)(x[0]), x[0], rtol=0.03, atol=1e-6)


def test_learned_grid_rounds_as_the_fixed_one_and_follows_the_published_gradient() -> None:
    x = torch.tensor([-9.0, -0.6, 0.3, 0.9, 9.0], requires_grad=True)
    grid = Grid(torch.tensor(0.5), -3, 3)
    step = torch.nn.Parameter(grid.step.clone())
    y = _quantized(x, step, grid)
    torch.testing.assert_close(y.detach(), grid(x.detach()))
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0, 1, 1, 1, 0]
    scaled = np.array([-1.2, 0.6, 1.8])
    expected = (-3 + 3 + (np.round(scaled) - scaled).sum()) / np.sqrt(5 * 3)
    assert step.grad is not None
    assert float(step.grad) == pytest.approx(expected, abs=1e-6)
