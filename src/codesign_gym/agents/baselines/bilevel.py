"""Two searches, one inside the other: what is decided first is judged by the best that the rest can make of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from codesign_gym.agents.baselines.checks import number, whole
from codesign_gym.agents.interface import Task
from codesign_gym.envs.core.problem import DesignProblem, Values, column, excess, rewards, score
from codesign_gym.envs.core.space import Designs
from codesign_gym.errors import BadConfig


@dataclass(frozen=True, eq=False)
class Population:
    """Designs (size, knobs) and their metrics (size, metrics), best first."""

    designs: Designs
    metrics: Values

    def __len__(self) -> int:
        return len(self.designs)

    def joined(self, other: Population) -> Population:
        """Both, in this order."""
        return Population(np.concatenate([self.designs, other.designs]), np.concatenate([self.metrics, other.metrics]))

    def best(self, problem: DesignProblem, size: int) -> Population:
        """The best by :func:`ranking`, at most so many."""
        order = ranking(problem, self.metrics)[:size]
        return Population(self.designs[order], self.metrics[order])


@dataclass(frozen=True)
class Inner:
    """A multi-objective genetic algorithm (NSGA-II's survival, Deb et al. 2002) over some of the knobs.

    Children that are in the population already, or twice among the children, give way to random designs (this
    project's own): a population that has converged goes on looking elsewhere.

    Attributes:
        population: designs kept, and children a generation.
        survival: share of them that have children.
        crossover: share of the children that have two parents.
        mutation: chance that a knob of a child changes; one changes at least.
        step: share of the changes of ordered knobs that go to a neighbouring choice; the others draw any.
    """

    population: int
    survival: float
    crossover: float
    mutation: float
    step: float

    def first(
        self, problem: DesignProblem, fixed: Designs, free: NDArray[np.bool_], generator: np.random.Generator
    ) -> Population:
        """Random values of the free knobs beside the fixed ones, evaluated; the fixed design itself comes first.

        Args:
            problem: evaluates.
            fixed: a design, shape (knobs,).
            free: which knobs may change, shape (knobs,).
            generator: source of randomness.
        """
        designs = np.where(free, problem.space.sample(generator, self.population), fixed)
        designs[0] = fixed
        return Population(designs, problem.evaluate(designs)).best(problem, self.population)

    def improve(
        self, problem: DesignProblem, found: Population, free: NDArray[np.bool_], generator: np.random.Generator
    ) -> Population:
        """The population after one more generation."""
        children = self._children(problem, found, free, generator)
        everyone = found.joined(Population(children, problem.evaluate(children)))
        _, distinct = np.unique(everyone.designs, axis=0, return_index=True)
        kept = np.sort(distinct)
        return Population(everyone.designs[kept], everyone.metrics[kept]).best(problem, self.population)

    def _children(
        self, problem: DesignProblem, found: Population, free: NDArray[np.bool_], generator: np.random.Generator
    ) -> Designs:
        """Shape (population, knobs)."""
        size, space = self.population, problem.space
        parents = found.designs[: max(2, round(self.survival * len(found)))]
        first, second = parents[generator.integers(len(parents), size=(2, size))]
        shape = first.shape
        crossed = (generator.random((size, 1)) < self.crossover) & (generator.random(shape) < 0.5)
        children = np.where(crossed, second, first)
        chance = np.where(free & (space.allowed.sum(-1) > 1), generator.random(shape), np.inf)
        hit = (chance < self.mutation) | ((chance == chance.min(-1, keepdims=True)) & np.isfinite(chance))
        ordered = np.array([knob.ordered for knob in space.knobs])
        moved = np.clip(children + generator.choice([-1, 1], size=shape), 0, space.choices - 1)
        near = ordered & (generator.random(shape) < self.step) & space.allowed[np.arange(shape[1]), moved]
        children = np.where(hit, np.where(near, moved, space.sample(generator, size)), children)
        fresh = np.where(free, space.sample(generator, size), children)
        return np.where(_repeated(children, found.designs)[:, None], fresh, children)


@dataclass(frozen=True)
class Bilevel:
    """HADAS's search (Bouzidi et al., DATE 2023): every choice of the first knobs gets a search over the others.

    Outer choices (there: backbones) are all tried where they are few, else drawn. Each gets an inner search for some
    generations; the best by what their inner searches found go on, joined by outer choices that are new, until the
    grant is spent. Designs rank by excess over the constraints, then by non-domination in the objectives and the
    metrics that floors bound, then by crowding distance; outer choices by the score of their best.

    Attributes:
        outer: how many of the first knobs are outside.
        outer_population: outer choices tried at a time.
        inner_population: designs kept for each, and children a generation.
        inner_generations: generations of an inner search before outer choices are compared again.
        survival: share of a population that goes on or has children, inside and outside.
        crossover, mutation, step: see :class:`Inner`.

    Raises:
        BadConfig: if a field is out of range, or there are not more knobs than ``outer``.
    """

    outer: int = 1
    outer_population: int = 8
    inner_population: int = 10
    inner_generations: int = 5
    survival: float = 0.25
    crossover: float = 0.8
    mutation: float = 0.3
    step: float = 0.7

    def __post_init__(self) -> None:
        whole("bilevel", 1, outer=self.outer, inner_generations=self.inner_generations)
        whole("bilevel", 2, outer_population=self.outer_population, inner_population=self.inner_population)
        number(
            "bilevel",
            0.0,
            1.0,
            survival=self.survival,
            crossover=self.crossover,
            mutation=self.mutation,
            step=self.step,
        )

    @property
    def inner(self) -> Inner:
        """The inner search's settings."""
        return Inner(self.inner_population, self.survival, self.crossover, self.mutation, self.step)

    def run(self, task: Task) -> None:
        """Spend everything.

        Raises:
            BadConfig: if nothing is left for the inner search.
            BudgetSpent: in the end.
        """
        problem, generator = task.recorder, np.random.default_rng(task.seed)
        if self.outer >= len(problem.space):
            raise BadConfig(
                f"bilevel: field 'outer' is {self.outer}; accepted: fewer than the {len(problem.space)} knobs"
            )
        free = np.arange(len(problem.space)) >= self.outer
        chosen = distinct_outer(problem, self.outer, self.outer_population, generator)
        found: dict[bytes, Population] = {}
        while True:
            for design in chosen:
                key = design[: self.outer].tobytes()
                if key not in found:
                    found[key] = self.inner.first(problem, design, free, generator)
                for _ in range(self.inner_generations):
                    found[key] = self.inner.improve(problem, found[key], free, generator)
            chosen = self._next(problem, found, generator)

    def _next(self, problem: DesignProblem, found: dict[bytes, Population], generator: np.random.Generator) -> Designs:
        """Designs whose outer choices are searched next: the best so far, then new ones, shape (some, knobs)."""
        leaders = [population.best(problem, 1) for population in found.values()]
        everyone = leaders[0]
        for leader in leaders[1:]:
            everyone = everyone.joined(leader)
        by_score = np.lexsort((-score(problem, everyone.metrics), excess(problem, everyone.metrics)))
        survivors = everyone.designs[by_score[: max(1, round(self.survival * len(by_score)))]]
        drawn = distinct_outer(problem, self.outer, self.outer_population, generator)
        unknown = np.array([design[: self.outer].tobytes() not in found for design in drawn])
        return np.concatenate([survivors, drawn[unknown][: max(self.outer_population - len(survivors), 0)]])


def _repeated(children: Designs, parents: Designs) -> NDArray[np.bool_]:
    """Which children are among the parents or repeat an earlier child, shape (children,)."""
    everyone = np.concatenate([parents, children])
    _, first = np.unique(everyone, axis=0, return_index=True)
    return ~np.isin(np.arange(len(parents), len(everyone)), first)


def distinct_outer(problem: DesignProblem, outer: int, count: int, generator: np.random.Generator) -> Designs:
    """Designs with distinct outer choices, all of them where there are no more, others drawn; shape (some, knobs).

    The inner choices are the highest: for clocks and exits the design that a device starts from.
    """
    space = problem.space
    outside = replace(space, knobs=space.knobs[:outer])
    heads = (
        outside.enumerate(0, outside.size)
        if outside.size <= count
        else np.unique(outside.sample(generator, count), axis=0)
    )
    highest = np.array([np.flatnonzero(row).max() for row in space.allowed])
    designs = np.tile(highest, (len(heads), 1))
    designs[:, :outer] = heads
    return designs


def ranking(problem: DesignProblem, metrics: Values) -> NDArray[np.int64]:
    """Row numbers from best to worst: by excess over the constraints, then by front, then by crowding distance.

    Fronts are in the objectives and in the metrics that a floor bounds, as an accuracy, of which more is better still;
    within a budget, less is no gain.
    """
    floors = [bound.metric for bound in problem.constraints if bound.limit < bound.reference]
    criteria = np.column_stack(  # (batch, criteria), less is better
        [-rewards(problem, metrics), *(-metrics[:, column(problem, name)] for name in floors)]
    )
    front = fronts(criteria)
    return np.lexsort((-crowding(criteria, front), front, excess(problem, metrics)))


def fronts(criteria: Values) -> NDArray[np.int64]:
    """Number of the non-dominated front that each row lies on, 0 the best; criteria (batch, n) are minimised."""
    no_worse = (criteria[:, None] <= criteria[None]).all(-1)
    dominates = no_worse & ~no_worse.T  # (batch, batch): the row dominates the column
    front = np.full(len(criteria), -1)
    for level in range(len(criteria)):
        left = front < 0
        if not left.any():
            break
        front[left & ~(dominates & left[:, None]).any(0)] = level
    return front


def crowding(criteria: Values, front: NDArray[np.int64]) -> Values:
    """Crowding distance within each front (Deb et al. 2002), infinite at its ends, shape (batch,)."""
    distance = np.zeros(len(criteria))
    for level in range(int(front.max(initial=-1)) + 1):
        rows = np.flatnonzero(front == level)
        for values in criteria[rows].T:
            order = rows[np.argsort(values, kind="stable")]
            span = np.ptp(values)
            ordered = np.sort(values)
            distance[order[[0, -1]]] = np.inf
            if span > 0 and len(rows) > 2:
                distance[order[1:-1]] += (ordered[2:] - ordered[:-2]) / span
    return distance
