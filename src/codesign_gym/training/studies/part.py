"""What every part of the study gives back, and how a spread over seeds is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from codesign_gym.errors import StorageError
from codesign_gym.training.studies.study import Claim, Table

FULL_ONLY = "only at scale full"


@dataclass(frozen=True)
class Part:
    """Claims and tables of one part."""

    claims: tuple[Claim, ...]
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()


def middle(values: Sequence[float]) -> float:
    """The median; NaN where a seed found nothing counts as infinitely bad through the caller's choice of values."""
    return float(np.median(np.asarray(values, dtype=float)))


def absent(network: str) -> str | None:
    """Why a network's data are not to be had, or None if they are."""
    if not network.startswith("fashion"):
        return None
    from codesign_gym.simulators.accuracy.datasets import find_fashion_mnist

    try:
        find_fashion_mnist()
    except StorageError as error:
        return str(error)
    return None
