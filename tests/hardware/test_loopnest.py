"""The loop-nest model at given mappings: counted by walking the loops, and what holds for every mapping."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hardware_samples import conv, layers, linear
from hypothesis import given, settings
from hypothesis import strategies as st
from loopnest_samples import EIGHT, PRESETS, machine, mappings, works

from codesign_gym.errors import BadConfig
from codesign_gym.simulators.hardware.loopnest.cost import LoopNest
from codesign_gym.simulators.hardware.loopnest.execution import Execution, Operands, evaluate
from codesign_gym.simulators.hardware.loopnest.mapping import (
    DRAM,
    INDEXED_BY,
    INPUT,
    LEVELS,
    LOOPS,
    OUTPUT,
    Mapping,
    R,
    S,
    Work,
)
from codesign_gym.simulators.hardware.loopnest.presets import KIB, gemmini
from codesign_gym.simulators.hardware.loopnest.search import best_mapping
from codesign_gym.simulators.hardware.loopnest.traffic import traffic
from codesign_gym.simulators.hardware.rounding import RELAXED

few = settings(max_examples=25, deadline=None, derandomize=True)
presets = st.sampled_from(PRESETS)
seeds = st.integers(0, 2**32 - 1)


def columns(run: Execution) -> list[np.ndarray]:
    return [run.cycles, run.compute_cycles, run.energy_j, *run.level_bits]


# --- traffic, counted by walking the loops -------------------------------------------------------------------------


def tile_words(tensor: int, start: dict[int, int], size: dict[int, int], stride: int) -> frozenset[tuple[int, ...]]:
    """The words of a tile that begins at ``start`` and spans ``size`` iterations of each loop."""
    spans = [range(start[i], start[i] + size[i]) for i in range(len(LOOPS))]
    if tensor != INPUT:
        return frozenset(product(*(spans[i] for i in INDEXED_BY[tensor])))
    n, g, _, c, p, q, r, s = spans
    columns = range(p[0] * stride + r[0], p[-1] * stride + r[-1] + 1)
    rows = range(q[0] * stride + s[0], q[-1] * stride + s[-1] + 1)
    return frozenset(product(n, g, c, columns, rows))


def walked_fills(mapping: Mapping, tensor: int, level: int, stride: int) -> tuple[int, int]:
    """Words brought into a level's only instance: whole tiles whenever they change, and only what is new in them."""
    size = {
        i: int((mapping.temporal[: level + 1, i] * mapping.spatial[: level + 1, i]).prod()) for i in range(len(LOOPS))
    }
    loops, step = [], dict(size)  # innermost first: loop, count, step
    for outer in range(level + 1, len(LEVELS)):
        for loop in mapping.order[outer][::-1].tolist():
            loops.append((loop, int(mapping.temporal[outer, loop]), step[loop]))
            step[loop] *= int(mapping.temporal[outer, loop])
    whole, new, held = 0, 0, frozenset()
    for at in product(*(range(count) for _, count, _ in reversed(loops))):
        start = dict.fromkeys(range(len(LOOPS)), 0)
        for (loop, _, stride_of_loop), index in zip(reversed(loops), at, strict=True):
            start[loop] += index * stride_of_loop
        tile = tile_words(tensor, start, size, stride)
        whole += len(tile) * (tile != held)
        new += len(tile - held)
        held = tile
    return whole, new


@few
@given(
    extents=st.tuples(
        *[st.sampled_from([1, 2])] * 4, *[st.sampled_from([1, 3, 4])] * 2, *[st.sampled_from([1, 2])] * 2
    ),
    stride=st.sampled_from([1, 2]),
    seed=seeds,
)
def test_fills_are_those_of_the_walked_loops(extents: tuple[int, ...], stride: int, seed: int) -> None:
    model = machine("eyeriss-like")
    work = Work.single(extents, stride)
    flat = mappings(replace(model, l1_columns=1, l1_rows=1), work, 1, seed)[0]
    flows = traffic(model, work, flat).flows
    for (level, tensor), flow in flows.items():
        if level == DRAM:
            continue
        whole, new = walked_fills(flat, tensor, level, stride)
        filled = flow.writes if tensor != OUTPUT else flow.writes - flow.reads - output_words(flat)
        if tensor == INPUT and extents[R] * extents[S] > 1:
            assert filled >= new * (1 - 1e-12)
        else:
            assert filled == whole


