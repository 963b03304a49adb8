"""Shift and adder layers: what they compute, and AdderNet's gradients, against the formulas written out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from torch.nn import functional  # noqa: E402

from codesign_gym.simulators.hybrid.layers import (  # noqa: E402
    ETA,
    EXPONENTS,
    MultiplicationFree,
    adder_conv,
    power_of_two,
    shift_conv,
)

quick = settings(max_examples=20, deadline=None, derandomize=True)


def differences(x: torch.Tensor, weight: torch.Tensor, stride: int, groups: int) -> torch.Tensor:
    """Filters less windows, (batch, groups, channels, k, positions)."""
    kernel = weight.shape[-1]
    windows = functional.unfold(x, kernel, padding=kernel // 2, stride=stride)
    windows = windows.view(len(x), groups, 1, -1, windows.shape[-1])
    return weight.view(1, groups, len(weight) // groups, -1, 1) - windows


@quick
@given(
    kernel=st.sampled_from([1, 3, 5]),
    stride=st.sampled_from([1, 2]),
    groups=st.sampled_from([1, 2, 4]),
    size=st.integers(1, 7),
    seed=st.integers(0, 99),
)
def test_adder_layers_are_distances_with_addernets_gradients(
    kernel: int, stride: int, groups: int, size: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(3, 4, size, size, generator=generator, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(8, 4 // groups, kernel, kernel, generator=generator, dtype=torch.float64, requires_grad=True)
    y = adder_conv(x, weight, stride, groups)
    apart = differences(x, weight, stride, groups)
    torch.testing.assert_close(y, -apart.abs().sum(3).reshape(y.shape))
    assert y.shape[-1] == functional.conv2d(x, weight, stride=stride, padding=kernel // 2, groups=groups).shape[-1]

    upstream = torch.randn(y.shape, generator=generator, dtype=torch.float64)
    into_x, into_weight = torch.autograd.grad(y, (x, weight), upstream)
    wide = upstream.view(3, groups, 8 // groups, 1, -1)
    expected = (-apart.detach() * wide).sum((0, 4)).reshape(weight.shape)
    scale = ETA * expected.numel() ** 0.5 / expected.norm()
    torch.testing.assert_close(into_weight, expected * scale)
    clipped = (apart.detach().clamp(-1, 1) * wide).sum(2).flatten(1, 2)
    torch.testing.assert_close(
        into_x, functional.fold(clipped, (size, size), kernel, padding=kernel // 2, stride=stride)
    )


@quick
@given(st.lists(st.floats(-4, 4), min_size=1, max_size=20))
def test_shift_weights_are_the_nearest_powers_of_two_that_four_bits_tell_apart(values: list[float]) -> None:
    weight = torch.tensor(values, dtype=torch.float64, requires_grad=True)
    rounded = power_of_two(weight)
    powers = 2.0 ** np.arange(EXPONENTS[0], EXPONENTS[1] + 1)
    assert len(powers) * 2 == 16
    magnitudes = np.abs(values)
    off = np.abs(np.log2(np.maximum(magnitudes, 1e-30))[:, None] - np.log2(powers))
    got = np.abs(rounded.detach().numpy())
    assert np.isin(got, powers).all()
    np.testing.assert_allclose(off[np.arange(len(got)), np.searchsorted(powers, got)], off.min(1))
    assert ((rounded.detach().numpy() < 0) == (np.array(values) < 0)).all()
    rounded.sum().backward()
    np.testing.assert_array_equal(weight.grad, 1.0)


def test_a_shift_layer_is_a_convolution_with_rounded_weights() -> None:
    x, weight = torch.randn(2, 4, 6, 6), torch.randn(8, 2, 3, 3)
    expected = functional.conv2d(x, power_of_two(weight), stride=2, padding=1, groups=2)
    torch.testing.assert_close(shift_conv(x, weight, 2, 2), expected)


@pytest.mark.parametrize("kind", ["shift", "adder"])
def test_layers_learn(kind: str) -> None:
    torch.manual_seed(0)
    images, labels = torch.rand(64, 1, 6, 6), torch.arange(64) % 2
    images[labels == 1, :, :3] += 1
    network = torch.nn.Sequential(
        MultiplicationFree(kind, 1, 8, 3, 2, 1),
        torch.nn.BatchNorm2d(8),
        torch.nn.ReLU(),
        MultiplicationFree(kind, 8, 2, 1, 1, 1),
        torch.nn.BatchNorm2d(2),
    )
    optimizer = torch.optim.SGD(network.parameters(), 0.05, momentum=0.9)
    for _ in range(30):
        optimizer.zero_grad()
        functional.cross_entropy(network(images).mean((2, 3)), labels).backward()
        optimizer.step()
    assert (network(images).mean((2, 3)).argmax(1) == labels).float().mean() > 0.95
