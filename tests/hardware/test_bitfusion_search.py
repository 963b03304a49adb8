"""The compiler's choice, against brute force; the public simulator's own choices are ``verify``'s."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from hardware_samples import conv, layers

from codesign_gym.errors import BadConfig, UnsupportedNetwork
from codesign_gym.simulators.hardware.bitfusion.cost import BitFusion
from codesign_gym.simulators.hardware.bitfusion.execution import precision_factor
from codesign_gym.simulators.hardware.bitfusion.machine import Convolution
from codesign_gym.simulators.hardware.bitfusion.search import (
    BITWIDTHS,
    QUANTITIES,
    candidate_orders,
    candidate_tiles,
    layer_table,
    narrow_or_widen,
    search,
)
from codesign_gym.simulators.hardware.bitfusion.tiling import evaluate
from codesign_gym.simulators.hardware.device import load
from codesign_gym.simulators.hardware.rounding import RELAXED
from codesign_gym.simulators.networks import load as load_network


@pytest.fixture(scope="module")
def array() -> BitFusion:
    model = load("bitfusion").model
    assert isinstance(model, BitFusion)
    return model


@pytest.mark.parametrize("bits", [(8, 8), (2, 5)])
@pytest.mark.parametrize(
    "work",
    [Convolution(2, 6, 6, 40, 70, 3, 3, 1, 0), Convolution(1, 9, 5, 3, 40, 3, 3, 2, 1)],
    ids=["square", "image"],
)
def test_the_search_finds_the_best_of_all_orders_and_tiles(
    array: BitFusion, work: Convolution, bits: tuple[int, int]
) -> None:
    tile = candidate_tiles(array, work)
    order = np.array(list(permutations(range(5))))[:, None]
    factor = precision_factor(*bits)
    run = evaluate(array, work, np.broadcast_to(tile, (120, *tile.shape)), order, *bits, factor)
    energy_j = run.energy_j(array)
    best = np.lexsort((energy_j.ravel(), run.cycles.ravel()))[0]
    found = search(array, work)[:, bits[0] - 2, bits[1] - 2]
    assert found[QUANTITIES.index("cycles")] == run.cycles.ravel()[best]
    assert found[QUANTITIES.index("energy_j")] == pytest.approx(energy_j.ravel()[best])


def test_loops_of_one_step_and_mirror_images_are_not_searched_twice() -> None:
    assert len(candidate_orders(Convolution(1, 1, 1, 64, 64, 1, 1, 1, 0))) == 2
    assert len(candidate_orders(Convolution(1, 8, 8, 64, 64, 1, 1, 1, 0))) == 12
    assert len(candidate_orders(Convolution(4, 8, 6, 64, 64, 1, 1, 1, 0))) == 120


def test_a_precision_costs_no_more_than_a_wider_one(array: BitFusion) -> None:
    own = search(array, Convolution(1, 56, 56, 64, 64, 3, 3, 1, 0))
    best = narrow_or_widen(own)
    assert (best[0] <= own[0]).all()
    assert (np.diff(best[0], axis=0) >= 0).all()
    assert (np.diff(best[0], axis=1) >= 0).all()
    assert (best[:, -1, -1] == own[:, -1, -1]).all()


def test_depthwise_channels_share_the_grid(array: BitFusion) -> None:
    bits = np.full((1, 2), 8)
    depthwise = array.cost(layers(conv(14, 64, 64, 3, groups=64)), bits)
    block = array.cost(layers(conv(14, 32, 32, 3)), bits)
    assert depthwise.detail["cycles"] == 2 * block.detail["cycles"]


def test_only_image_layers_are_unfolded(array: BitFusion) -> None:
    bits = np.full((2, 2), 8)
    detail = array.cost(layers(conv(32, 4, 32, 3), conv(32, 5, 32, 3)), bits).detail
    image, wider = detail["cycles"] - detail["stall_cycles"]
    assert image == 32 * 32 * 3  # 36 products are three rows of 16
    assert wider == 32 * 32 * 9


def test_buffers_too_small_for_any_tile_are_an_error(array: BitFusion) -> None:
    work = Convolution(1, 6, 6, 40, 70, 3, 3, 1, 0)  # windows of 9 inputs, 32 outputs of 32 bits at a time
    said = "at 2/5 bits the smallest takes {} B of half of {}_sram_bytes, {} B: {} B too many; Convolution"
    for name, has, told in (
        ("activation", 1, said.format("5.625", "activation", "0.5", "5.125")),
        ("output", 40, said.format("128", "output", "20", "108")),
    ):
        with pytest.raises(UnsupportedNetwork, match=f"^no tile of a layer fits BitFusion's buffers: {told}"):
            layer_table(replace(array, **{f"{name}_sram_bytes": has}), work)


def test_relaxed_bitwidths_lie_between_whole_ones_without_a_step(array: BitFusion) -> None:
    """Near 4.5 and 7.5 bits the search goes over to other tiles."""
    table = load_network("resnet18").weighted().layers
    lowered = array.lower(table, np.zeros(1))

    def at(width: float) -> tuple[float, float]:
        costs = array.cost_of(lowered, np.full((len(table.op), 2), width), RELAXED).total()
        return float(costs.latency_s), float(costs.energy_j)

    for width in (2.5, 4.0, 4.5, 5.0, 6.5, 7.5):
        np.testing.assert_allclose(at(width - 1e-7), at(width + 1e-7), rtol=1e-6)
    for low in BITWIDTHS[:-1]:
        ends = np.array([at(low), at(low + 1)])
        for width in (low + 0.2, low + 0.5, low + 0.9):
            found = np.array(at(width))
            # every row bilinear in two bitwidths that rise together: between the least and the most of its corners
            assert (found <= ends.max(0) * 1.1).all()
            assert (found >= ends.min(0) * 0.9).all()
    assert np.isnan(at(1.4)).all()
    assert np.isnan(at(8.6)).all()


def test_other_bitwidths_are_an_error(array: BitFusion) -> None:
    with pytest.raises(BadConfig, match=r"bitwidths 2 to 8, not \[1\]"):
        array.cost(layers(conv(6, 8, 8, 3)), np.ones((1, 2), dtype=np.int64))


@pytest.mark.parametrize(
    "row",
    [conv(14, 3, 40, 3, stride=2), conv(14, 64, 64, 3, groups=64), conv(9, 70, 130, 3)],
    ids=["image", "dw", "conv"],
)
def test_the_closed_form_is_what_the_search_found(array: BitFusion, row: dict[str, int]) -> None:
    """At every precision, to the last bit."""
    table = layers(row)
    bits = np.stack(np.meshgrid(BITWIDTHS, BITWIDTHS, indexing="ij"), -1)[:, :, None]
    costs = array.cost(table, bits)
    lowered = array.lower(table, bits)
    work = Convolution(*(int(column[0]) for column in vars(lowered.work).values()))
    for name, found in zip(QUANTITIES, layer_table(array, work), strict=False):
        mine = costs.energy_j if name == "energy_j" else costs.detail[name]
        np.testing.assert_array_equal(mine[..., 0], found * lowered.times[0])


def test_real_bitwidths_and_sizes_take_the_tiling_of_the_nearest(array: BitFusion) -> None:
    table = layers(conv(14, 64, 96, 3))
    near = replace(array, inputs=np.float64(16.4), outputs=np.float64(31.6))
    found = near.lower(table, np.ones(1)).decisions
    np.testing.assert_array_equal(found, array.lower(table, np.ones(1)).decisions)
    wide, narrow = (array.cost(table, np.full((1, 2), width)).detail["dram_bits"] for width in (4.4, 3.6))
    assert narrow < array.cost(table, np.full((1, 2), 4)).detail["dram_bits"] < wide


def test_bitwidths_that_there_are_none_of_have_no_cost(array: BitFusion) -> None:
    table = layers(conv(14, 64, 96, 3))
    bits = np.array([[[1, 8]], [[8, 9]], [[8, 8]]])
    found = array.cost_of(array.lower(table, bits), bits).latency_s
    assert np.isnan(found[:2]).all()
    assert np.isfinite(found[2]).all()


def test_the_clock_is_not_searched_for(array: BitFusion) -> None:
    table, bits = layers(conv(6, 8, 8, 3)), np.full((1, 2), 8)
    clocks = np.array([[1e8], [2e8]])
    latency = replace(array, clock_hz=clocks).cost(table, bits).latency_s
    np.testing.assert_array_equal(latency * clocks, np.broadcast_to(array.cost(table, bits).detail["cycles"], (2, 1)))
