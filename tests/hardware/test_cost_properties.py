"""What holds for every shipped device, over random layers and bitwidths."""

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hardware_samples import DEVICES, conv, layers, linear, rows
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign_gym.errors import BadConfig
from codesign_gym.simulators.hardware.device import Device, load
from codesign_gym.simulators.hardware.loopnest.cost import SOUGHT
from codesign_gym.simulators.networks.layers import Layers, Op

#: Parameters of which more is faster.
BANDWIDTHS = {
    "bismo-edge": ["read_bytes_per_s", "write_bytes_per_s"],
    "bitfusion": ["dram_bits_per_cycle"],
    "haq-cloud": ["weight_stream", "dense_weight_stream"],
    "systolic-edge": ["dram_bytes_per_s"],
    "systolic-eyeriss": ["dram_bytes_per_s"],
    "tpu-v1": ["dram_bytes_per_s"],
    "accelbench-spring": ["memory_bytes_per_s"],
    "fpga-ultra96": ["ddr_bytes_per_s"],
    "fpga-zc706": ["ddr_bytes_per_s"],
    "nasa-chunked": ["dram_bytes_per_s"],
    "eyeriss-like": ["dram_bits_per_cycle", "l2_bits_per_cycle"],
    "gemmini-like": ["dram_bits_per_cycle", "l2_bits_per_cycle"],
    "simba-like": ["dram_bits_per_cycle", "l2_bits_per_cycle"],
    "tpu-like": ["dram_bits_per_cycle", "l2_bits_per_cycle"],
    "gemmini-16x16": ["bus_bytes"],
    "tpu-v4": ["bytes_per_s"],
    "ncs2": ["bytes_per_s", "dense_bytes_per_s", "pool_bytes_per_s"],
    "zcu102-dnndk": ["bytes_per_s", "dense_bytes_per_s", "pool_bytes_per_s"],
    "nvidia-v100": ["bytes_per_s"],
    "nvidia-t4": ["bytes_per_s"],
    "jetson-tx2": ["bytes_per_s"],
    "raspberry-pi-4": ["bytes_per_s"],
    "pixel-3-cpu": ["bytes_per_s"],
    "mesh-16x16": ["words_per_cycle"],
    "sigma-256": ["distribution_words_per_cycle", "reduction_words_per_cycle"],
    "magma-256": ["distribution_words_per_cycle", "reduction_words_per_cycle"],
    "maeri-128": ["distribution_words_per_cycle", "reduction_words_per_cycle"],
    "maeri-256": ["distribution_words_per_cycle", "reduction_words_per_cycle"],
}
#: Bandwidths that come in powers of two, and by how many powers more than a device's own they may be.
POWERS_OF_TWO = {
    "bus_bytes": 2,
    "distribution_words_per_cycle": 0,
    "reduction_words_per_cycle": 0,
    "words_per_cycle": 0,
}
#: Devices on which rows that multiply nothing cost what they move.
CHARGE_ALL_ROWS = {
    "accelbench-spring",
    "ncs2",
    "zcu102-dnndk",
    "nvidia-v100",
    "nvidia-t4",
    "jetson-tx2",
    "raspberry-pi-4",
    "pixel-3-cpu",
}
#: Devices of models that count no multipliers: rooflines, and a closed form of a table.
UNITS_UNKNOWN = (CHARGE_ALL_ROWS - {"accelbench-spring"}) | {"haq-cloud"}

#: Models that search a mapping for every machine, and parameters of which each design has its own.
SEARCHED = {
    "bitfusion": {"outputs": [16, 32, 16], "dram_bits_per_cycle": [64, 192, 192], "clock_hz": [5e8, 2e8, 1e8]},
    "gemmini-like": {"l1_rows": [16, 2, 16], "dram_bits_per_cycle": [64.0, 64.0, 8.0], "clock_hz": [1e9, 2e8, 1e8]},
    "maeri-128": {"multipliers": [128, 64, 128], "reduction_words_per_cycle": [64, 32, 8], "clock_hz": [1e9, 2e8, 1e8]},
}

few = settings(max_examples=20, deadline=None, derandomize=True)
tables = st.lists(rows(), min_size=1, max_size=3).map(lambda drawn: layers(*drawn))
seeds = st.integers(0, 2**32 - 1)


