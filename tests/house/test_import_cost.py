"""Importing the package is cheap: what is heavy is loaded by whoever uses it."""

from __future__ import annotations

import subprocess
import sys

import pytest
from house_tree import PACKAGE, module_name, modules

HEAVY = ("torch", "stable_baselines3", "sb3_contrib", "tensorboard", "matplotlib", "pandas", "sklearn", "onnx")


def loaded(code: str, names: tuple[str, ...]) -> list[str]:
    """Which of the named modules a fresh interpreter has loaded after running ``code``."""
    report = f"{code}\nimport sys\nprint('loaded:', *(name for name in {names!r} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.rsplit("loaded:", 1)[1].split()


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert loaded("import codesign_gym", HEAVY) == []


@pytest.mark.parametrize("floor", ["simulators/networks", "simulators/hardware", "envs/core"])
def test_importing_every_module_of_a_light_folder_loads_no_torch(floor: str) -> None:
    names = [module_name(path) for path in modules() if (PACKAGE / floor) in path.parents]
    assert names
    assert loaded("\n".join(f"import {name}" for name in names), ("torch", "stable_baselines3")) == []


def test_the_measurement_sees_what_is_loaded() -> None:
    assert loaded("import json", ("json", "torch")) == ["json"]
