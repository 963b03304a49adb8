"""Gemmini: its own tiles, what a tiling makes the hardware do, and the RTL's cycles."""

from dataclasses import replace
from pathlib import Path
from time import process_time

import numpy as np
import pandas as pd
import pytest
from hardware_samples import conv, layers, linear
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign_gym.errors import BadConfig
from codesign_gym.simulators.hardware.device import load
from codesign_gym.simulators.hardware.gemmini.caches import missing_lines
from codesign_gym.simulators.hardware.gemmini.cost import Gemmini
from codesign_gym.simulators.hardware.gemmini.tiling import COLUMNS, OWN_ORDER, Work, own_tiles, rows_taken, work
from codesign_gym.simulators.hardware.loopnest.mapping import Mapping
from codesign_gym.simulators.hardware.verification import gemmini as verification
from codesign_gym.simulators.hardware.verification.check import Check, NotRun
from codesign_gym.simulators.networks.layers import Op

few = settings(max_examples=25, deadline=None, derandomize=True)
sizes = st.tuples(*(st.sampled_from(choice) for choice in ([1, 7, 30], [1, 5, 57], [1, 24, 300], [1, 40, 200], [1, 3])))
strides = st.sampled_from([1, 2])


@pytest.fixture(scope="module")
def model() -> Gemmini:
    found = load("gemmini-16x16").model
    assert isinstance(found, Gemmini)
    return found


def convolution(rows: int, columns: int, outputs: int, inputs: int, kernel: int, stride: int) -> Work:
    return Work(np.array([[1, rows, columns, outputs, kernel, kernel, inputs]]), np.array([stride]), np.array([False]))


def tiles(loops: Work, model: Gemmini) -> np.ndarray:
    rows = np.ones_like(loops.stride)
    return own_tiles(loops, rows * model.dim, rows * model.scratchpad_bytes, rows * model.accumulator_bytes)


@few
@given(size=sizes, stride=strides)
def test_its_own_tiles_fit_and_could_not_grow(size: tuple[int, ...], stride: int) -> None:
    model, loops = load("gemmini-16x16").model, convolution(*size, stride)
    tile, dim = tiles(loops, model), np.array([model.dim])
    most = model.scratchpad_bytes // model.dim // 2, model.accumulator_bytes // (4 * model.dim) // 2

    def fits(candidate: np.ndarray) -> bool:
        return all((taken <= limit).all() for taken, limit in zip(rows_taken(loops, candidate, dim), most, strict=True))

    assert ((tile >= 1) & (tile <= loops.extent)).all()
    assert fits(tile)
    for loop in range(tile.shape[-1]):
        larger = tile + (np.arange(tile.shape[-1]) == loop)
        assert (larger > loops.extent).any() or not fits(larger)


def test_a_product_takes_a_square_of_accumulators(model: Gemmini) -> None:
    loops = work(layers(linear(3072, 768) | {"in_height": 128, "out_height": 128}))
    assert tiles(loops, model).tolist() == [[1, 1, 80, 80, 1, 1, 816]]  # as in the RTL's log


def test_memories_without_room_are_an_error(model: Gemmini) -> None:
    with pytest.raises(
        BadConfig,
        match="scratchpad_bytes: half of it has 1 rows of 16 B; a layer's smallest tile takes 2, 16 B too many",
    ):
        replace(model, scratchpad_bytes=32).cost(layers(conv(1, 1, 1, 1)), np.full((1, 2), 8))


@few
@given(size=sizes, stride=strides)
def test_a_tiling_does_all_the_work(size: tuple[int, ...], stride: int) -> None:
    """Every product is computed, and every operand that contributes is loaded at least once."""
    model, loops = load("gemmini-16x16").model, convolution(*size, stride)
    activity = model.activity(loops, tiles(loops, model), OWN_ORDER)
    rows, columns, outputs, inputs, kernel, dim = *size, model.dim
    weights = kernel**2 * inputs * outputs
    positions = rows * columns
    assert activity.blocks * activity.strip_cycles * dim**2 >= positions * weights
    assert activity.blocks * activity.strips * dim**3 >= positions * weights
    assert activity.stored_rows * dim >= positions * outputs
    assert activity.loaded_words * model.bus_bytes >= weights + positions * inputs
    assert model.cycles(activity) * dim**2 >= positions * weights


