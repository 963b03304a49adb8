"""AccelBench: its tables, tiles walked one by one, areas added up by hand, and a batch of a million designs' shape."""

import json
from dataclasses import replace
from itertools import product
from math import ceil
from pathlib import Path

import numpy as np
import pytest
from hardware_samples import conv, layers, linear, rows
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign_gym.errors import StorageError
from codesign_gym.simulators.hardware.accelbench.cost import AccelBench
from codesign_gym.simulators.hardware.accelbench.synthesis import DESIGNS, KNOBS
from codesign_gym.simulators.hardware.device import load
from codesign_gym.simulators.hardware.rounding import RELAXED
from codesign_gym.simulators.hardware.verification.accelbench import CONSTANTS, verify
from codesign_gym.simulators.hardware.verification.check import Check, NotRun
from codesign_gym.simulators.networks.layers import Layers, Op

quick = settings(max_examples=25, deadline=None, derandomize=True)
BITS = 20
FIELDS = [name for name in KNOBS if name != "batch"]
SPRING = load("accelbench-spring").model
knobs = st.fixed_dictionaries({name: st.sampled_from(KNOBS[name]) for name in FIELDS})


def cost(model: AccelBench, table: Layers, bits: int = BITS) -> dict[str, float]:
    costs = model.cost(table, np.full((len(table.op), 2), bits))
    return {name: float(column.sum()) for name, column in costs.detail.items()}


@pytest.mark.reference
def test_every_constant_is_the_tables(references: Path) -> None:
    *found, cycles = verify(references)
    assert len(found) == 12
    assert all(isinstance(part, Check) and part.passed for part in found)
    assert isinstance(cycles, NotRun)


def test_a_part_of_a_table_is_checked_and_a_wrong_constant_fails(tmp_path: Path) -> None:
    path = tmp_path / CONSTANTS
    path.parent.mkdir()
    path.write_text(json.dumps({"modules": {"DMA": {"area": 144.636242, "leakage": 1.0}, "Other": {"area": 1.0}}}))
    found = {part.quantity: part for part in verify(tmp_path)}
    assert found["area of modules"].passed
    assert not found["leakage of modules"].passed
    assert all(isinstance(part, NotRun) for name, part in found.items() if not name.endswith("of modules"))


@pytest.mark.parametrize(("text", "message"), [("{", "cannot be read"), ("[]", "a list; expected an object")])
def test_a_broken_table_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / CONSTANTS
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(StorageError, match=message) as caught:
        verify(tmp_path)
    assert "\n" not in str(caught.value)


def test_the_template_has_as_many_designs_as_listed() -> None:
    assert DESIGNS == 69_957_888
    assert set(FIELDS) <= set(vars(SPRING))


def spans(extent: int, tile: int) -> list[int]:
    return [min(tile, extent - start) for start in range(0, extent, tile)]


