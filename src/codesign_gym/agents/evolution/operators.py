"""What pymoo's algorithms need to work on designs: how to draw, change, repair and tell apart choice indices."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymoo.core.duplicate import DuplicateElimination
from pymoo.core.mating import Mating
from pymoo.core.mutation import Mutation
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.core.repair import Repair
from pymoo.core.sampling import Sampling

from codesign_gym.agents.baselines.moves import fresh, keys, let_through, mutated, repaired, unknown
from codesign_gym.envs.core.designing import DesignCore
from codesign_gym.envs.core.space import Designs


@dataclass(frozen=True)
class Ground:
    """Where a search takes place.

    Attributes:
        core: its enforcement decides what is drawn, repaired and legal.
        known: designs that have been asked for; the search adds to it.
    """

    core: DesignCore
    known: set[bytes] = field(default_factory=set)


class Choices(Problem):  # type: ignore[misc]
    """Choice indices as pymoo's integer variables."""

    def __init__(self, ground: Ground, objectives: int) -> None:
        allowed = ground.core.problem.space.allowed
        top = allowed.shape[1] - 1 - allowed[:, ::-1].argmax(-1)
        constraints = len(ground.core.problem.constraints)
        super().__init__(
            n_var=len(allowed), n_obj=objectives, n_ieq_constr=constraints, xl=allowed.argmax(-1), xu=top, vtype=int
        )


class Drawing(Sampling):  # type: ignore[misc]
    """Random designs under the environment's enforcement."""

    def __init__(self, ground: Ground) -> None:
        super().__init__()
        self.ground = ground

    def _do(self, problem: Problem, n_samples: int, random_state: np.random.Generator, **_: Any) -> Designs:
        return fresh(self.ground.core, random_state, n_samples, self.ground.known)


class Change(Mutation):  # type: ignore[misc]
    """Steps of ordered knobs, draws of the others; see :func:`mutated`."""

    def __init__(self, ground: Ground, changes: float, near: float) -> None:
        super().__init__()
        self.ground, self.changes, self.near = ground, changes, near

    def _do(self, problem: Problem, X: NDArray[Any], random_state: np.random.Generator, **_: Any) -> Designs:
        space = self.ground.core.problem.space
        return mutated(space, X.astype(np.int64), random_state, self.changes, self.near)


class Projection(Repair):  # type: ignore[misc]
    """The environment's repair."""

    def __init__(self, ground: Ground) -> None:
        super().__init__()
        self.ground = ground

    def _do(self, problem: Problem, X: NDArray[Any], **_: Any) -> Designs:
        return repaired(self.ground.core, X.astype(np.int64))


class New(DuplicateElimination):  # type: ignore[misc]
    """Drops designs that are known, repeated, or not legal."""

    def __init__(self, ground: Ground) -> None:
        super().__init__()
        self.ground = ground

    def do(self, pop: Population, *others: Population, **_: Any) -> Population:
        """The population without them; ``others`` are known, or children found so far."""
        if not len(pop):
            return pop
        designs = pop.get("X").astype(np.int64)
        found = {key for other in others if len(other) for key in keys(other.get("X").astype(np.int64))}
        return pop[unknown(designs, self.ground.known | found) & let_through(self.ground.core, designs)]


class FullMating(Mating):  # type: ignore[misc]
    """Children, and random designs for those that mating did not bring forth, so that a generation is never short."""

    def __init__(self, ground: Ground, *operators: Any, **settings: Any) -> None:
        super().__init__(*operators, **settings)
        self.ground = ground

    def do(self, problem: Problem, pop: Population, n_offsprings: int, **settings: Any) -> Population:
        """Children of a population, exactly as many as asked for."""
        children = super().do(problem, pop, n_offsprings, **settings)
        missing = n_offsprings - len(children)
        if not missing:
            return children
        made = keys(children.get("X").astype(np.int64)) if len(children) else ()
        drawn = fresh(self.ground.core, settings["random_state"], missing, {*self.ground.known, *made})
        return Population.merge(children, Population.new("X", drawn))