def designs(device: Device, table: Layers, count: int, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    return random.integers(device.min_bits, device.max_bits + 1, (count, len(table.op), 2))


def columns(costs: object) -> list[np.ndarray]:
    found = [costs.latency_s, costs.size_bytes, *costs.detail.values()]
    return found if costs.energy_j is None else [*found, costs.energy_j]


@pytest.mark.parametrize("name", DEVICES)
@few
@given(table=tables, seed=seeds)
def test_a_batch_is_its_singles_and_all_is_positive(name: str, table: Layers, seed: int) -> None:
    device = load(name)
    bits = designs(device, table, 5, seed)
    batch = columns(device.cost(table, bits))
    for index, design in enumerate(bits):
        for together, alone in zip(batch, columns(device.cost(table, design)), strict=True):
            np.testing.assert_array_equal(together[index], alone)
    assert all(np.isfinite(column).all() for column in batch)
    assert (batch[0] > 0).all()
    assert (batch[1] > 0).all()


@pytest.mark.parametrize("name", DEVICES)
def test_a_batch_read_from_the_table_is_its_singles(name: str) -> None:
    device, table = load(name), layers(conv(8, 3, 8, 3), conv(8, 8, 8, 3, groups=8), linear(8, 10))
    bits = designs(device, table, 600, seed=1)
    for kind in (np.int64, np.int8):
        batch = columns(device.cost(table, bits.astype(kind).reshape(20, 30, 3, 2)))
        direct = columns(device.model.cost(table.with_batch(device.batch), bits))
        for together, alone in zip(batch, direct, strict=True):
            np.testing.assert_array_equal(together.reshape(alone.shape), alone)


@pytest.mark.parametrize("name", DEVICES)
@few
@given(table=tables, seed=seeds)
def test_permuting_designs_and_layers_permutes_costs(name: str, table: Layers, seed: int) -> None:
    device = load(name)
    bits = designs(device, table, 4, seed)
    random = np.random.default_rng(seed)
    design, layer = random.permutation(4), random.permutation(len(table.op))
    straight = device.cost(table, bits).latency_s
    permuted = device.cost(table.map(lambda column: column[layer]), bits[design][:, layer]).latency_s
    np.testing.assert_array_equal(permuted, straight[design][:, layer])


@pytest.mark.parametrize("name", DEVICES)
@settings(few, max_examples=5)
@given(table=tables, seed=seeds, steps=st.integers(2, 40))
def test_so_many_steps_cost_so_many_times_one(name: str, table: Layers, seed: int, steps: int) -> None:
    """Launches, weights that are read anew and all: a recurrence runs step after step. Its weights are stored once."""
    device = load(name)
    bits = designs(device, table, 2, seed)
    many = replace(table, steps=steps * table.steps)
    one, all_of_them = device.cost(table, bits), device.cost(many, bits)
    np.testing.assert_array_equal(all_of_them.size_bytes, one.size_bytes)
    np.testing.assert_array_equal(many.macs, steps * table.macs)
    costs = {"latency_s": one.latency_s, **one.detail} | ({} if one.energy_j is None else {"energy_j": one.energy_j})
    found = {"latency_s": all_of_them.latency_s, "energy_j": all_of_them.energy_j, **all_of_them.detail}
    for quantity, column in costs.items():
        np.testing.assert_array_equal(found[quantity], steps * column, err_msg=quantity)


@pytest.mark.parametrize("name", [name for name in DEVICES if hasattr(load(name).model, "lower")])
def test_rows_lowered_beforehand_run_all_their_steps(name: str) -> None:
    device, table = load(name), layers(conv(8, 3, 8, 3), {**linear(30, 40), "steps": 7}, linear(8, 10))
    bits = designs(device, table, 4, seed=3)
    model: Any = device.model
    together, lowered = device.cost(table, bits), model.cost_of(model.lower(table.with_batch(device.batch), bits), bits)
    for column, other in zip(columns(together), columns(lowered), strict=True):
        np.testing.assert_allclose(column, other, rtol=1e-12)


@pytest.mark.parametrize("name", DEVICES)
@few
@given(row=rows())
def test_more_bits_are_never_cheaper(name: str, row: dict[str, int]) -> None:
    device = load(name)
    widths = np.arange(device.min_bits, device.max_bits + 1)
    bits = np.stack(np.meshgrid(widths, widths, indexing="ij"), -1)[:, :, None]
    costs = device.cost(layers(row), bits)
    for axis in (0, 1):
        assert (np.diff(costs.latency_s, axis=axis) >= 0).all()
        assert (np.diff(costs.size_bytes, axis=axis) >= 0).all()
        if costs.energy_j is not None and not getattr(device.model, "searches", False):
            assert (np.diff(costs.energy_j, axis=axis) >= 0).all()


@pytest.mark.parametrize("objective", ["energy", "energy-delay"])
@pytest.mark.parametrize("name", [name for name in DEVICES if hasattr(load(name).model, "objective")])
@settings(few, max_examples=8)
@given(row=rows())
def test_what_mappings_are_searched_for_never_falls_with_more_bits(name: str, objective: str, row: dict) -> None:
    device = load(name)
    model = replace(device.model, objective=SOUGHT.index(objective))
    widths = np.arange(device.min_bits, device.max_bits + 1)
    bits = np.stack(np.meshgrid(widths, widths, indexing="ij"), -1)[:, :, None]

    def sought(model: Any) -> np.ndarray:
        costs = model.cost(layers(row), bits)
        return costs.energy_j if objective == "energy" else costs.energy_j * costs.latency_s

    for axis in (0, 1):
        change = np.diff(sought(model), axis=axis)
        assert (change >= -1e-12 * sought(model).max()).all()  # a product of two is rounded
    assert sought(model).sum() <= 1.02 * sought(device.model).sum()  # a search for latency finds no better one


def faster_by(name: str) -> list[str]:
    """A device's bandwidths, and its model's clocks and peaks by their units."""
    peaks = [part for part, told in load(name).parameters.items() if told.unit in ("Hz", "op/s", "MAC/s")]
    return [*BANDWIDTHS[name], *peaks]


@pytest.mark.parametrize(("name", "parameter"), [(name, part) for name in DEVICES for part in faster_by(name)])
@few
@given(row=rows(), seed=seeds)
def test_more_bandwidth_or_clock_never_hurts(name: str, parameter: str, row: dict[str, int], seed: int) -> None:
    device, table = load(name), layers(row)
    bits = designs(device, table, 3, seed)
    before = device.cost(table, bits).latency_s
    faster = replace(device, model=replace(device.model, **{parameter: 2 * getattr(device.model, parameter)}))
    assert (faster.cost(table, bits).latency_s <= before).all()


@pytest.mark.parametrize(("name", "parameter"), [(name, part) for name in DEVICES for part in BANDWIDTHS[name]])
@settings(few, max_examples=6)
@given(table=st.lists(rows(), min_size=6, max_size=6).map(lambda drawn: layers(*drawn)), seed=seeds)
def test_of_many_bandwidths_none_is_slower_than_a_lower_one(
    name: str, parameter: str, table: Layers, seed: int
) -> None:
    """Where hardware comes in powers of two, of these; elsewhere of numbers in no order."""
    device: Any = load(name)
    own = getattr(device.model, parameter)
    factors = np.random.default_rng(seed).uniform(-3, 2, 12)
    if parameter in POWERS_OF_TWO:
        factors = np.arange(-3, min(3, POWERS_OF_TWO[parameter] + 1))
    values = np.sort(own * 2.0**factors)
    if isinstance(own, int):
        values = np.unique(np.maximum(np.rint(values), 1)).astype(int)
    bits = designs(device, table, 2, seed)
    latency = [
        replace(device, model=replace(device.model, **{parameter: value.item()})).cost(table, bits).latency_s
        for value in values
    ]
    assert (np.diff(latency, axis=0) <= 1e-12 * latency[0]).all()


@pytest.mark.parametrize("name", sorted(set(DEVICES) - UNITS_UNKNOWN))
@few
@given(table=tables, seed=seeds)
def test_no_layer_has_more_macs_than_slots(name: str, table: Layers, seed: int) -> None:
    """Utilisation is at most 1."""
    device = load(name)
    slots = device.cost(table, designs(device, table, 2, seed)).detail["mac_slots"]
    assert (slots >= table.with_batch(device.batch).macs * (1 - 1e-12)).all()


@pytest.mark.parametrize("name", sorted(set(DEVICES) - CHARGE_ALL_ROWS))
def test_rows_without_weights_are_free(name: str) -> None:
    device = load(name)
    table = layers({**conv(8, 8, 8, 3), "op": Op.POOL}, {**conv(8, 8, 8, 3), "valid": 0}, conv(8, 8, 8, 3))
    costs = device.cost(table, np.full((3, 2), device.max_bits))
    for column in columns(costs):
        assert (column[:2] == 0).all()
    assert costs.latency_s[2] > 0
    assert costs.size_bytes[2] > 0


@pytest.mark.parametrize("name", DEVICES)
@pytest.mark.parametrize("beyond", [-1, 1])
def test_bitwidths_that_the_device_lacks(name: str, beyond: int) -> None:
    device = load(name)
    value = device.min_bits - 1 if beyond < 0 else device.max_bits + 1
    bits = np.full((1, 2), device.min_bits)
    bits[0, 1] = value
    accepted = f"{device.min_bits} to {device.max_bits}"
    with pytest.raises(
        BadConfig, match=f"'{name}': field 'bits' is {value}; accepted: {accepted} .the act.* layer 0.$"
    ):
        device.cost(layers(linear(8, 8)), bits)


@pytest.mark.parametrize("name", DEVICES)
def test_an_empty_batch_is_empty(name: str) -> None:
    costs = load(name).cost(layers(linear(8, 8)), np.zeros((0, 1, 2), dtype=np.int64))
    assert costs.latency_s.shape == (0, 1)


@pytest.mark.parametrize("name", DEVICES)
def test_layers_of_their_own_for_every_design(name: str) -> None:
    device = load(name)
    first, second = layers(conv(8, 8, 8, 3), linear(8, 10)), layers(conv(8, 16, 8, 1), linear(16, 10))
    both = Layers(*(np.stack([getattr(first, f.name), getattr(second, f.name)]) for f in fields(Layers)))
    bits = designs(device, first, 2, seed=0)
    together = device.cost(both, bits).latency_s
    np.testing.assert_array_equal(together[0], device.cost(first, bits[0]).latency_s)
    np.testing.assert_array_equal(together[1], device.cost(second, bits[1]).latency_s)


@pytest.mark.parametrize("name", DEVICES)
def test_torch_gives_the_same_numbers(name: str) -> None:
    torch = pytest.importorskip("torch")
    device = load(name)
    table = layers(conv(8, 3, 8, 3), conv(8, 8, 8, 3, groups=8), {**linear(8, 10), "steps": 3})
    bits = designs(device, table, 4, seed=2)
    tensors = device.cost(table, torch.asarray(bits))
    for tensor, array in zip(columns(tensors), columns(device.cost(table, bits)), strict=True):
        np.testing.assert_array_equal(tensor.numpy(), array)


@pytest.mark.parametrize("name", DEVICES)
def test_bitwidths_that_want_gradients_get_an_answer(name: str) -> None:
    torch = pytest.importorskip("torch")
    device, table = load(name), layers(conv(8, 3, 8, 3), linear(8, 10))
    bits = torch.full((2, 2), float(device.max_bits), dtype=torch.float64, requires_grad=True)
    tensors = device.cost(table, bits)
    for tensor, array in zip(columns(tensors), columns(device.cost(table, bits.detach().numpy())), strict=True):
        np.testing.assert_allclose(tensor.detach().numpy(), array)


@pytest.mark.parametrize("name", ["bismo-edge", "haq-cloud"])
def test_relaxed_bitwidths_have_gradients(name: str) -> None:
    torch = pytest.importorskip("torch")
    device, table = load(name), layers(conv(8, 32, 64, 3), linear(64, 10))
    bits = torch.full((2, 2), 5.5, dtype=torch.float64, requires_grad=True)
    device.cost(table, bits).total().latency_s.backward()
    assert (bits.grad[:, 0] > 0).all()
    assert torch.isfinite(bits.grad).all()


@pytest.mark.parametrize("name", SEARCHED)
def test_a_batch_of_machines_is_its_singles(name: str) -> None:
    device, table = load(name), layers(conv(8, 3, 8, 3), conv(8, 8, 8, 3, groups=8), linear(8, 10))
    knobs = SEARCHED[name]
    bits = designs(device, table, 3, seed=5)
    arrays = {knob: np.array(values)[:, None] for knob, values in knobs.items()}
    batch = replace(device, model=replace(device.model, **arrays)).cost(table, bits).aligned()
    assert len(np.unique(batch.detail["cycles"].sum(-1))) == 3  # no two machines are equal
    for design in range(3):
        own = {knob: values[design] for knob, values in knobs.items()}
        alone = replace(device, model=replace(device.model, **own)).cost(table, bits[design])
        for together, single in zip(columns(batch), columns(alone), strict=True):
            np.testing.assert_allclose(together[design], single, rtol=1e-12)
