"""SIGMA and MAGMA: packing row by row, what is conserved, and knobs as arrays."""

from collections.abc import Sequence

import numpy as np
import pytest
from hardware_samples import conv, layers, linear
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign_gym.errors import BadConfig, UnsupportedNetwork
from codesign_gym.simulators.hardware.stonne.magma import Magma
from codesign_gym.simulators.hardware.stonne.rows import row_nonzeros
from codesign_gym.simulators.hardware.stonne.sigma import Passes, Sigma, products
from codesign_gym.simulators.networks.layers import Op

few = settings(max_examples=40, deadline=None, derandomize=True)
matrices = st.lists(st.lists(st.integers(1, 60), min_size=1, max_size=30), min_size=1, max_size=4)


def packed(rows: Sequence[int], multipliers: int) -> int:
    """Passes of one matrix, row after row."""
    passes, room = 0, 0
    for row in rows:
        if row > multipliers:
            passes, room = passes + 1 + -(-(row - multipliers) // (multipliers - 1)), 0
        elif row > room:
            passes, room = passes + 1, multipliers - row
        else:
            room -= row
    return passes


def cost(
    matrices: Sequence[Sequence[int]], multipliers: int = 16, ports: int = 8, lines: int = 4, streamed: int = 5
) -> Passes:
    count = np.array([len(matrix) for matrix in matrices])
    rows = np.concatenate([np.array(matrix) for matrix in matrices])
    every = np.ones_like(count)
    return products(rows, count, streamed * every, 64 * every, multipliers * every, ports * every, lines * every)


@few
@given(matrices=matrices)
def test_packing_is_greedy_and_matrices_are_apart(matrices: list[list[int]]) -> None:
    together = cost(matrices)
    assert together.passes.tolist() == [packed(matrix, 16) for matrix in matrices]
    assert together.macs.tolist() == [5 * sum(matrix) for matrix in matrices]
    for index, matrix in enumerate(matrices):
        alone = cost([matrix])
        for column, single in zip(together, alone, strict=True):
            np.testing.assert_array_equal(column[index], single[0])


@few
@given(matrices=matrices)
def test_more_ports_and_lines_never_hurt(matrices: list[list[int]]) -> None:
    assert (cost(matrices, ports=16).cycles <= cost(matrices).cycles).all()
    assert (cost(matrices, lines=8).cycles <= cost(matrices).cycles).all()


def test_one_pass_by_hand() -> None:
    # 8 products fill a tree of 3 levels; weights and 5 columns through ports that serve one multiplier each.
    assert cost([[8]], multipliers=8, ports=8, lines=8).cycles.tolist() == [1 + 5 + 3 + 3]
    # Two multipliers a port: each column takes 2 cycles, and the port's own tree another.
    assert cost([[8]], multipliers=8, ports=4, lines=8).cycles.tolist() == [2 + 10 + 3 + 3 + 1]


@few
@given(length=st.integers(1, 300), share=st.floats(0, 0.9), more=st.floats(0, 0.09), rows=st.integers(1, 40))
def test_rows_never_regain_what_they_lost(length: int, share: float, more: float, rows: int) -> None:
    dense, some, most = (
        row_nonzeros(np.array([rows]), np.array([length]), np.array([zeros])) for zeros in (0.0, share, share + more)
    )
    assert (dense == length).all()
    assert (some <= dense).all()
    assert (most <= some).all()
    assert (most >= min(3, length)).all()


def test_the_share_of_zeros_is_the_one_asked_for() -> None:
    kept = row_nonzeros(np.array([4000]), np.array([500]), np.array([0.7]))
    assert kept.mean() == pytest.approx(150, rel=0.01)
    assert kept.std() == pytest.approx(np.sqrt(500 * 0.7 * 0.3), rel=0.05)


def test_a_dense_network_does_all_its_products() -> None:
    table = layers(conv(8, 3, 8, 3), conv(8, 8, 8, 3, groups=8), linear(300, 10))
    bits = np.full((3, 2), 8)
    for model in (Sigma(1.0, 64, 32, 32, 0.0), Magma(1.0, 64, 32, 32, 16, 4, 0.0)):
        assert model.cost(table, bits).detail["macs"].tolist() == table.macs.tolist()


def test_attention_has_no_weights_to_prune() -> None:
    product = {**linear(64, 64), "op": Op.MATMUL, "in_height": 16, "out_height": 16}
    table, bits = layers(product), np.full((1, 2), 8)
    assert Sigma(1.0, 64, 32, 32, 0.9).cost(table, bits).detail["macs"].tolist() == table.macs.tolist()


def test_hardware_and_sparsity_as_arrays() -> None:
    table, bits = layers(conv(8, 16, 32, 3), linear(300, 10)), np.full((4, 2, 2), 8)
    multipliers, sparsity = np.array([64, 64, 128, 256])[:, None], np.array([0.0, 0.5, 0.5, 0.9])[:, None]
    together = Sigma(1.0, multipliers, multipliers // 2, 32, sparsity).cost(table, bits)
    assert together.resources["area_stonne_units"].shape == (4,)
    for index in range(4):
        size = int(multipliers[index, 0])
        alone = Sigma(1.0, size, size // 2, 32, float(sparsity[index, 0])).cost(table, bits[0])
        np.testing.assert_array_equal(together.latency_s[index], alone.latency_s)


def test_mistakes_are_named() -> None:
    with pytest.raises(
        BadConfig, match="fields 'tile_products' x 'tile_columns' are 32 x 4; accepted: together at most"
    ):
        Magma(1.0, 64, 32, 32, 32, 4, 0.0)
    with pytest.raises(UnsupportedNetwork, match="a layer has 1000000000 output channels in a group; accepted"):
        Sigma(1.0, 64, 32, 32, 0.5).cost(layers(linear(3, 10**9)), np.full((1, 2), 8))
