"""Scaling between technology nodes: published ratios, composition, and what is refused."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign_gym.errors import BadConfig
from codesign_gym.simulators.hardware.device import load
from codesign_gym.simulators.hardware.technology import (
    AREAS,
    ENERGIES,
    VOLTAGES,
    Process,
    area_ratio,
    energy_ratio,
    scaled,
)

quick = settings(deadline=None, derandomize=True)
processes = st.builds(Process, st.floats(min(AREAS), max(AREAS)), st.floats(*VOLTAGES))


@pytest.mark.parametrize(
    ("source", "target", "published"), [(65, 45, 0.66), (45, 14, 0.17), (45, 32, 0.46), (16, 7, 0.31), (90, 65, 0.53)]
)
def test_areas_follow_the_published_table(source: int, target: int, published: float) -> None:
    assert area_ratio(Process(source, 1.0), Process(target, 1.0)) == pytest.approx(published, rel=0.04)


@quick
@given(a=processes, b=processes, c=processes)
def test_ratios_compose_and_are_one_for_the_same_process(a: Process, b: Process, c: Process) -> None:
    for ratio in (area_ratio, energy_ratio):
        assert ratio(a, b) * ratio(b, c) == pytest.approx(ratio(a, c))
        assert ratio(a, a) == 1


@quick
@given(node=st.sampled_from(sorted(AREAS)), low=st.floats(*VOLTAGES), high=st.floats(*VOLTAGES))
def test_more_voltage_costs_energy(node: int, low: float, high: float) -> None:
    low, high = sorted((low, high))
    assert 0 < Process(node, low).energy <= Process(node, high).energy


@pytest.mark.parametrize("node", sorted(AREAS))
def test_published_nodes_are_the_papers(node: int) -> None:
    square, linear, constant = ENERGIES[node]
    assert Process(node, 0.9).area == pytest.approx(AREAS[node])
    assert Process(node, 0.9).energy == pytest.approx(0.81 * square + 0.9 * linear + constant)


def test_the_node_between_two_in_the_logarithm_has_their_geometric_mean() -> None:
    middle = Process((45 * 32) ** 0.5, 1.0)
    assert middle.area == pytest.approx((17 * 7.8) ** 0.5)
    assert middle.energy == pytest.approx((Process(45, 1.0).energy * Process(32, 1.0).energy) ** 0.5)


@quick
@given(volts=st.floats(*VOLTAGES))
def test_smaller_nodes_take_less_area_and_energy(volts: float) -> None:
    ladder = [Process(node, volts) for node in sorted([*AREAS, 12, 22, 28, 40, 110])]
    assert all(small.area < large.area for small, large in pairwise(ladder))
    assert all(small.energy < large.energy for small, large in pairwise(ladder))


def test_only_the_fields_named_are_scaled() -> None:
    model = load("nasa-chunked").model
    source, target = Process(45, 0.9), Process(14, 0.8)
    small = scaled(model, ["conv_op_j", "buffer_j_per_bit", "conv_pe_area_mm2"], source, target)
    assert small.conv_op_j == pytest.approx(model.conv_op_j * energy_ratio(source, target))
    assert small.buffer_j_per_bit == pytest.approx(model.buffer_j_per_bit * energy_ratio(source, target))
    assert small.conv_pe_area_mm2 == pytest.approx(model.conv_pe_area_mm2 * 2.9 / 17)
    assert (small.dram_j_per_bit, small.shift_op_j, small.clock_hz) == (
        model.dram_j_per_bit,
        model.shift_op_j,
        model.clock_hz,
    )


def test_what_cannot_be_scaled_is_one_line() -> None:
    model, process = load("nasa-chunked").model, Process(45, 0.9)
    with pytest.raises(BadConfig, match="'clock_hz' is in 'Hz'; accepted: fields in mm\\^2, J"):
        scaled(model, ["clock_hz"], process, process)
    with pytest.raises(BadConfig, match="no field 'conv_op'; did you mean 'conv_op_j'"):
        scaled(model, ["conv_op"], process, process)
    for node in (5, 180):
        with pytest.raises(BadConfig, match=f"'node_nm' is {node}; accepted: 7 to 130"):
            Process(node, 0.9)
    with pytest.raises(BadConfig, match=r"'supply_v' is 3\.3; accepted: 0\.6 to 1\.2"):
        Process(45, 3.3)
