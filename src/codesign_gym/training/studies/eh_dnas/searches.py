"""One seed of the study: a predictor, what it is compared with, and the searches."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from codesign_gym.simulators.e2e_perf.accelerators import Accelerator, Generic, Pipeline, lookup, throughput
from codesign_gym.simulators.e2e_perf.cells import OPERATORS, Skeleton
from codesign_gym.training.studies.eh_dnas.exact import optimum
from codesign_gym.training.studies.eh_dnas.problem import KNOBS, CellProblem, Interval, losses

if TYPE_CHECKING:
    from torch import Tensor

    from codesign_gym.simulators.predictors.predictor import Predictor

#: Points of accuracy that a microsecond between images is worth.
RATE = 0.01

TESTED = 2000  # networks that correlations are told on
SWAPPED = 100  # networks whose operators are swapped

AWARE, LOOKUP, BLIND = "predictor-guided", "table-guided", "hardware-blind"
RIVALS = ("random", "evolutionary")
EXACT = "exact optimum"


@dataclass(frozen=True)
class Search:
    """What one seed does.

    Attributes:
        seed: of everything.
        networks: simulated for the predictor.
        epochs: of its training.
        evaluations: of every search.
    """

    seed: int
    networks: int
    epochs: int
    evaluations: int


@dataclass(frozen=True)
class Found:
    """What one seed has found.

    Attributes:
        spearman: correlation with simulated throughput, by predictor and accelerator.
        agreeing: share of swaps where the gradient has the right sign, of those that change anything.
        moving: share of swaps that change the simulated interval.
        accuracy: in per cent, of each search's best.
        interval_us: simulated, likewise.
    """

    spearman: dict[str, float]
    agreeing: float
    moving: float
    accuracy: dict[str, float]
    interval_us: dict[str, float]

    def score(self, name: str) -> float:
        """Accuracy less what the interval costs."""
        return self.accuracy[name] - RATE * self.interval_us[name]


def run(search: Search) -> Found:
    """Carry out one seed in this process."""
    generator = np.random.default_rng(search.seed)
    drawn = generator.integers(len(OPERATORS), size=(search.networks + TESTED + SWAPPED, KNOBS))
    fitted, tested, swapped = np.split(drawn, [search.networks, search.networks + TESTED])
    predictors: dict[str, Predictor] = {}
    spearman: dict[str, float] = {}
    for name, accelerator in (("pipeline", Pipeline()), ("generic", Generic())):
        predictors[name] = _predictor(accelerator, fitted, search)
        ranks = _ranks(accelerator, predictors[name], fitted, tested)
        spearman |= {f"{kind}, {name}": rank for kind, rank in ranks.items()}
    agreeing, moving = _signs(predictors["pipeline"], swapped)
    best = _searched(predictors["pipeline"], search)
    return Found(
        spearman,
        agreeing,
        moving,
        {name: float(metrics[0]) for name, metrics in best.items()},
        {name: float(metrics[1]) for name, metrics in best.items()},
    )


def _predictor(accelerator: Accelerator, designs: NDArray[np.int64], search: Search) -> Predictor:
    """EH-DNAS's network, fitted to microseconds between images."""
    from torch.nn.functional import l1_loss

    from codesign_gym.simulators.e2e_perf.predictor import Embedded
    from codesign_gym.simulators.predictors.fitting import Recipe, fit

    interval_us = 1e6 / throughput(accelerator, Skeleton(), designs)
    recipe = Recipe(epochs=search.epochs, batch=64, learning_rate=3e-3, weight_decay=0.01, loss=l1_loss)
    return fit(partial(Embedded, KNOBS, len(OPERATORS)), designs, interval_us, len(OPERATORS), recipe, search.seed)


