"""Modules and loaders as a user would write them, good and bad; tests name them by reference."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

SHAPE = (1, 6, 6)


def pairs(seed: int = 0, count: int = 24) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    generator = np.random.default_rng(seed)
    return {
        role: (generator.random((count, *SHAPE)), np.arange(count) % 3)
        for role in ("train", "calibration", "search", "test")
    }


def loaders() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    return pairs()


def tuple_loaders() -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    return tuple(pairs().values())


def failing_loaders() -> None:
    raise FileNotFoundError("no such drive")


def build() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))


def build_nan() -> nn.Module:
    module = build()
    with torch.no_grad():
        module[0].weight[0, 0, 0, 0] = float("nan")
    return module


class Infinite(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = build()

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) / 0.0


def build_number() -> int:
    return 3


def build_two_classes() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(36, 2))


def build_wrong_shape() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(35, 3))


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(36, 36)
        self.outer = nn.Linear(36, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.outer(self.inner(self.inner(x.flatten(1))))


class Untraceable(nn.Module):
    """torch.export follows the loop over a Python list; torch.fx stops at the branch on a shape."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = build()

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1] != 1:
            raise ValueError("one channel")
        return self.inner(x)


trained_already = build()
