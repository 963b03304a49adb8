"""ANNETTE's refined roofline: utilisation by hand, and what stays a plain roofline."""

from dataclasses import fields, replace

import numpy as np
import pytest
from hardware_samples import conv, layers, linear, rows
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign_gym.simulators.hardware.device import load
from codesign_gym.simulators.hardware.refined_roofline import ANNETTE, MONOTONE, RefinedRoofline
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
    form=MONOTONE,
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


def ridge(share: float) -> float:
    """The bandwidth at which a row of 9 x 9 takes as long to move as to compute at a share of the peak."""
    table = layers(conv(9, 20, 33, 3))
    return SLOW.ops_per_s * share * (81 * 53 + 20 * 33 * 9) / (2 * table.macs[0])


def test_annettes_form_jumps_at_the_ridge_by_the_utilisation() -> None:
    table, annette = layers(conv(9, 20, 33, 3)), replace(SLOW, form=ANNETTE)
    steps = [ridge(1) * part for part in (0.5, 0.999, 1.001, 9)]
    times = [replace(annette, bytes_per_s=rate).cost(table, BITS).latency_s[0] for rate in steps]
    assert times[0] > times[1]
    assert times[2] / times[1] == pytest.approx(1 / SLOW.utilisation(table)[0], rel=2e-3)
    assert times[3] == times[2]


def test_the_forms_agree_outside_of_their_ridges() -> None:
    table = layers(conv(9, 20, 33, 3))
    low, high = ridge(float(SLOW.utilisation(table)[0])), ridge(1)
    for rate, equal in ((0.99 * low, True), (1.01 * low, False), (0.99 * high, False), (1.01 * high, True)):
        monotone, annette = (
            replace(SLOW, bytes_per_s=rate, form=form).cost(table, BITS).latency_s[0] for form in (MONOTONE, ANNETTE)
        )
        assert (monotone == annette) == equal
        assert monotone >= annette


@pytest.mark.parametrize("name", ["zcu102-dnndk", "ncs2"])
@settings(max_examples=50, deadline=None, derandomize=True)
@given(row=rows(), faster=st.floats(1, 4), bits=st.integers(1, 31))
def test_the_devices_that_ship_are_monotone(name: str, row: dict[str, int], faster: float, bits: int) -> None:
    """In every rate, and in bits beyond those that the device has: its model takes any."""
    model, table = load(name).model, layers(row)
    widths = np.full((1, 2), bits)
    before = model.cost(table, widths).latency_s
    for rate in (field.name for field in fields(RefinedRoofline) if field.name.endswith("_per_s")):
        assert (replace(model, **{rate: faster * getattr(model, rate)}).cost(table, widths).latency_s <= before).all()
    for more in ((1, 0), (0, 1)):
        assert (model.cost(table, widths + np.array(more)).latency_s >= before).all()


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
