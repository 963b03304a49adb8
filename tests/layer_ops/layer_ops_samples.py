"""A small space, and qualities of one's own for it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codesign_gym.simulators.operators import OperatorSpace, SpaceFile
from codesign_gym.simulators.operators.expansion import expand
from codesign_gym.simulators.operators.tables_cells import written

CELLS: dict[str, Any] = {
    "title": "one cell of six edges",
    "source": "made up",
    "input_shape": [4, 8, 8],
    "operators": {
        "none": {"block": "none"},
        "skip": {"block": "skip"},
        "conv": {"block": "preactivated", "kernel": 3},
    },
    "cell": {"nodes": 4},
    "stages": [{"channels": 4}],
}

LAYERS: dict[str, Any] = {
    "title": "five layers",
    "source": "made up",
    "input_shape": [3, 8, 8],
    "operators": {
        "skip": {"block": "skip"},
        "k3_e1": {"block": "mobile", "kernel": 3},
        "k3_e3": {"block": "mobile", "kernel": 3, "expansion": 3},
        "k5_e3": {"block": "mobile", "kernel": 5, "expansion": 3},
    },
    "stages": [{"channels": 4, "layers": 3}, {"channels": 8, "layers": 2, "stride": 2, "operators": ["skip", "k5_e3"]}],
}


def cells() -> OperatorSpace:
    """729 designs."""
    return expand("cells", SpaceFile.model_validate(CELLS))


def layers() -> OperatorSpace:
    """256 designs."""
    return expand("layers", SpaceFile.model_validate(LAYERS))


def every_design(space: OperatorSpace, seed: int = 0) -> NDArray[np.int64]:
    """All designs, by plain enumeration, whatever the seed."""
    return np.array(list(product(*(range(len(layer.operators)) for layer in space.layers))), dtype=np.int64)


@dataclass(frozen=True)
class Noisy:
    """An "accuracy" that is no sum, of 100 images."""

    metric_name: str = "accuracy"
    measured: bool = True
    images: int = 100
    reference: float = 0.9
    losses: None = None
    exact: bool = False

    def score(self, designs: NDArray[np.int64]) -> NDArray[np.float64]:
        """A product, so that layers matter for each other."""
        return np.asarray(0.9 * (0.5 + 0.5 * (designs > 0).prod(-1)))

    def claim(self, design: NDArray[np.int64]) -> dict[str, float]:
        """Something."""
        return {"test_accuracy": 0.5}


def noisy(space: OperatorSpace, seed: int) -> Noisy:
    """A user's own quality."""
    return Noisy()


def cell_files(folder: Path) -> tuple[Path, Path, NDArray[np.float64]]:
    """Random accuracies (per cent) and latencies (ms) of all cells; files, and both as an array (designs, 2)."""
    space = cells()
    designs = every_design(space)
    figures = np.random.default_rng(7).uniform([50, 1], [95, 9], size=(len(designs), 2)).round(3)
    accuracy, latency = folder / "accuracy.csv", folder / "latency.csv"
    rows = [f"{i},{written(space, design)},{figures[i, 0]}" for i, design in enumerate(designs)]
    accuracy.write_text("\n".join(["index,arch_str,top1", *rows]))
    latency.write_text("\n".join(["index,phone", *(f"{i},{figures[i, 1]}" for i in range(len(designs)))]))
    return accuracy, latency, figures
