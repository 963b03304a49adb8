"""LightNAS's search: single paths, and a multiplier that is learned so that a limit is met in one run."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from codesign_gym.agents.baselines.checks import number, whole
from codesign_gym.agents.differentiable.mixture import Mixture, Subject
from codesign_gym.agents.differentiable.search import Charge, Epoch, Schedule, snapshot, spend
from codesign_gym.agents.interface import Task

#: Of Adam, as in DARTS (Liu et al., ICLR 2019): the loss changes with the multiplier, so the first is short.
BETAS = (0.5, 0.999)


@dataclass(frozen=True)
class LightNas:
    """Descends ``loss + multiplier * (LAT / T - 1)`` of single paths and ascends the multiplier (Luo et al., DAC 2022).

    A path is a hard Gumbel sample. The multiplier follows the excess of the likeliest design, after every step; there
    is one for each constraint, whose limit is T. Step sizes are ours, for some thousand steps instead of the paper's
    90 epochs of images. Three parts differ from the released code, each because trials missed their targets without
    (six targets in LightNAS' space on raspberry-pi-4; for the last, made-up tables of its size):

    * multipliers are kept from falling below 0, as constraints are limits. The code also sets one to 0 whenever the
      design is within the limit, after which it has to be learned anew: misses of up to 43 %;
    * logits decay. Without, they outgrow what a step can undo and the multiplier winds up: up to 17 %;
    * the temperature stays above ``coolest``, below which gradients of paths vanish or explode: up to 18 %.

    Attributes:
        multiplier: at the start, of every constraint.
        multiplier_rate: of its ascent, a step; 0 leaves it fixed, which is FBNet's kind of search.
        temperature: of the first epoch.
        cooling: it falls by ``exp(-cooling)`` an epoch.
        coolest: but not below this.
        learning_rate: of Adam on the logits.
        halving: epochs after which that is halved, again and again.
        weight_decay: of the logits, as a part of their gradient.
        settling: in so many last epochs, a design that is nearly at its limits is hardly changed: the learning rate is
            multiplied by the largest excess or slack ...
        near: ... as long as that is below this, a share of the limit (the paper's 0.15 ms of 25 ms).
        pace: gradient steps an epoch that both rates are told for; where an epoch has more, they are as much smaller.
        epochs: at most; where the grant has fewer proposals than three an epoch, there are fewer, that count for more.
        samples: designs drawn from the mixture and proposed after an epoch, beside the likeliest.

    Raises:
        BadConfig: if a field is out of range.
    """

    multiplier: float = 0.0
    multiplier_rate: float = 0.04
    temperature: float = 5.0
    cooling: float = 0.03
    coolest: float = 1.0
    learning_rate: float = 0.05
    halving: int = 30
    weight_decay: float = 0.01
    settling: int = 45
    near: float = 0.006
    pace: int = 16
    epochs: int = 90
    samples: int = 1

    def __post_init__(self) -> None:
        number("lightnas", 0.0, 1e9, multiplier=self.multiplier, multiplier_rate=self.multiplier_rate)
        number("lightnas", 1e-3, 1e3, temperature=self.temperature, coolest=self.coolest)
        number("lightnas", 1e-9, 1e3, learning_rate=self.learning_rate)
        number("lightnas", 0.0, 1e3, cooling=self.cooling, weight_decay=self.weight_decay, near=self.near)
        whole("lightnas", 1, halving=self.halving, pace=self.pace, epochs=self.epochs)
        whole("lightnas", 0, settling=self.settling, samples=self.samples)

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
        adam = torch.optim.Adam([mixture.weights], self.learning_rate, BETAS, weight_decay=self.weight_decay)
        ascent = schedule.shortened(self.multiplier_rate, self.pace)
        multipliers = torch.full((len(subject.constraints),), float(self.multiplier))
        design, excess = mixture.design, _excess(subject, mixture)
        for epoch in schedule.epochs():
            temperature = max(self.coolest, self.temperature * math.exp(-self.cooling * epoch))
            for _ in range(schedule.steps):
                charge(1)
                adam.param_groups[0]["lr"] = schedule.shortened(self._rate(epoch, excess), self.pace)
                path = mixture.hard(temperature)
                loss = subject.relaxed.loss(path)[0] + multipliers @ (subject.usages(path)[0] - 1)
                adam.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                adam.step()
                if not np.array_equal(mixture.design, design):  # most steps leave it, and asking is dear
                    design, excess = mixture.design, _excess(subject, mixture)
                multipliers = (multipliers + ascent * excess).clamp(min=0)
            yield snapshot(subject, mixture, temperature, multipliers)

    def _rate(self, epoch: float, excess: Tensor) -> float:
        """The learning rate in an epoch, for a design of an excess of shape (constraints,)."""
        rate: float = self.learning_rate * 0.5 ** (epoch // self.halving)
        off = float(excess.abs().max()) if len(excess) else 1.0
        return rate * off if epoch >= self.epochs - self.settling and off < self.near else rate


def _excess(subject: Subject, mixture: Mixture) -> Tensor:
    """By how much the likeliest design is over its limits, as shares of them, shape (constraints,)."""
    with torch.no_grad():
        return subject.usages(mixture.likeliest())[0] - 1
