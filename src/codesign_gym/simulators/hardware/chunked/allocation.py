"""How NASA's accelerator divides its silicon: the PEs of each chunk under one area budget."""

from __future__ import annotations

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import NDArray

from codesign_gym.simulators.networks.layers import Array

Ints = NDArray[np.int64]


def proportional_pes(operations: Array, pe_areas_mm2: Array, area_mm2: float) -> Array:
    """PEs of each chunk such that all chunks take equally long, NASA's allocation: N_i / O_i equal, sum N_i A_i given.

    Args:
        operations: what each chunk has to do, in the order of ``OPERATORS``, shape (..., 3).
        pe_areas_mm2: area of a PE of each chunk, shape (3,).
        area_mm2: for all PEs.

    Returns:
        Shape (..., 3), rounded down but at least 1 (a chunk without work needs none, but a chunk has PEs).
    """
    xp = array_namespace(operations)
    share = operations * (area_mm2 / (operations * pe_areas_mm2).sum(-1))[..., None]
    return xp.astype(xp.clip(xp.floor(share), min=1), xp.int64)


def equal_area_pes(pe_areas_mm2: NDArray[np.float64], area_mm2: float) -> Ints:
    """PEs of each chunk, (chunks,), where all chunks take the same area."""
    return np.floor(area_mm2 / len(pe_areas_mm2) / pe_areas_mm2).astype(np.int64)


def equal_count_pes(pe_areas_mm2: NDArray[np.float64], area_mm2: float) -> Ints:
    """PEs of each chunk, (chunks,), where all chunks have the same number."""
    return np.full(len(pe_areas_mm2), int(area_mm2 / pe_areas_mm2.sum()))


def all_splits(pe_areas_mm2: NDArray[np.float64], area_mm2: float, step: int = 1) -> Ints:
    """Every division of an area among three chunks, (splits, 3): the last takes what the first two leave.

    Args:
        pe_areas_mm2: area of a PE of each chunk, (3,).
        area_mm2: for all PEs.
        step: of the first two chunks' PEs.
    """
    most = (area_mm2 / pe_areas_mm2).astype(np.int64)
    first, second = (
        part.ravel() for part in np.meshgrid(*(np.arange(1, n + 1, step) for n in most[:2]), indexing="ij")
    )
    third = np.floor((area_mm2 - first * pe_areas_mm2[0] - second * pe_areas_mm2[1]) / pe_areas_mm2[2])
    return np.asarray(np.stack([first, second, third.astype(np.int64)], axis=-1)[third >= 1])
