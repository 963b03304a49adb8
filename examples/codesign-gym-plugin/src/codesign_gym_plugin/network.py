"""A torch network of one's own, and the images it is trained and measured on."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

SIDE = 8  # pixels
ORIENTATIONS = 4  # classes
SIZES = {"train": 512, "calibration": 64, "search": 256, "test": 256}

Split = tuple[NDArray[np.float32], NDArray[np.int64]]


def loaders() -> dict[str, Split]:
    """Four disjoint splits, each (images of shape (n, 1, 8, 8), labels of shape (n,))."""
    generator = np.random.default_rng(0)
    return {role: gratings(size, generator) for role, size in SIZES.items()}


def gratings(size: int, generator: np.random.Generator) -> Split:
    """Stripes in one of four orientations, with a random phase and noise."""
    labels = np.arange(size, dtype=np.int64) % ORIENTATIONS
    angle = (labels * np.pi / ORIENTATIONS)[:, None, None]
    phase = generator.uniform(0.0, 2.0 * np.pi, (size, 1, 1))
    y, x = np.mgrid[:SIDE, :SIDE]
    waves = np.sin(1.2 * (x * np.cos(angle) + y * np.sin(angle)) + phase)
    images = 0.5 + 0.3 * waves + generator.normal(0.0, 0.2, waves.shape)
    return images[:, None].astype(np.float32), labels


def architecture() -> nn.Module:
    """The network without trained weights, for a network file with a ``training`` section."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=8),
        nn.ReLU(),
        nn.Conv2d(8, 16, 1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16 * (SIDE // 2) ** 2, ORIENTATIONS),
    )


def build() -> nn.Module:
    """The network with weights; it may as well come from a checkpoint of yours."""
    images, labels = (torch.as_tensor(part) for part in loaders()["train"])
    network = architecture()
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(60):
        loss: Tensor = nn.functional.cross_entropy(network(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network.eval()


build.input_shape = (1, SIDE, SIDE)  # of one image; for commands that cost a network without its data