def _ranks(
    accelerator: Accelerator, predictor: Predictor, fitted: NDArray[np.int64], tested: NDArray[np.int64]
) -> dict[str, float]:
    """Correlations of predicted with simulated throughput on networks that no fit has seen."""
    from codesign_gym.simulators.predictors.predictor import one_hot

    skeleton, knobs = Skeleton(), np.arange(KNOBS)
    true = throughput(accelerator, skeleton, tested)
    ones, known = (one_hot(designs, len(OPERATORS)).numpy().reshape(len(designs), -1) for designs in (tested, fitted))
    table, *_ = np.linalg.lstsq(known, 1.0 / throughput(accelerator, skeleton, fitted), rcond=None)
    answers = {
        "predictor": predictor(one_hot(tested, len(OPERATORS))).numpy(),
        "table of operators alone": lookup(accelerator, skeleton)[knobs, tested].sum(1),
        "additive table, fitted": ones @ table,
    }
    return {name: float(spearmanr(-interval, true).statistic) for name, interval in answers.items()}


def _signs(predictor: Predictor, designs: NDArray[np.int64]) -> tuple[float, float]:
    """Share of single swaps where the gradient tells the simulated change's sign, and of those that change anything."""
    import torch

    from codesign_gym.simulators.predictors.predictor import one_hot

    batch, operators = len(designs), len(OPERATORS)
    at = one_hot(designs, operators).requires_grad_()
    (gradient,) = torch.autograd.grad(predictor(at).sum(), at)
    slope = gradient.numpy() - np.take_along_axis(gradient.numpy(), designs[..., None], axis=2)
    swapped = np.broadcast_to(designs[:, None, None], (batch, KNOBS, operators, KNOBS)).copy()
    knobs = np.arange(KNOBS)
    swapped[:, knobs, :, knobs] = np.arange(operators)
    before = 1.0 / throughput(Pipeline(), Skeleton(), designs)
    after = 1.0 / throughput(Pipeline(), Skeleton(), swapped.reshape(-1, KNOBS)).reshape(batch, KNOBS, operators)
    change = after / before[:, None, None] - 1
    moves = np.abs(change) > 1e-4  # the bisection's own error is below 1e-5
    right = np.sign(slope) == np.sign(change)
    others = swapped[:, knobs, :, knobs].swapaxes(0, 1) != designs[..., None]
    return float(right[moves].mean()), float(moves.sum() / others.sum())


def _searched(predictor: Predictor, search: Search) -> dict[str, NDArray[np.float64]]:
    """Metrics of the best design of every search, by its name."""
    table = losses(search.seed)
    guides = {
        AWARE: CellProblem(table, RATE, predictor),
        LOOKUP: CellProblem(table, RATE, _table_guide(search)),
        BLIND: CellProblem(table, 0.0),
    }
    found = {name: _best(problem, "gumbel", search) for name, problem in guides.items()}
    found |= {name: _best(CellProblem(table, RATE), name, search) for name in RIVALS}
    blind = table.argmin(-1)  # nothing is lost, whatever it takes
    return found | {EXACT: CellProblem(table, RATE).evaluate(optimum(table, RATE, blind)[None])[0]}


def _table_guide(search: Search) -> Interval:
    """The sum of what operators take alone, scaled to the mean of some simulated networks."""
    import torch

    designs = np.random.default_rng(search.seed).integers(len(OPERATORS), size=(500, KNOBS))
    alone = lookup(Pipeline(), Skeleton())
    mean_us = float((1e6 / throughput(Pipeline(), Skeleton(), designs)).mean())
    scaled = alone * mean_us / alone[np.arange(KNOBS), designs].sum(1).mean()

    def interval(probabilities: Tensor) -> Tensor:
        return (probabilities * torch.as_tensor(scaled, dtype=probabilities.dtype)).sum((1, 2))

    return interval


def _best(problem: CellProblem, name: str, search: Search) -> NDArray[np.float64]:
    """Metrics of the best design that an agent finds."""
    from codesign_gym.agents import interface
    from codesign_gym.agents.recorder import Limits
    from codesign_gym.envs.core.designing import Walk, design_core

    # A gradient step is a proposal: the default of four an evaluation would leave too few.
    limits = Limits.of(search.evaluations, 8 * search.evaluations)
    agent = interface.build(interface.read(name))
    recorder = interface.searched(agent, design_core(problem, Walk()), limits, search.seed)
    assert recorder.best is not None  # there are no constraints
    return recorder.best[1]
