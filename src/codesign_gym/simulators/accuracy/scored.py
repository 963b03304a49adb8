"""What every way to score a network says about its scores."""

from __future__ import annotations

from typing import Protocol


class Scored(Protocol):
    """Names scores, and tells whether they come from running a network."""

    @property
    def metric_name(self) -> str:
        """``accuracy`` (a share; more is better), ``quality`` (more is better) or ``loss`` (less is)."""
        ...

    @property
    def measured(self) -> bool:
        """Whether a score comes from running the network, which the ledger counts apart."""
        ...

    @property
    def images(self) -> int:
        """How many images a measured score is a share of; 0 where it is not measured."""
        ...
