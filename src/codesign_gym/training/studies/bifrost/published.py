"""Bifrost's AlexNet: its layers, the cycles that the paper's code lists, and ours for what it states fully.

Stjerngren, Gibson, Cano, "Bifrost: End-to-End Evaluation and Optimization of Reconfigurable DNN Accelerators", ISPASS
2022, with 128 multipliers, 64 words in and out a cycle, no accumulation buffer; cycles as in the tables of its public
repository, rounded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from codesign_gym.simulators import networks
from codesign_gym.simulators.hardware import device as devices
from codesign_gym.simulators.hardware.stonne.maeri import Maeri
from codesign_gym.simulators.hardware.stonne.sigma import Sigma
from codesign_gym.simulators.hardware.stonne.tiles import loops
from codesign_gym.simulators.networks.layers import Network
from codesign_gym.training.studies.study import Claim, at_most, judged

NETWORK, DEVICE = "alexnet", "maeri-128"

WITHIN = 0.1  # of the published cycles


@dataclass(frozen=True)
class Published:
    """Millions of cycles of one layer; NaN where there are none.

    Attributes:
        layer: its name in the network.
        default: with single products.
        tuned: as Bifrost tuned it.
        mrna: with the mRNA mapper's mapping.
        sigma: on SIGMA, dense.
    """

    layer: str
    default: float
    tuned: float
    mrna: float
    sigma: float = float("nan")


CONVOLUTIONS: Mapping[str, Published] = {
    "conv 1": Published("features.0", 280.5, 3.68, 3.68, 1.164),
    "conv 2": Published("features.3", 895.7, 19.04, 15.26, 3.672),
    "conv 3": Published("features.6", 449.0, 8.84, 7.93, 1.887),
    "conv 4": Published("features.8", 598.8, 12.13, 10.55, 2.516),
    "conv 5": Published("features.10", 399.2, 12.13, 7.04, 1.707),
}
DENSE: Mapping[str, Published] = {
    "FC 1": Published("classifier.1", 188.7, 17.0, 4.24),
    "FC 2": Published("classifier.4", 83.9, 7.57, 2.62),
    "FC 3": Published("classifier.6", 20.5, 1.85, 0.467),
}
LAYERS: Mapping[str, Published] = {**CONVOLUTIONS, **DENSE}


def machine() -> Maeri:
    """Bifrost's MAERI."""
    model = devices.load(DEVICE).model
    assert isinstance(model, Maeri)
    return model


def rows(layers: Sequence[Published]) -> Network:
    """The network's rows of some layers, in its order."""
    network, names = networks.load(NETWORK), [layer.layer for layer in layers]
    return network.rows(np.array([name in names for name in network.layer_names]))


def default_cycles(layers: Sequence[Published]) -> NDArray[np.float64]:
    """Millions of cycles with single products, shape (layers,)."""
    table = rows(layers).layers
    single = replace(loops(table), **dict.fromkeys("rsckgnxy", np.ones(len(layers), dtype=np.int64)))
    costs = machine().at(table, np.full((len(layers), 2), 8), single)
    return np.asarray(costs.detail["cycles"]) / 1e6


def mapper_cycles(layers: Sequence[Published]) -> NDArray[np.float64]:
    """Millions of cycles with the tiles that the model's own search finds, shape (layers,)."""
    return np.asarray(machine().cost(rows(layers).layers, np.full((len(layers), 2), 8)).detail["cycles"]) / 1e6


def sigma_cycles(layers: Sequence[Published]) -> NDArray[np.float64]:
    """Millions of cycles on a dense SIGMA of the same size, shape (layers,)."""
    size = machine()
    ports, lines = size.distribution_words_per_cycle, size.reduction_words_per_cycle
    dense = Sigma(size.clock_hz, size.multipliers, ports, lines, sparsity=0.0)
    return np.asarray(dense.cost(rows(layers).layers, np.full((len(layers), 2), 8)).detail["cycles"]) / 1e6


def claims() -> tuple[Claim, Claim]:
    """What the paper states fully, within a tenth."""
    every, convolutions = tuple(LAYERS.values()), tuple(CONVOLUTIONS.values())
    default = default_cycles(every) / [layer.default for layer in every]
    sigma = sigma_cycles(convolutions) / [layer.sigma for layer in convolutions]
    return (
        _within("MAERI, default mapping: published cycles of all eight layers within 10 %", default),
        _within("SIGMA, dense: published cycles of the five convolutions within 10 %", sigma),
    )


def _within(text: str, ratio: NDArray[np.float64]) -> Claim:
    error, note = np.abs(ratio - 1).tolist(), "no search, so no seeds: median and worst over layers"
    return judged(text, error, at_most(WITHIN), "{:.2%} off", of="layers", paper="its cycles are the bar", note=note)
