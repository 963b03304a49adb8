"""Designs of a supernet at bitwidths of their own: operators and precision measured together."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from codesign_gym.simulators import operators
from codesign_gym.simulators.accuracy.claims import figures
from codesign_gym.simulators.accuracy.memo import Memo
from codesign_gym.simulators.accuracy.quantized import QuantizedNetwork
from codesign_gym.simulators.accuracy.recipe import one_thread, shown, tensors
from codesign_gym.simulators.accuracy.splits import fingerprint
from codesign_gym.simulators.accuracy.trained import TrainedNetwork
from codesign_gym.simulators.networks.layers import Network
from codesign_gym.simulators.operators.space import OperatorSpace
from codesign_gym.simulators.supernets.library import TrainedSupernet, load
from codesign_gym.simulators.supernets.measuring import Recalibration, check_designs

#: Networks that are kept ready to be measured at further bitwidths.
KEPT = 64


@dataclass(eq=False)
class PreciseSupernet:
    """Accuracies of operators with shared weights, quantized after training, each different design measured once.

    The statistics of a design's normalisation are taken anew from training images, then its weights and activations
    are quantized as any trained network's are (:class:`QuantizedNetwork`). Parts that are not searched keep the
    reference bitwidth.

    Attributes:
        trained: the supernet and its data.
        reference_bits: of stem and head, and of the network that claims compare with.
        memo: where results are kept; None measures every design anew.
        recalibration: how statistics are taken.
    """

    trained: TrainedSupernet
    reference_bits: int = 8
    memo: Memo | None = None
    recalibration: Recalibration = field(default_factory=Recalibration)
    _ready: dict[bytes, QuantizedNetwork] = field(default_factory=dict)

    @cached_property
    def _space(self) -> OperatorSpace:
        return operators.load(self.trained.name)

    @classmethod
    def of(cls, space: str, reference_bits: int = 8) -> PreciseSupernet:
        """The supernet of a space, trained in the first call, with the disk memo; errors as in :func:`load`."""
        return cls(load(space), reference_bits, Memo.default())

    metric_name = "accuracy"
    measured = True

    @property
    def images(self) -> int:
        """Search images."""
        return len(self.trained.splits.role("search"))

    def score(self, operators: NDArray[np.int64], bits: NDArray[np.int64]) -> NDArray[np.float64]:
        """Share of the search images that are right, shape (batch,).

        Args:
            operators: shape (batch, layers).
            bits: weight and activation bitwidths, shape (batch, layers, 2).

        Raises:
            BadConfig: for operators or bitwidths that are not accepted.
            StorageError: if the memo cannot be read or written.
        """
        return np.asarray(self.correct(operators, bits, "search").mean(-1))

    def correct(self, operators: NDArray[np.int64], bits: NDArray[np.int64], split: str) -> NDArray[np.bool_]:
        """Which of a split's images are right, shape (batch, images); arguments and errors as in :meth:`score`."""
        checked = check_designs(operators, self.trained)
        rows: list[NDArray[np.bool_]] = [np.empty(0, dtype=bool)] * len(checked)
        order = np.lexsort(checked.T[::-1])  # designs of the same operators share a network
        with one_thread():
            for row in shown(order, len(order), f"measuring {self.trained.name}"):
                network = self._network(checked[row])
                rows[row] = network.correct(self._widths(network, bits[row])[None], split)[0]
        return np.stack(rows)

    def claim(self, operators: NDArray[np.int64], bits: NDArray[np.int64]) -> dict[str, float]:
        """Test accuracy of a design, and its change against the dearest operators at the reference bitwidth.

        Args:
            operators: shape (layers,).
            bits: shape (layers, 2).
        """
        both = np.stack([operators, self.trained.dearest])
        widths = np.stack([bits, np.full_like(bits, self.reference_bits)])
        test, base = self.correct(both, widths, "test")
        search, search_base = self.correct(both, widths, "search")
        return figures(test, base, search, search_base)

    def _network(self, design: NDArray[np.int64]) -> QuantizedNetwork:
        """The network of one design of shape (layers,), ready to be measured at any bitwidths."""
        key = design.tobytes()
        if key not in self._ready:
            if len(self._ready) >= KEPT:
                del self._ready[next(iter(self._ready))]
            self._ready[key] = QuantizedNetwork(self._candidate(design), memo=self.memo)
        return self._ready[key]

    def _candidate(self, design: NDArray[np.int64]) -> TrainedNetwork:
        module: nn.Module = deepcopy(self.trained.module.candidate(design.tolist()))
        images, _ = tensors(self.trained.splits.role("train"))
        drawn = np.random.default_rng(self.recalibration.seed).permutation(len(images))[: self.recalibration.images]
        for part in module.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.momentum = 1.0  # the batch's own statistics
        with torch.no_grad():
            module.train()
            module(images[torch.from_numpy(np.sort(drawn))])
            module.eval()
        mark = fingerprint(self.trained.fingerprint, self.recalibration.model_dump_json(), str(design.tolist()))
        # The space's rows and the modules are the same layers in the same order; tracing the module takes a second.
        rows = self._space.network(design).weighted()
        names = tuple(name for name, part in module.named_modules() if isinstance(part, nn.Conv2d | nn.Linear))
        table = Network(self.trained.name, names, rows.layers)
        return TrainedNetwork(self.trained.name, module, table, self.trained.splits, mark, float("nan"))

    def _widths(self, network: QuantizedNetwork, bits: NDArray[np.int64]) -> NDArray[np.int64]:
        """Bitwidths of a network's layers, (its layers, 2), from those of the searched ones, (layers, 2)."""
        widths = np.full((network.layers, 2), self.reference_bits, dtype=np.int64)
        for row, name in enumerate(network.layer_names):
            part = name.split(".")[0]
            if part.startswith("layer"):
                widths[row] = bits[int(part.removeprefix("layer"))]
        return widths
