"""Three-phase co-design: sample, fit Gaussian processes, search them with a genetic algorithm."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

import numpy as np

from codesign_gym.agents.baselines.checks import number, whole
from codesign_gym.agents.baselines.moves import fresh, keys, unknown
from codesign_gym.agents.bayesian.surfaces import Features, Surfaces, fit, seeded, window
from codesign_gym.agents.evolution.operators import Ground
from codesign_gym.agents.evolution.search import Evolution
from codesign_gym.agents.interface import Task
from codesign_gym.envs.core.designing import DesignCore
from codesign_gym.envs.core.problem import DesignProblem, Values, excess, rewards, score
from codesign_gym.envs.core.space import Designs
from codesign_gym.pareto import hypervolume, nondominated
from codesign_gym.simulators.accuracy.recipe import one_thread

#: The first phase takes at most this share of what is granted: else a small grant would be random search.
FIRST = 0.6
POOL = 10  # random designs of which each of the first phase is the farthest from the others


@dataclass(frozen=True)
class ThreePhase:
    """Fan et al., "Algorithm and Hardware Co-design for Reconfigurable CNN Accelerator", ASP-DAC 2022.

    (1) Some designs are scored, drawn at random or far from one another; (2) a Gaussian process is fitted to every
    metric that counts; (3) NSGA-II searches the processes' means, which costs no evaluation, and what it proposes is
    scored for real. As long as the grant lasts, (2) and (3) are repeated with what was learnt. Of the front that the
    processes predict, those designs are scored that add most hypervolume to the known one, one after another.

    Attributes:
        samples: designs of the first phase, but 60 % of what is left of the grant at most.
        far: share of them that are far from one another; the others are random.
        batch: designs scored before the processes are fitted again.
        population, generations: of NSGA-II on the processes.
        points: designs that processes are fitted to at most: the best of all, and the latest.

    Raises:
        BadConfig: if a field is out of range.
    """

    samples: int = 60
    far: float = 0.0
    batch: int = 16
    population: int = 100
    generations: int = 30
    points: int = 300

    def __post_init__(self) -> None:
        number("three-phase-gp", 0.0, 1.0, far=self.far)
        whole("three-phase-gp", 1, batch=self.batch, generations=self.generations)
        whole("three-phase-gp", 2, samples=self.samples, population=self.population, points=self.points)

    def run(self, task: Task) -> None:
        """Spend everything.

        Raises:
            BudgetSpent: always, in the end.
        """
        problem, generator = task.recorder, np.random.default_rng(task.seed)
        samples = min(self.samples, max(int(FIRST * problem.remaining), 2))
        apart = spread(task.designed, generator, round(self.far * samples))
        others = fresh(task.designed, generator, samples - len(apart), set(keys(apart)))
        designs = np.concatenate([apart, others])
        metrics = problem.evaluate(designs)
        with seeded(task.seed), one_thread():
            while True:
                used = window(problem, metrics, self.points)
                surfaces = fit(problem, designs[used], metrics[used])
                proposed = self._front(task, surfaces, designs, metrics, generator)
                designs, metrics = (
                    np.concatenate([designs, proposed]),
                    np.concatenate([metrics, problem.evaluate(proposed)]),
                )

    def _front(
        self, task: Task, surfaces: Surfaces, designs: Designs, metrics: Values, generator: np.random.Generator
    ) -> Designs:
        """What the genetic search on the surfaces proposes, shape (batch, knobs)."""
        core, problem, known = task.designed, task.recorder.problem, set(keys(designs))
        search = Evolution("nsga2", population=self.population).generations(
            Ground(core), lambda asked: surfaces.predict(problem, asked), int(generator.integers(2**31))
        )
        tried = [(found, values) for found, values in islice(search, self.generations)]
        found, values = (np.concatenate(part) for part in zip(*tried, strict=True))
        new = unknown(found, known) & (excess(problem, values) == 0)
        chosen = found[new][additions(problem, metrics, values[new], self.batch)]
        return np.concatenate([chosen, fresh(core, generator, self.batch - len(chosen), known | set(keys(chosen)))])


def spread(core: DesignCore, generator: np.random.Generator, count: int) -> Designs:
    """Legal designs far from one another, shape (count, knobs), so that processes seldom have to extrapolate.

    Of random designs, one after another, the one farthest from those taken (Gonzalez, Theoretical Computer Science 38,
    1985); ordered knobs are apart by their difference in rank, others by one.
    """
    if count == 0:
        return np.empty((0, len(core.problem.space)), dtype=np.int64)
    pool = fresh(core, generator, POOL * count, set())
    pool = pool[unknown(pool, set())]
    features = Features(core.problem.space)
    points, names = features(pool).numpy(), np.isin(np.arange(features(pool).shape[1]), features.categorical)
    apart = np.full(len(pool), np.inf)
    taken = [int(generator.integers(len(pool)))]
    while len(taken) < min(count, len(pool)):
        step = points - points[taken[-1]]
        apart = np.minimum(apart, (np.where(names, step != 0, step) ** 2).sum(1))
        taken.append(int(apart.argmax()))
    return np.concatenate([pool[taken], pool[: count - len(taken)]])


def additions(problem: DesignProblem, known: Values, offered: Values, count: int) -> list[int]:
    """Rows of offered metrics that add most hypervolume to the known ones, one after another; then the best scores.

    The reference point is the objectives' worst values, or the worst known reward where an objective states none.
    """
    feasible = known[excess(problem, known) == 0]
    losses, candidates = -rewards(problem, feasible), -rewards(problem, offered)
    origin = _origin(problem, np.concatenate([losses, candidates]))
    front, left = losses[nondominated(losses)], list(nondominated(candidates))
    chosen: list[int] = []
    volume = hypervolume(front, origin)
    while left and len(chosen) < count:
        volumes = [hypervolume(np.concatenate([front, candidates[[row]]]), origin) for row in left]
        best = int(np.argmax(volumes))
        if volumes[best] <= volume:
            break
        volume, row = volumes[best], left.pop(best)
        front = np.concatenate([front, candidates[[row]]])
        chosen.append(int(row))
    rest = [int(row) for row in np.argsort(-score(problem, offered), kind="stable") if row not in chosen]
    return chosen + rest[: count - len(chosen)]


def _origin(problem: DesignProblem, losses: Values) -> Values:
    """The reference point, as losses, shape (objectives,)."""
    worst = losses.max(0, initial=0.0)
    stated = [np.nan if o.worst is None else -float(o.reward(np.float64(o.worst))) for o in problem.objectives]  # type: ignore[arg-type]
    return np.where(np.isnan(stated), worst, stated)
