"""What gradient searches share: epochs divided over the grant, and what is proposed after each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from codesign_gym.agents.differentiable.mixture import Mixture, Subject, subject
from codesign_gym.agents.interface import Task
from codesign_gym.envs.core.enforcement import project
from codesign_gym.envs.core.space import Designs
from codesign_gym.simulators.accuracy.recipe import one_thread

Charge = Callable[[int], None]  # takes the number of gradient steps about to be made


@dataclass(frozen=True)
class Epoch:
    """Where a search stands.

    Attributes:
        temperature: of the epoch's Gumbel samples.
        probabilities: of every knob's choices, shape (knobs, choices).
        design: the likeliest choices, shape (knobs,).
        loss: the design's, as the relaxation has it.
        usage: the design's, as the relaxation has it, shape (constraints,).
        multipliers: weights of the usages, shape (constraints,).
    """

    temperature: float
    probabilities: NDArray[np.float64]
    design: NDArray[np.int64]
    loss: float
    usage: NDArray[np.float64]
    multipliers: NDArray[np.float64]


@dataclass(frozen=True)
class Schedule:
    """Epochs and the gradient steps in each.

    Attributes:
        turns: epochs that are really gone through.
        steps: gradient steps in each.
        nominal: epochs that decay rates are told for.
    """

    turns: int
    steps: int
    nominal: int

    def epochs(self) -> Iterator[float]:
        """The nominal number of every epoch, from 0."""
        return (turn * self.nominal / self.turns for turn in range(self.turns))

    def shortened(self, size: float, pace: int) -> float:
        """A step size told for epochs of ``pace`` steps: where epochs have more, steps are as much shorter."""
        return size * min(1.0, pace / self.steps)


class Searcher(Protocol):
    """A gradient search, which makes epochs of mixtures."""

    @property
    def epochs(self) -> int:
        """Epochs that its decay rates are told for."""
        ...

    @property
    def samples(self) -> int:
        """Designs drawn from the mixture and proposed after an epoch, beside the likeliest."""
        ...

    def search(self, subject: Subject, schedule: Schedule, seed: int, charge: Charge) -> Iterator[Epoch]:
        """One state after every epoch; ``charge`` is told of every step before it is made."""
        ...


def snapshot(subject: Subject, mixture: Mixture, temperature: float, multipliers: torch.Tensor) -> Epoch:
    """The state after an epoch."""
    chosen = mixture.likeliest()
    with torch.no_grad():
        loss, usage = float(subject.relaxed.loss(chosen)[0]), subject.usages(chosen)[0].double().numpy()
    weights = multipliers.double().numpy().copy()
    return Epoch(temperature, mixture.probabilities, mixture.design, loss, usage, weights)


def epochs(
    agent: Searcher, subject: Subject, schedule: Schedule, seed: int, charge: Charge = lambda steps: None
) -> Iterator[Epoch]:
    """A search on one thread: mixtures are too small to share out, and the order of sums is then always the same."""
    with one_thread():
        yield from agent.search(subject, schedule, seed, charge)


def spend(agent: Searcher, task: Task) -> None:
    """Search once, with a grant divided evenly over epochs, and propose after each.

    Proposed are the likeliest design, the same repaired, and repaired samples, where there are tables to repair by.

    Raises:
        BudgetSpent: if the grant ends before the schedule.
    """
    recorder, generator = task.recorder, np.random.default_rng(task.seed)
    schedule, samples = _schedule(agent, recorder.limits.proposals, recorder.limits.evaluations)
    for epoch in epochs(agent, subject(recorder), schedule, task.seed, recorder.charge):
        named = zip(recorder.constraints, epoch.usage, epoch.multipliers, strict=True)
        scalars = {"loss": epoch.loss, "temperature": epoch.temperature}
        for bound, usage, multiplier in named:
            scalars |= {f"usage/{bound.metric}": float(usage), f"multiplier/{bound.metric}": float(multiplier)}
        task.log({f"search/{name}": value for name, value in scalars.items()})
        recorder.evaluate(_proposed(task, epoch, generator, samples))


def _schedule(agent: Searcher, proposals: int, evaluations: int) -> tuple[Schedule, int]:
    """As many epochs as the agent has or the grant allows, and the samples to propose after each."""
    turns = max(1, min(agent.epochs, proposals // 3, evaluations // 2))
    samples = min(agent.samples, max(0, evaluations // turns - 2))
    steps = max(1, proposals // turns - 2 - samples)
    return Schedule(turns, steps, agent.epochs), samples


def _proposed(task: Task, epoch: Epoch, generator: np.random.Generator, samples: int) -> Designs:
    """Different designs, shape (designs, knobs)."""
    cumulative = epoch.probabilities.cumsum(-1)
    drawn = (generator.random((samples, len(epoch.design), 1)) * cumulative[:, -1:] >= cumulative).sum(-1)
    found = np.concatenate([epoch.design[None], drawn])
    tables = task.recorder.separable
    if tables is not None and task.recorder.constraints:
        found = np.concatenate([found[:1], project(tables, found)])
    first = np.unique(found, axis=0, return_index=True)[1]
    return found[np.sort(first)].astype(np.int64)
