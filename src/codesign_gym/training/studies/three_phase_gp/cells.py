"""The network half: small CNNs on digits, each really trained once and kept, and their work on the engine."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from codesign_gym.errors import StorageError
from codesign_gym.simulators.networks.builder import Builder
from codesign_gym.simulators.networks.catalog import Training
from codesign_gym.simulators.networks.layers import COLUMNS, Layers, Network
from codesign_gym.storage import cache_dir, write_text

if TYPE_CHECKING:
    from torch import nn

    from codesign_gym.simulators.accuracy.splits import Splits

#: Raised whenever the same recipe would give other accuracies.
VERSION = "1"
EPOCHS = 6
SPLITS = ("search", "test")


@dataclass(frozen=True)
class Cell:
    """A network: a convolution, then two stages that halve the resolution and double the channels.

    Attributes:
        width: channels of the first convolution.
        depth: convolutions of each stage.
        kernel: height and width of every window.
    """

    width: int
    depth: int
    kernel: int


def module(cell: Cell, seed: int) -> nn.Module:
    """The untrained network for 1x8x8 images; its initial weights depend on the seed alone."""
    import torch
    from torch import nn

    from codesign_gym.simulators.accuracy.architectures import ConvNorm, Head

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers: list[nn.Module] = [ConvNorm(1, cell.width, kernel=cell.kernel)]
        for channels in (2 * cell.width, 4 * cell.width):
            layers.append(ConvNorm(channels // 2, channels, kernel=cell.kernel, stride=2))
            layers += [ConvNorm(channels, channels, kernel=cell.kernel) for _ in range(cell.depth - 1)]
        return nn.Sequential(*layers, Head(4 * cell.width, 10)).to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def work(cell: Cell, pixels: int) -> Network:
    """The rows of the layer table that multiply, for an image of ``pixels`` by ``pixels``."""
    net = Builder(1, pixels, pixels).conv("stem", cell.width, cell.kernel)
    for stage, channels in enumerate((2 * cell.width, 4 * cell.width)):
        net = net.conv(f"stage{stage}.0", channels, cell.kernel, stride=2)
        for block in range(1, cell.depth):
            net = net.conv(f"stage{stage}.{block}", channels, cell.kernel)
    return net.global_pool("pool").linear("linear", 10).build(f"digits {cell}").weighted()


def stacked(networks: list[Network]) -> Layers:
    """Rows of several networks side by side, (networks, rows); those that pad a network are not valid."""
    rows = max(len(net) for net in networks)

    def padded(net: Network, name: str) -> NDArray[np.int64]:
        fill = 0 if name in ("op", "valid", "extra_parameters") else 1
        return np.pad(getattr(net.layers, name), (0, rows - len(net)), constant_values=fill)

    return Layers(**{name: np.stack([padded(net, name) for net in networks]) for name in COLUMNS})


def accuracy(cell: Cell, trainings: int) -> dict[str, float]:
    """Mean share of ``search`` and ``test`` images that trainings from different seeds get right.

    Trained on the first call, read from the cache afterwards.

    Raises:
        StorageError: if the cache cannot be read or written.
    """
    found = [_trained(cell, seed) for seed in range(trainings)]
    return {split: float(np.mean([one[split] for one in found])) for split in SPLITS}


def _trained(cell: Cell, seed: int) -> dict[str, float]:
    import torch

    from codesign_gym.simulators.accuracy.recipe import fit
    from codesign_gym.simulators.accuracy.splits import fingerprint
    from codesign_gym.simulators.accuracy.trained import architecture

    training = Training(epochs=EPOCHS, batch_size=32, learning_rate=0.02, weight_decay=2e-3, seed=seed)
    net, splits = module(cell, seed), _digits()
    mark = fingerprint(VERSION, torch.__version__, training.model_dump_json(), architecture(net), splits.fingerprint)
    path = cache_dir("cells") / f"{mark}.json"
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        return {split: float(stored[split]) for split in SPLITS}
    except FileNotFoundError:
        fit(net, splits.train, training, f"digits {cell}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StorageError(f"{path} does not hold accuracies; delete it to train again ({error})") from error
    measured = {split: _right(net, splits, split) for split in SPLITS}
    write_text(path, json.dumps(measured))
    return measured


def _right(net: nn.Module, splits: Splits, split: str) -> float:
    from codesign_gym.simulators.accuracy.recipe import logits, one_thread, tensors

    images, labels = tensors(splits.role(split))
    with one_thread():
        return float((logits(net, images).argmax(1) == labels).double().mean())


@cache
def _digits() -> Splits:
    from codesign_gym.simulators.accuracy.datasets import digits

    return digits()
