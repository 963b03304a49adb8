"""The best mappings there are, by enumeration: no layer has more than half a million combinations of tiles."""

from __future__ import annotations

from dataclasses import dataclass

from codesign_gym.envs.mapping.factory import Options, mapping_problem
from codesign_gym.training.studies.bifrost.published import DEVICE, NETWORK, Published, machine


@dataclass(frozen=True)
class Optimum:
    """Every mapping of a layer, in millions of cycles.

    Attributes:
        mappings: that fit.
        cycles: the least.
        by_psums: the least among those with the fewest partial sums, which Bifrost tunes by.
    """

    mappings: int
    cycles: float
    by_psums: float


def options(layer: Published, tiles: str) -> dict[str, object]:
    """Arguments of a Mapping-v0 of one layer."""
    return {"network": NETWORK, "device": DEVICE, "layers": [layer.layer], "tiles": tiles, "enforcement": "mask"}


def optimum(layer: Published, tiles: str) -> Optimum:
    """Cost every mapping of a layer that fits.

    Args:
        layer: which.
        tiles: ``divisors`` or ``passes``.
    """
    problem = mapping_problem(Options.model_validate(options(layer, tiles)))
    designs = problem.space.enumerate(0, problem.space.size)
    designs = designs[problem.mappers[0].occupancy(designs) <= 1]
    metrics = problem.evaluate(designs)
    names = [metric.name for metric in problem.metrics]
    cycles = metrics[:, names.index("latency_s")] * machine().clock_hz / 1e6
    psums = metrics[:, names.index("psums")]
    return Optimum(len(designs), float(cycles.min()), float(cycles[psums == psums.min()].min()))
