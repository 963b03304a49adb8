"""Calibration: known constants come back within their error bars, and what the data do not tell is said."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from calibration_samples import START, TRUTH, Machine, device_file, layer_file, table_file
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign_gym.errors import BadConfig, CodesignError
from codesign_gym.simulators.hardware.calibration.constants import chosen_constants
from codesign_gym.simulators.hardware.calibration.data import Measurements, read_measurements
from codesign_gym.simulators.hardware.calibration.fit import (
    Fitted,
    error_bars,
    fit,
    fold_of,
    problem,
    solve,
)
from codesign_gym.simulators.hardware.calibration.record import covered
from codesign_gym.simulators.hardware.device import load
from codesign_gym.simulators.networks import load as load_network
from codesign_gym.simulators.networks.layers import Op

LATENCY = ("macs_per_s", "bytes_per_s", "launch_s")
EVERY = (*LATENCY, "mac_j", "byte_j")


def machine(**changed: float) -> Machine:
    return replace(Machine(**{name: value for name, (value, *_) in START.items()}), **changed)


def fitted(data: Measurements, names: tuple[str, ...], model: object = None, folds: int = 4) -> Fitted:
    model = model or machine()
    return fit(problem(model, chosen_constants(model, names), data), folds, seed=0)


def latencies(data: Measurements) -> Measurements:
    return replace(data, measured={"latency_s": data.measured["latency_s"]})


def mape(predicted: np.ndarray, measured: np.ndarray) -> float:
    return float(100 * np.abs(predicted / measured - 1).mean())


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Measurements:
    return read_measurements(layer_file(tmp_path_factory.mktemp("data") / "mine.csv"), batch=1, bits=8)


def test_known_constants_come_back_within_their_error_bars(data: Measurements) -> None:
    found = fitted(data, EVERY)
    assert found.warnings == ()
    for name in EVERY:
        bar, truth = found.bars[name], getattr(TRUTH, name)
        assert bar.low < truth < bar.high, name
        assert bar.high / bar.low < 1.3
        assert bar.low < found.values[name] < bar.high
    for quantity, measured in data.measured.items():
        assert mape(found.before[quantity], measured) > 50
        assert 3 < mape(found.after[quantity], measured) < 5  # the noise's own: .05 * sqrt(2 / pi)
        assert mape(found.unseen[quantity], measured) < 5.5


def test_error_bars_hold_the_truth_as_often_as_they_say(tmp_path: Path) -> None:
    inside = []
    for seed in range(20):
        measured = latencies(read_measurements(layer_file(tmp_path / "mine.csv", 40, seed=10 + 2 * seed), 1, 8))
        of = problem(TRUTH, chosen_constants(TRUTH, LATENCY), measured)
        bars, _ = error_bars(of, solve(of, np.zeros(3))[1])
        inside += [bars[name].low < getattr(TRUTH, name) < bars[name].high for name in LATENCY]
    assert 0.87 <= np.mean(inside) <= 1  # of 60, where 95 % are expected


def test_without_noise_the_constants_are_exact(tmp_path: Path) -> None:
    exact = read_measurements(layer_file(tmp_path / "mine.csv", noise=0.0), 1, 8)
    found = fitted(exact, EVERY)
    for name in EVERY:
        assert found.values[name] == pytest.approx(getattr(TRUTH, name), rel=2e-3)


def test_outliers_do_not_bend_the_rest(data: Measurements) -> None:
    spoilt = data.measured["latency_s"] * np.where(np.arange(len(data)) % 12 == 0, 20, 1)
    found = fitted(replace(data, measured={"latency_s": spoilt}), LATENCY)
    for name in LATENCY:
        assert found.values[name] == pytest.approx(getattr(TRUTH, name), rel=0.25)


def test_constants_that_only_matter_together_are_named(data: Measurements) -> None:
    found = fitted(latencies(data), ("macs_per_s", "share", "bytes_per_s"), machine(launch_s=2e-5, share=0.5))
    warning, advice = found.warnings
    assert "not identifiable" in warning
    assert "macs_per_s, share" in warning
    assert found.bars["share"].low is None
    assert found.bars["bytes_per_s"].low is not None
    free = advice.rpartition("--free ")[2].split(",")  # one of the two that are known as a product
    assert len(free) == 2
    assert "bytes_per_s" in free
    again = fitted(latencies(data), tuple(free), machine(launch_s=2e-5, share=0.5))
    assert again.warnings == ()


def test_a_constant_that_no_row_depends_on_is_named_and_stays(data: Measurements) -> None:
    fast = machine(launch_s=2e-5, bytes_per_s=1e14)
    linear = data.layers.op[:, 0] == Op.CONV
    bound = data.only(linear & (data.layers.kernel_height[:, 0] == 5) & (data.layers.in_channels[:, 0] > 100))
    found = fitted(latencies(bound), ("macs_per_s", "bytes_per_s"), fast)
    assert "bytes_per_s" in found.warnings[0]
    assert found.values["bytes_per_s"] == pytest.approx(1e14, rel=1e-3)
    assert found.bars["bytes_per_s"].low is None
    assert found.bars["macs_per_s"].low < TRUTH.macs_per_s < found.bars["macs_per_s"].high


def test_every_constant_unidentifiable(data: Measurements) -> None:
    found = fitted(latencies(data), ("mac_j", "byte_j"), replace(TRUTH, mac_j=1e-12))
    assert "mac_j, byte_j" in found.warnings[0]
    assert found.warnings[-1] == "these rows determine no constant by itself; measure layers of more different shapes"
    assert found.values["mac_j"] == 1e-12


def test_a_constant_at_its_bound_is_told(data: Measurements) -> None:
    found = fitted(latencies(data), ("share",), replace(TRUTH, macs_per_s=6e9, share=0.5))
    assert found.values["share"] == 1
    assert any("share ended at a bound" in line for line in found.warnings)


def test_the_same_seed_gives_the_same_answer(data: Measurements) -> None:
    first, second = (fitted(latencies(data), LATENCY, folds=2) for _ in range(2))
    assert first.values == second.values
    assert first.bars == second.bars
    np.testing.assert_array_equal(first.unseen["latency_s"], second.unseen["latency_s"])


@settings(max_examples=30, deadline=None, derandomize=True)
@given(groups=st.lists(st.integers(0, 9), min_size=2, max_size=40), folds=st.integers(2, 6), seed=st.integers(0, 9))
def test_a_group_is_kept_aside_as_a_whole(groups: list[int], folds: int, seed: int) -> None:
    part = fold_of(np.array(groups), folds, seed)
    assert all(len(set(part[np.array(groups) == group])) == 1 for group in groups)
    assert sorted(set(part)) == list(range(min(folds, len(set(groups)))))


def test_networks_count_all_their_layers_and_are_kept_aside_whole(tmp_path: Path) -> None:
    names = ["resnet18", "resnet18", "mobilenetv2", "mobilenetv1", "resnet50"]
    batches = [1, 4, 1, 1, 2]
    columns = {"network": names, "batch": batches, "bits": [8, 8, 8, 16, 8], "latency_s": [1.0] * 5}
    data = read_measurements(table_file(tmp_path / "nets.csv", columns), 1, 8)
    assert data.whole.all()
    assert data.groups[0] == data.groups[1]
    assert len(set(data.groups)) == 4
    predicted = problem(TRUTH, chosen_constants(TRUTH, ["launch_s"]), data).predict({})["latency_s"]
    for row, (name, batch, bits) in enumerate(zip(names, batches, columns["bits"], strict=True)):
        layers = load_network(name).layers.with_batch(batch)
        alone = TRUTH.cost(layers, np.full((len(layers.op), 2), bits)).latency_s.sum()
        assert predicted[row] == pytest.approx(alone, rel=1e-12)


def test_a_layer_by_name_is_the_layer_by_shape(tmp_path: Path) -> None:
    net = load_network("resnet18")
    place = net.layer_names.index("layer2.0.conv1")
    shape = {name: [int(getattr(net.layers, name)[place])] for name in ("op", "in_channels", "out_channels", "stride")}
    sizes = ("kernel_height", "kernel_width", "in_height", "in_width", "out_height", "out_width")
    shape |= {name: [int(getattr(net.layers, name)[place])] for name in sizes}
    named = table_file(tmp_path / "a.csv", {"network": ["resnet18"], "layer": ["layer2.0.conv1"], "latency_ns": [5]})
    described = table_file(tmp_path / "b.csv", {**shape, "latency_s": [5e-9]})
    left, right = (read_measurements(path, 3, 8) for path in (named, described))
    assert left.layers.macs == right.layers.macs
    assert left.layers.batch == right.layers.batch == 3
    assert left.measured["latency_s"] == pytest.approx(right.measured["latency_s"])
    assert not left.whole.any()


GOOD = {
    "op": ["conv"] * 4,
    "in_channels": [8, 16, 32, 64],
    "out_channels": [8, 8, 8, 8],
    **dict.fromkeys(("kernel_height", "kernel_width", "in_height", "in_width", "out_height", "out_width"), [3] * 4),
    "latency_ms": [1, 2, 3, 4],
}
BAD: dict[str, tuple[dict[str, object], str]] = {
    "no latency": ({"latency_ms": None}, "no column of latencies; accepted: latency_s, latency_ms"),
    "latency twice": ({"latency_us": [1] * 4}, "columns latency_ms and latency_us; accepted: one of them"),
    "latency without a unit": ({"latency_ms": None, "latency": [1] * 4}, "column 'latency' tells no unit"),
    "latency that is no number": ({"latency_ms": [1, "", 3, 4]}, "row 2: latency_ms is empty; accepted: a positive"),
    "negative latency": (
        {"latency_ms": [1, 2, -3, -4]},
        "row 3: latency_ms is -3; accepted: a positive, finite number",
    ),
    "infinite latency": ({"latency_ms": ["inf", 2, 3, 4]}, "row 1: latency_ms is inf"),
    "negative energy": ({"energy_mJ": [1, 0, 1, 1]}, "row 2: energy_mJ is 0"),
    "no operator": ({"op": None}, "no column op"),
    "unknown operator": ({"op": ["conv", "conb"] * 2}, "row 2: unknown op 'conb'; did you mean 'conv'"),
    "sizes of convolutions": ({"kernel_height": None, "in_width": None}, "no column kernel_height, in_width"),
    "absurd batch": ({"batch": [1, 2**40, 1, 1]}, "row 2: batch is 1099511627776; accepted: at most 1048576"),
    "half a channel": ({"in_channels": [8, 16, 32.5, 64]}, "row 3: in_channels is 32.5; accepted: a whole number"),
    "no channel": ({"in_channels": [8, 16, 0, 64]}, "row 3: in_channels is 0"),
    "groups that do not divide": (
        {"groups": [1, 3, 1, 1]},
        "row 2': groups is 3, which does not divide in_channels, 16",
    ),
    "misspelt column": ({"grops": [1] * 4}, "unknown column 'grops'; did you mean 'groups'"),
    "bits twice": ({"bits": [8] * 4, "weight_bits": [8] * 4}, "columns bits and weight_bits"),
    "unknown network": ({"network": ["", "resnet19", "", ""]}, "row 2: unknown network 'resnet19'; did you mean"),
    "unknown layer": (
        {"network": ["", "resnet18", "", ""], "layer": ["", "layer1.0.conv9", "", ""]},
        "row 2: unknown layer of resnet18 'layer1.0.conv9'; did you mean 'layer1.0.conv",
    ),
    "input shape": (
        {"network": ["resnet18"] * 4, "input_shape": ["3xax5"] * 4},
        "row 1: input shape '3xax5'; accepted: sizes as in 3x224x224",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_every_mistake_in_a_table_is_one_line(case: str, tmp_path: Path) -> None:
    changed, message = BAD[case]
    columns = {name: column for name, column in {**GOOD, **changed}.items() if column is not None}
    path = table_file(tmp_path / "mine.csv", columns)
    with pytest.raises(CodesignError) as caught:
        read_measurements(path, 1, 8)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a CSV table"),
        (b"op,latency_ms\n", "no rows"),
        (b"latency_ms,latency_ms\n1,2\n", "column latency_ms more than once"),
        (b"\xff\xfe\x00\x01", "not a CSV table"),
        (b"a,b\n1,2,3\n1,2,3,4,5\n", "not a CSV table"),
    ],
)
def test_files_that_are_no_tables(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "mine.csv"
    path.write_bytes(content)
    with pytest.raises(BadConfig, match=message) as caught:
        read_measurements(path, 1, 8)
    assert "\n" not in str(caught.value)
    with pytest.raises(BadConfig, match="cannot be read"):
        read_measurements(tmp_path / "absent.csv", 1, 8)


def test_problems_that_cannot_be_fitted(data: Measurements) -> None:
    def asked(names: tuple[str, ...], measured: Measurements, model: Machine = TRUTH) -> str:
        with pytest.raises(BadConfig) as caught:
            problem(model, chosen_constants(model, names), measured)
        return str(caught.value)

    first = np.arange(len(data)) < 3
    assert "3 rows for 3 free constants; accepted: 4 or more" in asked(LATENCY, data.only(first))
    same = replace(data, groups=data.groups * 0)
    assert "every row is of the same layer shape or network" in asked(LATENCY, same)
    assert "unknown parameter 'macs_per'; did you mean 'macs_per_s'" in asked(("macs_per",), data)
    assert "'lanes' is not a real number; accepted: macs_per_s" in asked(("lanes",), data)
    idle = replace(data, layers=replace(data.layers, op=data.layers.op * 0 + Op.NORM))
    assert "row 1: the model gives it latency_s 0 (norm); leave it out" in asked(("macs_per_s",), idle)
    assert "'launch_s' is 0 and no value changes the predictions" in asked(("launch_s",), idle, machine())


def test_the_range_that_was_measured(data: Measurements, tmp_path: Path) -> None:
    ranges = covered(data.layers, data.bits)
    assert ranges.operators == ("conv", "linear")
    assert ranges.weight_bits == (8, 16)
    macs = np.asarray(data.layers.macs)
    assert ranges.macs == (macs.min(), macs.max())
    inside = data.layers.map(lambda column: column[:, 0])
    assert ranges.outside(inside, data.bits[:, 0]) == []

    net = load_network("resnet50")
    found = ranges.outside(net.layers.with_batch(64), np.full((len(net), 2), 4))
    told = [line for row, line in found if row == 0]
    expected = net.layers.with_batch(64).macs[0]
    assert f"{expected:.3g} MACs, beyond the calibrated {macs.min():.3g} to {macs.max():.3g}" in told
    assert "4 weight bits, beyond the calibrated 8 to 16" in told
    assert "operator pool, beyond the calibrated conv, linear" in [line for _, line in found]
    load(str(device_file(tmp_path)))  # a file without a calibration says nothing
    assert load(str(device_file(tmp_path))).extrapolated(net.layers, np.full((len(net), 2), 4)) == []
