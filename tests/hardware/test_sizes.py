"""Relaxed costs at sizes between those that hardware comes in: mixed, without steps, and with gradients."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hardware_samples import conv, layers, linear
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign_gym.errors import BadConfig
from codesign_gym.simulators.hardware.device import load
from codesign_gym.simulators.hardware.model import Costs
from codesign_gym.simulators.hardware.rounding import EXACT, RELAXED
from codesign_gym.simulators.hardware.sizes import between_sizes, powers_of_two, whole_numbers

GRIDS = {"rows": whole_numbers, "ports": powers_of_two}
TABLE = layers(conv(28, 24, 96, 3), conv(14, 70, 70, 3, groups=70), linear(300, 77))
BITS = np.full((3, 2), 8.0)

#: Devices that decide at sizes that there are, each with such a size and values of it whose costs may differ.
DECIDED = {
    "bitfusion": ("inputs", (14, 15, 16)),
    "gemmini-16x16": ("dim", (14, 15, 16)),
    "eyeriss-like": ("l1_columns", (12, 13, 14)),
    "simba-like": ("l2_rows", (2, 3, 4)),
    "sigma-256": ("multipliers", (128, 256, 512)),
    "maeri-128": ("multipliers", (64, 128, 256)),
    "magma-256": ("tile_products", (15, 16, 17)),
}


@dataclass(frozen=True)
class Model:
    rows: Any
    ports: Any


def line(model: Model) -> Costs:
    """Costs that no mixture bends: a line in each size and no product of the two."""
    latency = np.asarray(3 + 2.0 * model.rows - 0.5 * model.ports)
    return Costs(latency[..., None] * np.ones(2), np.ones(2), energy_j=latency[..., None] * np.ones(2))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.floats(1, 40), st.floats(1, 40)), min_size=1, max_size=4))
def test_where_nothing_bends_a_mixture_has_no_error_and_asks_at_sizes_that_there_are(sizes: Any) -> None:
    rows, ports = np.array(sizes).T

    def at(model: Model) -> Costs:
        assert (model.rows == np.round(model.rows)).all()
        assert (np.log2(model.ports) == np.round(np.log2(model.ports))).all()
        costs = line(model)
        return replace(costs, latency_s=costs.latency_s[:, 0], size_bytes=np.ones(1), energy_j=None)

    found = between_sizes(Model(rows, ports), GRIDS, RELAXED, at)
    np.testing.assert_allclose(found.latency_s, 3 + 2 * rows - 0.5 * ports, rtol=1e-12)
    np.testing.assert_allclose(found.size_bytes, 1, rtol=1e-12)


def test_sizes_that_there_are_are_asked_once_and_exact_costs_at_no_others() -> None:
    asked = []

    def at(model: Model) -> Costs:
        asked.append(model)
        return line(model)

    there, real = Model(3, 4), Model(np.array([[3.0], [4.0]]), np.array([[4.0], [6.5]]))
    between_sizes(there, GRIDS, RELAXED, at)
    between_sizes(there, GRIDS, EXACT, at)
    assert asked == [there, there]
    between_sizes(Model(2.5, 3.0), GRIDS, RELAXED, at)
    assert len(asked) == 5  # three corners of a cell of two sizes
    with pytest.raises(BadConfig, match=r"parameter 'ports' is 6\.5; accepted: 4 or 8, and what lies between"):
        between_sizes(real, GRIDS, EXACT, at)


@pytest.mark.parametrize("name", DECIDED)
def test_nothing_jumps_from_one_size_to_the_next(name: str) -> None:
    device: Any = load(name)
    knob, sizes = DECIDED[name]
    table = TABLE.with_batch(device.batch)

    def costs(size: float) -> np.ndarray:
        found = replace(device.model, **{knob: size}).cost(table, BITS, RELAXED)
        return np.stack([found.latency_s, found.latency_s if found.energy_j is None else found.energy_j])

    ends = [costs(size) for size in sizes]
    assert not np.array_equal(ends[0], ends[-1])
    for low, high in pairwise(sizes):
        middle = (low + high) / 2
        for size in (low, middle, high):
            near = 1e-7 * size
            np.testing.assert_allclose(costs(size - near), costs(size + near), rtol=1e-5)
    for size, end in zip(sizes, ends, strict=True):
        np.testing.assert_allclose(costs(size + 1e-9), end, rtol=1e-6)  # what there is, is what is mixed


@pytest.mark.parametrize("name", DECIDED)
def test_a_batch_of_real_sizes_is_its_singles(name: str) -> None:
    device: Any = load(name)
    knob, sizes = DECIDED[name]
    real = np.array([sizes[0], (sizes[0] + sizes[1]) / 2, 0.3 * sizes[1] + 0.7 * sizes[2]])
    table = TABLE.with_batch(device.batch)
    together = replace(device.model, **{knob: real[:, None]}).cost(table, BITS, RELAXED).latency_s
    for size, latency in zip(real.tolist(), together, strict=True):
        alone = replace(device.model, **{knob: size}).cost(table, BITS, RELAXED).latency_s
        np.testing.assert_allclose(latency, alone, rtol=1e-12)


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("eyeriss-like", {"l0_columns": 1.2, "l1_columns": 13.4, "l1_rows": 11.7}),
        ("simba-like", {"l1_columns": 7.6, "l2_columns": 3.3, "l2_rows": 3.8}),
        ("gemmini-like", {"l1_rows": 15.2, "l2_columns": 15.9}),
    ],
)
def test_numbers_of_instances_have_the_gradients_of_their_differences(name: str, sizes: dict[str, float]) -> None:
    torch = pytest.importorskip("torch")
    device: Any = load(name)
    bits = torch.asarray(BITS)

    def costs(numbers: Any) -> Any:
        found = replace(device.model, **dict(zip(sizes, numbers, strict=True))).cost(TABLE, bits, RELAXED)
        return torch.stack([1e6 * found.latency_s.sum(), 1e6 * found.energy_j.sum()])

    at = torch.tensor(list(sizes.values()), dtype=torch.float64)
    gradient = torch.autograd.functional.jacobian(costs, at)
    steps = 1e-6 * torch.eye(len(at), dtype=torch.float64)
    expected = torch.stack([(costs(at + step) - costs(at - step)) / 2e-6 for step in steps], -1)
    torch.testing.assert_close(gradient, expected, rtol=1e-5, atol=1e-7)
    assert (gradient != 0).any(-1).all()


def test_an_l0_with_room_for_one_word_serves_several_multipliers_that_share_it() -> None:
    """Spread over both, filters need two words there at a time; a mapping that spreads nothing fits."""
    model: Any = load("gemmini-like").model
    wider = replace(model, l0_columns=2)
    assert np.isfinite(wider.cost(TABLE, BITS).latency_s).all()
