"""The systems that are compared: what a conventional design, one search alone, and both together come to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from codesign_gym import pareto
from codesign_gym.envs.core.problem import column, feasible
from codesign_gym.envs.early_exit.problem import EarlyExitProblem
from codesign_gym.envs.early_exit.tables import placements
from codesign_gym.errors import Infeasible

#: The conventional exits, evenly placed: behind the second and the fourth of five stages.
CONVENTIONAL_EXITS = (1, 3)

CONVENTIONAL = "conventional: exits 2 and 4, one threshold, maximum clocks"
EXITS_ONLY = "exits only: same backbone, maximum clocks"
DVFS_ONLY = "DVFS only: conventional exits and threshold"
SAME_BACKBONE = "exits and DVFS: same backbone"
JOINT = "backbone, exits and DVFS: exhaustive"


@dataclass(frozen=True, eq=False)
class System:
    """A design with its metrics by name, and what is claimed of it on test images."""

    label: str
    design: NDArray[np.int64]
    metrics: dict[str, float]
    claims: dict[str, float]

    @property
    def energy_j(self) -> float:
        """Expected on search images."""
        return self.metrics["energy_j"]


def system(problem: EarlyExitProblem, label: str, design: NDArray[np.int64]) -> System:
    """A design, measured."""
    values = problem.evaluate(design[None])[0]
    return System(
        label,
        design,
        dict(zip((m.name for m in problem.metrics), map(float, values), strict=True)),
        problem.claim(design),
    )


def compared(problem: EarlyExitProblem) -> dict[str, System]:
    """The systems by label, each the best of its kind by enumeration."""
    subset, fastest = _conventional_subset(problem), problem.layout.blocks[3] - 1
    base = conventional(problem)
    _, _, threshold, _ = problem.rows(base.design[None])
    kinds = {
        EXITS_ONLY: _among(problem, backbone=0, setting=fastest),
        DVFS_ONLY: _among(problem, backbone=0, subset=subset, threshold=int(threshold[0])),
        SAME_BACKBONE: _among(problem, backbone=0),
        JOINT: _among(problem),
    }
    found = {label: system(problem, label, problem.optimum(mask)[0]) for label, mask in kinds.items()}
    return {CONVENTIONAL: base, **found}


def conventional(problem: EarlyExitProblem) -> System:
    """Evenly placed exits with the cheapest threshold that keeps the floor (the highest where none does)."""
    subset, fastest = _conventional_subset(problem), problem.layout.blocks[3] - 1
    among = _among(problem, backbone=0, subset=subset, setting=fastest)
    try:
        design, _ = problem.optimum(among)
    except Infeasible:
        design = problem.design(0, subset, len(problem.thresholds) - 1, fastest)
    return system(problem, CONVENTIONAL, design)


def saved(cheaper: float, dearer: float) -> float:
    """Share of an energy that is saved."""
    return 1 - cheaper / dearer


def hypervolume(problem: EarlyExitProblem, values: NDArray[np.float64], reference_j: float) -> float:
    """Area that feasible metrics (designs, metrics) dominate in energy and accuracy, as shares of what there is.

    The reference point is the conventional energy and the accuracy floor; the ideal one no energy and no error.
    """
    floor = next(bound for bound in problem.constraints if bound.metric == "sure_accuracy")
    kept = values[feasible(problem, values)]
    energy = kept[:, column(problem, "energy_j")] / reference_j
    accuracy = (kept[:, column(problem, "sure_accuracy")] - floor.limit) / (1 - floor.limit)
    return pareto.hypervolume(np.stack([energy, 1 - accuracy], axis=-1), np.ones(2))


def _conventional_subset(problem: EarlyExitProblem) -> int:
    wanted = np.isin(np.arange(problem.layout.exits - 1), CONVENTIONAL_EXITS)
    return int(np.flatnonzero((placements(problem.layout.exits)[:, :-1] == wanted).all(-1))[0])


def _among(problem: EarlyExitProblem, **fixed: int) -> NDArray[np.bool_]:
    """The designs with some rows of the tables fixed, (backbones, subsets, thresholds, settings)."""
    axes = ("backbone", "subset", "threshold", "setting")
    mask = np.zeros(problem.layout.blocks, dtype=bool)
    mask[tuple(fixed.get(axis, slice(None)) for axis in axes)] = True
    return mask
