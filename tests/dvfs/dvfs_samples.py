"""Edits of a shipped device file, and random states of the devices."""

from pathlib import Path
from typing import Any

import numpy as np
import yaml_samples
from hypothesis import strategies as st

from codesign_gym.simulators.dvfs import CATALOG, Soc, Work, load

SOCS = ("jetson-agx-xavier", "jetson-tx2", "phone", "v100")
SEEDS = st.integers(0, 2**32 - 1)


def edited(path: Path, *keys: Any, base: str = "jetson-tx2") -> Path:
    """A shipped file with one entry changed."""
    return yaml_samples.edited(path, CATALOG.shipped()[base], *keys)


def states(name: str, seed: int, shape: tuple[int, ...]) -> dict[str, Any]:
    """A device with random clocks, activities, temperatures, air and times of the shape given."""
    soc, random = load(name), np.random.default_rng(seed)
    domains = len(soc.domains)
    return {
        "soc": soc,
        "temperature_c": random.uniform(-20, 100, (*shape, 2)),
        "index": random.integers(0, soc.steps, (*shape, domains)),
        "activity": random.uniform(0, 1, (*shape, domains)),
        "ambient_c": random.uniform(-20, 50, shape),
        "seconds": 10 ** random.uniform(-4, 2, shape),
        "state": random.integers(0, len(soc.idle_states), shape),
    }


def work(seed: int, soc: Soc, shape: tuple[int, ...] = ()) -> Work:
    """Random work whose parts take times of the same order."""
    random = np.random.default_rng(seed)
    demand = 10 ** random.uniform(-3, 0, (4, *shape)) * random.integers(0, 2, (4, *shape))
    unit = soc.parts_s(Work(1.0, 1.0, 1.0, 1.0), np.zeros(len(soc.domains), dtype=int))
    return Work(*(part / max(one, 1e-30) for part, one in zip(demand, unit, strict=True)))
