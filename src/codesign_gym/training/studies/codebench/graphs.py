"""A family of small convolutional networks: their layers, and their accuracy, for which each of them is trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from codesign_gym.simulators.networks.builder import Builder
from codesign_gym.simulators.networks.layers import COLUMNS, Layers, Network

if TYPE_CHECKING:
    from codesign_gym.simulators.accuracy.memo import Result

#: Height and width at which work is counted: those of CIFAR-10, CODEBench's data. Accuracy is that of the 8x8 digits
#: that the same layers are trained on.
PIXELS = 32

CLASSES = 10


@dataclass(frozen=True)
class Graph:
    """One network of the family.

    Attributes:
        block: ``separable``, ``plain`` or ``residual``.
        width: channels of the first stage; each further stage has twice as many on half the resolution.
        depth: blocks a stage.
        kernel: of all convolutions but the pointwise ones and the stem's, which is 3.
        stages: number of stages.
    """

    block: str
    width: int
    depth: int
    kernel: int
    stages: int

    @property
    def name(self) -> str:
        """Unique within the family."""
        return f"{self.block}-w{self.width}-d{self.depth}-k{self.kernel}-s{self.stages}"

    @property
    def blocks(self) -> list[tuple[str, int, int]]:
        """Name, channels and stride of every block."""
        return [
            (f"{stage}.{index}", self.width * 2**stage, 2 if stage and not index else 1)
            for stage in range(self.stages)
            for index in range(self.depth)
        ]

    def network(self) -> Network:
        """The layer table of one image of one channel."""
        net = Builder(1, PIXELS, PIXELS).conv("stem", self.width, 3).norm("stem.norm")
        for name, channels, stride in self.blocks:
            net = _BLOCKS[self.block](net, name, channels, self.kernel, stride)
        return net.global_pool("pool").linear("head", CLASSES).build(self.name)


@dataclass(frozen=True)
class Family:
    """All combinations of some values; a graph's number is its position in that order, the last field fastest."""

    block: tuple[str, ...] = ("separable", "plain", "residual")
    width: tuple[int, ...] = (4, 6, 8, 12, 16, 24)
    depth: tuple[int, ...] = (1, 2, 3)
    kernel: tuple[int, ...] = (3, 5)
    stages: tuple[int, ...] = (2, 3)

    @property
    def fields(self) -> dict[str, tuple[Any, ...]]:
        """Values by field, in order."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @cached_property
    def graphs(self) -> tuple[Graph, ...]:
        """Every graph, in order."""
        return tuple(Graph(*values) for values in product(*self.fields.values()))

    @cached_property
    def layers(self) -> Layers:
        """Columns of shape (graphs, rows); shorter networks are padded by rows that do not exist."""
        tables = [graph.network().layers for graph in self.graphs]
        rows = max(len(table.op) for table in tables)
        columns = {
            column: np.stack([np.pad(getattr(t, column), (0, rows - len(t.op)), constant_values=1) for t in tables])
            for column in COLUMNS
        }
        exists = np.stack([np.arange(rows) < len(table.op) for table in tables])
        return Layers(**{**columns, "valid": exists.astype(np.int64)})


@dataclass(frozen=True, eq=False)
class Accuracy:
    """Shares of images that each graph gets right, each of shape (graphs,).

    Attributes:
        search: on the split that searches see.
        test: on the split that is claimed.
    """

    search: NDArray[np.float64]
    test: NDArray[np.float64]


def measured(graphs: Sequence[Graph], results: Sequence[tuple[Result, Result]]) -> Accuracy:
    """The accuracies of trained graphs from what each got right on both splits."""
    assert len(graphs) == len(results)
    search, test = (np.array([pair[i].correct.mean() for pair in results]) for i in (0, 1))
    return Accuracy(search, test)


def train(graph: Graph) -> tuple[Result, Result]:
    """What a graph gets right of the digits' search and test images, from the memo or from a training of seconds."""
    import torch

    from codesign_gym.simulators.accuracy.datasets import digits
    from codesign_gym.simulators.accuracy.memo import Memo, Result
    from codesign_gym.simulators.accuracy.recipe import fit, logits, one_thread, tensors
    from codesign_gym.simulators.accuracy.splits import fingerprint
    from codesign_gym.simulators.accuracy.trained import architecture
    from codesign_gym.simulators.networks.catalog import Training
    from codesign_gym.training.studies.codebench.modules import module

    recipe = Training(epochs=8, batch_size=50, learning_rate=5e-3, optimizer="adam")
    splits, memo = digits(), Memo.default()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        built = module(graph, CLASSES)
    mark = fingerprint(torch.__version__, recipe.model_dump_json(), architecture(built), splits.fingerprint)
    keys = {split: f"{mark}.{split}".encode() for split in ("search", "test")}
    found = memo.get_many(list(keys.values()))
    if len(found) < len(keys):
        fit(built, splits.train, recipe, graph.name)
        for split, key in keys.items():
            images, labels = tensors(splits.role(split))
            with one_thread():
                answers = logits(built, images)
            loss = float(torch.nn.functional.cross_entropy(answers, labels))
            found[key] = Result((answers.argmax(1) == labels).numpy(), loss)
            memo.put(key, found[key])
    return found[keys["search"]], found[keys["test"]]


def _separable(net: Builder, name: str, channels: int, kernel: int, stride: int) -> Builder:
    net = net.conv(f"{name}.depthwise", net.channels, kernel, stride, groups=net.channels).norm(f"{name}.norm1")
    return net.conv(f"{name}.pointwise", channels, 1).norm(f"{name}.norm2")


def _plain(net: Builder, name: str, channels: int, kernel: int, stride: int) -> Builder:
    return net.conv(f"{name}.conv", channels, kernel, stride).norm(f"{name}.norm")


def _residual(entry: Builder, name: str, channels: int, kernel: int, stride: int) -> Builder:
    net = entry.conv(f"{name}.conv1", channels, kernel, stride).norm(f"{name}.norm1")
    net = net.conv(f"{name}.conv2", channels, kernel).norm(f"{name}.norm2")
    if net.shape != entry.shape:
        net = net.beside(entry).conv(f"{name}.shortcut", channels, 1, stride).norm(f"{name}.norm3")
    return net


#: Rows that cost nothing on the template are left out: activations are part of its lanes, additions are free there.
_BLOCKS: dict[str, Callable[[Builder, str, int, int, int], Builder]] = {
    "separable": _separable,
    "plain": _plain,
    "residual": _residual,
}
