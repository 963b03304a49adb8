"""The mesh: tiles counted one by one, its read ports word by word, and knobs as arrays."""

from collections import Counter

import numpy as np
import pytest
from hardware_samples import conv, layers, linear
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign_gym.errors import BadConfig
from codesign_gym.simulators.hardware.stonne.mesh import Mesh
from codesign_gym.simulators.networks.layers import Gemm

sides = st.sampled_from([1, 2, 4, 6, 8, 16])


def one_by_one(mesh: Mesh, m: int, n: int, k: int, tile_rows: int, tile_columns: int) -> tuple[int, int]:
    """Cycles and SRAM reads, tile after tile, with the words of a step dealt out to the ports."""
    width = (mesh.rows + mesh.columns) // mesh.words_per_cycle
    cycles = reads = 0
    for top in range(0, m, tile_rows):
        for left in range(0, n, tile_columns):
            r, c = min(tile_rows, m - top), min(tile_columns, n - left)
            destinations = [*range(c), *range(mesh.columns, mesh.columns + r)]
            q = max(Counter(place // width for place in destinations).values())
            cycles += k + r + c + 3 - (min(r, c) == 1) if width == 1 else k * q + r + c + 5 - q
            reads += (r + c) * k
    return cycles, reads


@settings(max_examples=200, deadline=None, derandomize=True)
@given(data=st.data(), rows=sides, columns=sides, m=st.integers(1, 40), n=st.integers(1, 40), k=st.integers(1, 9))
def test_tiles_by_count_are_tiles_one_by_one(
    data: st.DataObject, rows: int, columns: int, m: int, n: int, k: int
) -> None:
    words = data.draw(st.sampled_from([w for w in range(1, rows + columns + 1) if (rows + columns) % w == 0]))
    tile_rows, tile_columns = data.draw(st.integers(1, rows)), data.draw(st.integers(1, columns))
    mesh = Mesh(1.0, rows, columns, words)
    ours = mesh.products(Gemm(*(np.array(value) for value in (1, m, n, k))), tile_rows, tile_columns)
    assert (ours["cycles"], ours["sram_reads"]) == one_by_one(mesh, m, n, k, tile_rows, tile_columns)
    assert ours["sram_writes"] == m * n


def test_hardware_as_arrays_is_hardware_one_by_one() -> None:
    gemm = Gemm(*(np.array([value]) for value in (2, 100, 70, 33)))
    words = np.array([4, 8, 16, 32])
    together = Mesh(1.0, 16, 16, words[:, None]).products(gemm, 16, 16)
    for index, each in enumerate(words):
        alone = Mesh(1.0, 16, 16, int(each)).products(gemm, 16, 16)
        for name, column in alone.items():
            np.testing.assert_allclose(np.broadcast_to(together[name], (4, 1))[index], column, rtol=1e-12)
    assert (np.diff(together["cycles"][:, 0]) <= 0).all()  # more words a cycle never hurt


def test_costs_of_knobs_have_one_shape() -> None:
    table = layers(conv(8, 3, 8, 3), linear(8, 10))
    costs = Mesh(1.0, 16, 16, np.array([[8], [32]])).cost(table, np.full((2, 2), 8))  # type: ignore[arg-type]
    assert {column.shape for column in (costs.latency_s, *costs.detail.values())} == {(2, 2)}
    assert costs.resources["area_stonne_units"].shape == (2,)
    assert (costs.detail["macs"] == table.macs).all()


def test_ports_that_do_not_divide_the_edges() -> None:
    with pytest.raises(BadConfig, match=r"field 'words_per_cycle' is 64; accepted: a divisor of rows \+ columns, 32"):
        Mesh(1.0, 16, 16, 64)
