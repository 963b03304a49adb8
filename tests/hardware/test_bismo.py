"""BISMO's stages by hand, and its published size and peak."""

from dataclasses import replace

import numpy as np
import pytest
from hardware_samples import conv, layers, linear

from codesign_gym.simulators.hardware.bismo import Bismo
from codesign_gym.simulators.hardware.device import load


@pytest.fixture(scope="module")
def bismo() -> Bismo:
    model = load("bismo-edge").model
    assert isinstance(model, Bismo)
    return model


def test_the_published_peak_and_that_it_fits_the_zynq_7020(bismo: Bismo) -> None:
    binary_ops_per_s = 2 * bismo.dm * bismo.dn * bismo.dk * bismo.clock_hz
    assert binary_ops_per_s == pytest.approx(6.5e12, rel=0.01)
    assert bismo.luts == pytest.approx(29_678, rel=1e-3)  # the chip has 53,200
    assert bismo.brams == 128  # the chip has 140


def test_execution_is_the_product_of_the_bitwidths(bismo: Bismo) -> None:
    table = layers(conv(16, 64, 24, 3))
    tiles = (16 * 16 // 8) * (24 // 8) * 3  # 576 products are three words of 256
    for pair in [(8, 8), (3, 5), (1, 1)]:
        found = bismo.cost(table, np.array([pair])).detail["execute_cycles"]
        assert found == pair[0] * pair[1] * tiles


def test_a_matrix_vector_product_waits_for_its_weights(bismo: Bismo) -> None:
    bits = np.array([[4, 4]])
    costs = bismo.cost(layers(linear(2048, 1000)), bits).detail
    fetch = (2048 * 1000 * 4 + 125 * 2048 * 4) / 8 / 8  # eight bytes a cycle
    fill = 2048 * (8 * 4 + 1 * 4) / 8 / 8 + 4 * 1 * 8 / 8
    assert costs["cycles"] == pytest.approx(fetch + fill)
    assert costs["execute_cycles"] < fetch


def test_depthwise_is_one_product_per_channel(bismo: Bismo) -> None:
    bits = np.array([[5, 6]])
    whole = bismo.cost(layers(conv(8, 48, 48, 3, groups=48)), bits).latency_s
    single = bismo.cost(layers(conv(8, 1, 1, 3)), bits).latency_s
    np.testing.assert_allclose(whole, 48 * single)


def test_parameters_may_be_arrays_of_designs(bismo: Bismo) -> None:
    table = layers(conv(16, 64, 24, 3), linear(128, 10))
    bits = np.full((2, 2), 6)
    sizes = np.array([[4], [8], [16]])
    together = replace(bismo, dm=sizes).cost(table, bits).latency_s
    apart = [replace(bismo, dm=int(size)).cost(table, bits).latency_s for size in sizes[:, 0]]
    np.testing.assert_array_equal(together, apart)
