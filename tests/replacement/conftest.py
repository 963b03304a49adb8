from __future__ import annotations

from pathlib import Path

import pytest

from codesign_gym.simulators.accuracy.memo import Memo
from codesign_gym.simulators.accuracy.trained import load
from codesign_gym.simulators.replacement.patched import Patched
from codesign_gym.simulators.replacement.replacements import Replacements
from codesign_gym.simulators.replacement.space import patched


@pytest.fixture(scope="session")
def untrained(cache: Path) -> Replacements:
    return Replacements.of(load("replacement_samples:build", "replacement_samples:loaders"))


@pytest.fixture(scope="session")
def measurer(untrained: Replacements, tmp_path_factory: pytest.TempPathFactory) -> Patched:
    return Patched(untrained, Memo(tmp_path_factory.mktemp("memo") / "results.sqlite"))


@pytest.fixture(scope="session")
def digits(cache: Path) -> Patched:
    return patched("digits-cnn-deep")
