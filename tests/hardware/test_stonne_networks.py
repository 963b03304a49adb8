"""The adder tree: virtual neurons followed bit by bit, as the simulator's compiler does."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hardware_samples import conv, layers, linear
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign_gym.errors import BadConfig
from codesign_gym.simulators.hardware.rounding import EXACT, RELAXED
from codesign_gym.simulators.hardware.stonne.fabric import Fabric
from codesign_gym.simulators.hardware.stonne.maeri import Maeri
from codesign_gym.simulators.hardware.stonne.magma import Magma
from codesign_gym.simulators.hardware.stonne.networks import Hardware, busiest, leave_tree
from codesign_gym.simulators.hardware.stonne.sigma import Sigma
from codesign_gym.simulators.hardware.stonne.timing import PIPELINE_CYCLES, cycles, summed, terms_of


def lines_of(multipliers: int, lines: int) -> dict[tuple[int, int], int]:
    """The bus line of every adder (level from the root, place), dealt out one after the other."""
    pairs, singles = [], []
    for level in range(multipliers.bit_length() - 1):
        last = 2**level - 1
        pairs += [(level, place) for place in range(2, last, 2)]
        singles += [(level, 0), (level, last)][: 1 + (level > 0)]
    found = {}
    for number, (level, place) in enumerate(pairs):
        found[level, place] = found[level, place - 1] = number % lines
    for number, adder in enumerate(singles):
        found[adder] = (number + 2 * len(pairs)) % lines
    return found


def followed(first: int, last: int, multipliers: int) -> tuple[tuple[int, int], int]:
    """The adder where a virtual neuron leaves, and the levels climbed, with sets of busy nodes."""
    busy, level = set(range(first, last + 1)), multipliers.bit_length() - 1
    while True:
        level -= 1
        width = 2**level
        after = {node // 2 for node in busy}
        for left in range(1, width - 2, 2):  # linked neighbours left, left + 1
            spans = [sum(node // 2 <= left for node in busy), sum(node // 2 > left for node in busy)]
            if not {left, left + 1} <= after:
                continue
            if spans[0] >= spans[1] and left + 2 not in after:
                after.discard(left + 1)
                busy = {node for node in busy if node // 2 <= left}
            elif spans[0] < spans[1] and left - 1 not in after:
                after.discard(left)
                busy = {node for node in busy if node // 2 > left}
        if len(after) == 1:
            return (level, after.pop()), multipliers.bit_length() - 1 - level
        busy = after


@settings(max_examples=150, deadline=None, derandomize=True)
@given(data=st.data(), depth=st.integers(1, 8))
def test_exits_are_those_of_the_compiler(data: st.DataObject, depth: int) -> None:
    multipliers = 2**depth
    first = data.draw(st.integers(0, multipliers - 1))
    last = data.draw(st.integers(first, multipliers - 1))
    lines = data.draw(st.sampled_from([1, 2, 4, 64]))
    exits = leave_tree(first, last, multipliers, lines)
    adder, levels = followed(first, last, multipliers)
    assert exits.levels == levels
    assert exits.line == lines_of(multipliers, lines)[adder]
    assert (last - first + 1) // 2 <= exits.additions <= last - first  # adders take two operands or three
    assert exits.low_forwards <= exits.forwards


def test_an_aligned_power_of_two_needs_no_forwarding() -> None:
    first = np.arange(0, 256, 32)
    exits = leave_tree(first, first + 31, 256, 256)
    assert (exits.levels == 5).all()
    assert (exits.forwards == 0).all()
    assert (exits.additions == 31).all()


@pytest.mark.parametrize("stride", [3, 10**6])
def test_the_busiest_line(stride: int) -> None:
    random = np.random.default_rng(0)
    case, line = random.integers(0, 5, 200), random.integers(0, 3, 200) * stride
    counts = Counter(zip(case.tolist(), line.tolist(), strict=True))
    most = [max((count for (c, _), count in counts.items() if c == each), default=0) for each in range(6)]
    assert busiest(line, case, 6).tolist() == most


def test_sizes_that_no_fabric_has() -> None:
    with pytest.raises(BadConfig, match="field 'multipliers' is 100; accepted: a power of two"):
        Sigma(1.0, 100, 10, 10, 0.0)
    with pytest.raises(BadConfig, match="'distribution_words_per_cycle' is 48; accepted: a divisor of the 64"):
        Sigma(1.0, 64, 48, 64, 0.0)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(data=st.data(), count=st.integers(1, 12), owners=st.integers(1, 3))
def test_passes_added_up_take_as_long_as_one_by_one(data: st.DataObject, count: int, owners: int) -> None:
    def drawn(low: int, high: int) -> np.ndarray:
        return np.array(data.draw(st.lists(st.integers(low, high), min_size=count, max_size=count)))

    owner = drawn(0, owners - 1)
    port, chain, first, drain, climb, shared = (drawn(low, 50) for low in (1, 0, 1, 0, 1, 1))
    hardware = Hardware(*(np.full(count, size) for size in (64, data.draw(st.sampled_from([16, 64])), 8)))
    each = terms_of(hardware, port, chain, first, drain, climb, shared)
    expected = np.zeros(owners)
    for row in range(count):
        busy = max(port[row] + shared[row] - 1, chain[row], first[row] + drain[row])
        expected[owner[row]] += busy + PIPELINE_CYCLES + climb[row] + (hardware.port_width[row] > 1)
    np.testing.assert_array_equal(cycles(summed(each, owner, owners)), expected)


SIZED = {
    "sigma": Sigma(1.0, 64, 32, 16, 0.5),
    "magma": Magma(1.0, 64, 32, 16, 16, 4, 0.5),
    "maeri": Maeri(1.0, 64, 32, 16, 0),
}
TABLE = layers(conv(14, 24, 96, 3), conv(8, 8, 8, 3, groups=8), linear(300, 70))
BITS = np.full((3, 2), 8)


@pytest.mark.parametrize("model", SIZED.values(), ids=SIZED)
def test_relaxed_is_exact_where_one_thing_holds_a_layer_up_and_close_elsewhere(model: Fabric) -> None:
    exact, relaxed = (model.cost(TABLE, BITS, rounding) for rounding in (EXACT, RELAXED))
    ratio = relaxed.latency_s / exact.latency_s
    assert (ratio >= 1 - 1e-12).all()
    assert (ratio <= 2 ** (3 / 16)).all()  # two maxima and a ceiling, each bent by 2**(1/16) at most
    for name in set(exact.detail) - {"cycles", "mac_slots", "energy_stonne_units"}:
        np.testing.assert_array_equal(relaxed.detail[name], exact.detail[name])


@pytest.mark.parametrize("model", SIZED.values(), ids=SIZED)
def test_a_little_more_bandwidth_helps_a_little(model: Fabric) -> None:
    """Relaxed, words a cycle need be no power of two; exact, they must."""
    wider = replace(model, distribution_words_per_cycle=35.0, reduction_words_per_cycle=18.5)
    before, after = (each.cost(TABLE, BITS, RELAXED).latency_s for each in (model, wider))
    assert (after <= 1.005 * before).all()  # sixteen and 32 lines are bent differently
    assert (after < before).any()
    with pytest.raises(BadConfig, match="'distribution_words_per_cycle' is 35; accepted: 32 or 64, and what lies"):
        wider.cost(TABLE, BITS)


@pytest.mark.parametrize("model", SIZED.values(), ids=SIZED)
def test_multipliers_that_work_are_no_more_than_there_are(model: Fabric) -> None:
    detail = model.cost(TABLE, BITS).detail
    np.testing.assert_array_equal(detail["mac_slots"], 64 * detail["cycles"])
    assert (detail["macs"] <= detail["mac_slots"]).all()
    assert (detail["sram_reads"] * 64 >= detail["macs"]).all()  # a word reaches every multiplier at most
    assert (detail["sram_writes"] >= TABLE.out_elements).all()
