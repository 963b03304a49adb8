"""The FPGA engine: a published network on a published board, resources by hand, and the caching of Bayesian rows."""

from dataclasses import replace
from math import ceil

import numpy as np
import pytest
from hardware_samples import conv, layers, linear, rows
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign_gym.simulators.hardware.blocking import operand_bits
from codesign_gym.simulators.hardware.device import load
from codesign_gym.simulators.hardware.rounding import EXACT, RELAXED
from codesign_gym.simulators.networks.layers import Layers, Op

quick = settings(max_examples=25, deadline=None, derandomize=True)
ENGINE, EDGE = load("fpga-zc706").model, load("fpga-ultra96").model
BOARDS = ["fpga-zc706", "fpga-ultra96"]


def at(bits: int, table: Layers) -> np.ndarray:
    return np.full((len(table.op), 2), bits)


def vgg16() -> Layers:
    """VGG-16's convolutions."""
    stages = [(224, 64, 2), (112, 128, 2), (56, 256, 3), (28, 512, 3), (14, 512, 3)]
    made, channels = [], 3
    for size, filters, depth in stages:
        for _ in range(depth):
            made.append(conv(size, channels, filters, 3))
            channels = filters
    return layers(*made)


def test_vgg16_on_the_zc706_is_near_the_published_throughput() -> None:
    table = vgg16()
    latency_s = ENGINE.cost(table, at(16, table)).total().latency_s
    giga_operations_per_s = 2 * table.macs.sum() / latency_s / 1e9
    assert giga_operations_per_s == pytest.approx(187.80, rel=0.2)  # Qiu et al., FPGA 2016, table of CONV layers


def test_the_published_design_is_near_its_resources_and_power() -> None:
    table = layers(conv(8, 8, 8, 3))
    resources = ENGINE.cost(table, at(16, table)).resources
    published = {"dsp": 780, "bram": 486, "lut": 182_616, "power_w": 9.63}
    for name, amount in published.items():
        assert resources[name] == pytest.approx(amount, rel=0.07), name


@pytest.mark.parametrize("name", BOARDS)
def test_shipped_designs_fit_their_boards(name: str) -> None:
    device = load(name)
    resources = device.cost(layers(conv(8, 8, 8, 3)), np.full((1, 2), 8)).resources
    assert all(resources[resource] <= limit for resource, limit in device.model.limits.items())


def test_resources_by_hand() -> None:
    model = replace(
        ENGINE,
        pf=16,
        pc=8,
        pv=3,
        macs_per_dsp=2.0,
        data_bits=8,
        input_buffer_bytes=36864.0,
        weight_buffer_bytes=1024.0,
        output_buffer_bytes=1024.0,
    )
    table = layers(conv(8, 8, 8, 3))
    resources = model.cost(table, at(8, table)).resources
    assert resources["dsp"] == 192
    assert resources["lut"] == 192 * model.luts_per_dsp
    weights, sums = 2 * ceil(16 * 8 * 8 / 72), 2 * ceil(16 * 3 * 32 / 72)  # two halves, as wide as the engine
    assert resources["bram"] == 8 + weights + sums


@quick
@given(row=rows(), pf=st.integers(1, 40), pc=st.integers(1, 40), pv=st.integers(1, 20), batch=st.sampled_from([1, 3]))
def test_compute_cycles_are_the_loops(row: dict[str, int], pf: int, pc: int, pv: int, batch: int) -> None:
    model = replace(ENGINE, pf=pf, pc=pc, pv=pv)
    detail = model.cost(layers(row).with_batch(batch), np.full((1, 2), 8)).detail
    groups, window = row.get("groups", 1), row.get("kernel_height", 1) * row.get("kernel_width", 1)
    inner, outer = row["in_channels"] // groups, row["out_channels"] // groups
    positions = row.get("out_height", 1) * row.get("out_width", 1)
    assert detail["compute_cycles"] == batch * groups * window * ceil(inner / pc) * ceil(outer / pf) * ceil(
        positions / pv
    )
    assert detail["mac_slots"] >= layers(row).with_batch(batch).macs


def test_operands_are_read_once_where_one_fits() -> None:
    def read(inputs: float, weights: float) -> float:
        return float(operand_bits(np.array(inputs), np.array(weights), 100, 100, EXACT))

    assert read(1000, 100) == 1100
    assert read(100, 1000) == 1100
    assert read(250, 1000) == 250 + 3 * 1000  # three parts of the inputs stay, one after another
    assert read(1000, 250) == 250 + 3 * 1000


