from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign_gym.errors import Infeasible
from codesign_gym.simulators.e2e_perf.accelerators import Generic, Pipeline, lookup, throughput
from codesign_gym.simulators.e2e_perf.cells import EDGES, FROM_INPUT, OPERATORS, Skeleton
from codesign_gym.simulators.e2e_perf.predictor import Embedded

SKELETON = Skeleton()
designs_of = st.lists(st.integers(0, 7), min_size=28, max_size=28).map(lambda row: np.array([row]))


def test_a_cell_has_fourteen_edges_of_which_eight_start_at_an_input() -> None:
    assert EDGES == 14
    assert FROM_INPUT.sum() == 8
    assert [group[-1] for group in SKELETON.groups] == [2, 1, 2, 1, 2]


def test_work_by_hand() -> None:
    """A 5x5 separable convolution on the first edge of the normal cells: two depthwise and two pointwise ones."""
    design = np.zeros((1, 28), dtype=np.int64)
    design[0, 0] = OPERATORS.index("sep_conv_5x5")
    work, empty = SKELETON.work(design), SKELETON.work(np.zeros((1, 28), dtype=np.int64))
    added = (work.count * work.macs).sum() - (empty.count * empty.macs).sum()
    cells = [(16, 32, 2), (32, 16, 2), (64, 8, 2)]
    assert added == sum(n * 2 * (25 * c + c * c) * p * p for c, p, n in cells)


def test_skips_are_free_but_in_reduction_cells_behind_an_input() -> None:
    skip = OPERATORS.index("skip_connect")
    macs = SKELETON.table.macs[:, skip].sum(-1)
    assert (macs[:EDGES] == 0).all()
    assert ((macs[EDGES:] > 0) == FROM_INPUT).all()


@settings(derandomize=True, deadline=None, max_examples=20)
@given(designs_of)
def test_the_split_of_the_pipeline_is_the_best_there_is(design: np.ndarray) -> None:
    accelerator = Pipeline(on_chip_bytes=1e12, steps=40)
    work = SKELETON.work(design)
    cycles = float(accelerator.interval_s(work)[0]) * accelerator.clock_hz
    needed = lambda at: (work.count * np.ceil(work.macs / at)).sum()  # noqa: E731
    floor = work.positions.max()
    assert needed(cycles) <= accelerator.multipliers
    assert cycles == pytest.approx(floor) or needed(cycles * 0.999) > accelerator.multipliers
    assert cycles >= floor * (1 - 1e-12)


@settings(derandomize=True, deadline=None, max_examples=20)
@given(designs_of, st.integers(0, 27))
def test_more_resources_never_hurt_and_no_operator_is_dearer_than_none(design: np.ndarray, edge: int) -> None:
    for small, large in ((Pipeline(), Pipeline(multipliers=5000)), (Generic(), Generic(memory_bytes_per_s=40e9))):
        slow, fast = (throughput(accelerator, SKELETON, design)[0] for accelerator in (small, large))
        assert fast >= slow * (1 - 1e-4)
        without = design.copy()
        without[0, edge] = 0
        assert throughput(small, SKELETON, without)[0] >= slow * (1 - 1e-4)


def test_a_batch_equals_singles_and_positive_throughputs() -> None:
    designs = np.random.default_rng(0).integers(8, size=(300, 28))
    for accelerator in (Pipeline(), Generic()):
        found = throughput(accelerator, SKELETON, designs)
        assert (found > 0).all()
        assert np.isfinite(found).all()
        singles = [throughput(accelerator, SKELETON, design[None])[0] for design in designs[::50]]
        assert np.allclose(found[::50], singles, rtol=1e-12)
        assert throughput(accelerator, SKELETON, designs[:0]).shape == (0,)


def test_the_engine_is_a_sum_of_operators_and_the_pipeline_is_not() -> None:
    designs = np.random.default_rng(1).integers(8, size=(400, 28))
    ones = np.eye(8)[designs].reshape(len(designs), -1)
    off = {}
    for accelerator in (Generic(), Pipeline()):
        interval = 1 / throughput(accelerator, SKELETON, designs)
        table, *_ = np.linalg.lstsq(ones, interval, rcond=None)
        off[type(accelerator)] = np.abs(ones @ table / interval - 1).max()
        assert (lookup(accelerator, SKELETON) >= 0).all()
    assert off[Generic] < 1e-9 < 1e-3 < off[Pipeline]


def test_too_few_multipliers_are_refused() -> None:
    with pytest.raises(Infeasible, match="there are 50"):
        throughput(Pipeline(multipliers=50), SKELETON, np.full((1, 28), 7))


def test_the_predictor_interpolates_embeddings() -> None:
    torch.manual_seed(0)
    body = Embedded(3, 4)
    mixed = torch.full((2, 3, 4), 0.25)
    assert body(mixed).shape == (2, 1)
    mean = torch.einsum("kce->ke", body.embedding) / 4
    assert torch.allclose(body.layers(mean.flatten()[None]), body(mixed)[:1], atol=1e-6)