def walked(model: AccelBench, row: dict[str, int], batch: int) -> tuple[float, int, int]:
    """MAC cycles, and blocks of activations and weights, of a convolution whose tiles are walked one by one."""
    stride, groups = row["stride"], row["groups"]
    depth, filters = row["in_channels"] // groups, row["out_channels"] // groups
    steps = sum(
        ceil(b / model.pib) * ceil(x / model.pix) * ceil(y / model.piy) * ceil(c / model.pif) * ceil(f / model.pof)
        for b, x, y, c, f in product(
            spans(batch, 4),
            spans(row["out_width"], ceil(64 / stride)),
            spans(row["out_height"], ceil(64 / stride)),
            spans(depth, 64),
            spans(filters, 4),
        )
    )
    window = ceil(row["kernel_height"] / model.kernel) * ceil(row["kernel_width"] / model.kernel)
    activations = weights = 0
    seen: set[tuple[int, ...]] = set()
    for b, x, y, c in product(range(batch), range(row["in_width"]), range(row["in_height"]), range(depth)):
        seen.add((b, x // 4, y // 4, c // 4))
    activations = groups * len(seen)
    weights = groups * filters * ceil(row["kernel_height"] / 4) * ceil(row["kernel_width"] / 4) * ceil(depth / 4)
    return 0.2 * groups * steps * window, activations, weights


@quick
@given(row=rows(), design=knobs, batch=st.sampled_from([1, 6]))
def test_convolutions_are_their_tiles(row: dict[str, int], design: dict[str, int], batch: int) -> None:
    model = replace(SPRING, **design)
    table = layers(row).with_batch(batch)
    ours = cost(model, table)
    if row["op"] == Op.LINEAR:
        macs = batch * row["in_channels"] * row["out_channels"]
        cycles = 0.2 * ceil(macs / (model.lanes * model.pif))
        activations = ceil(batch / 8) * ceil(row["in_channels"] / 8)
        weights = ceil(row["in_channels"] / 8) * ceil(row["out_channels"] / 8)
    else:
        cycles, activations, weights = walked(model, row, batch)
    assert ours["mac_cycles"] == pytest.approx(cycles)
    assert ours["dram_bits"] == pytest.approx(64 * BITS * 0.5 * (activations + weights))
    per_cycle = 40_000 * 1024 * 1024 * 8 / 700e6
    assert per_cycle == pytest.approx(479.3, abs=0.1)
    assert ours["activation_load_cycles"] == pytest.approx(64 * BITS * 0.5 * activations / per_cycle)
    loads = ours["activation_load_cycles"], ours["weight_load_cycles"]
    assert max(loads) <= ours["fetch_cycles"] * (1 + 1e-9)
    assert ours["fetch_cycles"] <= sum(loads) * (1 + 1e-9)


def test_what_does_not_fit_is_loaded_again() -> None:
    table = layers(conv(128, 512, 512, 3))
    roomy, activations, weights = (
        cost(replace(SPRING, activation_buffer_mb=a, weight_buffer_mb=w), table)
        for a, w in ((24, 24), (0.1, 24), (24, 0.1))
    )
    assert activations["activation_load_cycles"] == 128 * roomy["activation_load_cycles"]  # once per four filters
    assert weights["weight_load_cycles"] == 4 * roomy["weight_load_cycles"]  # once per tile of 64 x 64 pixels


@pytest.mark.parametrize(("activation_mb", "weight_mb"), [(24, 24), (0.1, 24), (24, 0.01), (0.1, 0.01)])
def test_tiles_wait_for_the_longer_of_both_loads(activation_mb: float, weight_mb: float) -> None:
    model = replace(SPRING, activation_buffer_mb=activation_mb, weight_buffer_mb=weight_mb, cube_edge=1)
    regions, slices, sweeps = 4, 2, 3  # equal tiles of pixels, input channels and filters
    ours = cost(model, layers(conv(128, 128, 12, 3)))
    load = 0.5 * BITS / (8 * model.memory_bytes_per_s / model.clock_hz)
    activations, weights = 64 * 64 * 64 * load, 4 * 9 * 64 * load
    waits = [
        max(activations * (sweep == 0 or activation_mb < 1), weights * (region == 0 or weight_mb < 1))
        for region, _, sweep in product(range(regions), range(slices), range(sweeps))
    ]
    assert ours["fetch_cycles"] == pytest.approx(sum(waits))


def test_data_may_move_number_by_number() -> None:
    fine = replace(SPRING, cube_edge=1)
    pointwise, dense = layers(conv(8, 64, 64, 1)), layers(linear(64, 64))
    assert cost(SPRING, pointwise)["weight_load_cycles"] == 16 * cost(fine, pointwise)["weight_load_cycles"]
    assert cost(SPRING, dense)["weight_load_cycles"] == pytest.approx(cost(fine, dense)["weight_load_cycles"])
    assert cost(fine, dense)["dram_bits"] == pytest.approx((64 + 64 * 64) * BITS / 2)


def test_area_and_leakage_are_the_sums_of_their_modules() -> None:
    elements, lanes = 2 * 8 * 4, 2 * 8 * 4 * 8 * 9
    of_elements = 75946.982008 + 144.636242 + 14654.491357 + 3395.049675 + 749.704715
    of_lanes = 8819.484999 + 14307.182942 + 6216.896914 + 1181.201447 + 32 * 484.37911
    masks_mb = lanes * 4 / 2**20
    buffers = 7.05842 + 3.63967 + 1.21026 / 4 * masks_mb
    assert SPRING.area_mm2 == pytest.approx((elements * of_elements + lanes * of_lanes) / 1e6 + buffers)
    elements_mw = 2.7312 + 0.0063819 + 0.5323004 + 0.1281938 + 0.0848479 + 0.0293699
    lanes_mw = 0.3003308 + 0.396345 + 0.1507329 + 0.0324301 + 32 * 0.0140774
    buffers_mw = 5049.712 + 2975.024 + 952.784 / 4 * masks_mb
    assert SPRING.leakage_w == pytest.approx((elements * elements_mw + lanes * lanes_mw + buffers_mw) / 1e3)


def test_energy_is_power_in_cycles_accesses_and_leakage() -> None:
    table = layers(conv(8, 64, 8, 3))
    bits = np.full((1, 2), BITS)
    costs = SPRING.cost(table, bits)
    detail = {name: column.item() for name, column in costs.detail.items()}
    lanes_mw = 4608 * (4.8926 + 2 * 423.0658 + 0.2852968 + 0.2613971 + 32 * 0.0563909) + 64 * 11.3711
    working = detail["mac_cycles"] / 700e6 * lanes_mw / 1e3
    accesses = 2 * 2 * 16 + 8 * 16, 2 * 2 * 16, 8 * 16
    moved = accesses[0] * 17.321165 + accesses[1] * (0.275546 + 0.273688) + accesses[2] * (0.42123 + 0.418051)
    ways = (detail["activation_load_cycles"] + detail["weight_load_cycles"]) / 700e6 * 64 * 0.0335287e-3
    assert detail["dynamic_energy_j"] == pytest.approx(working + moved * 1e-9 + ways)
    assert detail["leakage_energy_j"] == pytest.approx(costs.latency_s.item() * SPRING.leakage_w)
    assert costs.energy_j.item() == detail["dynamic_energy_j"] + detail["leakage_energy_j"]


def test_normalisation_and_pooling_are_serial() -> None:
    size = {**conv(8, 32, 32, 3), "kernel_height": 2, "kernel_width": 2}
    mean = {**size, "op": Op.POOL, "out_height": 1, "out_width": 1}
    table = layers({**size, "op": Op.NORM}, {**size, "op": Op.POOL}, mean, {**size, "op": Op.ACTIVATION})
    detail = SPRING.cost(table, np.full((4, 2), BITS)).detail
    np.testing.assert_array_equal(detail["serial_cycles"], [32 * 1, 8 * 8 * 32 / 64, 3 * 1, 0])
    np.testing.assert_array_equal(detail["cycles"], detail["serial_cycles"])


def test_overlapping_layers_take_the_larger_sum() -> None:
    table = layers(conv(64, 3, 32, 3), linear(4096, 4096), {**conv(8, 8, 8, 1), "op": Op.NORM})
    totals = SPRING.cost(table, np.full((3, 2), BITS)).total()
    overlapped = SPRING.overlapped_cycles(totals)
    larger = max(totals.detail["fetch_cycles"], totals.detail["mac_cycles"])
    assert overlapped == larger + totals.detail["serial_cycles"]
    assert overlapped <= totals.detail["cycles"]


def drawn(count: int, seed: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {name: random.choice(KNOBS[name], (count, 1)) for name in FIELDS}


def test_a_batch_of_designs_is_its_singles() -> None:
    table = layers(conv(56, 64, 64, 3), conv(28, 32, 32, 3, groups=32), linear(512, 10))
    designs = drawn(200)
    images = np.random.default_rng(1).choice(KNOBS["batch"], (200, 1))
    bits = np.full((3, 2), 8)
    many = replace(SPRING, **designs).cost(replace(table, batch=images * np.ones_like(table.op)), bits)
    assert many.latency_s.shape == (200, 3)
    assert many.area_mm2.shape == (200,)
    for index in range(0, 200, 20):
        one = replace(SPRING, **{name: column[index, 0] for name, column in designs.items()})
        alone = one.cost(table.with_batch(int(images[index, 0])), bits)
        np.testing.assert_allclose(many.latency_s[index], alone.latency_s, rtol=1e-12)
        np.testing.assert_allclose(many.energy_j[index], alone.energy_j, rtol=1e-12)
        assert many.area_mm2[index] == pytest.approx(alone.area_mm2)


@quick
@given(row=rows(), seed=st.integers(0, 10**6), name=st.sampled_from(["pib", "pix", "piy", "pof", "pif", "kernel"]))
def test_more_lanes_are_never_slower_and_always_larger(row: dict[str, int], seed: int, name: str) -> None:
    design = drawn(1, seed) | {name: np.array([[value] for value in KNOBS[name]])}
    costs = replace(SPRING, **design).cost(layers(row), np.full((1, 2), 8))
    assert (np.diff(costs.detail["mac_cycles"][:, 0]) <= 0).all()
    assert (np.diff(costs.latency_s[:, 0]) <= 0).all()
    assert (np.diff(costs.area_mm2) > 0).all()


@quick
@given(row=rows(), seed=st.integers(0, 10**6), name=st.sampled_from(["activation_buffer_mb", "weight_buffer_mb"]))
def test_larger_buffers_never_load_more(row: dict[str, int], seed: int, name: str) -> None:
    design = drawn(1, seed) | {name: np.array([[0.01], [0.1], *([value] for value in KNOBS[name])])}
    costs = replace(SPRING, **design).cost(layers(row), np.full((1, 2), 8))
    assert (np.diff(costs.detail["dram_bits"][:, 0]) <= 0).all()


def test_relaxed_knobs_have_the_gradients_of_their_differences() -> None:
    torch = pytest.importorskip("torch")
    table = layers(conv(56, 64, 64, 3), linear(512, 10))
    values = torch.tensor([2.5, 4.5, 3.5, 7.2e8, 6.5], dtype=torch.float64, requires_grad=True)

    def latency(at: object) -> object:
        names = ("pib", "pix", "pof", "clock_hz")
        model = replace(SPRING, **{name: at[i] for i, name in enumerate(names)})
        bits = at[4] * torch.ones((2, 2), dtype=torch.float64)
        columns = table.map(lambda column: torch.asarray(np.array(column)))
        return model.cost(columns, bits, RELAXED).total().latency_s * 1e6

    assert torch.autograd.gradcheck(lambda at: latency(at * values.detach()), torch.ones_like(values).requires_grad_())


def test_a_network_whose_layers_overlap_is_made_of_sums() -> None:
    """Its dynamic energy is that of layers one after another; it leaks for a shorter time."""
    table = layers(conv(28, 24, 32, 3), linear(96, 10))
    total = SPRING.cost(table, np.full((2, 2), BITS)).total()
    found = SPRING.overlapped(total.detail)
    assert found["latency_s"] == pytest.approx(SPRING.overlapped_cycles(total) / SPRING.clock_hz)
    assert found["dynamic_energy_j"] == pytest.approx(total.detail["dynamic_energy_j"], rel=1e-12)
    assert found["leakage_energy_j"] == pytest.approx(found["latency_s"] * SPRING.leakage_w)
    assert found["leakage_energy_j"] <= total.detail["leakage_energy_j"]
