"""Images for networks with exits, whose answers are recorded once: large held-out splits cost nothing to replay."""

from __future__ import annotations

from codesign_gym.simulators.accuracy import datasets
from codesign_gym.simulators.accuracy.splits import Splits


def fashion_mnist() -> Splits:
    """Fashion-MNIST with as many search images, 10,000, as it has test images; errors as in ``datasets``."""
    return datasets.fashion_mnist(search=10_000)
