from __future__ import annotations

from pathlib import Path

import pytest

from codesign_gym.simulators.accuracy.memo import Memo
from codesign_gym.simulators.supernets.library import TrainedSupernet, load
from codesign_gym.simulators.supernets.measuring import SharedWeights

#: The digits space with three operators and two layers, trained for seconds.
QUICK = """
title: two layers of three operators on digits
source: this test
input_shape: [1, 8, 8]
operators:
  skip: {block: skip}
  k3_e1_g2: {block: mobile, kernel: 3, expansion: 1, groups: 2}
  k5_e3: {block: mobile, kernel: 5, expansion: 3}
stem:
  - {name: stem, block: conv, kernel: 3, channels: 8, stride: 2}
stages:
  - {channels: 8}
  - {channels: 12, stride: 2, operators: [skip, k5_e3], before: [{name: between, block: conv, channels: 10}]}
head:
  - {name: avgpool, block: global_pool}
  - {name: classifier, block: linear, channels: 10}
data: codesign_gym.simulators.accuracy.datasets:digits
training: {epochs: 24, batch_size: 64, learning_rate: 0.1, seed: 3}
"""


@pytest.fixture(scope="session")
def quick_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("spaces") / "quick.yaml"
    path.write_text(QUICK)
    return path


@pytest.fixture(scope="session")
def quick(cache: Path, quick_file: Path) -> TrainedSupernet:
    return load(str(quick_file))


@pytest.fixture(scope="session")
def shared(quick: TrainedSupernet, tmp_path_factory: pytest.TempPathFactory) -> SharedWeights:
    return SharedWeights(quick, memo=Memo(tmp_path_factory.mktemp("memo") / "accuracy.sqlite"))
