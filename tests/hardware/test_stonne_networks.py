"""The adder tree: virtual neurons followed bit by bit, as the simulator's compiler does."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign_gym.errors import BadConfig
from codesign_gym.simulators.hardware.stonne.networks import Fabric, busiest, leave_tree


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
        Fabric(1.0, 100, 10, 10)
    with pytest.raises(BadConfig, match="'distribution_words_per_cycle' is 48; accepted: a divisor of the 64"):
        Fabric(1.0, 64, 48, 64)
