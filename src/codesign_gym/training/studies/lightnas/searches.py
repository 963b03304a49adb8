"""LightNAS's search at one target after another, and a fixed weight beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from codesign_gym.agents import interface
from codesign_gym.agents.differentiable.lightnas import LightNas
from codesign_gym.agents.differentiable.mixture import Subject, subject
from codesign_gym.agents.differentiable.search import Schedule, epochs
from codesign_gym.envs.core.relaxed import Predicted
from codesign_gym.envs.layer_ops.problem import LayerOpsProblem
from codesign_gym.simulators.predictors.fitting import Recipe, fit, spread
from codesign_gym.simulators.predictors.predictor import Perceptron, Predictor
from codesign_gym.training.studies.fbnet.problems import Setting, best_quality, measure, problem, tables

SPACE, DEVICE = "lightnas", "raspberry-pi-4"
TARGETS_MS = (7.0, 8.0, 9.0, 10.0, 11.0, 12.0)
MIDDLE_MS = 9.0  # at which the fixed weight is right
STEPS = {"small": 16, "full": 48}  # gradient steps in each of 90 epochs
DESIGNS = {"small": 4000, "full": 10_000}  # that the predictor is fitted to and judged by; the latter are the paper's

TABLE, PERCEPTRON = "look-up table", "perceptron"


@dataclass(frozen=True)
class Search:
    """One run.

    Attributes:
        target_ms: the limit.
        seed: of the quality, the search and the predictor.
        latency: how the search knows latencies: :data:`TABLE` or :data:`PERCEPTRON`.
        scale: of the study.
    """

    target_ms: float
    seed: int
    latency: str = TABLE
    scale: str = "small"

    @property
    def setting(self) -> Setting:
        """Where operators are chosen."""
        return Setting(SPACE, DEVICE, self.target_ms)


@dataclass(frozen=True)
class Found:
    """What a run ended with.

    Attributes:
        search: the run.
        latency_s: of the design, by the simulator.
        predicted_s: as the search knew it.
        share: of the design's quality in the best within the target.
        multipliers: after every epoch.
        mape: error of the predictor on designs held out; 0 for the table.
    """

    search: Search
    latency_s: float
    predicted_s: float
    share: float
    multipliers: tuple[float, ...]
    mape: float = 0.0

    @property
    def off(self) -> float:
        """Of the target, as a share."""
        return self.latency_s / (self.search.target_ms * 1e-3) - 1


@dataclass(frozen=True)
class Fixed:
    """A run with a fixed weight, whose net is the same whatever the target.

    Attributes:
        seed: as above.
        latency_s: of the net.
    """

    seed: int
    latency_s: float


def shipped() -> LightNas:
    """The agent of the file."""
    agent = interface.build(interface.read("lightnas"))
    assert isinstance(agent, LightNas)
    return agent


def run(search: Search) -> Found:
    """Search once."""
    return _run(search, shipped())


def run_each(searches: Sequence[Search]) -> list[Found]:
    """Search for one target after another, in one process, which fits the seed's predictor once."""
    return [run(search) for search in searches]


def run_fixed(learned: Found) -> Fixed:
    """Search with the multiplier that a run has learned for its target as a fixed weight."""
    # Settling looks at the target, of which a fixed weight knows nothing.
    agent = replace(shipped(), multiplier=learned.multipliers[-1], multiplier_rate=0.0, settling=0)
    return Fixed(learned.search.seed, _run(learned.search, agent).latency_s)


def _run(search: Search, agent: LightNas) -> Found:
    made = problem(search.setting, search.seed)
    fitted = predictor(search.seed, search.scale) if search.latency == PERCEPTRON else None
    schedule = Schedule(agent.epochs, STEPS[search.scale], agent.epochs)
    trace = list(epochs(agent, _subject(made, fitted), schedule, search.seed))
    latency_s, quality = measure(made, trace[-1].design)
    limit = made.constraints[0].limit
    return Found(
        search=search,
        latency_s=latency_s,
        predicted_s=float(trace[-1].usage[0]) * limit,
        share=quality / best_quality(made, limit),
        multipliers=tuple(float(epoch.multipliers[0]) for epoch in trace),
        mape=fitted.mape if fitted else 0.0,
    )


def _subject(made: LayerOpsProblem, fitted: Predictor | None) -> Subject:
    """The problem, with latencies predicted where there is a predictor."""
    known = subject(made)
    return known if fitted is None else replace(known, relaxed=Predicted(known.relaxed, {"latency_s": fitted}))


@cache
def predictor(seed: int, scale: str) -> Predictor:
    """LightNAS's perceptron, fitted to designs that the simulator has costed."""
    made = problem(Setting(SPACE, DEVICE, MIDDLE_MS), seed)
    designs = spread(made.space.allowed, DESIGNS[scale], np.random.default_rng(seed))
    latency_s = made.costs.of(designs)[:, made.costs.names.index("latency_s")]
    layers, operators = tables(made).groups, tables(made).choices
    return fit(lambda: Perceptron(layers, operators), designs, latency_s, operators, Recipe(), seed)