def test_a_tiling_by_hand(model: Gemmini) -> None:
    """Two tiles of 20 x 16 columns, one block of weights each: strips of 16 and 4 columns."""
    loops = convolution(1, 40, 16, 16, 1, 1)
    activity = model.activity(loops, np.array([[1, 1, 20, 16, 1, 1, 16]]), OWN_ORDER)
    expected = {
        "tiles": 2,
        "strips": 2,
        "strip_cycles": 16 + 4 + 16 - 4,
        "blocks": 2,
        "loaded_words": 2 * (20 + 16),
        "stored_rows": 40,
        "l2_missing_lines": 0,
        "llc_missing_lines": 0,
    }
    assert {name: float(column[0]) for name, column in activity._asdict().items()} == expected
    pure = replace(model, issue_cycles=1e-9, store_cycles=0.5, overlap_exponent=1.0)
    assert pure.cycles(activity) == pytest.approx(2 * 32 + 92 + 92 / 2)


@few
@given(channels=st.sampled_from([1, 2, 16, 24, 36, 48, 300]), outputs=st.integers(1, 200), tile=st.integers(1, 300))
def test_a_wider_bus_never_loads_more_words(channels: int, outputs: int, tile: int) -> None:
    model, loops = load("gemmini-16x16").model, convolution(4, 4, outputs, channels, 3, 1)
    sizes = np.array([[1, 4, 4, min(tile, outputs), 3, 3, min(tile, channels)]])
    buses = [replace(model, bus_bytes=2**power) for power in range(8)]
    words = [float(bus.activity(loops, sizes, OWN_ORDER).loaded_words[0]) for bus in buses]
    assert (np.diff(words) <= 0).all()


def test_rows_within_an_aligned_word_do_not_straddle(model: Gemmini) -> None:
    def words(channels: int, bus: int) -> float:
        loops = convolution(1, 40, 1, channels, 1, 1)
        wide = replace(model, bus_bytes=bus)
        return float(wide.activity(loops, loops.extent, OWN_ORDER).loaded_words[0]) - channels  # less the weights

    assert words(16, 16) == words(16, 32) == words(32, 32) == 40
    assert words(24, 32) == 80
    assert words(24, 16) == 120


def test_caches_that_hold_nothing_and_everything() -> None:
    loops = convolution(8, 8, 128, 64, 3, 1)
    tile = np.array([[1, 4, 8, 64, 3, 3, 64]])
    inputs, weights, outputs = 6 * 10, 9 * 64, 4 * 8  # lines of a tile
    assert missing_lines(loops, tile, OWN_ORDER, 0) == 4 * (inputs + weights + 2 * outputs)
    assert missing_lines(loops, tile, OWN_ORDER, 2**20) == 0
    # one tile's span fits (9 * 64 * 128 + (60 * 64 + 32 * 128) bytes), the layer's does not: each line misses once
    assert missing_lines(loops, tile, OWN_ORDER, 84_000) == 10 * 10 + 9 * 128 + 2 * 8 * 8 * 2


def test_a_reduction_outside_keeps_its_sums_in_the_accumulator() -> None:
    loops = convolution(4, 4, 64, 256, 1, 1)
    tile = np.array([[1, 4, 4, 64, 1, 1, 64]])
    assert missing_lines(loops, tile, OWN_ORDER, 0) == 4 * (16 + 64) + 2 * 16


@pytest.mark.parametrize("name", ["l2_bytes", "llc_bytes", "bus_bytes"])
def test_larger_caches_and_buses_never_hurt(name: str, model: Gemmini) -> None:
    table = layers(conv(56, 64, 256, 1), conv(14, 512, 512, 3), linear(2048, 1000))
    bits = np.full((3, 2), 8)
    latency = [replace(model, **{name: getattr(model, name) * factor}).cost(table, bits).latency_s for factor in (1, 4)]
    assert (latency[1] <= latency[0]).all()


