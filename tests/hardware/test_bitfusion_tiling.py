"""The cost of a given tiling: against hand-made cases and against the public simulator's rows."""

from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from codesign_gym.simulators.hardware.bitfusion_tiling import (
    ACTIVATION_LOOPS,
    OUTPUT_LOOPS,
    WEIGHT_LOOPS,
    Convolution,
    Execution,
    FusionArray,
    evaluate,
    precision_factor,
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


LOOP_NAMES = ["B/b", "OW/ow", "OH/oh", "IC/ic", "OC/oc"]
COLUMNS = {  # ours to the simulator's
    "cycles": "cycles",
    "stall_cycles": "mem_stall_cycles",
    "dram_read_bits": "dram_rd_bits",
    "dram_write_bits": "dram_wr_bits",
    "weight_read_bits": "wgt_rd_bits",
    "weight_write_bits": "wgt_wr_bits",
    "activation_read_bits": "act_rd_bits",
    "activation_write_bits": "act_wr_bits",
    "output_read_bits": "out_rd_bits",
    "output_write_bits": "out_wr_bits",
}


@pytest.mark.reference
def test_every_row_of_the_simulator_is_met_exactly(references: Path, array: FusionArray) -> None:
    table = pd.read_csv(references / "bitfusion" / "bitfusion.csv")

    def column(name: str) -> np.ndarray:
        return table[name].to_numpy()

    work = Convolution(*(column(name) for name in ("batch", "O", "O", "IC", "OC", "K", "K", "stride", "im2col")))
    tile = np.stack([column(name) for name in ("b", "ow", "oh", "ic", "oc")], -1)
    order = np.array([[LOOP_NAMES.index(loop) for loop in row.split(">")] for row in table["order"]])
    weight_bits, activation_bits = column("wprec"), column("iprec")
    factor = precision_factor(weight_bits, activation_bits)
    run = evaluate(array, work, tile, order, weight_bits, activation_bits, factor)
    assert (factor == column("perf_factor")).all()
    for ours, theirs in COLUMNS.items():
        assert (getattr(run, ours) == column(theirs)).all(), ours
    np.testing.assert_allclose(run.energy_j(array), column("energy_nJ") * 1e-9, rtol=1e-12)
    assert len(fields(Execution)) == len(COLUMNS)
