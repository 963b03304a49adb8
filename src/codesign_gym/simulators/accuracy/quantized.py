"""Accuracy of a network at per-layer bitwidths, measured on real images with simulated integers."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from codesign_gym.errors import BadConfig, UnsupportedNetwork
from codesign_gym.records import Record
from codesign_gym.simulators.accuracy.finetune import FineTune, Learner, tune
from codesign_gym.simulators.accuracy.folding import folded
from codesign_gym.simulators.accuracy.memo import Memo, Result
from codesign_gym.simulators.accuracy.quantizers import (
    FLOAT_BITS,
    MAX_BITS,
    MIN_BITS,
    Grid,
    activation_grid,
    weight_grid,
)
from codesign_gym.simulators.accuracy.recipe import BATCH, logits, one_thread, tensors
from codesign_gym.simulators.accuracy.splits import fingerprint
from codesign_gym.simulators.accuracy.trained import TrainedNetwork

#: Raised whenever the same design would measure otherwise.
EVALUATION_VERSION = "1"


class Quantization(Record):
    """How designs are quantized and measured.

    Attributes:
        samples: activations per layer that clipping ranges are fitted to.
        seed: of the draw of those activations.
        fine_tune: the short training each design gets before it is measured, or None for
            quantization after training alone.
    """

    samples: int = Field(default=16384, gt=0)
    seed: int = Field(default=0, ge=0)
    fine_tune: FineTune | None = None


class QuantizedNetwork:
    """Measures a trained network at per-layer bitwidths.

    Weights have a symmetric grid per output channel, each layer's input one grid per tensor; both
    are chosen for the least squared error, on the weights and on the calibration split. A bitwidth
    of 32 leaves the tensor in floating point. A design is ``bits`` of shape (layers, 2): weight and
    input bitwidths of the layers :attr:`layer_names`, in order.

    Equal arguments give equal results on one machine: nothing depends on the designs measured before.
    """

    def __init__(self, trained: TrainedNetwork, settings: Quantization | None = None, memo: Memo | None = None) -> None:
        """Prepare a network for measuring; this calibrates it.

        Args:
            trained: the network and its data.
            settings: how designs are quantized.
            memo: where results are kept; None measures every design anew.

        Raises:
            UnsupportedNetwork: if a layer with weights is not a module called once, with a weight
                called ``weight``.
        """
        self.trained = trained
        self.settings = settings or Quantization()
        self.memo = memo
        table = trained.network.weighted()
        self.layer_names: tuple[str, ...] = table.layer_names
        self._tensors = lru_cache(maxsize=None)(lambda split: tensors(trained.splits.role(split)))
        images, _ = self._tensors("calibration")
        self._model = folded(trained.module, images[:8])
        self._layers = [_layer(self._model, name, trained.name) for name in self.layer_names]
        self._inputs = self._calibrate(images)
        self._grid = lru_cache(maxsize=None)(self._fit_grid)
        self._weight = lru_cache(maxsize=None)(self._integer_weight)
        self._context = fingerprint(
            EVALUATION_VERSION, torch.__version__, trained.fingerprint, self.settings.model_dump_json()
        )

    @property
    def layers(self) -> int:
        """Layers that have bitwidths."""
        return len(self.layer_names)

    def accuracy(self, bits: Any, split: str = "search") -> np.ndarray:
        """Share of the split's images that are right.

        Args:
            bits: shape (..., layers, 2), integers from 2 to 8, or 32 for floating point.
            split: which images.

        Returns:
            Shape (...), in [0, 1].

        Raises:
            BadConfig: if a bitwidth, the shape, or the split is not one of those.
            StorageError: if the memo cannot be read or written.
        """
        return np.reshape([result.correct.mean() for result in self.results(bits, split)], np.shape(bits)[:-2])

    def loss(self, bits: Any, split: str = "search") -> np.ndarray:
        """Mean cross-entropy in nats; arguments, shapes and errors as in :meth:`accuracy`."""
        return np.reshape([result.loss for result in self.results(bits, split)], np.shape(bits)[:-2])

    def correct(self, bits: Any, split: str = "search") -> np.ndarray:
        """Which images are right, bool of shape (..., n); otherwise as :meth:`accuracy`."""
        rows = [result.correct for result in self.results(bits, split)]
        return np.reshape(rows, (*np.shape(bits)[:-2], len(self.trained.splits.role(split))))

    def results(self, bits: Any, split: str = "search") -> list[Result]:
        """The result of each design of ``bits`` (..., layers, 2), in order; each different one is measured once.

        Raises:
            BadConfig, StorageError: as :meth:`accuracy`.
        """
        designs = check_bits(bits, self.layers).reshape(-1, self.layers, 2)
        self.trained.splits.role(split)
        keys = [f"{self._context}/{split}/".encode() + design.tobytes() for design in designs]
        known = self.memo.get_many(list(dict.fromkeys(keys))) if self.memo else {}
        for key, design in zip(keys, designs, strict=True):
            if key not in known:
                known[key] = self._measure(design, split)
                if self.memo:
                    self.memo.put(key, known[key])
        return [known[key] for key in keys]

    def _measure(self, design: np.ndarray, split: str) -> Result:
        """Run one design (layers, 2) over a split."""
        images, labels = self._tensors(split)
        with one_thread():
            answers = self._tuned(design, images) if self.settings.fine_tune else self._simulated(design, images)
            loss = float(cross_entropy(answers.double(), labels))
        if not np.isfinite(loss):
            raise BadConfig(f"network {self.trained.name!r}: its loss at bits {design.tolist()} is not a finite number")
        return Result((answers.argmax(1) == labels).numpy(), loss)

    def _simulated(self, design: np.ndarray, images: Tensor) -> Tensor:
        """Logits (n, classes) of a design quantized after training."""
        pairs = [(int(weight), int(given)) for weight, given in design]
        weights = {
            f"{name}.weight": self._weight(index, *pair)
            for index, (name, pair) in enumerate(zip(self.layer_names, pairs, strict=True))
        }
        hooks = [
            layer.register_forward_pre_hook(_rounding(grid))
            for index, (layer, (_, given)) in enumerate(zip(self._layers, pairs, strict=True))
            if (grid := self._grid(index, 1, given)) is not None
        ]
        try:
            return logits(lambda batch: functional_call(self._model, weights, (batch,)), images)
        finally:
            for hook in hooks:
                hook.remove()

    def _tuned(self, design: np.ndarray, images: Tensor) -> Tensor:
        """Logits (n, classes) of a design after its fine-tune."""
        assert self.settings.fine_tune is not None
        weights, inputs = (
            {name: self._grid(index, knob, int(design[index, knob])) for index, name in enumerate(self.layer_names)}
            for knob in (0, 1)
        )
        learner = Learner(self._model, weights, inputs)
        tune(learner, *self._tensors("train"), self.settings.fine_tune)
        return logits(learner, images)

    def _calibrate(self, images: Tensor) -> list[Tensor]:
        """A sample of each layer's inputs on the calibration images, shape (samples,) each."""
        generator = torch.Generator().manual_seed(self.settings.seed)
        seen: dict[int, list[Tensor]] = {index: [] for index in range(self.layers)}
        hooks = [
            layer.register_forward_pre_hook(lambda _, inputs, index=index: seen[index].append(inputs[0].flatten()))
            for index, layer in enumerate(self._layers)
        ]
        try:
            with one_thread():
                logits(self._model, images)
        finally:
            for hook in hooks:
                hook.remove()
        for name, pieces in zip(self.layer_names, seen.values(), strict=True):
            if len(pieces) != -(-len(images) // BATCH):
                raise UnsupportedNetwork(
                    f"network {self.trained.name!r}: layer {name!r} runs {len(pieces)} times; accepted: once"
                )
        values = [torch.cat(pieces) for pieces in seen.values()]
        return [v[torch.randint(len(v), (self.settings.samples,), generator=generator)] for v in values]

    def _fit_grid(self, index: int, knob: int, bits: int) -> Grid | None:
        """The grid of a layer's weight (knob 0) or input (knob 1); None for floating point."""
        if bits == FLOAT_BITS:
            return None
        with one_thread(), torch.inference_mode():
            if knob == 1:
                return activation_grid(self._inputs[index], bits)
            return weight_grid(self._layers[index].get_parameter("weight"), bits)

    def _integer_weight(self, index: int, weight_bits: int, input_bits: int) -> Tensor:
        """A layer's quantized weight times its input's step, because inputs are handed on as integers."""
        grids = self._grid(index, 0, weight_bits), self._grid(index, 1, input_bits)
        weight = self._layers[index].get_parameter("weight").detach()
        with torch.inference_mode():
            on_grid: Tensor = grids[0](weight) if grids[0] else weight
            return on_grid * grids[1].step if grids[1] else on_grid


def check_bits(bits: Any, layers: int) -> np.ndarray:
    """``bits`` as bytes, uint8 of shape (..., layers, 2).

    Raises:
        BadConfig: naming the shape or the value that is not accepted.
    """
    given = np.asarray(bits)
    if given.ndim < 2 or given.shape[-2:] != (layers, 2):
        raise BadConfig(f"bits have shape {given.shape}; expected (..., {layers}, 2): weight and input bits a layer")
    accepted = ((given >= MIN_BITS) & (given <= MAX_BITS) & (given == np.floor(given))) | (given == FLOAT_BITS)
    if not accepted.all():
        where = tuple(int(i) for i in np.argwhere(~accepted)[0])
        raise BadConfig(
            f"bits{list(where)} is {given[where]}; accepted: integers from {MIN_BITS} to {MAX_BITS}, or {FLOAT_BITS} "
            "for floating point"
        )
    return given.astype(np.uint8)


def _layer(model: nn.Module, name: str, network: str) -> nn.Module:
    """The submodule of a row of the layer table."""
    try:
        layer = model.get_submodule(name)
        if isinstance(layer.weight, Tensor):
            return layer
    except AttributeError:
        pass
    raise UnsupportedNetwork(
        f"network {network!r}: layer {name!r} cannot be quantized; accepted: a module called once whose weight is its "
        "parameter 'weight'"
    )


def _rounding(grid: Grid) -> Callable[[nn.Module, tuple[Tensor, ...]], tuple[Tensor, ...]]:
    """A hook that hands a layer its input as integers."""
    return lambda _, inputs: (grid.integers(inputs[0]), *inputs[1:])
