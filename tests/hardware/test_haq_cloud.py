"""HAQ's closed form: its constants, the released table and the published ratios."""

from pathlib import Path

import numpy as np
import pytest
from hardware_samples import conv, layers, linear

from codesign_gym.simulators.hardware.cells import tabulate
from codesign_gym.simulators.hardware.device import load
from codesign_gym.simulators.networks import catalog
from codesign_gym.simulators.networks.layers import Layers

#: Total at uniform bits with both ends at 8, over the total at 8 bits; from the released table.
UNIFORM_RATIOS = {7: 0.835, 6: 0.683, 5: 0.544, 4: 0.418, 3: 0.307, 2: 0.210}
TABLE_CYCLES = 39.62e6


@pytest.fixture(scope="module")
def mobilenet() -> Layers:
    return catalog.load("mobilenetv2-imagenet100").weighted().layers


def uniform(bits: int, count: int) -> np.ndarray:
    design = np.full((count, 2), bits)
    design[[0, -1]] = 8
    return design


def cycles(network: Layers, bits: int) -> float:
    return float(load("haq-cloud").cost(network, uniform(bits, len(network.op))).total().detail["cycles"])


def test_total_at_8_bits(mobilenet: Layers) -> None:
    assert len(mobilenet.op) == 53
    assert cycles(mobilenet, 8) == pytest.approx(TABLE_CYCLES, rel=0.01)


@pytest.mark.parametrize(("bits", "ratio"), UNIFORM_RATIOS.items())
def test_uniform_ratios(mobilenet: Layers, bits: int, ratio: float) -> None:
    assert cycles(mobilenet, bits) / cycles(mobilenet, 8) == pytest.approx(ratio, abs=0.01)


def test_each_kind_of_layer_by_hand() -> None:
    table = layers(conv(4, 32, 32, 3, groups=32), conv(4, 200, 512, 1), linear(128, 100), conv(4, 32, 64, 1))
    bits = np.array([[4, 6], [4, 6], [4, 6], [2, 8]])
    found = load("haq-cloud").cost(table, bits).detail["cycles"]
    positions = 16 * 4 * 4
    expected = [
        positions * 6 * 32 / 16 + 9 * 32 * 4 / 13.5,
        positions * 6 * 2 * (512 * 4 / 256) + 200 * 512 * 4 / 13.5,
        128 * 100 * 4 / 25.6,
        positions * 8 + 32 * 64 * 2 / 13.5,
    ]
    np.testing.assert_allclose(found, expected)


def test_it_has_no_energy_and_latency_is_cycles_at_the_clock(mobilenet: Layers) -> None:
    costs = load("haq-cloud").cost(mobilenet, uniform(8, 53))
    assert costs.energy_j is None
    np.testing.assert_allclose(costs.latency_s, costs.detail["cycles"] / 200e6)


@pytest.mark.reference
def test_the_released_table(references: Path, mobilenet: Layers) -> None:
    released = np.load(references / "haq" / "qmobilenetv2_imagenet100_batch16_latency_table.npy").astype(np.float64)
    ours = tabulate(load("haq-cloud"), mobilenet, range(1, 9)).detail["cycles"]
    assert ours.shape == released.shape == (53, 8, 8)
    assert np.abs(ours / released - 1).mean() == pytest.approx(0.083, abs=0.003)
