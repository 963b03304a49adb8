"""The mapping search, and the devices that use it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hardware_samples import conv, layers, linear
from hypothesis import given, settings
from loopnest_samples import EIGHT, PRESETS, extents, machine, mappings

from codesign_gym.errors import BadConfig, UnknownName, UnsupportedNetwork
from codesign_gym.simulators.hardware.loopnest.execution import Execution, evaluate
from codesign_gym.simulators.hardware.loopnest.mapping import Mapping, Work
from codesign_gym.simulators.hardware.loopnest.memory import Memory
from codesign_gym.simulators.hardware.loopnest.search import (
    LAYERS,
    OBJECTIVES,
    POOLS,
    Budget,
    best_mapping,
    layer_tables,
)
from codesign_gym.simulators.hardware.loopnest.space import Space
from codesign_gym.simulators.hardware.loopnest.traffic import unpacked
from codesign_gym.simulators.networks.layers import Op

few = settings(max_examples=15, deadline=None, derandomize=True)
SMALL = Budget(drawn=128, children=64, generations=2, kept=8)
WORK = Work.single((1, 1, 64, 32, 14, 14, 3, 3))


def run(name: str, mapping: Mapping, work: Work = WORK) -> Execution:
    return evaluate(machine(name), work, mapping, EIGHT)


@pytest.mark.parametrize("name", PRESETS)
@few
@given(sizes=extents)
def test_every_genome_covers_its_loops_and_one_fits(name: str, sizes: tuple[int, ...]) -> None:
    model, work = machine(name), Work.single(sizes)
    space = Space.of(model, sizes)
    drawn = space.draw(64, space.streams(0)).mapping
    assert (drawn.extents >= work.extents).all()
    evaluate(model, work, mappings(model, work, 1, 0), EIGHT)  # refuses what does not cover, or overflows


@pytest.mark.parametrize("name", PRESETS)
def test_a_search_beats_what_it_drew_and_repeats_itself(name: str) -> None:
    model = machine(name)
    mapping = best_mapping(model, WORK)
    drawn = run(name, mappings(model, WORK, 256, seed=1))
    assert run(name, mapping).cycles <= drawn.cycles.min()
    for mine, again in zip(vars(mapping).values(), vars(best_mapping(model, WORK)).values(), strict=True):
        np.testing.assert_array_equal(mine, again)


def test_layers_and_machines_searched_side_by_side_find_what_each_finds_alone() -> None:
    """They differ in arrays, buffers, dataflow and number of prime factors."""
    base = machine("gemmini-like")
    models = [
        base,
        replace(base, l2_columns=8, l1_row_loops="P"),
        replace(base, l1_bytes=512.0, dram_bits_per_cycle=32),
    ]
    works = [((1, 1, 64, 32, 14, 14, 3, 3), 1), ((1, 96, 1, 1, 28, 28, 3, 3), 2), ((1, 1, 10, 197, 1, 1, 1, 1), 1)]
    asked = [(model, *work, objective) for model in models for work in works for objective in ("latency", "energy")]
    LAYERS.clear()
    POOLS.clear()
    together = layer_tables(asked)
    for layer, table in list(zip(asked, together, strict=True))[::3]:
        LAYERS.clear()
        POOLS.clear()
        np.testing.assert_array_equal(layer_tables([layer])[0], table)


def test_what_was_found_is_asked_for_once_and_the_last_is_kept() -> None:
    memory: Memory[int, int] = Memory(3)
    calls: list[list[int]] = []

    def find(keys: list[int]) -> list[int]:
        calls.append(keys)
        return [10 * key for key in keys]

    assert memory.all([1, 2, 1, 3], find) == [10, 20, 10, 30]
    assert memory.all([2, 4], find) == [20, 40]  # forgets 1, the longest not asked for
    assert memory.all([3, 1, 5, 6, 7], find) == [30, 10, 50, 60, 70]  # more than it keeps
    assert memory.all([5, 6, 7], find) == [50, 60, 70]
    assert calls == [[1, 2, 3], [4], [1, 5, 6, 7]]


def test_a_layer_of_whole_tiles_keeps_every_multiplier_busy() -> None:
    found = run("gemmini-like", best_mapping(machine("gemmini-like"), WORK))
    assert found.compute_cycles == 64 * 32 * 14 * 14 * 9 / 256
    assert found.cycles < 1.15 * found.compute_cycles


def test_groups_fill_an_array_that_takes_them() -> None:
    """A depthwise layer keeps one multiplier of a Gemmini busy, and most of an Eyeriss: 3 of 12 rows, 14 columns."""
    depthwise = Work.single((1, 96, 1, 1, 28, 28, 3, 3))
    products = int(depthwise.extents.prod())
    narrow = run("gemmini-like", best_mapping(machine("gemmini-like"), depthwise), depthwise)
    wide = run("eyeriss-like", best_mapping(machine("eyeriss-like"), depthwise), depthwise)
    assert narrow.compute_cycles == products
    assert wide.compute_cycles == products / (3 * 14)


def test_each_objective_is_best_at_its_own() -> None:
    runs = {
        goal: run("eyeriss-like", best_mapping(machine("eyeriss-like"), WORK, objective=goal)) for goal in OBJECTIVES
    }
    for goal, objective in OBJECTIVES.items():
        scores = {other: float(objective(found)[0]) for other, found in runs.items()}
        assert scores[goal] <= 1.02 * min(scores.values()), scores
    with pytest.raises(UnknownName, match="unknown objective 'energi'; did you mean 'energy'"):
        best_mapping(machine("eyeriss-like"), WORK, objective="energi", budget=SMALL)


def test_a_large_prime_loop_is_padded_rather_than_left_whole() -> None:
    """197 tokens: no tile but 1 or 197 divides them."""
    work = Work.single((1, 1, 768, 768, 1, 197, 1, 1))
    mapping = best_mapping(machine("gemmini-like"), work)
    assert run("gemmini-like", mapping, work).cycles < 1.05 * 768 * 768 * 197 / 256


@pytest.mark.parametrize("size", [2**31 - 1, 2**40 + 1])
def test_absurd_loops_are_answered(size: int) -> None:
    (table,) = layer_tables([(machine("tpu-like"), (1, 1, size, 3, 1, 1, 1, 1), 1, "latency")])
    assert np.isfinite(table).all()
    assert (unpacked(machine("tpu-like"), table).compute_cycles >= size * 3 / 1024).all()


def test_a_machine_that_nothing_fits() -> None:
    tiny = replace(machine("gemmini-like"), l1_output_bytes=1.0)
    said = r"at 8/8 bits the closest takes 4 B of l1_output_bytes, 1 B: 3 B too many; its loops: N 1, G 1, K 8"
    with pytest.raises(UnsupportedNetwork, match=f"no mapping of a layer fits the machine's buffers: {said}"):
        tiny.cost(layers(linear(8, 8)), np.full((1, 2), 8))
    weights = replace(machine("eyeriss-like"), l0_weight_bytes=0.75)
    with pytest.raises(UnsupportedNetwork, match=r"at 8/8 bits the closest takes 1 B of l0_weight_bytes, 0.75 B: 0.25"):
        weights.cost(layers(linear(8, 8)), np.full((1, 2), 2))


def test_what_the_search_does_not_take() -> None:
    passing = replace(machine("gemmini-like"), l1_weight_bytes=np.array([[0.0], [64.0]]))
    with pytest.raises(BadConfig, match="parameter 'l1_weight_bytes' is 0 in some designs and not in others; accepted"):
        passing.cost(layers(linear(8, 8)), np.full((1, 2), 8))
    with pytest.raises(BadConfig, match="bitwidths 1 to 8"):
        machine("gemmini-like").cost(layers(linear(8, 8)), np.full((1, 2), 9))


def test_attention_is_a_product_of_activations_for_every_head_and_image() -> None:
    model = machine("simba-like")
    heads = {**conv(4, 8, 16, 1), "groups": 4, "op": Op.MATMUL}
    table = layers({**heads, "batch": 2}, {**heads, "groups": 8, "in_channels": 16, "out_channels": 32}, heads)
    costs = model.cost(table, np.array([[8, 4]] * 3))
    assert costs.latency_s[0] == costs.latency_s[1]  # two images of four heads are one of eight
    assert (costs.size_bytes == 0).all()
    np.testing.assert_array_equal(costs.latency_s, model.cost(table, np.array([[1, 4]] * 3)).latency_s)


def test_more_bandwidth_takes_the_same_mappings_or_faster_ones() -> None:
    """One pool of mappings serves every bandwidth: a search of its own for each once lost 5 % from 128 to 256 bits."""
    base = machine("gemmini-like")
    table = layers(conv(4, 359, 66, 7))
    rates = np.array([8.0, 20.0, 64.0, 100.0, 128.0, 200.0, 256.0, 1000.0])
    for port in ("dram_bits_per_cycle", "l2_bits_per_cycle", "l1_bits_per_cycle"):
        latency = replace(base, **{port: rates[:, None]}).cost(table, np.full((1, 2), 8)).latency_s
        assert (np.diff(latency, axis=0) <= 0).all()
        assert latency[0] > latency[-1]
