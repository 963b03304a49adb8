"""Designs costed in one batch, beside one by one."""

from __future__ import annotations

import numpy as np
import pytest
from interleaved import speed
from numpy.typing import NDArray

from codesign_gym.simulators import networks
from codesign_gym.simulators.hardware import device as devices
from codesign_gym.simulators.hardware.device import Device
from codesign_gym.simulators.networks.layers import Layers

DESIGNS = 65_536
DEVICES = ("haq-cloud", "bismo-edge", "bitfusion")
BAR_LAYERS = 1000  # against a loop over designs and layers
BAR_CALLS = 100  # against one call per design, whose 53 layers are an array already


@pytest.fixture(scope="module")
def layers() -> Layers:
    return networks.load("mobilenetv2-imagenet100").weighted().layers


@pytest.fixture(scope="module")
def bits() -> NDArray[np.uint8]:
    """Bitwidths of every design, (65536, 53, 2)."""
    return np.random.default_rng(0).integers(2, 9, (DESIGNS, 53, 2), dtype=np.uint8)


def by_design(device: Device, layers: Layers, bits: NDArray[np.uint8]) -> list[float]:
    """One call of ``device.cost`` per design."""
    return [float(device.cost(layers, design).latency_s.sum()) for design in bits]


def by_layer(device: Device, layers: Layers, bits: NDArray[np.uint8]) -> list[float]:
    """The model evaluated layer by layer and design by design, as HAQ's own code does."""
    rows = [layers.with_batch(device.batch).map(lambda column, i=i: column[i : i + 1]) for i in range(bits.shape[1])]
    return [
        sum(
            float(device.model.cost(row, design[i : i + 1].astype(np.int64)).latency_s[0]) for i, row in enumerate(rows)
        )
        for design in bits
    ]


@pytest.mark.parametrize("name", DEVICES)
@pytest.mark.parametrize(("loop", "sample", "bar"), [(by_layer, 8, BAR_LAYERS), (by_design, 256, BAR_CALLS)])
def test_a_batch_beside_a_loop(report, layers: Layers, bits, name: str, loop, sample: int, bar: float) -> None:
    """The loop is timed on a sample of the designs: its time is proportional to their number."""
    device = devices.load(name)
    np.testing.assert_allclose(
        device.cost(layers, bits).latency_s[:sample].sum(-1), loop(device, layers, bits[:sample]), rtol=1e-12
    )
    ratio = speed(lambda: device.cost(layers, bits), lambda: loop(device, layers, bits[:sample]), repeats=9) * (
        DESIGNS / sample
    )
    report(f"{name}: a batch of {DESIGNS} over {loop.__name__}", ratio, bar, lambda: device.cost(layers, bits))
    assert ratio >= bar
