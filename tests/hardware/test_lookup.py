"""Look-up tables: exact matches over batches, and every hole or doubt in a table named."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from calibration_samples import TRUTH, drawn, layer_file, table_file
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign_gym.errors import BadConfig, CodesignError
from codesign_gym.simulators.hardware.calibration.data import SHAPE
from codesign_gym.simulators.hardware.device import Device, load
from codesign_gym.simulators.hardware.lookup.cost import Lookup, Table
from codesign_gym.simulators.networks import load as load_network
from codesign_gym.simulators.networks.layers import COLUMNS, Layers, Op, network

BITS = (2, 4, 8)


def device_file(folder: Path, file: str, **more: object) -> str:
    content = {
        "title": "a table",
        "model": "lookup",
        "batch": 2,
        "max_bits": 16,
        "sources": {"measured": "Measured."},
        "table": {"file": file, "source": "measured", **more},
    }
    path = folder / "table.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return str(path)


def every_pair(layers: Layers) -> tuple[Layers, np.ndarray]:
    """Every layer at every pair of bitwidths, columns of shape (layers * pairs,)."""
    pairs = np.stack(np.meshgrid(BITS, BITS), -1).reshape(-1, 2)
    count = len(layers.op)
    return layers.map(lambda column: np.repeat(column, len(pairs))), np.tile(pairs, (count, 1))


def distinct(layers: Layers) -> Layers:
    rows = np.stack([getattr(layers, name) for name in SHAPE], -1)
    first = np.sort(np.unique(rows, axis=0, return_index=True)[1])
    return layers.map(lambda column: column[first])


@pytest.fixture(scope="module")
def layers() -> Layers:
    return distinct(drawn(24)[0])


@pytest.fixture(scope="module")
def device(layers: Layers, tmp_path_factory: pytest.TempPathFactory) -> Device:
    """A table of every layer at every pair of bitwidths, at batch 2."""
    folder = tmp_path_factory.mktemp("table")
    table, bits = every_pair(layers)
    costs = TRUTH.cost(table.with_batch(2), bits)
    columns = {name: getattr(table, name) for name in SHAPE} | {
        "weight_bits": bits[:, 0],
        "activation_bits": bits[:, 1],
    }
    table_file(folder / "t.csv", {**columns, "latency_us": 1e6 * costs.latency_s, "energy_nJ": 1e9 * costs.energy_j})
    return load(device_file(folder, "t.csv"))


@settings(max_examples=20, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1), shape=st.sampled_from([(), (3,), (2, 5)]))
def test_a_batch_reads_what_was_measured(device: Device, layers: Layers, seed: int, shape: tuple[int, ...]) -> None:
    random = np.random.default_rng(seed)
    bits = random.choice(BITS, (*shape, len(layers.op), 2))
    costs, truth = device.cost(layers, bits), TRUTH.cost(layers.with_batch(2), bits)
    np.testing.assert_allclose(costs.latency_s, truth.latency_s, rtol=1e-12)
    np.testing.assert_allclose(costs.energy_j, truth.energy_j, rtol=1e-12)
    np.testing.assert_array_equal(costs.size_bytes, truth.size_bytes)
    assert costs.latency_s.shape == (*shape, len(layers.op))


def test_designs_with_layers_of_their_own_and_padding(device: Device, layers: Layers) -> None:
    random = np.random.default_rng(0)
    place = random.integers(0, len(layers.op), (6, 5))
    each = layers.map(lambda column: column[place])
    valid = random.integers(0, 2, place.shape)
    padded = each.map(lambda column: np.where(valid == 1, column, 1))
    padded = Layers(**{name: valid if name == "valid" else getattr(padded, name) for name in COLUMNS})
    bits = random.choice(BITS, (6, 5, 2))
    truth = TRUTH.cost(each.with_batch(2), bits).latency_s
    np.testing.assert_allclose(device.cost(padded, bits).latency_s, valid * truth, rtol=1e-12)


def test_torch_reads_the_same(device: Device, layers: Layers) -> None:
    bits = np.random.default_rng(1).choice(BITS, (4, len(layers.op), 2))
    costs = device.cost(layers, torch.as_tensor(bits))
    assert isinstance(costs.latency_s, torch.Tensor)
    np.testing.assert_array_equal(costs.latency_s.numpy(), device.cost(layers, bits).latency_s)
    with pytest.raises(BadConfig, match="no entry for layer 0"):
        device.cost(layers, torch.as_tensor(bits) * 0 + 4.5)


def test_rows_of_operators_that_no_entry_has_are_free_and_others_are_not(device: Device) -> None:
    row = {"in_channels": 8, "out_channels": 8}
    idle = network("idle", [{"op": Op.NORM, **row}, {"op": Op.POOL, **row}], ["a", "b"]).layers
    assert (device.cost(idle, np.full((2, 2), 8)).latency_s == 0).all()
    product = network("product", [{"op": Op.MATMUL, **row}], ["a"]).layers
    with pytest.raises(BadConfig, match="no entry for layer 0: op matmul, in_channels 8"):
        device.cost(product, np.full((1, 2), 8))


def test_a_missing_entry_names_the_layer_and_the_nearest(device: Device, layers: Layers) -> None:
    with pytest.raises(BadConfig) as caught:
        device.cost(layers, np.where(np.arange(len(layers.op))[:, None] == 3, 7, np.full((len(layers.op), 2), 8)))
    message = str(caught.value)
    assert "no entry for layer 3: " in message
    assert "weight_bits 7, activation_bits 7; nearest: row " in message
    assert ", with weight_bits 8, activation_bits 8; row " in message
    assert "\n" not in message


def test_fewer_keys_and_columns_by_other_names(tmp_path: Path) -> None:
    columns = {"cin": [8, 8, 16], "cout": [8, 16, 16], "b": [8, 8, 8], "edge": [1.0, 2.0, 3.0], "joule": [4, 5, 6]}
    table_file(tmp_path / "t.csv", columns)
    keys = {"in_channels": "cin", "out_channels": "cout", "weight_bits": "b", "activation_bits": "b"}
    values = {"latency": {"column": "edge", "unit": "ms"}, "energy": {"column": "joule", "unit": "mJ"}}
    found = load(device_file(tmp_path, "t.csv", keys=keys, values=values))
    table = network("n", [{"in_channels": 16, "out_channels": 16}, {"in_channels": 8, "out_channels": 16}], ["a", "b"])
    costs = found.cost(table.layers, np.full((2, 2), 8))
    np.testing.assert_allclose(costs.latency_s, [3e-3, 2e-3])
    np.testing.assert_allclose(costs.energy_j, [6e-3, 5e-3])


def test_layers_by_name_are_a_device_for_their_network(tmp_path: Path) -> None:
    net = load_network("resnet18").weighted()
    shapes = distinct(net.layers)
    names, latency = [], np.arange(1.0, len(shapes.op) + 1)
    for row in zip(*(getattr(shapes, name) for name in SHAPE), strict=True):
        same = np.all([getattr(net.layers, n) == v for n, v in zip(SHAPE, row, strict=True)], axis=0)
        names.append(net.layer_names[int(np.argmax(same))])
    columns = {"network": ["resnet18"] * len(names), "layer": names, "latency_ms": latency}
    table_file(tmp_path / "t.csv", columns)
    every = load_network("resnet18")
    costs = load(device_file(tmp_path, "t.csv")).cost(every.layers, np.full((len(every), 2), 8))
    by_name = dict(zip(every.layer_names, costs.latency_s, strict=True))
    for name, expected in zip(names, latency, strict=True):
        assert by_name[name] == pytest.approx(expected * 1e-3)
    assert by_name["layer1.1.conv2"] == by_name["layer1.0.conv1"]


def measured_network(folder: Path, **more: list[object]) -> tuple[Device, dict[str, float]]:
    """All 21 weighted layers of ResNet-18, of which some have equal shapes, each with a latency of its own, in ms."""
    names = load_network("resnet18").weighted().layer_names
    latency = 1 + np.arange(len(names)) / 100
    table_file(folder / "t.csv", {"network": ["resnet18"] * len(names), "layer": names, "latency_ms": latency, **more})
    return load(device_file(folder, "t.csv")), dict(zip(names, latency.tolist(), strict=True))


def test_a_recurrence_that_was_measured_whole_is_found_whole_and_by_other_steps(tmp_path: Path) -> None:
    table = load_network("lstm-medium").layers
    names = {"network": ["lstm-medium"], "layer": ["lstm.weight_hh_l0"]}
    table_file(tmp_path / "t.csv", {**names, "latency_ms": [7.0]})
    device = load(device_file(tmp_path, "t.csv"))
    row = table.map(lambda column: column[2:3])
    bits = np.full((1, 2), 8)
    assert row.steps == 35
    assert device.cost(row, bits).latency_s == pytest.approx([7e-3])
    assert device.cost(replace(row, steps=row.steps * 2), bits).latency_s == pytest.approx([14e-3])


def test_layers_of_equal_shape_that_names_tell_apart_are_their_mean(tmp_path: Path) -> None:
    found, latency = measured_network(tmp_path)
    net = load_network("resnet18")
    costs = found.cost(net.layers, np.full((len(net), 2), 8))
    by_name = dict(zip(net.layer_names, 1e3 * costs.latency_s, strict=True))
    assert by_name["conv1"] == pytest.approx(latency["conv1"])
    equal = [latency[f"layer1.{block}.conv{i}"] for block in (0, 1) for i in (1, 2)]
    for block in (0, 1):
        assert by_name[f"layer1.{block}.conv1"] == pytest.approx(np.mean(equal))
    assert sum(by_name.values()) == pytest.approx(sum(latency.values()))
    assert isinstance(found.model, Lookup)
    shapes = net.weighted().layers
    rows = np.unique(np.stack([getattr(shapes, name) for name in SHAPE], -1), axis=0, return_inverse=True)[1].ravel()
    groups = [np.array(list(latency.values()))[rows == row] for row in range(rows.max() + 1)]
    assert found.model.table.spread == pytest.approx(max(np.ptp(group) / group.mean() for group in groups))
    assert found.summary()[-1].endswith(f"differ by up to {100 * found.model.table.spread:.3g} % of it")


def test_a_layer_of_a_network_measured_twice_is_named(tmp_path: Path) -> None:
    columns = {"network": ["resnet18"] * 3, "layer": ["fc", "conv1", "fc"], "latency_ms": [1, 2, 3]}
    table_file(tmp_path / "t.csv", columns)
    with pytest.raises(BadConfig, match=r"rows 1 and 3 have the same op, .*, network, layer$"):
        load(device_file(tmp_path, "t.csv"))


def test_operators_by_name(tmp_path: Path) -> None:
    columns = {"operator": ["skip", "k3_e6", "k3_e6"], "weight_bits": [8, 8, 4], "latency_us": [1, 5, 3]}
    table_file(tmp_path / "t.csv", columns)
    model = load(device_file(tmp_path, "t.csv")).model
    assert isinstance(model, Lookup)
    names = np.array([["skip", "k3_e6"], ["k3_e6", "skip"]])
    bits = np.array([[[8, 8], [4, 8]], [[8, 8], [8, 8]]])
    np.testing.assert_allclose(model.operators(names, bits)["latency_s"], [[1e-6, 3e-6], [5e-6, 1e-6]])
    with pytest.raises(
        BadConfig, match=r"no entry for operator 1: operator k3_e61, .* nearest: row 3, with operator k3_e6"
    ):
        model.operators(np.array(["skip", "k3_e61"]), bits[0])
    with pytest.raises(BadConfig, match="is keyed by operator, weight_bits; it was asked by operator"):
        model.operators(names)
    with pytest.raises(BadConfig, match="is a table of operators by name"):
        model.cost(drawn(3)[0], np.full((3, 2), 8))


@pytest.mark.reference
def test_fbnet_operators_are_devices(references: Path, tmp_path: Path) -> None:
    file = str((references / "fbnet" / "hwnasbench_fbnet_op_lut_5devices.csv").resolve())
    values = {
        "latency": {"column": "edgegpu_latency", "unit": "ms"},
        "energy": {"column": "edgegpu_energy", "unit": "mJ"},
    }
    model = load(device_file(tmp_path, file, keys={"operator": "op"}, values=values)).model
    table = np.genfromtxt(file, delimiter=",", names=True, dtype=None, encoding="utf-8")
    choices = np.random.default_rng(0).integers(0, len(table), (1000, 22))  # designs of 22 layers
    found = model.operators(table["op"][choices])
    np.testing.assert_allclose(found["latency_s"], 1e-3 * table["edgegpu_latency"][choices], rtol=1e-12)
    np.testing.assert_allclose(found["energy_j"], 1e-3 * table["edgegpu_energy"][choices], rtol=1e-12)


SMALL = {"op": ["linear", "linear"], "in_channels": [8, 16], "out_channels": [8, 8], "latency_us": [1, 2]}
BAD: dict[str, tuple[dict[str, object], dict[str, object], str]] = {
    "same keys": ({"in_channels": [8, 8]}, {}, "rows 1 and 2 have the same op, in_channels"),
    "NaN": ({"latency_us": [1, "nan"]}, {}, "row 2: latency_us is nan; accepted: a positive, finite number"),
    "no value": ({"latency_us": None}, {}, "no column of latencies"),
    "unknown key": ({}, {"keys": {"in_chanels": "a"}}, "unknown key 'in_chanels'; did you mean 'in_channels'"),
    "absent column": ({}, {"keys": {"in_channels": "cin"}}, "no column cin; it has op, in_channels"),
    "unknown quantity": ({}, {"values": {"latencies": {"column": "a", "unit": "s"}}}, "unknown quantity 'latencies'"),
    "unknown unit": (
        {},
        {"values": {"latency": {"column": "latency_us", "unit": "h"}}},
        "unit' is 'h'; accepted: s, ms",
    ),
    "no source": ({}, {"source": "mesured"}, "field 'table.source' is 'mesured'; did you mean 'measured'"),
    "no file": ({}, {"file": "absent.csv"}, "absent.csv: cannot be read"),
    "a network": ({"network": ["", "resnet18"]}, {}, "row 2: a whole network; accepted: a layer"),
    "nameless operator": ({"operator": ["a", ""]}, {}, "row 2: operator is empty; accepted: a name"),
}


@pytest.mark.parametrize("case", BAD)
def test_every_mistake_is_one_line(case: str, tmp_path: Path) -> None:
    columns, settings_, message = BAD[case]
    table_file(tmp_path / "t.csv", {n: c for n, c in {**SMALL, **columns}.items() if c is not None})
    with pytest.raises(CodesignError) as caught:
        load(device_file(tmp_path, **{"file": "t.csv", **settings_}))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_model_without_a_table_and_a_table_without_its_model(tmp_path: Path) -> None:
    path = Path(device_file(tmp_path, "t.csv"))
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("model: lookup", "model: bismo"), encoding="utf-8")
    with pytest.raises(BadConfig, match="field 'table': model 'bismo' reads none"):
        load(str(path))
    path.write_text(text[: text.index("table:")] + "title: no table\n", encoding="utf-8")
    with pytest.raises(BadConfig, match="field 'table' is missing"):
        load(str(path))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 3)), min_size=1, max_size=20, unique=True))
def test_find_is_the_plain_search(entries: list[tuple[int, int]]) -> None:
    keys = dict(zip("ab", np.array(entries).T, strict=True))
    table = Table("t", keys, {"latency_s": np.arange(1.0, len(entries) + 1)})
    asked = np.stack(np.meshgrid(np.arange(-5, 6), np.arange(-2, 6)), -1)
    entry, found = table.find({"a": asked[..., 0], "b": asked[..., 1]})
    for place in np.ndindex(found.shape):
        assert found[place] == (tuple(asked[place]) in entries)
        assert not found[place] or entries[entry[place]] == tuple(asked[place])


def test_a_file_of_measurements_is_a_device_as_it_is(tmp_path: Path) -> None:
    layer_file(tmp_path / "mine.csv", rows=12)
    layers, bits = drawn(12)
    costs = load(device_file(tmp_path, "mine.csv")).cost(layers, bits)
    assert (costs.latency_s > 0).all()
    assert (costs.energy_j > 0).all()
