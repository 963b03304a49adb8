"""The look-up table that environments use, and the parts of costs."""

import numpy as np
import pytest
from hardware_samples import DEVICES, conv, layers, linear

from codesign_gym.errors import BadConfig, UnsupportedNetwork
from codesign_gym.simulators.hardware.cells import tabulate
from codesign_gym.simulators.hardware.device import load
from codesign_gym.simulators.hardware.model import Costs
from codesign_gym.simulators.networks.layers import Op

TABLE = layers(conv(16, 3, 8, 3), conv(16, 8, 8, 3, groups=8), linear(8, 10))


@pytest.mark.parametrize("name", DEVICES)
def test_a_table_holds_the_cost_of_every_pair(name: str) -> None:
    device = load(name)
    widths = sorted({max(device.min_bits, 2), (device.min_bits + device.max_bits) // 2, device.max_bits})
    table = tabulate(device, TABLE, widths)
    assert table.latency_s.shape == (3, len(widths), len(widths))
    for row, weight_bits in enumerate(widths):
        for column, activation_bits in enumerate(widths):
            costs = device.cost(TABLE, np.tile([weight_bits, activation_bits], (3, 1)))
            np.testing.assert_array_equal(table.latency_s[:, row, column], costs.latency_s)
            np.testing.assert_array_equal(table.size_bytes[:, row, column], costs.size_bytes)


def test_rows_without_weights_are_charged_to_the_layer_before_them() -> None:
    device, pool = load("nvidia-t4"), {**conv(8, 8, 8, 3), "op": Op.POOL}
    network = layers(pool, conv(16, 3, 8, 3), pool, linear(8, 10), pool)
    table = tabulate(device, network, [8])
    costs = device.cost(network, np.full((5, 2), 8))
    np.testing.assert_allclose(table.latency_s[:, 0, 0], [costs.latency_s[:3].sum(), costs.latency_s[3:].sum()])
    with pytest.raises(UnsupportedNetwork, match="no layer with weights"):
        tabulate(device, layers(pool), [8])


def test_a_table_of_bitwidths_that_the_device_lacks_is_an_error() -> None:
    with pytest.raises(BadConfig, match=r"field 'bits' is 1; accepted: 2 to 8 .the weights of layer 0"):
        tabulate(load("bitfusion"), TABLE, range(1, 9))


def test_total_sums_layers() -> None:
    costs = Costs(np.array([1.0, 2.0]), np.array([3.0, 4.0]), np.array([5.0, 6.0]), {"cycles": np.array([7, 8])})
    total = costs.total()
    assert (total.latency_s, total.size_bytes, total.energy_j, total.detail["cycles"]) == (3, 7, 11, 15)
    assert Costs(np.ones(2), np.ones(2)).total().energy_j is None


def test_size_is_the_weights_at_their_bits() -> None:
    costs = load("haq-cloud").cost(TABLE, np.array([[8, 8], [4, 8], [3, 8]]))
    np.testing.assert_array_equal(costs.size_bytes, [216, 36, 30])
