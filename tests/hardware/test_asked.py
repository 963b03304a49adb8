"""What no cost model is asked: columns, bitwidths and knobs that are none, whichever way they come in."""

from __future__ import annotations

import gc
import re
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hardware_samples import DEVICES, conv, layers, linear

from codesign_gym.errors import BadConfig, CodesignError, UnsupportedNetwork
from codesign_gym.simulators.hardware import asked
from codesign_gym.simulators.hardware.asked import bounds
from codesign_gym.simulators.hardware.device import CATALOG, load
from codesign_gym.simulators.hardware.rounding import RELAXED
from codesign_gym.simulators.networks.layers import LARGEST, Layers

#: A device of every model.
ONE_OF_EACH = list({type(load(name).model): name for name in DEVICES}.values())
TABLE = layers(conv(14, 4, 8, 3), conv(14, 8, 8, 3, groups=8), linear(64, 10))
BITS = np.full((3, 2), 8)


def changed(column: str, value: Any, row: int = 1) -> Layers:
    """The table of this module with one number in the place of another, outside of a network."""
    values = np.array(getattr(TABLE, column))
    values[row] = value
    return replace(TABLE.map(np.array), **{column: values})


def bits(value: float) -> np.ndarray:
    widths = np.full((3, 2), 8.0)
    widths[2, 1] = value
    return widths


SIZES = [field.name for field in fields(Layers) if field.name not in ("op", "extra_parameters", "valid")]
COLUMNS: list[tuple[str, Any, str]] = [
    *((name, value, f"layer 1: {name} is {value}; accepted: 1 or more") for name in SIZES for value in (0, -3)),
    *((name, 2**52, "layer 1: .*e\\+.* accepted: at most 2\\*\\*53") for name in ("in_channels", "out_height")),
    ("out_channels", 2**63 - 1, f"layer 1: out_channels is {2**63 - 1}; accepted: 1 to 2\\*\\*53"),
    ("extra_parameters", -1, "layer 1: extra_parameters is -1; accepted: 0 or more"),
    ("op", 99, "layer 1: op is 99; accepted: 0 to 7"),
    ("valid", 2, "layer 1: valid is 2; accepted: 0 to 1"),
    ("groups", 3, "layer 1: groups is 3, which does not divide in_channels, 8"),
]


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_columns_that_are_no_layers(name: str) -> None:
    device = load(name)
    for column, value, said in COLUMNS:
        table = changed(column, value)
        for ask in (device.cost, device.model.cost):
            with pytest.raises(UnsupportedNetwork, match=said):
                ask(table, BITS)


def test_a_column_put_into_a_network_is_looked_at() -> None:
    """The others are a network's own, which are read-only and not looked at again."""
    device = load("systolic-edge")
    for column in SIZES:
        table = replace(TABLE, **{column: np.zeros(3, dtype=np.int64)})
        for ask in (device.cost, device.model.cost):
            if column != "batch" or ask == device.model.cost:  # a device has its own batch
                with pytest.raises(UnsupportedNetwork, match=f"layer 0: {column} is 0; accepted: 1 or more"):
                    ask(table, BITS)
    for batch in (0, -2, np.array([[4], [0]])):
        with pytest.raises(UnsupportedNetwork, match=f"batch is {np.min(batch)}; accepted: 1 or more"):
            TABLE.with_batch(batch)


@pytest.mark.parametrize("name", ONE_OF_EACH)
@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), 65])
def test_bitwidths_that_there_are_none_of(name: str, value: float) -> None:
    model: Any = load(name).model
    said = rf"field 'bits' is {value}; accepted: above 0, at most 64 .the activations of layer 2"
    with pytest.raises(BadConfig, match=said):
        model.cost(TABLE, bits(value))
    if hasattr(model, "lower"):
        lowered = model.lower(TABLE, BITS)
        with pytest.raises(BadConfig, match=said):
            model.cost_of(lowered, bits(value))


