"""NASA's chunks: reads walked one by one, the pipeline's period, and the allocation of processing elements."""

from dataclasses import replace
from math import ceil, sqrt
from pathlib import Path

import numpy as np
import pytest
from hardware_samples import conv, layers, linear, rows
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign_gym.errors import BadConfig
from codesign_gym.simulators.hardware.chunked.allocation import proportional_pes
from codesign_gym.simulators.hardware.chunked.cost import OPERATORS
from codesign_gym.simulators.hardware.device import CATALOG, load
from codesign_gym.simulators.hardware.rounding import RELAXED
from codesign_gym.simulators.hardware.systolic.form import DATAFLOWS
from codesign_gym.simulators.networks.layers import Layers, Op

quick = settings(max_examples=25, deadline=None, derandomize=True)
NASA = load("nasa-chunked").model
operators = st.sampled_from(range(3))
dataflows = st.sampled_from(range(3))


def at(bits: int, table: Layers) -> np.ndarray:
    return np.full((len(table.op), 2), bits)


@quick
@given(row=rows(), operator=operators, dataflow=dataflows, pes=st.integers(1, 300))
def test_cycles_and_reads_are_those_of_the_tiles(row: dict[str, int], operator: int, dataflow: int, pes: int) -> None:
    sizes = {f"{name}_pes": pes for name in OPERATORS}
    model = replace(NASA, operator=operator, dataflow=dataflow, **sizes)
    table = layers(row)
    detail = {name: column.item() for name, column in model.cost(table, np.array([[6, 8]])).detail.items()}
    count, m, n, k = (int(column[0]) for column in table.gemm)
    first, second, streamed = {"os": (m, n, k), "ws": (k, n, m), "is": (m, k, n)}[DATAFLOWS[dataflow]]
    assert detail["cycles"] == ceil(count * first * second / pes) * streamed
    kept = pes * {"os": 24, "ws": 224, "is": 12}[DATAFLOWS[dataflow]]
    least = min(second, sqrt(kept))
    tall = min(first, kept / least)
    passes = ceil(first / tall), ceil(second / max(least, min(second, kept / tall)))
    weights, inputs, sums = {
        "os": (passes[0], passes[1], 1),
        "ws": (1, passes[1], passes[0]),
        "is": (passes[0], 1, passes[1]),
    }[DATAFLOWS[dataflow]]
    stored = 4 if OPERATORS[operator] == "shift" else 6
    reads = n * k * weights * stored + m * k * inputs * 8 + m * n * (2 * sums - 1) * 32
    assert detail["buffer_bits"] == pytest.approx(count * reads)
    assert detail["cycles"] * pes >= table.macs[0]
    once = table.weights[0] * stored + (table.in_elements[0] + table.out_elements[0]) * 8
    assert detail["dram_bits"] >= once


def test_what_stays_on_chip_is_read_once_and_the_rest_for_every_part() -> None:
    table = layers(conv(16, 64, 64, 3))
    model = replace(NASA, dataflow=np.arange(3)[:, None], conv_buffer_bytes=8192.0)
    inputs = outputs = 16 * 16 * 64 * 8
    weights = 9 * 64 * 64 * 8
    half = 8 * 4096
    tile = half // 32  # 32 x 32 sums, of 256 x 64
    expected = [inputs * ceil(64 / sqrt(tile)) + weights * ceil(256 / sqrt(tile))]
    expected += [weights + inputs * ceil(weights / half), inputs + weights * ceil(inputs / half)]
    np.testing.assert_array_equal(model.cost(table, at(8, table)).detail["dram_bits"][:, 0] - outputs, expected)


def test_each_operator_runs_on_its_chunk_at_its_energy() -> None:
    table = layers(*[conv(16, 32, 32, 3)] * 3)
    model = replace(NASA, operator=np.arange(3), buffer_j_per_bit=0.0, dram_j_per_bit=0.0)
    costs = model.cost(table, at(8, table))
    np.testing.assert_allclose(costs.energy_j / table.macs, [0.23e-12, 0.054e-12, 0.06e-12])
    cycles = [ceil(16 * 16 * 32 / pes) * 288 for pes in (125, 110, 78)]
    np.testing.assert_array_equal(costs.detail["cycles"], cycles)
    for number, name in enumerate(OPERATORS):
        np.testing.assert_array_equal(costs.detail[f"{name}_s"], costs.latency_s * (np.arange(3) == number))


def test_the_period_is_the_busiest_chunk_or_the_memory() -> None:
    table = layers(*[conv(16, 64, 64, 3)] * 4)
    model = replace(NASA, operator=np.array([0, 1, 1, 2]))
    totals = model.cost(table, at(8, table)).total()
    assert model.period_s(totals) == totals.detail["shift_s"] < totals.latency_s
    starved = replace(model, dram_bytes_per_s=1e6)
    totals = starved.cost(table, at(8, table)).total()
    assert starved.period_s(totals) == totals.detail["dram_bits"] / 8e6