@quick
@given(row=rows(), seed=st.integers(0, 10**6))
def test_traffic_is_at_least_every_operand_once(row: dict[str, int], seed: int) -> None:
    random = np.random.default_rng(seed)
    weight_bits, activation_bits = (int(width) for width in random.integers(1, 9, 2))
    model = replace(EDGE, input_buffer_bytes=2.0 ** random.integers(4, 20))
    table = layers(row)
    moved = model.cost(table, np.array([[weight_bits, activation_bits]])).detail["dram_bits"]
    outputs = table.out_elements * activation_bits
    assert moved >= table.weights * weight_bits + table.in_elements * activation_bits + outputs


@pytest.mark.parametrize("knob", ["pf", "pc", "pv", "ddr_bytes_per_s", "input_buffer_bytes", "weight_buffer_bytes"])
@quick
@given(row=rows())
def test_more_of_anything_is_never_slower(knob: str, row: dict[str, int]) -> None:
    model = ENGINE
    values = np.unique(np.ceil(getattr(model, knob) * np.array([0.01, 0.1, 0.5, 1, 2, 3, 10])))[:, None]
    costs = replace(model, **{knob: values}).cost(layers(row), np.full((1, 2), 8))
    assert (np.diff(costs.latency_s[:, 0]) <= 0).all()
    for name in model.limits:
        assert (np.diff(np.broadcast_to(costs.resources[name], len(values))) >= 0).all()


def test_a_batch_of_designs_is_its_singles() -> None:
    table = layers(conv(28, 32, 64, 3), conv(28, 64, 64, 3, groups=64), linear(512, 10))
    random = np.random.default_rng(0)
    knobs = {name: random.choice([1, 4, 8, 16, 32], (50, 1)) for name in ("pf", "pc", "pv")}
    many = replace(ENGINE, **knobs).cost(table, at(8, table))
    assert many.latency_s.shape == (50, 3)
    assert many.resources["dsp"].shape == (50,)
    for index in range(50):
        one = replace(ENGINE, **{name: int(column[index, 0]) for name, column in knobs.items()})
        alone = one.cost(table, at(8, table))
        np.testing.assert_array_equal(many.latency_s[index], alone.latency_s)
        assert many.resources["dsp"][index] == alone.resources["dsp"]


def test_samples_of_bayesian_rows_are_images_of_their_batch() -> None:
    table = layers(*[conv(16, 48, 48, 3)] * 6)
    samples, bayesian = 50, 2
    run = np.array([1] * (6 - bayesian) + [samples] * bayesian)
    cycles = ENGINE.cost(replace(table, batch=run), at(8, table)).detail["compute_cycles"].sum()
    uncached = ENGINE.cost(table.with_batch(samples), at(8, table)).detail["compute_cycles"].sum()
    assert uncached / cycles == 6 * samples / ((6 - bayesian) + samples * bayesian)
    assert uncached / cycles == pytest.approx(2.885, abs=1e-3)  # for a third of the layers and 50 samples


def test_products_of_activations_are_computed_and_rows_without_products_free() -> None:
    attention = {"op": Op.MATMUL, "in_channels": 4 * 64, "out_channels": 4 * 49, "groups": 4, "out_height": 49}
    attention |= {"in_height": 49}
    table = layers(attention, {**conv(8, 8, 8, 3), "op": Op.POOL})
    costs = ENGINE.cost(table, np.array([[1, 8], [1, 8]]))
    assert costs.detail["compute_cycles"][0] == 4 * 4 * 4 * ceil(49 / 16) * ceil(49 / 3) / 4
    operands = 49 * 256 + 4 * 64 * 49 + 4 * 49 * 49
    assert costs.detail["dram_bits"][0] == 8 * operands
    assert costs.latency_s[1] == costs.energy_j[1] == costs.detail["dram_bits"][1] == 0


def test_relaxed_knobs_have_the_gradients_of_their_differences() -> None:
    torch = pytest.importorskip("torch")
    table = layers(conv(28, 40, 72, 3), linear(512, 10)).map(lambda column: torch.asarray(np.array(column)))
    middle = torch.tensor([12.5, 9.3, 2.7, 1.5e8, 4e9, 6.5], dtype=torch.float64)

    def latency(ratio: object) -> object:
        names = ("pf", "pc", "pv", "clock_hz", "ddr_bytes_per_s")
        values = ratio * middle
        model = replace(ENGINE, **{name: values[i] for i, name in enumerate(names)})
        return model.cost(table, values[5] * torch.ones((2, 2), dtype=torch.float64), RELAXED).energy_j.sum() * 1e3

    assert torch.autograd.gradcheck(latency, torch.ones_like(middle).requires_grad_())
