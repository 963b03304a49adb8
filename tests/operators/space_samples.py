"""Small spaces, and files of measurements for them."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from codesign_gym.simulators.operators import OperatorSpace, SpaceFile
from codesign_gym.simulators.operators.expansion import expand

#: Three layers of up to three operators: 3 * 3 * 2 designs.
CHAIN: dict[str, Any] = {
    "title": "three layers",
    "source": "made up",
    "input_shape": [3, 8, 8],
    "operators": {
        "skip": {"block": "skip"},
        "k3_e1": {"block": "mobile", "kernel": 3},
        "k5_e3": {"block": "mobile", "kernel": 5, "expansion": 3},
    },
    "stem": [{"name": "stem", "block": "conv", "kernel": 3, "channels": 4}],
    "stages": [
        {"channels": 4, "layers": 2},
        {"channels": 8, "stride": 2, "operators": ["skip", "k5_e3"]},
    ],
    "head": [{"name": "classifier", "block": "linear", "channels": 10}],
    "codes": ["k3_e1", "k5_e3", "skip"],
}

#: Two cells of three edges that choose between two operators: 8 designs.
CELLS: dict[str, Any] = {
    "title": "cells",
    "source": "made up",
    "input_shape": [4, 8, 8],
    "operators": {"none": {"block": "none"}, "conv": {"block": "preactivated", "kernel": 3}},
    "cell": {"nodes": 3},
    "stages": [{"channels": 4, "layers": 2}],
}


def space_of(content: dict[str, Any]) -> OperatorSpace:
    """The space of a file's content."""
    return expand("small", SpaceFile.model_validate(content))


def chain() -> OperatorSpace:
    """The space of :data:`CHAIN`."""
    return space_of(CHAIN)


def saved(folder: Path, content: dict[str, Any]) -> str:
    """A file with this content."""
    path = folder / "space.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return str(path)


def every_design(space: OperatorSpace) -> NDArray[np.int64]:
    """All designs, by plain enumeration."""
    return np.array(list(product(*(range(len(layer.operators)) for layer in space.layers))), dtype=np.int64)


def operators_csv(folder: Path, space: OperatorSpace, header: str = "operator,latency_ms") -> Path:
    """A measurement of each operator: 1, 2, 3, ... milliseconds in the order of layers and choices."""
    names = [name for layer in space.layers for name in layer.entries]
    path = folder / "operators.csv"
    path.write_text("\n".join([header, *(f"{name},{i + 1}" for i, name in enumerate(names))]), encoding="utf-8")
    return path
