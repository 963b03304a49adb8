"""Random small loop nests, with mappings that cover them and fit, for the tests of the loop-nest model."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from hypothesis import strategies as st

from codesign_gym.simulators.hardware.device import load
from codesign_gym.simulators.hardware.loopnest.cost import LoopNest
from codesign_gym.simulators.hardware.loopnest.execution import Operands, fits
from codesign_gym.simulators.hardware.loopnest.mapping import Mapping, Work
from codesign_gym.simulators.hardware.loopnest.space import Space
from codesign_gym.simulators.hardware.loopnest.traffic import traffic

PRESETS = ("eyeriss-like", "gemmini-like", "simba-like", "tpu-like")
EIGHT = Operands(np.float64(8), np.float64(8))


@lru_cache
def machine(name: str) -> LoopNest:
    model = load(name).model
    assert isinstance(model, LoopNest)
    return model


extents = st.tuples(
    st.sampled_from([1, 2]),  # N
    st.sampled_from([1, 3]),  # G
    st.sampled_from([1, 5, 12, 32]),  # K
    st.sampled_from([1, 3, 16, 24]),  # C
    st.sampled_from([1, 6, 7]),  # P
    st.sampled_from([1, 4, 9]),  # Q
    st.sampled_from([1, 3]),  # R
    st.sampled_from([1, 2, 3]),  # S
)
works = st.builds(Work.single, extents, st.sampled_from([1, 2]))


def mappings(model: LoopNest, work: Work, count: int, seed: int) -> Mapping:
    """Up to ``count`` mappings that fit at 8 bits, at least one."""
    space = Space.of(model, tuple(work.extents.tolist()))
    drawn = space.cuts.join(space.draw(8 * count, space.streams(seed))).mapping
    return drawn[np.flatnonzero(fits(model, traffic(model, work, drawn), EIGHT))[:count]]
