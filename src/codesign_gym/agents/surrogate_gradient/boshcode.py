"""BOSHCODE: Bayesian optimisation by gradients to the input of a heteroscedastic surrogate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from codesign_gym.agents.baselines.checks import number, whole
from codesign_gym.agents.baselines.evolutionary import ranking
from codesign_gym.agents.baselines.sampling import sample
from codesign_gym.agents.interface import Task
from codesign_gym.agents.surrogate_gradient.encoding import Encoding, Points
from codesign_gym.agents.surrogate_gradient.input_search import OPTIMIZERS
from codesign_gym.agents.surrogate_gradient.surrogate import Shape, Surrogate
from codesign_gym.envs.core.problem import DesignProblem, Values, excess, score
from codesign_gym.envs.core.space import Designs
from codesign_gym.errors import BadConfig, UnknownName


@dataclass(frozen=True)
class Boshcode:
    """Fits a surrogate to all designs so far, descends its lower confidence bound, and scores where that ends.

    A round optimises with probability ``1 - uncertain - diverse``: from the best designs so far and from random ones
    the input descends inside a trust region, and of the nearest designs that were not scored yet those with the least
    bound are. Else it scores the designs of a random pool that the surrogate doubts most, or random ones. Stops after
    ``patience`` rounds of optimisation without a better design and ``noise_patience`` more in which the bound counts
    noise, too (Tuli et al., CODEBench, ACM TECS 2023, and github.com/jha-lab/codebench).

    The surrogate sees logarithms of regret and not scores, which costs spread over orders of magnitude.

    Attributes:
        optimizer: ``adahessian`` or ``sgd``.
        initial: random designs to begin with.
        starts: descents a round of optimisation.
        queries: designs a round, at most.
        apart: knobs in which those of a round of optimisation differ from each other, at least: descents end close
            together, and the second best of neighbours tells little.
        doubt: weight of the deviation in the bound.
        trust: half the edge of the trust region, as a share of a feature's range.
        explored: share of the starting points that are random.
        uncertain: probability of a round of greatest doubt.
        diverse: probability of a random round.
        pool: random designs among which the most doubtful are looked for.
        patience: see above.
        noise_patience: see above.
        surrogate: fields of :class:`~codesign_gym.agents.surrogate_gradient.surrogate.Shape`.

    Raises:
        BadConfig: if a field is out of range.
        UnknownName: for another optimizer.
    """

    optimizer: str = "adahessian"
    initial: int = 15
    starts: int = 10
    queries: int = 3
    apart: int = 3
    doubt: float = 1.0
    trust: float = 0.25
    explored: float = 0.4
    uncertain: float = 0.1
    diverse: float = 0.1
    pool: int = 1000
    patience: int = 10
    noise_patience: int = 10
    surrogate: Shape = field(default_factory=Shape)

    def __post_init__(self) -> None:
        if self.optimizer not in OPTIMIZERS:
            raise UnknownName("optimizer", self.optimizer, OPTIMIZERS)
        whole("boshcode", 2, initial=self.initial)
        whole("boshcode", 1, starts=self.starts, queries=self.queries, apart=self.apart, pool=self.pool)
        whole("boshcode", 1, patience=self.patience)
        whole("boshcode", 0, noise_patience=self.noise_patience)
        number("boshcode", 0.0, 1e3, doubt=self.doubt)
        number("boshcode", 1e-6, 1.0, trust=self.trust)
        number("boshcode", 0.0, 1.0, explored=self.explored, uncertain=self.uncertain, diverse=self.diverse)
        if isinstance(self.surrogate, dict):  # as an agent's file has it
            object.__setattr__(self, "surrogate", _shape(self.surrogate))

    def run(self, task: Task) -> None:
        """Search until nothing better is found for long enough.

        Raises:
            BudgetSpent: if the grant ends before.
        """
        _Search(self, task).run()


def _shape(fields: dict[str, Any]) -> Shape:
    try:
        return Shape(**fields)
    except TypeError as error:
        raise BadConfig(f"boshcode: field 'surrogate': {error}") from error


def log_regret(problem: DesignProblem, metrics: Values) -> NDArray[np.float64]:
    """Standardised logarithm of how far each design is from the best, shape (batch,).

    A tenth of the designs are told apart less, which keeps the best from being a pole. Designs that exceed a
    constraint come behind all that do not, by their excess.
    """
    scores = score(problem, metrics)
    over = excess(problem, metrics)
    met = over == 0
    best = scores[met].max() if met.any() else scores.max()
    regret = np.maximum(best - scores, 0.0)
    farthest = regret[met].max(initial=0.0) or 1.0
    regret = np.where(met, regret, farthest * (1.0 + over))
    near = np.quantile(regret, 0.1) or farthest
    logs = np.log(regret + near)
    return np.asarray((logs - logs.mean()) / (logs.std() or 1.0))


class _Search:
    """One run: what is known so far, and the surrogate that learns it."""

    def __init__(self, settings: Boshcode, task: Task) -> None:
        self.settings, self.task, self.problem = settings, task, task.recorder
        self.generator = np.random.default_rng(task.seed)
        self.signs = torch.Generator().manual_seed(task.seed)
        self.encoding = Encoding(task.recorder.space)
        self.surrogate = Surrogate(self.encoding.features, settings.surrogate, task.seed)
        self.known: set[bytes] = set()

    def run(self) -> None:
        s = self.settings
        self._score(self._random(s.initial))
        idle = 0
        while idle < s.patience + s.noise_patience:
            kind = self.generator.random()
            self.surrogate.fit(*self._data())
            if kind < s.uncertain:
                self._score(self._doubtful())
            elif kind < s.uncertain + s.diverse:
                self._score(self._random(s.queries))
            else:
                better = self._score(self._optimised(noise=idle >= s.patience))
                idle = 0 if better else idle + 1
            if len(self.known) >= self.problem.space.size:
                return

    def _data(self) -> tuple[Points, NDArray[np.float64]]:
        """Points and standardised losses of everything scored."""
        losses = log_regret(self.problem, self.problem.known_metrics)
        return self.encoding.points(np.array(self.problem.designs)), losses

    def _optimised(self, noise: bool) -> Designs:
        """Of the new designs nearest to where the input's descents end those with the least bound."""
        s = self.settings
        start = torch.tensor(self.encoding.points(self._starts()), dtype=torch.float32)
        low, high = (start - s.trust).clamp(min=0.0), (start + s.trust).clamp(max=1.0)

        def bound(points: torch.Tensor) -> torch.Tensor:
            return self.surrogate.bound(points, s.doubt, noise)

        ends = OPTIMIZERS[s.optimizer].descend(bound, start, low, high, self.signs).double().numpy()
        designs = self._snapped(ends)
        with torch.no_grad():
            reached = bound(torch.tensor(self.encoding.points(designs), dtype=torch.float32)).numpy()
        return self._apart(designs[np.argsort(reached, kind="stable")])

    def _apart(self, designs: Designs) -> Designs:
        """The first designs that differ enough from all before them, up to a round's number."""
        chosen: list[NDArray[np.int64]] = []
        for design in designs:
            if all((design != other).sum() >= self.settings.apart for other in chosen):
                chosen.append(design)
        return np.array(chosen[: self.settings.queries]).reshape(-1, len(self.problem.space))

    def _starts(self) -> Designs:
        """The best designs so far, and random ones."""
        s = self.settings
        order = ranking(self.problem, self.problem.known_metrics)[: s.starts - round(s.explored * s.starts)]
        best = np.array(self.problem.designs)[order]
        return np.concatenate([best, sample(self.task.designed, self.generator, s.starts - len(best))])

    def _snapped(self, points: Points) -> Designs:
        """A new design each, as long as there are any."""
        designs: list[NDArray[np.int64]] = []
        known = set(self.known)
        for point in points:
            design = self.encoding.nearest_new(point, known)
            if design is None:
                break
            designs.append(design)
            known.add(design.tobytes())
        return np.array(designs).reshape(-1, len(self.problem.space))

    def _doubtful(self) -> Designs:
        """Of a random pool the designs with the greatest epistemic deviation."""
        pool = self._random(self.settings.pool)
        doubt = self.surrogate.predict(self.encoding.points(pool)).epistemic
        return pool[np.argsort(-doubt, kind="stable")[: self.settings.queries]]

    def _random(self, count: int) -> Designs:
        """Up to so many new designs, all different."""
        drawn = np.unique(sample(self.task.designed, self.generator, count), axis=0)
        drawn = self.generator.permutation(drawn)
        return drawn[[row.tobytes() not in self.known for row in drawn]]

    def _score(self, designs: Designs) -> bool:
        """Evaluate designs; whether one of them is the best so far."""
        before = self.problem.best
        outside = self._outside(designs)
        self.known.update(row.tobytes() for row in designs)
        self.problem.evaluate(designs)
        after = self.problem.best
        self.task.log({"boshcode/outside_training_range": outside})
        return after is not None and (before is None or after[0] is not before[0])

    def _outside(self, designs: Sequence[NDArray[np.int64]] | Designs) -> float:
        """Share of designs that lie outside the range which the surrogate was fitted to."""
        if not len(designs) or not self.surrogate.fitted:
            return 1.0
        return float(self.surrogate.predict(self.encoding.points(np.asarray(designs))).outside.mean())
