"""Mappings costed in one batch, beside the same function mapping by mapping and beside the peers.

ZigZag 3.9.1 takes about 5 ms a mapping and Timeloop's mapper minutes a layer: their rates are printed for
orientation, measured elsewhere. The bar is against the loop, in the same run.
"""

from __future__ import annotations

import numpy as np
import pytest
from interleaved import seconds, speed

from codesign_gym.simulators import networks
from codesign_gym.simulators.hardware import device as devices
from codesign_gym.simulators.hardware.loopnest.cost import NETWORKS, LoopNest
from codesign_gym.simulators.hardware.loopnest.execution import Operands, charge
from codesign_gym.simulators.hardware.loopnest.mapping import Mapping, Work
from codesign_gym.simulators.hardware.loopnest.search import BUDGET, LAYERS, POOLS, layer_tables
from codesign_gym.simulators.hardware.loopnest.space import Space
from codesign_gym.simulators.hardware.loopnest.traffic import traffic

MAPPINGS = 4096
SAMPLE = 32  # of the loop, whose time is proportional to their number
ZIGZAG_S = 5e-3  # a mapping
EXTENTS = (1, 1, 128, 128, 28, 28, 3, 3)  # a layer of ResNet-18
BITS = Operands(np.float64(8), np.float64(8))
BAR = 50
DEVICES = ("eyeriss-like", "gemmini-like", "simba-like", "tpu-like")


def model(name: str) -> LoopNest:
    found = devices.load(name).model
    assert isinstance(found, LoopNest)
    return found


def cost(machine: LoopNest, work: Work, mapping: Mapping) -> np.ndarray:
    """Cycles of mappings of shape (mappings, levels, loops), or of one of shape (levels, loops)."""
    return np.asarray(charge(machine, work, traffic(machine, work, mapping), BITS).cycles)


@pytest.mark.parametrize("name", DEVICES)
def test_a_batch_of_mappings_beside_a_loop_and_zigzag(report, name: str) -> None:
    machine, work = model(name), Work.single(EXTENTS)
    space = Space.of(machine, EXTENTS)
    batch = space.draw(MAPPINGS, space.streams(0)).mapping

    def loop() -> list[float]:
        return [float(cost(machine, work, batch[row])) for row in range(SAMPLE)]

    def together() -> np.ndarray:
        return cost(machine, work, batch)

    np.testing.assert_array_equal(together()[:SAMPLE], loop())
    ratio = speed(together, loop, repeats=9) * MAPPINGS / SAMPLE
    rate = MAPPINGS / min(seconds(together) for _ in range(5))
    what = (
        f"{name}: {rate:.3g} mappings/s, {rate * ZIGZAG_S:.3g} times ZigZag's rate; a batch of {MAPPINGS} over a loop"
    )
    report(what, ratio, BAR, together)
    assert ratio >= BAR


@pytest.mark.parametrize("name", DEVICES)
def test_the_search_beside_zigzags_rate(report, name: str) -> None:
    """A whole layer: drawing, costing at three precisions, ranking, and the table of all 64 pairs of bitwidths."""
    machine = model(name)

    def search() -> None:
        LAYERS.clear()
        POOLS.clear()
        layer_tables([(machine, EXTENTS, 1, "latency")])

    elapsed = min(seconds(search) for _ in range(5))
    ratio = BUDGET.mappings * ZIGZAG_S / elapsed
    report(
        f"{name}: {BUDGET.mappings} mappings of a layer in {1e3 * elapsed:.3g} ms; rate over ZigZag's",
        ratio,
        None,
        search,
    )


@pytest.mark.parametrize("name", DEVICES)
def test_a_network(report, name: str) -> None:
    """ResNet-18, nothing memoised, beside ZigZag's time for as many mappings."""
    device, layers = devices.load(name), networks.load("resnet18").layers
    bits = np.full((len(layers.op), 2), 8)

    def network() -> None:
        NETWORKS.clear()
        LAYERS.clear()
        POOLS.clear()
        device.cost(layers, bits)

    elapsed = seconds(network)
    work = Work.of(layers)
    searched = len(np.unique(np.c_[work.extents, work.stride_p], axis=0)) * BUDGET.mappings
    ratio = searched * ZIGZAG_S / elapsed
    report(f"{name}: ResNet-18 in {elapsed:.3g} s, {searched} mappings; rate over ZigZag's", ratio, None, network)
