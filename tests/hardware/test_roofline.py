"""The roofline: what every kind of row moves, types, launches and the ridge."""

import numpy as np
import pytest
from hardware_samples import conv, layers, linear

from codesign_gym.simulators.hardware.device import load
from codesign_gym.simulators.hardware.roofline import TYPES, Roofline, by_type, moved_bits
from codesign_gym.simulators.hardware.rounding import RELAXED
from codesign_gym.simulators.networks import load as load_network
from codesign_gym.simulators.networks.layers import Op

SIMPLE = Roofline(ops_per_s_4=8e3, ops_per_s_8=4e3, ops_per_s_16=2e3, ops_per_s_32=1e3, bytes_per_s=1e3, launch_s=7.0)
IMAGE = {"in_channels": 4, "out_channels": 4, "in_height": 6, "in_width": 6, "out_height": 6, "out_width": 6}
HEADS = {"op": Op.MATMUL, "in_channels": 64, "out_channels": 32, "groups": 2, "in_height": 4, "out_height": 4}
TOKENS = {"op": Op.EMBEDDING, "in_channels": 1, "out_channels": 16, "in_height": 5, "out_height": 5}
MOVED = {  # the row and the activations and weights that it moves
    "convolution": (conv(6, 4, 8, 3), 6 * 6 * 12, 4 * 8 * 9),
    "depthwise": (conv(6, 4, 4, 3, groups=4), 6 * 6 * 8, 4 * 9),
    "linear": (linear(10, 3), 13, 30),
    "norm": ({"op": Op.NORM, **IMAGE}, 2 * 144, 0),
    "activation": ({"op": Op.ACTIVATION, **IMAGE}, 2 * 144, 0),
    "elementwise": ({"op": Op.ELEMENTWISE, **IMAGE}, 3 * 144, 0),
    "pool": ({"op": Op.POOL, **IMAGE, "out_height": 3, "out_width": 3}, 144 + 36, 0),
    "matmul": (HEADS, 4 * 64 + 4 * 32 + 64 * 32 // 2, 0),
    "embedding": (TOKENS | {"extra_parameters": 1000}, 2 * 5 * 16, 0),
}


@pytest.mark.parametrize("kind", MOVED)
def test_what_a_row_moves(kind: str) -> None:
    row, activations, weights = MOVED[kind]
    assert moved_bits(layers(row), np.array([[1.0, 100.0]])) == activations * 100 + weights


def test_the_narrowest_type_that_holds_a_number() -> None:
    bits = np.array([1, 4, 5, 8, 9, 16, 17, 32])
    assert by_type(bits, TYPES).tolist() == [4, 4, 8, 8, 16, 16, 32, 32]


@pytest.mark.parametrize(("bits", "ops_per_s"), [((4, 4), 8e3), ((4, 6), 4e3), ((9, 2), 2e3), ((32, 32), 1e3)])
def test_arithmetic_runs_in_the_wider_type(bits: tuple[int, int], ops_per_s: float) -> None:
    table = layers(conv(6, 40, 80, 3))  # more operations than bytes
    assert SIMPLE.cost(table, np.array([bits])).latency_s == pytest.approx(2 * table.macs[0] / ops_per_s + 7.0)


def test_every_row_that_exists_is_launched() -> None:
    row = {"op": Op.NORM, **IMAGE}
    costs = SIMPLE.cost(layers(row, row | {"valid": 0}), np.full((2, 2), 8))
    assert costs.latency_s.tolist() == [2 * 144 / 1e3 + 7.0, 0.0]


def test_below_the_ridge_only_bandwidth_counts() -> None:
    table, bits = layers(linear(100, 100)), np.array([[8, 8]])  # two operations a byte
    fast = Roofline(1e9, 1e9, 1e9, 1e9, bytes_per_s=1e3, launch_s=0.0)
    assert fast.cost(table, bits).latency_s == pytest.approx((100 * 100 + 200) / 1e3)


def test_relaxed_peaks_and_bandwidths_have_gradients() -> None:
    torch = pytest.importorskip("torch")
    rates = [torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in (8e3, 4e3, 2e3, 1e3, 2e3)]
    model = Roofline(*rates, launch_s=0.0)
    table = layers(linear(64, 64)).map(lambda column: torch.asarray(np.array(column)))
    model.cost(table, torch.full((1, 2), 8), RELAXED).latency_s.sum().backward()
    assert rates[1].grad < 0
    assert rates[4].grad < 0


@pytest.mark.parametrize("name", ["nvidia-v100", "nvidia-t4", "jetson-tx2", "raspberry-pi-4", "pixel-3-cpu"])
def test_narrower_types_are_never_slower_and_networks_never_reach_the_peak(name: str) -> None:
    device, table = load(name), load_network("resnet50").layers
    model = device.model
    peaks = [model.ops_per_s_4, model.ops_per_s_8, model.ops_per_s_16, model.ops_per_s_32]
    assert peaks == sorted(peaks, reverse=True)
    latency = device.cost(table, np.full((len(table.op), 2), device.max_bits)).total().latency_s
    assert latency > 2 * table.macs.sum() / model.ops_per_s_32
