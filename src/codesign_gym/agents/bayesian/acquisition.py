"""Which designs to score next: expected improvements over discrete designs, one after another until a batch is full."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from botorch.acquisition.acquisition import AcquisitionFunction
from botorch.acquisition.logei import qLogNoisyExpectedImprovement
from botorch.acquisition.multi_objective import logei
from botorch.acquisition.multi_objective.objective import GenericMCMultiOutputObjective
from botorch.acquisition.objective import GenericMCObjective
from botorch.sampling.normal import SobolQMCNormalSampler
from numpy.typing import NDArray
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
        acquisition: AcquisitionFunction,
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
            found = self._best(core, acquisition, features, candidates, taken)
            chosen = np.concatenate([chosen, found[None]])
            acquisition.set_X_pending(features(chosen))
        return chosen

    def _candidates(
        self, core: DesignCore, best: Designs, known: set[bytes], generator: np.random.Generator
    ) -> Designs:
        around = best[generator.integers(len(best), size=self.drawn)]
        near = mutated(core.problem.space, around, generator, CHANGES, NEAR)
        return np.concatenate([fresh(core, generator, self.drawn, known), near])

    def _best(
        self,
        core: DesignCore,
        acquisition: AcquisitionFunction,
        features: Features,
        candidates: Designs,
        taken: set[bytes],
    ) -> NDArray[np.int64]:
        """The best candidate, or what a climb from one of the best leads to, shape (knobs,)."""
        values = _values(acquisition, features(candidates))
        tops = np.argsort(-values, kind="stable")[: self.climbs]
        here, worth = candidates[tops], values[tops]
        for _ in range(self.rounds):
            around = [admitted(core, neighbours(core.problem.space, design), taken) for design in here]
            split = np.cumsum([len(part) for part in around])
            if not split[-1]:
                break
            found = np.split(_values(acquisition, features(np.concatenate(around))), split[:-1])
            moved = False
            for i, (part, gains) in enumerate(zip(around, found, strict=True)):
                if len(gains) and gains.max() > worth[i]:
                    here[i], worth[i], moved = part[gains.argmax()], gains.max(), True
            if not moved:
                break
        best: NDArray[np.int64] = here[worth.argmax()]
        return best


def improvement(
    problem: DesignProblem, surfaces: Surfaces, designs: Designs, samples: int, seed: int
) -> AcquisitionFunction:
    """Noisy expected improvement of the score, in logarithms (Ament et al., NeurIPS 2023), within the constraints.

    The score is computed from samples of the metrics, so that metrics may be modelled by their logarithms.

    Args:
        problem: its objectives and constraints.
        surfaces: of its metrics.
        designs: that have been scored, shape (n, knobs).
        samples: Monte Carlo samples.
        seed: of the samples.
    """

    def objective(values: Tensor, X: Tensor | None = None) -> Tensor:
        return _rewards(problem, surfaces, values).sum(-1)

    return qLogNoisyExpectedImprovement(
        surfaces.fitted,
        surfaces.features(designs),
        sampler=SobolQMCNormalSampler(torch.Size([samples]), seed=seed),
        objective=GenericMCObjective(objective),
        constraints=_constraints(problem, surfaces) or None,
    )


def hypervolume_improvement(
    problem: DesignProblem, surfaces: Surfaces, designs: Designs, samples: int, seed: int
) -> AcquisitionFunction:
    """Noisy expected hypervolume improvement, in logarithms (Daulton et al., NeurIPS 2021; Ament et al., NeurIPS 2023).

    Rewards are scaled so that the box between the reference point and the best of each has sides of one. The reference
    point is the objectives' worst values; arguments are those of :func:`improvement`.
    """
    known = surfaces.predict(problem, designs)
    origin = reference_point(problem)
    scale = torch.from_numpy(_sides(rewards(problem, known), origin))
    shift = torch.from_numpy(origin)

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
