"""Device files: what ships, what a number may be, and one line for every mistake."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dvfs_samples import SOCS, edited

from codesign_gym.errors import BadConfig, CodesignError, UnknownName
from codesign_gym.simulators.dvfs import CATALOG, ClockTable, Thermal, Work, load, read
from codesign_gym.simulators.dvfs.soc_file import numbers
from codesign_gym.simulators.networks import load as network

GPU = ("domains", "gpu")
EDITS: dict[str, tuple[tuple[Any, ...], str]] = {
    # keys to the edited entry and its new value; part of the message
    "clocks out of order": (
        (*GPU, "clock_hz", "values", 3, 1e8),
        "clock table 'gpu': field 'clock_hz' is out of order at step 3, 1e+08 after 3.1875e+08; accepted: ascending",
    ),
    "voltages missing": ((*GPU, "voltage_v", None), "field 'domains.gpu.voltage_v' is missing"),
    "a voltage missing": (
        (*GPU, "voltage_v", "values", [0.8] * 12),
        "clock table 'gpu': field 'voltage_v' has 12 values for 13 clocks; accepted: one a clock",
    ),
    "a voltage that is nothing": (
        (*GPU, "voltage_v", "values", 2, "?"),
        "field 'domains.gpu.voltage_v.values.2' is '?': Input should be a valid number",
    ),
    "voltages that fall": (
        (*GPU, "voltage_v", "values", 12, 0.1),
        "clock table 'gpu': field 'voltage_v' falls at step 12",
    ),
    "a clock of zero": ((*GPU, "clock_hz", "values", 0, 0.0), "clock table 'gpu': field 'clock_hz' is 0 at step 0"),
    "no clocks": ((*GPU, "clock_hz", "values", []), "clock table 'gpu': field 'clock_hz' has shape (0,)"),
    "negative capacitance": (
        (*GPU, "capacitance_f", "value", -1e-9),
        "field 'domains.gpu.capacitance_f' is -1e-09; accepted: 0 or more",
    ),
    "negative latency": ((*GPU, "transition_s", "value", -1.0), "field 'domains.gpu.transition_s' is -1; accepted: 0"),
    "infinite leakage": ((*GPU, "leakage_a", "value", float("inf")), "field 'domains.gpu.leakage_a.value' is inf"),
    "an idle state that pays off before a shallower one": (
        ("idle_states", "power-gated", "residency_s", "value", 1e-9),
        "field 'idle_states.power-gated.residency_s' is 1e-09; accepted: at least that of 'clock-gated', 1e-06",
    ),
    "a share above one": (
        (*GPU, "idle_activity", "value", 1.5),
        "gpu.idle_activity' is 1.5; accepted: 0 to 1",
    ),
    "wrong unit": ((*GPU, "clock_hz", "unit", "MHz"), "'domains.gpu.clock_hz.unit' is 'MHz'; accepted: 'Hz'"),
    "unit of another domain": ((*GPU, "per_cycle", "unit", "B/cycle"), "accepted: 'op/cycle'"),
    "a cap that is no clock of the table": (
        (*GPU, "throttled_hz", "value", 1.0),
        "field 'domains.gpu.throttled_hz' is 1; accepted: 1.1475e+08 to 1.30",
    ),
    "unknown source": ((*GPU, "per_cycle", "source", "opps"), "'domains.gpu.per_cycle.source' is 'opps'; did you mean"),
    "unknown field": (("colour", "red"), "unknown field 'colour'"),
    "unknown domain": (("domains", "dsp", {}), "field 'domains.dsp.[key]' is 'dsp': Input should be 'cpu', 'gpu' or"),
    "no memory": (("domains", "memory", None), "field 'domains' has cpu, gpu; accepted: at least gpu and memory"),
    "no cpu and no host": (
        ("domains", "cpu", None),
        "field 'launches_per_s' is missing; accepted: a number",
    ),
    "an exponent below one": (("overlap", "value", 0.5), "field 'overlap' is 0.5; accepted: 1 to 64"),
    "thresholds the wrong way round": (
        ("thermal", "release_c", "value", 99.0),
        "thermal: field 'release_c' is 99; accepted: below engage_c, 95.5",
    ),
    "no heat capacity": (
        ("thermal", "case_j_per_k", "value", 0.0),
        "thermal: field 'case_j_per_k' is 0; accepted: a p",
    ),
    "leakage that runs away": (
        ("thermal", "case_ambient_k_per_w", "value", 1000.0),
        "field 'leakage_per_k': leakage grows by",
    ),
    "a fabric without width": (
        (*GPU, "fabric_hz", {"values": [1e9] * 13, "unit": "Hz", "source": "steps"}),
        "field 'fabric_bytes_per_cycle' is missing",
    ),
}


@pytest.mark.parametrize("case", EDITS)
def test_every_mistake_is_one_line_that_names_it(case: str, tmp_path: Path) -> None:
    keys, message = EDITS[case]
    path = edited(tmp_path / "soc.yaml", *keys)
    with pytest.raises(CodesignError) as caught:
        load(str(path))
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_catalogue_lists_what_ships() -> None:
    assert set(SOCS) <= set(CATALOG.names())
    with pytest.raises(UnknownName, match="unknown soc 'fone'; did you mean 'phone'"):
        load("fone")
    with pytest.raises(BadConfig, match=r"soc file 'absent\.yaml' does not exist"):
        load("absent.yaml")


@pytest.mark.parametrize("name", SOCS)
def test_every_number_that_ships_has_a_unit_and_a_source(name: str) -> None:
    content, soc = read(name), load(name)
    used = {part.source for _, part in numbers(content)}
    assert used == set(content.sources)
    assert all(len(text) > 20 for text in content.sources.values())
    assert set(soc.sources) == {path for path, _ in numbers(content)}
    assert set(soc.assumed) == {path for path, text in soc.sources.items() if text.startswith("Assumed")}


def test_published_steps() -> None:
    tx2, xavier = load("jetson-tx2"), load("jetson-agx-xavier")
    assert xavier.steps == (29, 14, 9)
    assert tx2.steps == (12, 13, 4)
    assert len(xavier.every_index()) == 29 * 14 * 9
    np.testing.assert_allclose(xavier.clocks([0, 0, 0]), [115.2e6, 114.75e6, 204e6])
    np.testing.assert_allclose(xavier.clocks([28, 13, 8]), [2265.6e6, 1377e6, 2133e6])
    np.testing.assert_allclose(tx2.clocks(np.array(tx2.steps) - 1), [2035.2e6, 1300.5e6, 1866e6])
    assert (tx2.voltages([0, 0, 0]) <= tx2.voltages([11, 12, 3])).all()


def test_the_power_of_xavier_is_assumed_and_can_be_swept() -> None:
    assumed = load("jetson-agx-xavier").assumed
    fields = ("capacitance_f", "leakage_a", "idle_activity")
    assert {f"domains.{name}.{field}" for name in ("cpu", "gpu", "memory") for field in fields} <= set(assumed)
    top = np.array(load("jetson-agx-xavier").steps) - 1
    base = load("jetson-agx-xavier").power_w(top, np.ones(3), 50.0)
    swept = load("jetson-agx-xavier", {"domains.gpu.capacitance_f": 1.5}).power_w(top, np.ones(3), 50.0)
    assert swept[1] > base[1]
    assert swept[0] == base[0]
    half = load("jetson-agx-xavier", {"domains.gpu.voltage_v": 0.5}).voltages(top)
    np.testing.assert_allclose(half[1], load("jetson-agx-xavier").voltages(top)[1] / 2)
    with pytest.raises(UnknownName, match=r"unknown number of the soc 'domains.gpu.capacitance'; did you mean"):
        load("jetson-agx-xavier", {"domains.gpu.capacitance": 2.0})
    with pytest.raises(BadConfig, match=r"field 'domains.gpu.idle_activity' is"):
        load("jetson-agx-xavier", {"domains.gpu.idle_activity": 100.0})


@pytest.mark.parametrize("index", [[0, 0, 4], [-1, 0, 0], [[0, 0, 0], [0, 13, 0]], [0, 0]])
def test_clocks_that_do_not_exist(index: Any) -> None:
    with pytest.raises(BadConfig, match=r"index of .* is -?\d+; accepted: 0 to|accepted: \(\.\.\., 3\)"):
        load("jetson-tx2").clocks(index)


def test_index_of_the_nearest_clocks() -> None:
    soc = load("jetson-tx2")
    np.testing.assert_array_equal(soc.index(gpu=[930e6, 1e6], memory=1.6e9), [[11, 8, 2], [11, 0, 2]])
    with pytest.raises(UnknownName, match="unknown domain of 'jetson-tx2' 'emc'"):
        soc.index(emc=1e9)


def test_a_table_at_other_clocks_keeps_what_it_knows() -> None:
    table = ClockTable("gpu", [1e8, 2e8, 4e8], [0.6, 0.7, 1.0], effective_hz=[0.5e8, 2e8, 4e8])
    other = table.at([4e8, 3e8, 1e8, 3e8])
    np.testing.assert_allclose(other.clock_hz, [1e8, 3e8, 4e8])
    np.testing.assert_allclose(other.voltage_v, [0.6, 0.85, 1.0])
    np.testing.assert_allclose(other.effective_hz, [0.5e8, 3e8, 4e8])
    assert other.fabric_hz is None
    same = load("v100").with_clocks("gpu", load("v100").domain("gpu").clocks.clock_hz)
    np.testing.assert_allclose(same.domain("gpu").clocks.fabric_hz, load("v100").domain("gpu").clocks.fabric_hz)
    assert same.throttled_index == load("v100").throttled_index


def test_numbers_that_are_none() -> None:
    with pytest.raises(BadConfig, match="thermal: field 'junction_j_per_k' is -1; accepted: a positive number"):
        Thermal(-1.0, 1.0, 1.0, 1.0, 80.0, 70.0)
    with pytest.raises(BadConfig, match="work: field 'bytes' is -2; accepted: finite numbers, 0 or more"):
        Work(1.0, [3.0, -2.0], 0.0)
    with pytest.raises(BadConfig, match="'effective_hz' has 1 values for 2 clocks"):
        ClockTable("gpu", [1.0, 2.0], [1.0, 1.0], effective_hz=[1.0])


def test_work_of_a_network_adds_up() -> None:
    whole = network("resnet18")
    half = len(whole) // 2
    first, second = (Work.of(whole.rows(rows).layers) for rows in (np.arange(half), np.arange(half, len(whole))))
    total = Work.of(whole.layers)
    both = first + second
    for field in ("operations", "bytes", "launches", "traffic"):
        assert getattr(both, field) == pytest.approx(float(getattr(total, field)))
    assert total.operations >= 2 * whole.macs.sum()
    assert total.bytes > 2 * whole.parameters.sum() * 0.9
    assert total.shape == ()
    stacked = Work.stack([first, total])
    assert stacked.shape == (2,)
    assert stacked[1].bytes == total.bytes
    assert stacked[..., None].shape == (2, 1)
    assert Work.of(whole.layers, bits=32).bytes == 2 * total.bytes
    recurrent = Work.of(replace(whole.layers, steps=7 * whole.layers.steps))  # every step is a kernel of its own
    for field in ("operations", "bytes", "launches"):
        assert getattr(recurrent, field) == pytest.approx(7 * float(getattr(total, field)))
