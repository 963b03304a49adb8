from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from codesign_gym.simulators.replacement.distillation import Distillation, error, fitted
from codesign_gym.simulators.replacement.operators import Conv, Site, candidates

SITE = Site("layer", 8, 16, 3, 1, 6, 6)
SETTINGS = Distillation()


@pytest.fixture(scope="module")
def layer() -> nn.Conv2d:
    torch.manual_seed(0)
    return nn.Conv2d(8, 16, 3, padding=1).requires_grad_(False)


@pytest.fixture(scope="module")
def images() -> Tensor:
    """Smooth feature maps, as a network's are: neighbours and channels are alike."""
    noise = torch.randn(160, 8, 6, 6, generator=torch.Generator().manual_seed(1))
    mixed = torch.einsum("nchw,cd->ndhw", noise, torch.randn(8, 8, generator=torch.Generator().manual_seed(2)))
    return torch.relu(nn.functional.avg_pool2d(mixed, 3, stride=1, padding=1))


def fit(operator: str, layer: nn.Conv2d, x: Tensor, settings: Distillation = SETTINGS) -> nn.Sequential:
    return fitted(operator, SITE, candidates(SITE)[operator], layer, x, layer(x), settings)


def test_a_regression_of_the_teachers_own_shape_recovers_its_weights(layer: nn.Conv2d, images: Tensor) -> None:
    exact = Distillation(ridge=1e-9)
    found = fitted("same", SITE, (Conv(16, (3, 3)),), layer, images, layer(images), exact)[0]
    assert isinstance(found, nn.Conv2d)
    assert found.bias is not None
    assert layer.bias is not None
    torch.testing.assert_close(found.weight, layer.weight, atol=1e-3, rtol=0)
    torch.testing.assert_close(found.bias, layer.bias, atol=1e-3, rtol=0)


@pytest.mark.parametrize("operator", [name for name in candidates(SITE) if name not in ("teacher", "identity")])
def test_every_operator_says_more_than_the_mean_on_images_that_it_was_not_fitted_to(
    operator: str, layer: nn.Conv2d, images: Tensor
) -> None:
    module = fit(operator, layer, images[:128])
    assert error(module, images[128:], layer(images[128:])) < 0.9
    assert not module.training
    assert not any(parameter.requires_grad for parameter in module.parameters())


def test_more_width_never_fits_worse(layer: nn.Conv2d, images: Tensor) -> None:
    quarter, half = (error(fit(name, layer, images), images, layer(images)) for name in ("quarter-width", "half-width"))
    assert half < quarter


def test_principal_components_are_the_best_of_their_rank(layer: nn.Conv2d, images: Tensor) -> None:
    outputs = layer(images)
    flat = outputs.transpose(0, 1).flatten(1)
    values = torch.linalg.eigvalsh(torch.cov(flat))
    least = float(values[:-8].sum() / values.sum())  # what eight components leave of the variance
    assert error(fit("half-width", layer, images), images, outputs) == pytest.approx(least, rel=0.02)


def test_a_seed_fixes_the_weights(layer: nn.Conv2d, images: Tensor) -> None:
    first, again, other = (
        fit("bottleneck", layer, images, Distillation(steps=5, seed=seed)).state_dict()["0.weight"].numpy()
        for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
