"""Which designs to score next: expected improvements over discrete designs, one after another until a batch is full."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count, repeat
from typing import Any

import numpy as np
import torch
from botorch.acquisition.acquisition import AcquisitionFunction
from botorch.acquisition.logei import qLogNoisyExpectedImprovement
from botorch.acquisition.multi_objective import logei
from botorch.acquisition.multi_objective.objective import GenericMCMultiOutputObjective
from botorch.acquisition.objective import GenericMCObjective
from botorch.sampling.normal import SobolQMCNormalSampler
from botorch.utils.multi_objective.scalarization import get_chebyshev_scalarization
from torch import Tensor

from codesign_gym.agents.baselines.moves import admitted, fresh, keys, mutated, neighbours
from codesign_gym.agents.bayesian.surfaces import Features, Surfaces
from codesign_gym.envs.core.designing import DesignCore
from codesign_gym.envs.core.problem import DesignProblem, Values, reference_point, rewards
from codesign_gym.envs.core.space import Designs

# BoTorch would compile a C++ kernel for this machine on first use: minutes, a compiler, a lock that a killed process
# leaves behind, and other roundings. Its own flag says that this was tried; the Python implementation is then used.
logei._load_attempted = True

#: Designs whose acquisition is computed at once.
BLOCK = 256
#: Objectives up to which hypervolumes are improved box by box; there are thousands of boxes behind a front of four.
BOXES = 3
#: Mutations of good designs: knobs that change on average, and the share that are a step.
CHANGES, NEAR = 1.5, 0.7


@dataclass(frozen=True)
class Pool:
    """How an acquisition is maximised over designs that the environment allows and that are not known.

    Attributes:
        drawn: random designs, and as many mutations of the best ones.
        climbs: of the best of them, how many are improved by single steps.
        rounds: steps at most.
    """

    drawn: int
    climbs: int
    rounds: int

    def batch(
        self,
        core: DesignCore,
        acquisitions: Iterator[AcquisitionFunction],
        features: Features,
        best: Designs,
        known: set[bytes],
        size: int,
        generator: np.random.Generator,
    ) -> Designs:
        """As many designs as asked for, each the best beside those before it; random ones where none is new."""
        chosen = np.empty((0, len(core.problem.space)), dtype=np.int64)
        candidates = self._candidates(core, best, known, generator)
        while len(chosen) < size:
            taken = known | set(keys(chosen))
            candidates = admitted(core, candidates, taken)
            if not len(candidates):
                return np.concatenate([chosen, fresh(core, generator, size - len(chosen), taken)])
            acquisition = next(acquisitions)
            if len(chosen):
                acquisition.set_X_pending(features(chosen))
            climbed = self._climbed(core, acquisition, features, candidates, taken)
            chosen = np.concatenate([chosen, climbed[:1]])
            candidates = np.concatenate([candidates, climbed[1:]])  # from where the next climbs are short
        return chosen

    def _candidates(
        self, core: DesignCore, best: Designs, known: set[bytes], generator: np.random.Generator
    ) -> Designs:
        around = best[generator.integers(len(best), size=self.drawn)]
        near = mutated(core.problem.space, around, generator, CHANGES, NEAR)
        return np.concatenate([fresh(core, generator, self.drawn, known), near])

    def _climbed(
        self,
        core: DesignCore,
        acquisition: AcquisitionFunction,
        features: Features,
        candidates: Designs,
        taken: set[bytes],
    ) -> Designs:
        """What climbs from the best candidates lead to, best first, shape (climbs, knobs)."""
        values = _values(acquisition, features(candidates))
        tops = np.argsort(-values, kind="stable")[: self.climbs]
        here, worth, climbing = candidates[tops], values[tops], np.arange(len(tops))
        for _ in range(self.rounds):
            around = [admitted(core, neighbours(core.problem.space, design), taken) for design in here[climbing]]
            owner = np.repeat(climbing, [len(part) for part in around])
            if not len(owner):
                break
            steps = np.concatenate(around)
            gains, climbing = _values(acquisition, features(steps)), climbing[:0]
            for row in np.unique(owner):
                best = np.flatnonzero(owner == row)[gains[owner == row].argmax()]
                if gains[best] > worth[row]:
                    here[row], worth[row], climbing = steps[best], gains[best], np.append(climbing, row)
        return here[np.argsort(-worth, kind="stable")]


def improvement(
    problem: DesignProblem, surfaces: Surfaces, designs: Designs, samples: int, seed: int
) -> Iterator[AcquisitionFunction]:
    """Noisy expected improvement of the score, in logarithms (Ament et al., NeurIPS 2023), within the constraints.

    The score is computed from samples of the metrics, so that metrics may be modelled by their logarithms.

    Args:
        problem: its objectives and constraints.
        surfaces: of its metrics.
        designs: that have been scored, shape (n, knobs).
        samples: Monte Carlo samples.
        seed: of the samples.
    """
    return repeat(_expected(problem, surfaces, designs, samples, seed, lambda earned: earned.sum(-1)))


def front_improvement(
    problem: DesignProblem, surfaces: Surfaces, designs: Designs, samples: int, seed: int
) -> Iterator[AcquisitionFunction]:
    """Noisy expected hypervolume improvement, in logarithms (Daulton et al., NeurIPS 2021; Ament et al., NeurIPS 2023).

    The reference point is the objectives' worst values. Rewards are scaled so that the box between it and the best of
    each has sides of one. Of more than :data:`BOXES` objectives, noisy expected improvement of that box's augmented
    Chebyshev scalarisation by other random weights for every design (qNParEGO; Daulton et al., as above), whose cost
    hardly grows with the objectives. Of one objective the hypervolume is its reward, and :func:`improvement` its
    expected improvement. Arguments are those of :func:`improvement`.
    """
    origin = reference_point(problem)
    if len(origin) == 1:
        return improvement(problem, surfaces, designs, samples, seed)
    sides = _sides(rewards(problem, surfaces.predict(problem, designs)), origin)
    if len(origin) <= BOXES:
        return repeat(_hypervolume(problem, surfaces, designs, samples, seed, origin, sides))
    box, weights = torch.from_numpy(np.stack([origin, origin + sides])), np.random.default_rng(seed)
    scalarised = (
        get_chebyshev_scalarization(torch.from_numpy(weights.dirichlet(np.ones(len(origin)))), box) for _ in count()
    )
    return (_expected(problem, surfaces, designs, samples, seed, worth) for worth in scalarised)


def _expected(
    problem: DesignProblem,
    surfaces: Surfaces,
    designs: Designs,
    samples: int,
    seed: int,
    worth: Callable[..., Tensor],
) -> AcquisitionFunction:
    """Noisy expected improvement of what rewards (..., objectives) are worth, (...)."""

    def objective(values: Tensor, X: Tensor | None = None) -> Tensor:
        return worth(_rewards(problem, surfaces, values))

    return qLogNoisyExpectedImprovement(
        surfaces.fitted,
        surfaces.features(designs),
        sampler=SobolQMCNormalSampler(torch.Size([samples]), seed=seed),
        objective=GenericMCObjective(objective),
        constraints=_constraints(problem, surfaces) or None,
        prune_baseline=True,  # each candidate is sampled together with all of the baseline
    )


def _hypervolume(
    problem: DesignProblem,
    surfaces: Surfaces,
    designs: Designs,
    samples: int,
    seed: int,
    origin: Values,
    sides: Values,
) -> AcquisitionFunction:
    """Noisy expected improvement of the hypervolume in units of a box with a corner and sides, (objectives,) each."""
    shift, scale = torch.from_numpy(origin), torch.from_numpy(sides)

    def objective(values: Tensor, X: Tensor | None = None) -> Tensor:
        return (_rewards(problem, surfaces, values) - shift) / scale

    return logei.qLogNoisyExpectedHypervolumeImprovement(
        surfaces.fitted,
        torch.zeros(len(origin), dtype=torch.float64),
        surfaces.features(designs),
        sampler=SobolQMCNormalSampler(torch.Size([samples]), seed=seed),
        objective=GenericMCMultiOutputObjective(objective),
        constraints=_constraints(problem, surfaces) or None,
        prune_baseline=True,
    )


def _sides(earned: Values, origin: Values) -> Values:
    """How far the best of each reward is from the origin; 1 where none is beyond it."""
    sides = earned.max(0) - origin
    return np.where(sides > 0, sides, 1.0)


def _rewards(problem: DesignProblem, surfaces: Surfaces, values: Tensor) -> Tensor:
    """Shape (..., objectives), of the processes' values (..., processes)."""
    metrics = surfaces.metrics(values)
    parts: list[Any] = [objective.reward(metrics[objective.metric]) for objective in problem.objectives]  # type: ignore[arg-type]
    return torch.stack(parts, dim=-1)


def _constraints(problem: DesignProblem, surfaces: Surfaces) -> list[Callable[[Tensor], Tensor]]:
    """What is negative where a modelled constraint is kept, of the processes' values (..., processes)."""

    def excess(index: int) -> Callable[[Tensor], Tensor]:
        bound = problem.constraints[index]

        def over(values: Tensor) -> Tensor:
            used: Any = bound.usage(surfaces.metrics(values)[bound.metric])  # type: ignore[arg-type]
            return used - 1.0  # type: ignore[no-any-return]

        return over

    return [excess(i) for i, bound in enumerate(problem.constraints) if bound.metric in surfaces.names]


def _values(acquisition: AcquisitionFunction, x: Tensor) -> Values:
    """The acquisition of each design alone, shape (batch,)."""
    with torch.no_grad():
        return torch.cat([acquisition(part[:, None]) for part in torch.split(x, BLOCK)]).numpy()