def test_settings_of_the_hardware_broadcast(model: Gemmini) -> None:
    table, bits = layers(conv(14, 96, 64, 3, 2), linear(64, 10)), np.full((2, 2), 8)
    knobs = {"dim": [8, 16, 32], "scratchpad_bytes": [2**16, 2**18, 2**20], "l2_bytes": [2**18, 2**19, 2**20]}
    together = replace(model, **{name: np.array(values)[:, None] for name, values in knobs.items()})
    latency = together.cost(table, bits).latency_s
    for index in range(3):
        alone = replace(model, **{name: values[index] for name, values in knobs.items()})
        np.testing.assert_array_equal(latency[index], alone.cost(table, bits).latency_s)


def test_every_level_passes_what_the_next_asks_for(model: Gemmini) -> None:
    """Weights come from memory, all tensors through the caches; what a cache lacks is at most what it is asked for."""
    table = layers(conv(56, 64, 256, 1), conv(14, 64, 64, 3, groups=64), conv(14, 512, 512, 3), linear(2048, 1000))
    detail = model.cost(table, np.full((4, 2), 8)).detail
    assert (detail["dram_bits"] >= 8 * table.weights * (1 - 1e-12)).all()
    assert (detail["l2_bits"] >= 8 * (table.weights + table.in_elements / table.stride**2 + table.out_elements)).all()
    assert (detail["llc_bits"] >= detail["dram_bits"]).all()


def test_groups_and_heads_run_one_after_another(model: Gemmini) -> None:
    product = {"op": Op.MATMUL, "in_channels": 64, "out_channels": 32, "in_height": 10, "out_height": 10}
    table = layers(conv(14, 8, 8, 3), conv(14, 16, 16, 3, groups=2), product, product | {"groups": 1})
    cycles = model.cost(table, np.full((4, 2), 8)).detail["cycles"]
    assert cycles[1] == 2 * cycles[0]
    two_heads = {**product, "in_channels": 128, "out_channels": 64, "groups": 2}
    assert model.cost(layers(two_heads), np.full((1, 2), 8)).detail["cycles"] == 2 * cycles[2]


def test_mapping_strings() -> None:
    text = "L3[WIO] C2 Q17 - L2[WI] N1 K16X - L1[O] S3 P3 C16X - L0[W] Q3 P34"
    (tile,), (order,) = verification.tiles(Mapping.from_text([text]))
    assert list(tile) == [1, 3, 102, 16, 3, 1, 16]
    assert list(order[:2]) == [6, 1]
    assert sorted(order) == list(range(7))
    assert tile[COLUMNS] == 102


@pytest.mark.reference
def test_the_rtl_is_met(references: Path) -> None:
    checks = {found.quantity: found for found in verification.verify(references) if isinstance(found, Check)}
    assert all(found.passed for found in checks.values())
    assert checks["its own tiles, iterations"].exact_share == 1


@pytest.mark.reference
def test_fewer_rows_and_columns(references: Path, tmp_path: Path) -> None:
    table = pd.read_csv(references / verification.TABLE)
    few = table[table["prob.C"] == 512].drop(columns=[verification.OWN, verification.OWN_TILES])
    (tmp_path / "gemmini").mkdir()
    few.to_csv(tmp_path / verification.TABLE, index=False)
    shipped, *others = verification.verify(tmp_path)
    assert isinstance(shipped, Check)
    assert shipped.mape_percent < 20
    assert [one.quantity for one in others if isinstance(one, NotRun)] == [
        "cycles of a mapping, cross-validated",
        verification.OWN_TILES,
        verification.OWN,
    ]


@pytest.mark.parametrize("size", [(112, 112, 10**7, 3, 7), (2**20, 2**20, 64, 3, 3), (14, 14, 2**40, 8, 3)])
def test_layers_of_absurd_size_take_no_longer(model: Gemmini, size: tuple[int, int, int, int, int]) -> None:
    loops = convolution(*size, 1)
    before = process_time()
    tile = tiles(loops, model)
    assert process_time() - before < 1
    assert ((tile >= 1) & (tile <= loops.extent)).all()
    taken = rows_taken(loops, tile, np.array([model.dim]))
    assert taken[0] <= model.scratchpad_bytes // model.dim // 2