def output_words(mapping: Mapping) -> int:
    """Distinct outputs of an instance: what it writes without having read."""
    return int(np.prod([mapping.extents[i] for i in INDEXED_BY[OUTPUT]]))


def test_a_window_that_shifts_innermost_is_filled_by_its_new_part() -> None:
    """One row of four outputs under a window of three: three words, then one for each step."""
    work = Work.single((1, 1, 1, 1, 4, 1, 3, 1))
    mapping = Mapping.from_text(
        ["L3 P4 - L2 R3 - L1 N1 - L0 N1", "L3 P4 K1 - L2 N1 - L1 R3 - L0 N1", "L3 R3 P4 - L2 N1 - L1 N1 - L0 N1"]
    )
    flows = traffic(machine("tpu-like"), work, mapping).flows
    np.testing.assert_allclose(flows[2, INPUT].writes, [3 + 3, 3 + 3, 3 * 4])
    np.testing.assert_allclose(flows[DRAM, INPUT].reads, flows[2, INPUT].writes)


# --- properties ----------------------------------------------------------------------------------------------------


@few
@given(name=presets, work=works, seed=seeds)
def test_a_batch_is_its_singles_and_permuting_permutes(name: str, work: Work, seed: int) -> None:
    model = machine(name)
    batch = mappings(model, work, 6, seed)
    run = columns(evaluate(model, work, batch, EIGHT))
    for row in range(len(batch.temporal)):
        for together, alone in zip(run, columns(evaluate(model, work, batch[row], EIGHT)), strict=True):
            assert together[row] == alone
    shuffled = np.random.default_rng(seed).permutation(len(batch.temporal))
    for together, permuted in zip(run, columns(evaluate(model, work, batch[shuffled], EIGHT)), strict=True):
        np.testing.assert_array_equal(permuted, together[shuffled])
        assert np.isfinite(together).all()
    assert (run[0] > 0).all()
    assert (run[2] > 0).all()


@few
@given(name=presets, work=works, seed=seeds)
def test_more_bits_never_cost_less_at_a_mapping(name: str, work: Work, seed: int) -> None:
    model, batch = machine(name), mappings(machine(name), work, 4, seed)
    widths = np.arange(1.0, 9.0)[:, None]
    for bits in (Operands(widths, np.float64(8)), Operands(np.float64(8), widths)):
        run = evaluate(model, work, batch, bits)
        for column in (run.cycles, run.energy_j, *run.level_bits):
            assert (np.diff(column, axis=0) >= 0).all()


@few
@given(name=presets, work=works, seed=seeds)
@pytest.mark.parametrize("more", [*(f"{level}_bits_per_cycle" for level in LEVELS), "l1_rows", "l2_columns"])
def test_more_bandwidth_and_more_multipliers_never_hurt_at_a_mapping(
    more: str, name: str, work: Work, seed: int
) -> None:
    model, batch = machine(name), mappings(machine(name), work, 4, seed)
    larger = replace(model, **{more: 2 * getattr(model, more)})
    assert (evaluate(larger, work, batch, EIGHT).cycles <= evaluate(model, work, batch, EIGHT).cycles).all()


@few
@given(name=presets, work=works, seed=seeds)
def test_nothing_is_lost(name: str, work: Work, seed: int) -> None:
    """All products are done, every operand is read from every level it lives in, every output written."""
    model, batch = machine(name), mappings(machine(name), work, 4, seed)
    moved = traffic(model, work, batch)
    spread = batch.spatial.prod((-2, -1))
    assert (moved.compute_cycles * spread >= work.extents.prod()).all()
    n, g, k, c, p, q, r, s = (int(size) for size in work.extents)
    columns, rows = ((size - 1) * min(int(work.stride_p), kernel) + kernel for size, kernel in ((p, r), (q, s)))
    words = (g * k * c * r * s, n * g * c * columns * rows, n * g * k * p * q)
    for (level, tensor), flow in moved.flows.items():
        carried = flow.writes if tensor == OUTPUT else flow.reads
        assert (moved.instances[level] * carried >= words[tensor] * (1 - 1e-12)).all()


