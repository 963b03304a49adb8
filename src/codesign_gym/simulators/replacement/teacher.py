"""What the layers of a trained network see and say, and which of them may be replaced."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from codesign_gym.errors import UnsupportedNetwork
from codesign_gym.simulators.accuracy.folding import folded
from codesign_gym.simulators.accuracy.recipe import BATCH, logits, one_thread, tensors
from codesign_gym.simulators.accuracy.trained import TrainedNetwork
from codesign_gym.simulators.networks.layers import Network, Op
from codesign_gym.simulators.replacement.operators import Site


@dataclass(frozen=True, eq=False)
class Teacher:
    """A trained network with its normalisation folded in, and the sites in it.

    Attributes:
        trained: the network as it was trained.
        model: the same function with fewer layers, in evaluation mode.
        sites: the convolutions that may be replaced, in the order of the layer table.
        rest: rows of the layers with weights that stay.
    """

    trained: TrainedNetwork
    model: nn.Module
    sites: tuple[Site, ...]
    rest: Network

    @classmethod
    def of(cls, trained: TrainedNetwork) -> Teacher:
        """Look for sites.

        Raises:
            UnsupportedNetwork: if there is none.
        """
        images, _ = tensors(trained.splits.calibration)
        model = folded(trained.module, images[:8])
        table = trained.network.weighted()
        found = [_site(model, table, row) for row in range(len(table))]
        sites = tuple(site for site in found if site is not None)
        if not sites:
            raise UnsupportedNetwork(
                f"network {trained.name!r} has no layer that could be replaced; accepted: 2-D convolutions in one "
                "group with an odd square kernel, padded by half of it and called once"
            )
        return cls(trained, model, sites, table.rows(np.array([site is None for site in found])))

    def layer(self, site: Site) -> nn.Conv2d:
        """The convolution at a site."""
        layer = self.model.get_submodule(site.name)
        assert isinstance(layer, nn.Conv2d)
        return layer

    def features(self, images: Tensor) -> list[tuple[Tensor, Tensor]]:
        """What enters and leaves every site: (n, in_channels, ...) and (n, out_channels, ...) of n images."""
        seen: list[list[tuple[Tensor, Tensor]]] = [[] for _ in self.sites]
        hooks = [
            self.layer(site).register_forward_hook(
                lambda _, inputs, output, kept=kept: kept.append((inputs[0], output))
            )
            for site, kept in zip(self.sites, seen, strict=True)
        ]
        try:
            with one_thread(), torch.no_grad():
                for piece in torch.split(images, BATCH):
                    self.model(piece)
        finally:
            for hook in hooks:
                hook.remove()
        return [_joined(pieces) for pieces in seen]

    def targets(self, images: Tensor, labels: Tensor, share: float) -> Tensor:
        """Class probabilities (n, classes) to learn from: the teacher's, and for the rest of 1 the label's."""
        with one_thread():
            answers = logits(self.model, images)
        known = torch.nn.functional.one_hot(labels, answers.shape[1])
        return share * answers.softmax(-1) + (1 - share) * known


def _site(model: nn.Module, table: Network, row: int) -> Site | None:
    """The site of a row of the layer table, or None if it has to stay."""
    name, layers = table.layer_names[row], table.layers
    layer = dict(model.named_modules()).get(name)
    repeated = f"{name}#2" in table.layer_names
    if int(layers.op[row]) != Op.CONV or not isinstance(layer, nn.Conv2d) or repeated:
        return None
    kernel = layer.kernel_size[0]
    plain = layer.groups == 1 and layer.padding_mode == "zeros" and set(layer.dilation) == {1}
    centred = kernel % 2 == 1 and set(layer.kernel_size) == {kernel} and layer.padding == (kernel // 2, kernel // 2)
    if not (plain and centred and layer.stride[0] == layer.stride[1]):
        return None
    size = (int(layers.in_height[row]), int(layers.in_width[row]))
    return Site(name, layer.in_channels, layer.out_channels, kernel, layer.stride[0], *size)


def _joined(pieces: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    inputs, outputs = zip(*pieces, strict=True)
    return torch.cat(inputs), torch.cat(outputs)