@pytest.mark.parametrize("name", CATALOG.shipped())
def test_infinite_and_absurdly_large_knobs_are_refused(name: str) -> None:
    """Costs are positive and finite: an infinite clock takes no time, an infinite energy has no sum."""
    model: Any = load(name).model
    wide = np.full(BITS.shape, load(name).max_bits)
    for parameter, limits in bounds(type(model)).items():
        for value in (float("inf"), np.array([[np.inf]])):
            with pytest.raises(BadConfig, match=f"parameter '{parameter}' is inf; accepted: "):
                replace(model, **{parameter: value}).cost(TABLE, wide)
        if limits.most == LARGEST:
            with pytest.raises(BadConfig, match=rf"parameter '{parameter}' is 1e\+300; accepted: .*at most 2\*\*53"):
                replace(model, **{parameter: 1e300}).cost(TABLE, wide)


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_the_same_of_torch(name: str) -> None:
    torch = pytest.importorskip("torch")
    model = load(name).model
    with pytest.raises(
        BadConfig, match=r"field 'bits' is nan; accepted: above 0, at most 64 .the activations of layer 2"
    ):
        model.cost(TABLE, torch.asarray(bits(float("nan"))).requires_grad_())
    table = changed("kernel_width", 0).map(torch.asarray)
    with pytest.raises(UnsupportedNetwork, match="layer 1: kernel_width is 0; accepted: 1 or more"):
        model.cost(table, torch.asarray(BITS))


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_shapes_that_do_not_fit(name: str) -> None:
    device = load(name)
    for shape in ((2,), (3,), (4, 2), (5, 4, 2), (3, 3)):
        said = rf"bits have shape \({shape[0]}.* beside layers of shape \(3,\); accepted: \(3, 2\)"
        for ask in (device.cost, device.model.cost):
            with pytest.raises(BadConfig, match=said):
                ask(TABLE, np.full(shape, 8))
    with pytest.raises(UnsupportedNetwork, match=r"column stride has shape \(2,\); accepted: op's, \(3,\)"):
        device.model.cost(replace(TABLE.map(np.array), stride=np.ones(2, dtype=np.int64)), BITS)
    two = TABLE.map(lambda column: np.stack([column, column]))
    with pytest.raises(BadConfig, match="bits have shape"):
        device.model.cost(two, np.full((5, 3, 2), 8))


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_knobs_that_are_none(name: str) -> None:
    """Every number of every model: out of its bounds, or in a batch of another size."""
    model: Any = load(name).model
    lowered = model.lower(TABLE, BITS) if hasattr(model, "lower") else None
    for knob, limits in bounds(type(model)).items():
        accepted, bad = re.escape(limits.accepted), -1.0 if limits.least > -1 else float("nan")
        for value in (bad, float("nan")):
            with pytest.raises(CodesignError, match=f"{knob}.* accepted: {accepted}"):
                replace(model, **{knob: value}).cost(TABLE, BITS)
        odd = np.full(5, getattr(model, knob))
        with pytest.raises(CodesignError, match=rf"parameter '{knob}' has shape \(5,\) beside .* \(3,\); .* \(5, 1\)"):
            replace(model, **{knob: odd}).cost(TABLE, BITS)
        if lowered is not None:
            with pytest.raises(CodesignError, match=rf"parameter '{knob}' has shape \(5,\)"):
                replace(model, **{knob: odd}).cost_of(lowered, BITS)
        odd = odd[:, None].astype(np.float64)
        odd[3] = float("nan")
        with pytest.raises(CodesignError, match=f"parameter '{knob}' is nan at position 3; accepted: {accepted}"):
            replace(model, **{knob: odd}).cost(TABLE, BITS)


POSITION = "accepted: the position of a name,"


