from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign_gym.simulators.networks.layers import COLUMNS, network
from codesign_gym.simulators.networks.torch_import import from_torch
from codesign_gym.simulators.replacement.distillation import built
from codesign_gym.simulators.replacement.operators import OPERATORS, TEACHER, Conv, Site, candidates, chain_rows, macs

sites = st.builds(
    Site,
    name=st.just("layer"),
    in_channels=st.sampled_from([1, 3, 8, 16]),
    out_channels=st.sampled_from([1, 6, 8, 16]),
    kernel=st.sampled_from([1, 3, 5]),
    stride=st.sampled_from([1, 2]),
    height=st.integers(2, 9),
    width=st.integers(2, 9),
)


@given(site=sites)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_every_operator_takes_and_leaves_what_the_teacher_does(site: Site) -> None:
    offered = candidates(site)
    assert list(offered)[-1] == TEACHER
    works = [macs(site, chain) for name, chain in offered.items() if name != TEACHER]
    assert works == sorted(works)
    images = torch.zeros(2, site.in_channels, site.height, site.width)
    expected = built(site, offered[TEACHER])(images).shape
    for chain in offered.values():
        assert built(site, chain)(images).shape == expected
        if chain:
            table = network("x", list(chain_rows(site, chain)), [str(i) for i in range(len(chain))])
            assert int(table.macs.sum()) == macs(site, chain)


@pytest.mark.parametrize("operator", [name for name in OPERATORS if name != "identity"])
def test_rows_are_those_of_the_traced_module(operator: str) -> None:
    site = Site("layer", 8, 16, 3, 2, 7, 6)
    chain = candidates(site)[operator]
    traced = from_torch(built(site, chain), (8, 7, 6), operator).weighted().layers
    own = network(operator, list(chain_rows(site, chain)), [str(i) for i in range(len(chain))]).layers
    for column in COLUMNS:
        assert getattr(own, column).tolist() == getattr(traced, column).tolist(), column


def test_an_identity_needs_equal_shapes() -> None:
    same = Site("layer", 8, 8, 3, 1, 4, 4)
    assert candidates(same)["identity"] == ()
    assert chain_rows(same, ()) == ()
    assert "identity" not in candidates(Site("layer", 8, 8, 3, 2, 4, 4))
    assert "identity" not in candidates(Site("layer", 8, 16, 3, 1, 4, 4))


def test_operators_of_ones_own_stand_beside_the_teacher() -> None:
    site = Site("layer", 8, 8, 3, 1, 4, 4)
    offered = candidates(site, {"wide": lambda site: (Conv(site.out_channels, (5, 5), site.stride),)})
    assert list(offered) == ["wide", TEACHER]
