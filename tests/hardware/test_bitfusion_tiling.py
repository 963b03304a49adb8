"""The cost of a given tiling, against hand-made cases; the public simulator's rows are ``verify``'s."""

import numpy as np
import pytest

from codesign_gym.simulators.hardware.bitfusion.execution import precision_factor
from codesign_gym.simulators.hardware.bitfusion.machine import Convolution, FusionArray
from codesign_gym.simulators.hardware.bitfusion.tiling import (
    ACTIVATION_LOOPS,
    OUTPUT_LOOPS,
    WEIGHT_LOOPS,
    evaluate,
    walk,
)
from codesign_gym.simulators.hardware.device import load

ORDER = np.array([4, 3, 0, 2, 1])  # outputs, inputs, batch, rows, columns; outermost first


@pytest.fixture(scope="module")
def array() -> FusionArray:
    model = load("bitfusion").model
    assert isinstance(model, FusionArray)
    return model


def test_narrow_operands_split_the_units() -> None:
    pairs = {(8, 8): 1, (8, 4): 2, (4, 4): 4, (8, 2): 4, (4, 2): 8, (2, 2): 16, (5, 7): 1, (3, 8): 2, (3, 3): 4}
    assert {pair: int(precision_factor(*pair)) for pair in pairs} == pairs


def test_a_single_tile_moves_every_tensor_once(array: FusionArray) -> None:
    work = Convolution(1, 4, 4, 16, 32, 3, 3, 1, 0)
    run = evaluate(array, work, work.sizes, ORDER, 8, 8, 1)
    assert run.compute_cycles == 4 * 4 * 9
    weights, activations, outputs = 9 * 16 * 32 * 8, 6 * 6 * 16 * 8, 4 * 4 * 32 * 32
    assert run.dram_read_bits == weights + activations + outputs
    assert run.dram_write_bits == outputs
    assert run.stall_cycles == -(-(weights + activations + outputs) // 192) + -(-outputs // 192)


def test_unfolding_lays_the_window_across_the_inputs(array: FusionArray) -> None:
    plain, unfolded = (Convolution(1, 8, 8, 3, 32, 3, 3, 1, flag) for flag in (0, 1))
    assert evaluate(array, plain, plain.sizes, ORDER, 8, 8, 1).compute_cycles == 8 * 8 * 9
    assert evaluate(array, unfolded, unfolded.sizes, ORDER, 8, 8, 1).compute_cycles == 8 * 8 * 2


def test_walk_reuses_what_fits_and_reloads_after_the_first_overflow() -> None:
    counts = np.array([3, 2, 5])  # outermost first
    padded = np.array([1, 1, *counts])
    reuse_inside = walk(10, 100, padded, np.array([False, False, False, True, False]))
    assert (reuse_inside.moved, reuse_inside.held) == (20, 20)
    overflow = walk(10, 30, padded, np.array([False, False, False, False, True]))
    assert (overflow.moved, overflow.held) == (10 * 5 * 2 * 3, 10)


def test_every_tensor_ignores_the_loops_that_do_not_index_it() -> None:
    assert (WEIGHT_LOOPS & ACTIVATION_LOOPS & OUTPUT_LOOPS).sum() == 0
    assert [int(loops.sum()) for loops in (WEIGHT_LOOPS, ACTIVATION_LOOPS, OUTPUT_LOOPS)] == [2, 4, 4]


def test_at_a_fixed_tiling_more_bits_never_move_less_or_need_less_energy(array: FusionArray) -> None:
    work = Convolution(1, 28, 28, 64, 128, 3, 3, 1, 0)
    tile = np.array([1, 4, 4, 32, 64])
    bits = np.arange(2, 9)
    run = evaluate(array, work, tile, ORDER, bits[:, None], bits, 1)
    for column in (run.dram_bits, run.sram_bits, run.energy_j(array)):
        assert (np.diff(column, axis=0) >= 0).all()
        assert (np.diff(column, axis=1) >= 0).all()


def test_area_is_the_sum_of_its_parts(array: FusionArray) -> None:
    assert array.area_mm2 == pytest.approx(0.888 + 0.767 + 0.242 + 0.243)