@pytest.mark.parametrize(
    ("name", "knob", "value", "said"),
    [
        ("systolic-edge", "dataflow", "ws", f"'ws'; {POSITION} 0 (os), 1 (ws), 2 (is); did you mean 1"),
        ("systolic-edge", "counting", "scalesim", f"'scalesim'; {POSITION} 0 (physical), 1 (scale-sim)"),
        ("systolic-edge", "dataflow", "zigzag", f"{POSITION} 0 (os), 1 (ws), 2 (is)"),
        ("systolic-edge", "dataflow", np.array([["os"], ["ws"]]), f"'os'; {POSITION} 0 (os)"),
        ("systolic-edge", "dataflow", 3, "is 3; accepted: 0 (os), 1 (ws), 2 (is)"),
        ("nasa-chunked", "operator", "sift", f"'sift'; {POSITION} 0 (conv), 1 (shift), 2 (adder); did"),
        ("ncs2", "form", "annete", "did you mean 1, for 'annette'?"),
        ("systolic-edge", "clock_hz", "1e9", "is a str; accepted: a number, or an array of them"),
    ],
)
def test_names_in_the_place_of_numbers(name: str, knob: str, value: Any, said: str) -> None:
    model: Any = load(name).model
    with pytest.raises(BadConfig, match=f"parameter '{knob}' .*{re.escape(said)}"):
        replace(model, **{knob: value}).cost(TABLE, np.full((3, 2), 16 if name == "ncs2" else 8))


def test_a_table_that_was_looked_at_is_remembered_until_it_is_gone() -> None:
    model: Any = load("systolic-edge").model
    table = TABLE.map(np.array).read_only()
    first, again = (model.cost(table, BITS).latency_s for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert table in asked._KNOWN
    before = len(asked._KNOWN)
    del table
    gc.collect()
    assert len(asked._KNOWN) < before
    open_table = TABLE.map(np.array)  # its columns may change, so it is looked at every time
    model.cost(open_table, BITS)
    open_table.groups[1] = 3
    with pytest.raises(UnsupportedNetwork, match="groups is 3"):
        model.cost(open_table, BITS)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"layers": "a network"}, "field 'layers' is a str; accepted: Layers"),
        ({"bits": [[8, 8]] * 3}, "field 'bits' is a list; accepted: a NumPy or torch array"),
        ({"bits": np.full((3, 2), "8")}, "field 'bits' is of type <U1; accepted: whole or real numbers"),
        ({"layers": TABLE.map(lambda column: column.astype(np.float64))}, "column op is of type float64; accepted"),
        ({"layers": TABLE.map(list)}, "column op is a list; accepted: an array of integers"),
    ],
)
def test_what_is_no_array(given: dict[str, Any], said: str) -> None:
    device = load("systolic-edge")
    arguments = {"layers": TABLE, "bits": BITS, **given}
    for ask in (device.cost, device.model.cost):
        with pytest.raises(CodesignError, match=said):
            ask(**arguments)


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_every_number_may_want_a_gradient(name: str) -> None:
    torch = pytest.importorskip("torch")
    model: Any = load(name).model
    expected = torch.asarray(np.array(model.cost(TABLE, BITS.astype(np.float64), RELAXED).latency_s))
    for knob in set(bounds(type(model))) - {"memory"}:  # which is an index
        value = torch.tensor(float(getattr(model, knob)), dtype=torch.float64, requires_grad=True)
        found = replace(model, **{knob: value}).cost(TABLE, torch.asarray(BITS), RELAXED).latency_s
        torch.testing.assert_close(found.detach(), expected, msg=lambda text, knob=knob: f"{knob}: {text}")


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_a_knob_of_torch_beside_bits_of_numpy(name: str) -> None:
    torch = pytest.importorskip("torch")
    model: Any = load(name).model
    expected = np.array(model.cost(TABLE, BITS).latency_s)
    for knob in set(bounds(type(model))) - {"memory"}:  # which is an index
        value = torch.tensor(float(getattr(model, knob)), dtype=torch.float64)
        found = replace(model, **{knob: value}).cost(TABLE, BITS).latency_s
        np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-9, err_msg=knob)
