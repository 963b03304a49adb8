"""Searches at equal evaluations, and how well the surfaces of a sample predict what it does not hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codesign_gym.agents import interface
from codesign_gym.agents.recorder import Limits
from codesign_gym.envs.core.problem import Values, column, feasible, reference_point, rewards
from codesign_gym.pareto import hypervolume, nondominated
from codesign_gym.training.studies.three_phase_gp.problem import EngineCodesign, core_of, problem_of

#: Designs that surfaces are asked about.
HELD_OUT = 2000


@dataclass(frozen=True)
class Case:
    """A size of the experiment.

    Attributes:
        widths: of the networks.
        trainings: of each network, whose accuracies are averaged.
    """

    widths: tuple[int, ...]
    trainings: int

    def problem(self) -> EngineCodesign:
        """The design problem; made once a process."""
        return _problem(self)


@dataclass(frozen=True)
class Search:
    """One agent's search.

    Attributes:
        case: what is searched.
        agent: its id.
        evaluations: designs it may score.
        seed: the agent's.
    """

    case: Case
    agent: str
    evaluations: int
    seed: int


@dataclass(frozen=True)
class Found:
    """What a search has found.

    Attributes:
        search: the search.
        evaluations: distinct designs scored.
        share: their hypervolume as a share of that of the whole space.
        front: designs better than the reference point that no other found one beats.
        claimed: of those, hypervolume with the accuracy on test images, as a share of the whole space's.
    """

    search: Search
    evaluations: int
    share: float
    front: int
    claimed: float


@dataclass(frozen=True)
class Sample:
    """A sample that surfaces are fitted to.

    Attributes:
        case: what is sampled.
        size: designs, spread as in the agent's first phase.
        seed: of the sample and of what it is tested on.
    """

    case: Case
    size: int
    seed: int


@dataclass(frozen=True)
class Fit:
    """How well surfaces predict designs that they have not seen.

    Attributes:
        latency, power: coefficient of determination, in seconds and watts.
        latency_log: that of the logarithm of the latency, as it is modelled.
        accuracy: Spearman's rank correlation.
    """

    latency: float
    power: float
    latency_log: float
    accuracy: float


def search(job: Search) -> Found:
    """Carry out a search in this process."""
    problem, content = job.case.problem(), interface.read(job.agent)
    recorder = interface.searched(interface.build(content), core_of(problem), Limits.of(job.evaluations), job.seed)
    values = recorder.known_metrics
    tested = values.copy()
    tested[:, column(problem, "accuracy")] = [problem.claim(design)["test_accuracy"] for design in recorder.designs]
    losses = -rewards(problem, values[feasible(problem, values)])
    front = losses[nondominated(losses)]
    return Found(
        search=job,
        evaluations=recorder.evaluations,
        share=volume(problem, values) / whole(job.case)[0],
        front=int((front < -reference_point(problem)).all(1).sum()),
        claimed=volume(problem, tested) / whole(job.case)[1],
    )


def fitted(job: Sample) -> Fit:
    """Fit surfaces to a sample and ask them about other feasible designs."""
    from scipy.stats import spearmanr

    from codesign_gym.agents.bayesian.surfaces import fit, seeded
    from codesign_gym.agents.bayesian.three_phase import spread

    problem, generator = job.case.problem(), np.random.default_rng(job.seed)
    known = spread(core_of(problem), generator, job.size)
    with seeded(job.seed):
        surfaces = fit(problem, known, problem.evaluate(known))
    designs, values = everything(job.case)
    seen = (designs[:, None] == known).all(-1).any(-1)
    asked = generator.choice(np.flatnonzero(~seen), HELD_OUT, replace=False)
    predicted, true = surfaces.predict(problem, designs[asked]), values[asked]
    parts: dict[str, Any] = {}
    for name in ("latency_s", "power_w", "accuracy"):
        at = column(problem, name)
        parts[name] = (true[:, at], predicted[:, at])
    return Fit(
        latency=determination(*parts["latency_s"]),
        power=determination(*parts["power_w"]),
        latency_log=determination(*(np.log(part) for part in parts["latency_s"])),
        accuracy=float(spearmanr(*parts["accuracy"])[0]),
    )


def determination(true: NDArray[np.float64], predicted: NDArray[np.float64]) -> float:
    """R2: the share of the variance that is explained, of arrays (n,)."""
    return float(1 - ((true - predicted) ** 2).sum() / ((true - true.mean()) ** 2).sum())


def volume(problem: EngineCodesign, values: Values) -> float:
    """Hypervolume of the feasible rows of metrics, in rewards, from the reference point."""
    return hypervolume(-rewards(problem, values[feasible(problem, values)]), -reference_point(problem))


@cache
def everything(case: Case) -> tuple[NDArray[np.int64], Values]:
    """Every feasible design, (designs, knobs), and its metrics."""
    problem = case.problem()
    designs = problem.space.enumerate(0, problem.space.size)
    values = problem.evaluate(designs)
    kept = feasible(problem, values)
    return designs[kept], values[kept]


@cache
def whole(case: Case) -> tuple[float, float]:
    """Hypervolume of the whole space, with the accuracy on search and on test images."""
    problem, (designs, values) = case.problem(), everything(case)
    tested = values.copy()
    tested[:, column(problem, "accuracy")] = problem.test[problem.network(designs)]
    return volume(problem, values), volume(problem, tested)


@cache
def _problem(case: Case) -> EngineCodesign:
    return problem_of(case.widths, case.trainings)


def shares(found: Sequence[Found], agent: str) -> list[float]:
    """Hypervolume shares of an agent's searches, one a seed."""
    return [one.share for one in found if one.search.agent == agent]
