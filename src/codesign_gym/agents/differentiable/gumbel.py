"""FBNet's search: Gumbel-softmax mixtures, and a loss that is multiplied by the logarithm of what they use."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from codesign_gym.agents.baselines.checks import number, whole
from codesign_gym.agents.differentiable.mixture import Mixture, Subject
from codesign_gym.agents.differentiable.search import Charge, Epoch, Schedule, snapshot, spend
from codesign_gym.agents.interface import Task


@dataclass(frozen=True)
class Gumbel:
    """Descends ``(floor + loss) * alpha * log(LAT) ** beta`` of a mixture (Wu et al., FBNet, CVPR 2019, section 3.2).

    The weight is fixed: constraints do not pull a design to their limits, and another limit needs another ``beta``.
    With several constraints there is a factor for each. Adam does not see ``alpha``, which scales everything.

    Attributes:
        alpha, beta: the fixed weight.
        unit: LAT is told in parts of the limit: so many are the limit. FBNet's networks take 20 to 30 thousand of its
            units, microseconds.
        floor: added to the loss, whose unit is that of a good design: a cross entropy never comes to 0 and a sum of
            tables may, where the factor would have no say.
        temperature: of the first epoch.
        cooling: what it is multiplied by after each of ``epochs``.
        learning_rate: of Adam ...
        pace: ... in epochs of so many gradient steps; where an epoch has more, it is as much smaller.
        epochs: at most; where the grant has fewer proposals than three an epoch, there are fewer that cool faster.
        samples: designs drawn from the mixture and proposed after an epoch, beside the likeliest.

    Raises:
        BadConfig: if a field is out of range.
    """

    alpha: float = 0.2
    beta: float = 0.6
    unit: float = 2e4
    floor: float = 1.0
    temperature: float = 5.0
    cooling: float = 0.956
    learning_rate: float = 0.1
    pace: int = 20
    epochs: int = 90
    samples: int = 1

    def __post_init__(self) -> None:
        number("gumbel", 1e-9, 1e9, alpha=self.alpha, temperature=self.temperature, learning_rate=self.learning_rate)
        number("gumbel", 0.0, 1e3, beta=self.beta, floor=self.floor)
        number("gumbel", 10.0, 1e15, unit=self.unit)
        number("gumbel", 1e-3, 1.0, cooling=self.cooling)
        whole("gumbel", 1, pace=self.pace, epochs=self.epochs)
        whole("gumbel", 0, samples=self.samples)

    def run(self, task: Task) -> None:
        """Spend everything on one search; a gradient step is one proposal.

        Raises:
            BudgetSpent: if the grant ends before the schedule.
            BadConfig: if the problem has nothing to differentiate.
        """
        spend(self, task)

    def search(self, subject: Subject, schedule: Schedule, seed: int, charge: Charge) -> Iterator[Epoch]:
        """One state after every epoch."""
        mixture = Mixture.even(subject.allowed, seed)
        optimizer = torch.optim.Adam([mixture.weights], lr=schedule.shortened(self.learning_rate, self.pace))
        weights = torch.full((len(subject.constraints),), self.beta)
        for epoch in schedule.epochs():
            temperature = self.temperature * self.cooling**epoch
            for _ in range(schedule.steps):
                charge(1)
                sample = mixture.soft(temperature)
                used = (self.unit * subject.usages(sample)).clamp(min=1.0).log()
                loss = (self.floor + subject.relaxed.loss(sample)) * (self.alpha * used**self.beta).prod(-1)
                optimizer.zero_grad()
                loss.sum().backward()  # type: ignore[no-untyped-call]
                optimizer.step()
            yield snapshot(subject, mixture, temperature, weights)
