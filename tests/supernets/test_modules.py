from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign_gym.errors import BadConfig
from codesign_gym.simulators import operators
from codesign_gym.simulators.networks.torch_import import from_torch
from codesign_gym.simulators.operators.file import Operator
from codesign_gym.simulators.supernets.library import fair_paths
from codesign_gym.simulators.supernets.modules import Shuffle, Supernet, plan, seeded

SPACES = ["digits-supernet", "fashion-supernet"]


@pytest.mark.parametrize("space", SPACES)
def test_rows_of_a_design_are_those_of_its_module(space: str) -> None:
    rows, content = operators.load(space), operators.read(space)
    makes = plan(space, content)
    uniform = [[choice] * len(rows) for choice in range(rows.choices)]
    drawn = np.random.default_rng(0).integers(0, rows.choices, (3, len(rows))).tolist()
    for design in uniform + drawn:
        traced = from_torch(makes.alone(design), content.input_shape, space)
        ours = rows.network(np.array(design))
        for column in ("op", "macs", "parameters", "groups", "kernel_width", "stride", "in_elements", "out_elements"):
            expected, found = (np.asarray(getattr(table.layers, column)) for table in (traced, ours))
            np.testing.assert_array_equal(found, expected, err_msg=f"{design}: {column}")


def test_rows_with_fixed_parts_between_layers_agree_too(quick_file: Path) -> None:
    rows, content = operators.load(str(quick_file)), operators.read(str(quick_file))
    for design in ([0, 0], [1, 1], [2, 1]):
        traced = from_torch(plan("quick", content).alone(design), content.input_shape, "quick")
        np.testing.assert_array_equal(traced.macs, rows.network(np.array(design)).macs)
        np.testing.assert_array_equal(traced.parameters, rows.network(np.array(design)).parameters)


def test_a_candidate_computes_what_its_path_computes() -> None:
    supernet = seeded(lambda: Supernet(plan("digits-supernet", operators.read("digits-supernet"))), 0).eval()
    images = torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    for design in ([0, 0, 0, 0], [8, 1, 4, 6], [2, 7, 0, 3]):
        torch.testing.assert_close(supernet.candidate(design)(images), supernet(images, design))
    assert supernet.candidate([8, 1, 4, 6]).layer0 is supernet.options[0][8]


def test_initial_weights_depend_on_the_seed_alone() -> None:
    makes = plan("digits-supernet", operators.read("digits-supernet"))
    torch.manual_seed(1)
    before = torch.rand(1)
    torch.manual_seed(1)
    one, other = (seeded(lambda: makes.alone([8, 1, 4, 6]), seed) for seed in (5, 6))
    assert torch.equal(torch.rand(1), before)
    again = seeded(lambda: makes.alone([8, 1, 4, 6]), 5)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), again.parameters(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_a_shuffle_mixes_groups_and_loses_nothing() -> None:
    x = torch.arange(6.0).reshape(1, 6, 1, 1)
    assert Shuffle(2)(x).flatten().tolist() == [0, 3, 1, 4, 2, 5]


@settings(deadline=None, derandomize=True, max_examples=30)
@given(sizes=st.lists(st.integers(1, 6), min_size=1, max_size=4), seed=st.integers(0, 100), rounds=st.integers(1, 3))
def test_every_operator_is_trained_equally_often(sizes: list[int], seed: int, rounds: int) -> None:
    for layer, size in enumerate(sizes):
        paths = list(islice(fair_paths(tuple(sizes), np.random.default_rng(seed)), rounds * size))
        assert np.bincount([path[layer] for path in paths], minlength=size).tolist() == [rounds] * size


def test_what_cannot_be_trained_is_one_line() -> None:
    content = operators.read("digits-supernet")
    odd = content.model_copy(update={"operators": {"a": Operator(block="residual")}})
    for space, message in ((odd, "block 'residual'"), (operators.read("nasbench201"), "made of cells")):
        with pytest.raises(BadConfig, match=message) as caught:
            plan("odd", space)
        assert "\n" not in str(caught.value)
