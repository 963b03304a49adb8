from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from codesign_gym.errors import StorageError
from codesign_gym.simulators.accuracy.datasets import find_fashion_mnist
from codesign_gym.simulators.accuracy.memo import Memo
from codesign_gym.simulators.accuracy.quantized import QuantizedNetwork
from codesign_gym.simulators.accuracy.trained import TrainedNetwork, load


@pytest.fixture(scope="session")
def digits_cnn(cache: Path) -> TrainedNetwork:
    return load("digits-cnn")


@pytest.fixture(scope="session")
def measured(digits_cnn: TrainedNetwork, tmp_path_factory: pytest.TempPathFactory) -> QuantizedNetwork:
    return QuantizedNetwork(digits_cnn, memo=Memo(tmp_path_factory.mktemp("memo") / "accuracy.sqlite"))


@pytest.fixture(scope="session")
def fashion(cache: Path) -> Path:
    try:
        return find_fashion_mnist()
    except StorageError as error:
        pytest.skip(str(error))


@pytest.fixture
def generator() -> np.random.Generator:
    return np.random.default_rng(0)
