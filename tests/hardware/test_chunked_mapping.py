"""NASA's mappings: every candidate is a sound loop nest; the auto-mapper against enumeration; the mapped cost model."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise, product

import numpy as np
import pytest
from hardware_samples import conv, layers, linear, rows
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign_gym.errors import Infeasible
from codesign_gym.simulators.hardware.chunked import OPERATORS, Chunked
from codesign_gym.simulators.hardware.chunked.allocation import all_splits, equal_area_pes, equal_count_pes
from codesign_gym.simulators.hardware.chunked.exact import least_edp
from codesign_gym.simulators.hardware.chunked.mapped import MappedChunks
from codesign_gym.simulators.hardware.chunked.mapper import Menu, auto_map
from codesign_gym.simulators.hardware.chunked.mappings import CHOICES, DATAFLOWS, MappingTable, mapping_table
from codesign_gym.simulators.hardware.device import load
from codesign_gym.simulators.hardware.loopnest.mapping import LOOPS, Mapping, Work, check_cover
from codesign_gym.simulators.networks.layers import Layers, Op

quick = settings(max_examples=10, deadline=None, derandomize=True)
NASA = load("nasa-chunked").model
assert isinstance(NASA, Chunked)
BUFFER = float(NASA.buffer_bytes)


def eight(table: Layers) -> np.ndarray:
    return np.full((len(table.op), 2), 8)


@quick
@given(row=rows(), operator=st.integers(0, 2))
def test_candidates_cover_their_layer_and_move_and_compute_no_less_than_it_has(
    row: dict[str, int], operator: int
) -> None:
    table = layers(row)
    found = mapping_table(replace(NASA, operator=operator), table, eight(table))
    work = Work.of(table)
    check_cover(Work(*(array[:, None] for array in (work.extents, work.stride_p, work.stride_q))), found.mapping)
    assert found.valid.any()
    assert (found.mapping.spatial.prod((-1, -2)) <= NASA.pes[operator]).all()
    ideal_s = table.macs[0] / NASA.pes[operator] / NASA.clock_hz
    assert (found.latency_s >= np.maximum(ideal_s, found.dram_s) * (1 - 1e-12)).all()
    stored = 4 if OPERATORS[operator] == "shift" else 8
    once = table.weights[0] * stored + (used_inputs(table) + table.out_elements[0]) * 8
    bits = found.dram_s[0] * NASA.dram_bytes_per_s * 8
    assert (bits >= once * (1 - 1e-9)).all()
    spent = table.macs[0] * NASA.op_energies_j[operator] + bits * NASA.dram_j_per_bit
    assert (found.energy_j[0] >= spent * (1 - 1e-9)).all()


def used_inputs(table: Layers) -> int:
    """Least inputs under the windows: where strides are wider than kernels, some are never read."""
    height = (table.out_height[0] - 1) * min(table.stride[0], table.kernel_height[0]) + table.kernel_height[0]
    width = (table.out_width[0] - 1) * min(table.stride[0], table.kernel_width[0]) + table.kernel_width[0]
    return int(table.in_channels[0] * height * width)


def test_where_nothing_is_cut_everything_moves_once() -> None:
    table = layers(conv(16, 64, 96, 3))
    found = mapping_table(NASA, table, eight(table))
    uncut = [choice.parts == (1, 1, 1) for choice in CHOICES]
    once = table.weights[0] + table.out_elements[0] + used_inputs(table)
    moved = found.dram_s[0] * NASA.dram_bytes_per_s
    assert moved[uncut].min() == pytest.approx(once)
    assert moved[~np.array(uncut)].min() > once * (1 - 1e-9)


def test_registers_hold_what_dataflows_ask_of_them() -> None:
    table = layers(conv(28, 40, 72, 3), conv(14, 64, 64, 5, groups=64), linear(512, 100))
    found = mapping_table(NASA, table, eight(table))
    held = dict(zip(LOOPS, np.moveaxis(found.mapping.temporal[..., 0, :], -1, 0), strict=True))
    assert (held["K"] * held["C"] * held["R"] <= NASA.weight_registers).all()
    assert (held["K"] * held["P"] <= NASA.sum_registers).all()
    assert (held["C"] * (held["P"] - 1 + held["R"]) <= NASA.input_registers).all()
    assert found.valid.all()


def test_fewer_bits_and_more_bandwidth_never_hurt() -> None:
    table = layers(conv(28, 40, 72, 3), linear(512, 100))
    found = [mapping_table(NASA, table, np.full((2, 2), bits)) for bits in (2, 4, 8)]
    for fewer, more in pairwise(found):
        assert (fewer.energy_j <= more.energy_j).all()
        assert (fewer.buffer_bytes <= more.buffer_bytes).all()
    faster = mapping_table(replace(NASA, dram_bytes_per_s=1e10), table, eight(table))
    assert (faster.latency_s <= found[-1].latency_s).all()


def small_table(seed: int, per_layer: int = 4) -> MappingTable:
    """Five layers with a few candidates of random costs, over all chunks."""
    random = np.random.default_rng(seed)
    shape = (5, per_layer)
    latency_s = random.uniform(1, 4, shape)
    blank = Mapping(*[np.ones((*shape, 4, 8), dtype=np.int64)] * 3)
    return MappingTable(
        chunk=np.array([0, 1, 0, 2, 1]),
        latency_s=latency_s,
        energy_j=random.uniform(1, 4, shape),
        dram_s=latency_s * random.uniform(0.1, 1, shape),
        buffer_bytes=random.uniform(1, 60, shape),
        valid=random.random(shape) < 0.9,
        mapping=blank,
    )


@quick
@given(seed=st.integers(0, 10**6))
def test_the_optimum_is_that_of_enumeration_and_the_auto_mapper_is_near(seed: int) -> None:
    table = small_table(seed)
    families = [np.array([True, True, False, False]), np.array([False, True, True, True])]
    for masks in (None, families):
        best = enumerated(table, masks)
        try:
            found = auto_map(table, 100.0, masks)
        except Infeasible:
            assert np.isinf(best)
            continue
        assert found.edp_js >= best * (1 - 1e-12)
        assert least_edp(table, 100.0, found.edp_js, masks) == pytest.approx(best)
        assert found.edp_js <= 1.25 * best  # five layers are few: hulls of a chunk have few points


def enumerated(table: MappingTable, families: list[np.ndarray] | None) -> float:
    """The least product over all combinations, one by one."""
    layers_, best = range(len(table.chunk)), np.inf
    masks = families or [np.ones(table.valid.shape[1], dtype=bool)]
    for chosen in product(range(table.valid.shape[1]), repeat=len(table.chunk)):
        if not all(table.valid[i, c] for i, c in zip(layers_, chosen, strict=True)):
            continue
        own = [[c for i, c in zip(layers_, chosen, strict=True) if table.chunk[i] == chunk] for chunk in range(3)]
        if not all(any(mask[cs].all() for mask in masks) for cs in own):
            continue
        pick = (np.array(layers_), np.array(chosen))
        banks = np.ceil(table.buffer_bytes[pick] / (100.0 / 12))
        if sum(max(banks[table.chunk == chunk]) for chunk in range(3)) > 12:
            continue
        busy = max(table.latency_s[pick][table.chunk == chunk].sum() for chunk in range(3))
        best = min(best, table.energy_j[pick].sum() * max(busy, table.dram_s[pick].sum()))
    return float(best)


@pytest.fixture(scope="module")
def network() -> MappingTable:
    shapes = [conv(32, 16, 96, 1), conv(32, 96, 96, 3, groups=96), conv(32, 96, 24, 1), conv(16, 64, 128, 3)]
    table = layers(*shapes, linear(512, 100))
    return mapping_table(replace(NASA, operator=np.array([0, 1, 2, 0, 0])), table, eight(table))


def test_freedom_never_hurts(network: MappingTable) -> None:
    families = [network.dataflow == number for number in range(len(DATAFLOWS))]
    free, chunk = auto_map(network, BUFFER), auto_map(network, BUFFER, families)
    shared = [auto_map(network.only(family), BUFFER).edp_js for family in families]
    assert free.edp_js <= chunk.edp_js <= min(shared)
    assert free.edp_js <= 1.01 * least_edp(network, BUFFER, free.edp_js)
    assert auto_map(network, 2 * BUFFER).edp_js <= free.edp_js * (1 + 1e-9)
    assert free.banks <= 12


def test_tiles_that_do_not_fit_together_are_refused(network: MappingTable) -> None:
    with pytest.raises(Infeasible, match="do not fit"):
        auto_map(network, 20_000.0)


def test_a_layer_that_does_not_fit_is_named(network: MappingTable) -> None:
    with pytest.raises(Infeasible, match=r"layer 3 fits"):
        auto_map(network, 9000.0)


def test_the_menu_keeps_what_could_be_best(network: MappingTable) -> None:
    menu = Menu.of(network, BUFFER, [network.valid.any(0)], 12)
    kept = menu.candidate[0][menu.candidate[0] >= 0]
    for weights in np.random.default_rng(0).uniform(size=(20, 3)):
        columns = np.stack([network.energy_j[0] * 1e6, network.latency_s[0] * 1e5, network.dram_s[0] * 1e5], -1)
        score = np.where(network.valid[0] & (network.buffer_bytes[0] <= BUFFER), columns @ weights, np.inf)
        assert score[kept].min() == pytest.approx(score.min())


def test_the_mapped_model_takes_each_layers_best_within_its_part() -> None:
    device = load("nasa-chunked")
    table = layers(conv(16, 32, 64, 3), {**conv(8, 8, 8, 3), "op": Op.POOL}, conv(8, 64, 64, 3, groups=64))
    bits = np.array([eight(table), np.full((3, 2), 4)])
    costs = replace(device, model=MappedChunks(NASA, operator=np.array([0, 0, 1]))).cost(table, bits)
    assert costs.latency_s.shape == (2, 3)
    assert costs.energy_j is not None
    assert costs.energy_j[0, 1] == costs.latency_s[0, 1] == 0
    assert (costs.energy_j[1, [0, 2]] < costs.energy_j[0, [0, 2]]).all()
    found = mapping_table(replace(NASA, operator=np.array([0, 0, 1])), table, eight(table))
    product_ = np.where(found.buffer_bytes <= BUFFER / 3, found.energy_j * found.latency_s, np.inf).min(-1)
    np.testing.assert_allclose(costs.energy_j[0] * costs.latency_s[0], product_)
    np.testing.assert_array_equal(costs.size_bytes[0], table.weights * np.array([1, 1, 0.5]))


def test_the_closed_form_and_the_mapped_model_tell_the_same_story() -> None:
    table = layers(*[conv(16, 32, 64, 3), conv(32, 16, 96, 1), conv(8, 64, 64, 1), linear(512, 100)])
    mapped = MappedChunks(NASA, operator=0).cost(table, eight(table)).energy_j
    closed = np.min(
        [replace(NASA, dataflow=d).cost(table, eight(table)).energy_j for d in range(3)],
        axis=0,
    )
    assert mapped is not None
    assert (np.abs(np.log2(mapped / closed)) < 0.7).all()


def test_splits_of_the_area() -> None:
    areas, budget = np.array([3.0, 1.0, 1.0]), 100.0
    splits = all_splits(areas, budget)
    assert ((splits * areas).sum(-1) <= budget).all()
    assert ((splits * areas).sum(-1) > budget - 1).all()
    assert (splits >= 1).all()
    assert len(np.unique(splits, axis=0)) == len(splits) == sum(99 - 3 * first for first in range(1, 33))
    np.testing.assert_array_equal(equal_area_pes(areas, budget), [11, 33, 33])
    np.testing.assert_array_equal(equal_count_pes(areas, budget), [20, 20, 20])
