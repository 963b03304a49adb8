"""ANNETTE's refined roofline: utilisation by hand, and what stays a plain roofline."""

from dataclasses import replace

import numpy as np
import pytest
from hardware_samples import conv, layers, linear

from codesign_gym.simulators.hardware.device import load
from codesign_gym.simulators.hardware.refined_roofline import RefinedRoofline
from codesign_gym.simulators.networks.layers import Op

STEPS = {"row_step": 8.0, "column_step": 4.0, "input_step": 16.0, "filter_step": 32.0}
ALPHAS = {"row_alpha": 1.0, "column_alpha": 1.0, "input_alpha": 1.0, "filter_alpha": 1.0}
SLOW = RefinedRoofline(  # arithmetic bound
    ops_per_s=1e3,
    bytes_per_s=1e9,
    **STEPS,
    **ALPHAS,
    dense_ops_per_s=1e2,
    dense_bytes_per_s=1e9,
    pool_bytes_per_s=1e2,
    launch_s=0.0,
)
BITS = np.full((1, 2), 8)


def test_utilisation_by_hand() -> None:
    table = layers(conv(9, 20, 33, 3))
    share = 9 / 16 * 9 / 12 * 20 / 32 * 33 / 64
    assert SLOW.utilisation(table) == pytest.approx(share)
    assert SLOW.cost(table, BITS).latency_s == pytest.approx(2 * table.macs[0] / 1e3 / share)


def test_alpha_softens_a_dimension() -> None:
    table = layers(conv(8, 20, 32, 3))  # only the input channels are not whole steps
    half = replace(SLOW, input_alpha=0.5)
    assert half.utilisation(table) == pytest.approx(1 / (0.5 + 0.5 / (20 / 32)))
    assert replace(SLOW, input_alpha=0.0).utilisation(table) == 1


@pytest.mark.parametrize("size", [(8, 16, 32), (16, 32, 64)])
def test_whole_steps_fill_the_hardware(size: tuple[int, int, int]) -> None:
    assert SLOW.utilisation(layers(conv(size[0], size[1], size[2], 3))) == 1


def test_utilisation_is_a_share() -> None:
    random = np.random.default_rng(0)
    for size, inputs, outputs in random.integers(1, 100, (50, 3)).tolist():
        assert 0 < SLOW.utilisation(layers(conv(size, inputs, outputs, 1)))[0] <= 1


def test_memory_bound_convolutions_are_not_refined() -> None:
    table = layers(conv(9, 20, 33, 3))
    starved = replace(SLOW, ops_per_s=1e9, bytes_per_s=1e3)
    assert starved.cost(table, BITS).latency_s == pytest.approx((81 * 53 + 20 * 33 * 9) / 1e3)


def test_at_the_ridge_more_bandwidth_is_slower_by_the_utilisation() -> None:
    """ANNETTE's form, kept as it is: the one place where a device that ships is not monotone in bandwidth."""
    table = layers(conv(9, 20, 33, 3))
    ridge = SLOW.ops_per_s * (81 * 53 + 20 * 33 * 9) / (2 * table.macs[0])
    times = [replace(SLOW, bytes_per_s=ridge * part).cost(table, BITS).latency_s[0] for part in (0.5, 0.999, 1.001, 9)]
    assert times[0] > times[1]
    assert times[2] / times[1] == pytest.approx(1 / SLOW.utilisation(table)[0], rel=2e-3)
    assert times[3] == times[2]
    whole = [
        replace(SLOW, dense_bytes_per_s=part).cost(layers(linear(10, 3)), BITS).latency_s[0] for part in (1.0, 2.0, 1e9)
    ]
    assert whole == sorted(whole, reverse=True)


def test_strides_read_whole_squares() -> None:
    row = conv(9, 4, 4, 1, stride=2)  # 5 x 5 positions of 2 x 2 pixels, of 9 x 9
    assert SLOW.cost(layers(row), BITS).detail["dram_bytes"] == 100 * 4 + 25 * 4 + 16


def test_other_kinds_have_rooflines_of_their_own() -> None:
    depthwise, dense = conv(9, 20, 20, 3, groups=20), linear(10, 3)
    pool = {**conv(8, 4, 4, 2), "op": Op.POOL}
    table = layers(depthwise, dense, pool)
    expected = [2 * table.macs[0] / 1e3, 2 * 30 / 1e2, 2 * 64 * 4 / 1e2]
    np.testing.assert_allclose(SLOW.cost(table, np.full((3, 2), 8)).latency_s, expected)


def test_norms_and_activations_are_merged_and_other_rows_move_their_bytes() -> None:
    image = {**conv(8, 4, 4, 1), "op": Op.NORM}
    table = layers(image, image | {"op": Op.ACTIVATION}, image | {"op": Op.ELEMENTWISE}, image | {"valid": 0})
    model = replace(SLOW, bytes_per_s=1e3, launch_s=2.0)
    assert model.cost(table, np.full((4, 2), 8)).latency_s.tolist() == [0, 0, 3 * 256 / 1e3 + 2.0, 0]


@pytest.mark.parametrize("name", ["zcu102-dnndk", "ncs2"])
def test_the_devices_that_ship_are_slower_than_their_peak(name: str) -> None:
    device, table = load(name), layers(conv(28, 100, 100, 3))
    latency = device.cost(table, np.full((1, 2), device.max_bits)).latency_s
    assert latency > 2 * table.macs[0] / device.model.ops_per_s
