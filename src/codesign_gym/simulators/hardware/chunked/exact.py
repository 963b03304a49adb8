"""The exact optimum of the mapper's problem: every combination of mappings, without those that cannot be the best.

Layer by layer, the partial sums (energy, busy time, DRAM time) of a chunk at every number of banks; a sum is dropped
where another one is no worse in all three, or where even the best rest cannot bring the product below a known one.
"""

from __future__ import annotations

from collections.abc import Sequence

import moocore
import numpy as np
from numpy.typing import NDArray

from codesign_gym.simulators.hardware.chunked.cost import OPERATORS
from codesign_gym.simulators.hardware.chunked.mapper import BANKS, Menu
from codesign_gym.simulators.hardware.chunked.mappings import MappingTable

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

ENERGY, BUSY, DRAM = range(3)


def least_edp(
    table: MappingTable,
    buffer_bytes: float,
    known_js: float,
    families: Sequence[Bools] | None = None,
    banks: int = BANKS,
) -> float:
    """The least energy times period of all combinations of mappings, in joule seconds.

    Args:
        table: every layer's candidates.
        buffer_bytes: of the global buffer.
        known_js: of some combination; the closer to the optimum, the faster.
        families: as of :func:`~codesign_gym.simulators.hardware.chunked.mapper.auto_map`.
        banks: in which the buffer is given out.

    Returns:
        The optimum, or ``known_js`` where nothing is better.
    """
    menu = Menu.of(table, buffer_bytes, families or [np.asarray(table.valid.any(0))], banks)
    least = _least(menu)  # (chunks, 3)
    sums = [
        [_sums(menu, chunk, share, known_js, least) for share in range(banks + 1)] for chunk in range(len(OPERATORS))
    ]
    best = known_js
    for first in range(banks + 1):
        for second in range(banks + 1 - first):
            pair = _beside(sums[0][first], sums[1][second], best, least[2])
            whole = _beside(pair, sums[2][banks - first - second], best, np.zeros(3))
            best = min(best, float((whole[:, ENERGY] * np.maximum(whole[:, BUSY], whole[:, DRAM])).min(initial=best)))
    return best


def _least(menu: Menu) -> Floats:
    """The least energy, busy and DRAM time of every chunk, (chunks, 3)."""
    columns = np.stack([menu.energy_j, menu.latency_s, menu.dram_s], -1).min(1)  # (layers, 3)
    return np.stack([columns[menu.chunk == chunk].sum(0) for chunk in range(len(OPERATORS))])


def _sums(menu: Menu, chunk: int, share: int, known_js: float, least: Floats) -> Floats:
    """Undominated totals of a chunk on so many banks, (n, 3)."""
    own = np.flatnonzero(menu.chunk == chunk)
    others = np.delete(least, chunk, axis=0)
    floor = np.array([others[:, ENERGY].sum(), others[:, BUSY].max(), others[:, DRAM].sum()])
    columns = np.stack([menu.energy_j, menu.latency_s, menu.dram_s], -1)
    ends = []
    for family in menu.families:
        rows = [columns[layer, family[layer] & (menu.banks[layer] <= share)] for layer in own]
        if not all(len(row) for row in rows):
            continue
        rest = np.array([row.min(0) for row in rows]).sum(0) if rows else np.zeros(3)
        found = np.zeros((1, 3))
        for row in rows:
            rest = rest - row.min(0)
            found = _kept((found[:, None] + row).reshape(-1, 3), known_js, rest, floor)
        ends.append(found)
    return _undominated(np.concatenate(ends)) if ends else np.zeros((0, 3))


def _beside(left: Floats, right: Floats, known_js: float, floor: Floats) -> Floats:
    """Two groups of chunks at work beside each other, (n, 3); ``floor`` is what the others need at least."""
    pairs = np.stack(np.broadcast_arrays(left[:, None], right), axis=0)  # (2, left, right, 3)
    both = pairs.sum(0)
    both[..., BUSY] = pairs[..., BUSY].max(0)
    return _kept(both.reshape(-1, 3), known_js, np.zeros(3), floor)


def _kept(sums: Floats, known_js: float, rest: Floats, floor: Floats) -> Floats:
    """Those sums (n, 3) that no other beats, and that may still come below the known product."""
    energy, busy, dram = (sums + rest).T
    period = np.maximum(np.maximum(busy, floor[BUSY]), dram + floor[DRAM])
    return _undominated(sums[(energy + floor[ENERGY]) * period <= known_js * (1 + 1e-12)])


def _undominated(sums: Floats) -> Floats:
    return sums[moocore.is_nondominated(sums)] if len(sums) > 1 else sums