def test_products_of_activations_run_on_the_convolution_chunk() -> None:
    attention = {
        "op": Op.MATMUL,
        "in_channels": 256,
        "out_channels": 196,
        "groups": 4,
        "out_height": 49,
        "in_height": 49,
    }
    table = layers(attention, {**conv(8, 8, 8, 3), "op": Op.POOL})
    costs = replace(NASA, operator=2).cost(table, at(8, table))
    assert costs.detail["conv_s"][0] == costs.latency_s[0] > 0
    assert costs.latency_s[1] == costs.energy_j[1] == 0


def test_designs_carry_operators_dataflows_and_sizes() -> None:
    table = layers(conv(28, 32, 64, 3), conv(28, 64, 64, 3, groups=64), linear(512, 10))
    random = np.random.default_rng(0)
    columns = {"operator": random.integers(3, size=(40, 3)), "dataflow": random.integers(3, size=(40, 3))}
    knobs = {f"{name}_pes": random.integers(1, 500, (40, 1)) for name in OPERATORS}
    many = replace(NASA, **columns, **knobs).cost(table, at(8, table))
    assert many.area_mm2.shape == (40,)
    for index in range(40):
        one = replace(
            NASA,
            **{name: column[index] for name, column in columns.items()},
            **{name: int(column[index, 0]) for name, column in knobs.items()},
        ).cost(table, at(8, table))
        np.testing.assert_array_equal(many.latency_s[index], one.latency_s)
        np.testing.assert_array_equal(many.energy_j[index], one.energy_j)
        assert many.area_mm2[index] == pytest.approx(one.area_mm2)


def test_a_dataflow_per_layer_beats_any_for_all() -> None:
    table = layers(conv(56, 3, 64, 7), conv(56, 64, 64, 3), conv(14, 256, 256, 3), linear(2048, 1000))
    every = replace(NASA, dataflow=np.arange(3)[:, None]).cost(table, at(8, table))
    product = every.energy_j * every.latency_s
    mapped = replace(NASA, dataflow=product.argmin(0)).cost(table, at(8, table)).total()
    shared = every.total()
    assert mapped.energy_j * mapped.latency_s < (shared.energy_j * shared.latency_s).min()


@quick
@given(row=rows(), operator=operators, dataflow=dataflows)
def test_more_of_anything_is_never_slower(row: dict[str, int], operator: int, dataflow: int) -> None:
    model = replace(NASA, operator=operator, dataflow=dataflow)
    chunk = OPERATORS[operator]
    for knob in (f"{chunk}_pes", f"{chunk}_buffer_bytes", "dram_bytes_per_s", "clock_hz"):
        values = np.ceil(getattr(model, knob) * np.array([[0.01], [0.1], [0.5], [1], [2], [3], [10]]))
        costs = replace(model, **{knob: values}).cost(layers(row), np.full((1, 2), 8))
        assert (np.diff(costs.latency_s[:, 0]) <= 0).all()
        if knob.endswith("_pes"):
            assert (np.diff(costs.detail["buffer_bits"][:, 0]) <= 0).all()


def test_proportional_pes_make_all_chunks_equally_long() -> None:
    operations = np.array([0.40, 0.35, 0.25])
    areas = np.array(NASA.pe_areas_mm2)
    pes = proportional_pes(operations, areas, 168 * NASA.conv_pe_area_mm2)
    np.testing.assert_array_equal(pes, NASA.pes)
    assert (pes * areas).sum() <= 168 * NASA.conv_pe_area_mm2
    share = 1000 * areas[0]  # a budget at which rounding is small
    period = (operations / proportional_pes(operations, areas, share)).max()
    equal_area = (operations / (share / 3 / areas)).max()
    equal_count = (operations / (share / areas.sum())).max()
    assert equal_area / period == pytest.approx(2.25, abs=0.02)
    assert equal_count / period == pytest.approx(1.08, abs=0.02)


def test_proportional_pes_of_a_batch() -> None:
    operations = np.array([[4.0, 3.0, 2.0], [1.0, 0.0, 0.0]])
    pes = proportional_pes(operations, np.array([3.0, 1.0, 1.0]), 170.0)
    np.testing.assert_array_equal(pes, [[40, 30, 20], [56, 1, 1]])


def test_names_of_operators_are_checked(tmp_path: Path) -> None:
    text = CATALOG.shipped()["nasa-chunked"].read_text(encoding="utf-8").replace("value: conv,", "value: shfit,")
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(BadConfig, match=r"operator.*did you mean 'shift'"):
        load(str(tmp_path / "mine.yaml"))


def test_relaxed_knobs_have_the_gradients_of_their_differences() -> None:
    torch = pytest.importorskip("torch")
    table = layers(conv(28, 40, 72, 3), linear(512, 10)).map(lambda column: torch.asarray(np.array(column)))
    middle = torch.tensor([125.0, 4e4, 1.6e9, 2e8, 6.5], dtype=torch.float64)

    def cost(ratio: object) -> object:
        names = ("conv_pes", "conv_buffer_bytes", "dram_bytes_per_s", "clock_hz")
        values = ratio * middle
        model = replace(NASA, **{name: values[i] for i, name in enumerate(names)})
        costs = model.cost(table, values[4] * torch.ones((2, 2), dtype=torch.float64), RELAXED)
        return costs.latency_s.sum() * 1e3, costs.energy_j.sum() * 1e5

    assert torch.autograd.gradcheck(cost, torch.ones_like(middle).requires_grad_())
