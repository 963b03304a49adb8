import copy
import pickle
from dataclasses import replace

import numpy as np
import pytest

from codesign_gym.errors import UnsupportedNetwork
from codesign_gym.simulators.networks import Network, Op
from codesign_gym.simulators.networks.builder import Builder
from codesign_gym.simulators.networks.layers import COLUMNS, LARGEST, network

CONV = {"op": Op.CONV, "in_channels": 6, "out_channels": 4, "kernel_height": 3, "kernel_width": 5, "groups": 2}
SIZES = {"in_height": 8, "in_width": 8, "out_height": 4, "out_width": 2}


@pytest.fixture
def small() -> Network:
    relu = {"op": Op.ACTIVATION, "in_channels": 4, "out_channels": 4}
    return network("small", [{**CONV, **SIZES, "extra_parameters": 4}, relu, {"op": Op.LINEAR}], ["a", "b", "c"])


def test_derived_columns_follow_the_definition(small: Network) -> None:
    weights = 4 * (6 // 2) * 3 * 5
    assert small.layers.weights.tolist() == [weights, 0, 1]
    assert small.parameters.tolist() == [weights + 4, 0, 1]
    assert small.macs.tolist() == [weights * 4 * 2, 0, 1]
    assert small.layers.with_batch(16).macs.tolist() == [16 * weights * 4 * 2, 0, 16]
    assert small.layers.in_elements.tolist() == [6 * 8 * 8, 4, 1]
    assert small.layers.out_elements.tolist() == [4 * 4 * 2, 4, 1]


def test_steps_count_in_work_and_not_in_weights(small: Network) -> None:
    table = replace(small.layers, steps=np.array([1, 5, 9]))
    assert table.macs.tolist() == (small.macs * [1, 5, 9]).tolist()
    assert table.parameters.tolist() == small.parameters.tolist()
    for name in ("in_elements", "out_elements"):
        assert getattr(table, name).tolist() == (getattr(small.layers, name) * [1, 5, 9]).tolist()
    for step, once in zip(table.gemm, small.layers.gemm, strict=True):
        assert step.tolist() == once.tolist()
    assert table.with_batch(3).steps.tolist() == [1, 5, 9]
    assert table.one_step().macs.tolist() == small.macs.tolist()
    with pytest.raises(UnsupportedNetwork, match="steps is 0; accepted: 1 to 2"):
        network("none", [{"op": Op.LINEAR, "steps": 0}], ["cell"])


def test_weighted_keeps_names_with_their_rows(small: Network) -> None:
    weighted = small.weighted()
    assert weighted.layer_names == ("a", "c")
    assert weighted.macs.tolist() == small.macs[[0, 2]].tolist()


def test_rows_takes_masks_and_indices(small: Network) -> None:
    assert small.rows(np.array([2, 0])).layer_names == ("c", "a")
    assert small.rows(np.array([False, True, False])).layer_names == ("b",)


@pytest.mark.parametrize("twin", [lambda net: net, copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_every_column_is_read_only(small: Network, twin) -> None:
    for table in (twin(small), twin(small.weighted())):
        for column in COLUMNS:
            with pytest.raises(ValueError, match="read-only"):
                getattr(table.layers, column)[0] = 7


def test_a_network_does_not_see_later_changes_of_its_source(small: Network) -> None:
    columns = small.layers.map(np.array)
    built = Network("copy", small.layer_names, columns)
    columns.out_channels[0] = 99
    assert built.layers.out_channels[0] == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"out_height": 0}, r"layer 'a': out_height is 0; accepted: 1 to 2\*\*53"),
        ({"in_channels": -6}, r"in_channels is -6; accepted: 1"),
        ({"stride": 1.5}, r"stride is 1.5; accepted: an integer"),
        ({"groups": 4}, "groups is 4, which does not divide in_channels, 6"),
        ({"groups": 3}, "groups is 3, which does not divide out_channels, 4"),
        ({"in_channels": 2**80}, r"accepted: 1 to 2\*\*53"),
        ({"out_height": 2**40, "out_width": 2**30}, r"macs; accepted: at most 2\*\*53"),
    ],
)
def test_sizes_that_cannot_be_are_refused(change: dict, message: str) -> None:
    with pytest.raises(UnsupportedNetwork, match=message):
        network("bad", [{**CONV, **SIZES, **change}], ["a"])


def test_the_largest_network_is_exact_and_one_more_is_refused() -> None:
    half = {"op": Op.LINEAR, "in_channels": 2**20, "out_channels": 2**11, "in_height": 2**21, "out_height": 2**21}
    assert int(network("large", [half, half], ["a", "b"]).macs.sum()) == LARGEST
    with pytest.raises(UnsupportedNetwork, match="macs"):
        network("large", [half, half, {"op": Op.LINEAR}], ["a", "b", "c"])


def test_misuse_by_code_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="different names"):
        network("twice", [{}, {}], ["a", "a"])
    with pytest.raises(ValueError, match="unknown column"):
        network("odd", [{"channels": 3}], ["a"])


def test_builder_tracks_sizes_and_branches() -> None:
    entry = Builder(3, 11, 9)
    net = entry.conv("conv", 8, 3, stride=2, padding=0, bias=True).pool("pool", 2, 2)
    net = net.beside(entry).conv("branch", 8, 7, stride=4).flatten().linear("fc", 10)
    table = net.build("toy")
    assert table.layers.out_height.tolist() == [5, 2, 3, 1]
    assert table.layers.out_width.tolist() == [4, 2, 3, 1]
    assert table.layers.in_channels.tolist() == [3, 8, 3, 8 * 3 * 3]
    assert table.layers.extra_parameters.tolist() == [8, 0, 0, 10]