@few
@given(work=works, seed=seeds)
def test_hardware_knobs_broadcast(work: Work, seed: int) -> None:
    model = machine("gemmini-like")
    mapping = mappings(model, work, 1, seed)[0]
    rates = np.array([8.0, 64.0, 512.0])
    together = evaluate(replace(model, dram_bits_per_cycle=rates), work, mapping, EIGHT)
    for row, rate in enumerate(rates):
        alone = evaluate(replace(model, dram_bits_per_cycle=rate), work, mapping, EIGHT)
        assert together.cycles[row] == alone.cycles
        assert together.energy_j[row] == alone.energy_j


def test_the_shipped_gemmini_is_the_preset() -> None:
    shipped, built = vars(machine("gemmini-like")), vars(gemmini(16, 256 * KIB, 4 * KIB))
    for name, value in built.items():
        assert shipped[name] == (value if isinstance(value, str) else pytest.approx(value, rel=1e-6)), name


def test_columns_and_rows_take_different_loops() -> None:
    message = "field 'l1_row_loops' is 'CG'; accepted: without G, which columns have"
    with pytest.raises(BadConfig, match=message):
        replace(machine("eyeriss-like"), l1_row_loops="CG")


def test_loops_share_an_axis() -> None:
    """Fourteen columns hold two groups of seven output channels, but not of eight."""
    work = Work.single((1, 2, 56, 1, 1, 1, 1, 1))
    batch = Mapping.from_text(["L3 N1 - L2 N1 - L1 K8 K7X G2X - L0 N1", "L3 N1 - L2 N1 - L1 K7 K8X G2X - L0 N1"])
    assert evaluate(machine("eyeriss-like"), work, batch[0], EIGHT).compute_cycles == 8
    with pytest.raises(BadConfig, match="loops KGQ are spread over 16 instances below l1; accepted: at most 14"):
        evaluate(machine("eyeriss-like"), work, batch, EIGHT)


# --- layers --------------------------------------------------------------------------------------------------------

TABLE = layers(conv(8, 3, 8, 3), conv(8, 8, 8, 3, stride=2), linear(8, 10))
BITS = np.full((3, 2), 8)


def found(model: LoopNest) -> Mapping:
    """A mapping for each layer of TABLE."""
    work = Work.of(TABLE)
    each = [best_mapping(model, Work.single(work.extents[i], int(work.stride_p[i]))) for i in range(3)]
    return Mapping(*(np.stack([getattr(one, name) for one in each]) for name in ("temporal", "spatial", "order")))


def test_layers_at_given_mappings_on_torch_and_numpy() -> None:
    torch = pytest.importorskip("torch")
    model = machine("eyeriss-like")
    mapping = found(model)
    arrays = model.at(TABLE, BITS, mapping)
    tensors = model.at(
        TABLE.map(lambda column: torch.asarray(np.array(column))),
        torch.asarray(BITS),
        Mapping(*(torch.asarray(array) for array in (mapping.temporal, mapping.spatial, mapping.order))),
    )
    np.testing.assert_allclose(tensors.latency_s.numpy(), arrays.latency_s, rtol=1e-12)
    np.testing.assert_allclose(tensors.energy_j.numpy(), arrays.energy_j, rtol=1e-12)
    np.testing.assert_allclose(model.cost(TABLE, BITS).latency_s, arrays.latency_s, rtol=0.05)


def test_relaxed_rounding_has_gradients_that_match_finite_differences() -> None:
    torch = pytest.importorskip("torch")
    model = machine("gemmini-like")
    mapping = Mapping(*(torch.asarray(array) for array in vars(found(model)).values()))
    table = TABLE.map(lambda column: torch.asarray(np.array(column)))

    def seconds(bits: object, rate: object) -> object:
        slow = replace(model, dram_bits_per_cycle=rate)
        return slow.at(table, bits, mapping, RELAXED).latency_s.sum()

    bits = torch.full((3, 2), 6.5, dtype=torch.float64, requires_grad=True)
    rate = torch.tensor(8.0, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda b, r: 1e6 * seconds(b, r), (bits, rate), eps=1e-6, atol=1e-5)
    seconds(bits, rate).backward()
    assert (bits.grad >= 0).all()
    assert (bits.grad > 0).any()
    assert rate.grad < 0


def test_searched_costs_relax_at_the_mapping_of_the_nearest_precision() -> None:
    """Between whole bitwidths the form is that of :meth:`at`; only the mapping is the neighbour's."""
    model, few_bits = machine("eyeriss-like"), np.full((3, 2), 7.6)
    relaxed, exact = model.cost(TABLE, few_bits, RELAXED), model.cost(TABLE, BITS)
    assert (relaxed.latency_s <= model.cost(TABLE, BITS, RELAXED).latency_s).all()
    assert (relaxed.detail["dram_bits"] < exact.detail["dram_bits"]).all()
    np.testing.assert_array_equal(relaxed.detail["compute_cycles"], exact.detail["compute_cycles"])
    np.testing.assert_array_equal(exact.detail["mac_slots"], 168 * exact.detail["cycles"])


# --- mistakes ------------------------------------------------------------------------------------------------------

WORK = Work.single((1, 1, 64, 32, 14, 14, 3, 3))
GOOD = "L3[WIO] Q14 - L2[WI] P14 K16X - L1[O] K4 C2 R3 S3 C16X - L0[W] N1"

MISTAKES = {
    "not covered": (GOOD.replace("Q14", "Q7"), "loop Q is not covered: 7 of 14 iterations, 7 missing"),
    "spread too far": (
        GOOD.replace("K4", "K1").replace("K16X", "K64X"),
        "loops K are spread over 64 instances below l2; accepted: at most 16",
    ),
    "spread where nothing is": (
        GOOD.replace("Q14", "Q14X"),
        "loops NGKCPQRS are spread over 14 instances below dram; accepted: at most 1",
    ),
    "overflow": (
        GOOD.replace("L0[W] N1", "L0[W] K4").replace("L1[O] K4", "L1[O]"),
        "buffer 'l0_weight' overflows: 4 of 1 B, 3 B too many",
    ),
    "unknown loop": (GOOD.replace("Q14", "Z14"), "factor 'Z14'; accepted: one of NGKCPQRS, a number, X in space"),
    "unknown level": (GOOD.replace("L3", "L4"), "level 'L4[WIO] Q14'; accepted: L0 to L3"),
    "no factor": (GOOD.replace("Q14", "Q0"), "factor 'Q0'"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mapping_that_cannot_be_is_one_line(case: str) -> None:
    text, message = MISTAKES[case]
    with pytest.raises(BadConfig) as caught:
        evaluate(machine("gemmini-like"), WORK, Mapping.from_text([GOOD, text]), EIGHT)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_mappings_of_unequal_batch_or_order() -> None:
    good = Mapping.from_text([GOOD] * 2)
    with pytest.raises(BadConfig, match=r"arrays of unequal batch: temporal \(2, 4, 8\), spatial \(1, 4, 8\)"):
        Mapping(good.temporal, good.spatial[:1], good.order)
    with pytest.raises(BadConfig, match=r"field 'order' has shape \(2, 3, 8\)"):
        Mapping(good.temporal, good.spatial, good.order[:, :3])
    order = good.order.copy()
    order[1, 2] = 0
    with pytest.raises(BadConfig, match="order at l2 does not name each of 8 loops once"):
        evaluate(machine("gemmini-like"), WORK, Mapping(good.temporal, good.spatial, order), EIGHT)
    three = Work(np.stack([WORK.extents] * 3), WORK.stride_p, WORK.stride_q)
    with pytest.raises(BadConfig, match=r"a batch of \(2,\) beside layers of \(3,\)"):
        evaluate(machine("gemmini-like"), three, good, EIGHT)


@few
@given(name=presets, work=works, seed=seeds)
def test_text_and_back(name: str, work: Work, seed: int) -> None:
    model, batch = machine(name), mappings(machine(name), work, 3, seed)
    again = Mapping.from_text(batch.to_text())
    np.testing.assert_array_equal(again.temporal, batch.temporal)
    np.testing.assert_array_equal(again.spatial, batch.spatial)
    for mine, theirs in zip(
        columns(evaluate(model, work, again, EIGHT)), columns(evaluate(model, work, batch, EIGHT)), strict=True
    ):
        np.testing.assert_array_equal(mine, theirs)
