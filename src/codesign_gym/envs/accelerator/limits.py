"""What designs of a template are wanted to be: the score's terms, the bounds, and what is known of these in advance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from codesign_gym.envs.accelerator.costing import COSTINGS, Columns
from codesign_gym.envs.accelerator.template import Template
from codesign_gym.envs.core import goal
from codesign_gym.envs.core.outlook import Completion, Free, Outlook
from codesign_gym.envs.core.problem import Computed, Constraint, Objective, Values
from codesign_gym.envs.core.space import Designs, DesignSpace


def objectives(template: Template, own: Mapping[str, float]) -> tuple[Objective, ...]:
    """The template's terms, as shares of their references, else of what the device's own design has."""
    references = {term.metric: term.reference for term in template.file.objectives}
    scales = {name: own[name] if value is None else value for name, value in references.items()}
    return tuple(
        Objective(term.metric, -term.weight / scales[term.metric], scales[term.metric], worst=scales[term.metric])
        for term in template.file.objectives
    )


def constraints(template: Template, budget: goal.Budget, own: Mapping[str, float]) -> tuple[Constraint, ...]:
    """The template's limits (null: the board's, else the device's own) and the user's budget over them (null: none).

    Raises:
        UnknownName: for a budget on what is neither a cost nor a metric.
        BadConfig: for a budget that is no positive number, or bounds a metric twice.
    """
    board: Mapping[str, float] = getattr(template.device.model, "limits", {})
    given = template.file.limits
    limits: dict[str, float | None] = {n: board.get(n, own[n]) if v is None else v for n, v in given.items()}
    told = {name: own[name] for name in template.file.metrics}
    source = f"template {template.name!r} has no metric"
    limits |= {goal.metric_of("budget", name, told, source): None for name in budget}
    limits |= goal.limits({name: value for name, value in budget.items() if value is not None}, told, source)
    return tuple(Constraint(name, float(value)) for name, value in limits.items() if value is not None)


class Templated(Computed):
    """A problem whose first knobs are a template's: what these tell of its bounds."""

    template: Template

    @property
    def limited(self) -> Limited:
        """What the template's knobs tell of the bounds."""
        return Limited(self.template, self.space, self.constraints)

    @cached_property
    def outlook(self) -> Outlook:
        """Of the bounds on the hardware; nothing of the others."""
        return self.limited.outlook


@dataclass(frozen=True, eq=False)
class Limited:
    """What the template's knobs, the first of a space, tell of bounds before a network is costed.

    Attributes:
        template: whose knobs.
        space: theirs, and maybe more behind them.
        bounds: all of them; those on a network are not known.
    """

    template: Template
    space: DesignSpace
    bounds: tuple[Constraint, ...]

    def hardware(self, designs: Designs) -> Columns:
        """Metrics of the hardware alone, each of shape (batch,), of designs (batch, knobs)."""
        chosen = designs[:, : len(self.template.file.knobs)]
        return COSTINGS[self.template.file.costing].hardware(self.template.model(chosen))

    @property
    def unknown(self) -> list[Constraint]:
        """Bounds on what only a network tells."""
        known = self.hardware(np.zeros((1, len(self.space)), dtype=np.int64))
        return [bound for bound in self.bounds if bound.metric not in known]

    @property
    def outlook(self) -> Outlook:
        """Of the bounds on the hardware, which grows, or else falls, with every knob; nothing of the others."""
        if not self.bounds:
            return Free(0, self.space.choices)
        return Completion(self._usage, self._least, self.space.sizes)

    def _usage(self, designs: Designs) -> Values:
        """Usages of shape (batch, constraints); 0 where a network has to be costed to tell."""
        found, nothing = self.hardware(designs), np.zeros(len(designs))
        columns = [bound.usage(found[bound.metric]) if bound.metric in found else nothing for bound in self.bounds]
        return np.stack([np.broadcast_to(column, (len(designs),)) for column in columns], axis=-1)

    @cached_property
    def _least(self) -> Designs:
        """The choice of every knob that uses least of each constraint, by itself, shape (constraints, knobs)."""
        least = np.zeros((len(self.bounds), len(self.space)), dtype=np.int64)
        for index, size in enumerate(self.space.sizes[: len(self.template.file.knobs)]):
            designs = np.zeros((size, len(self.space)), dtype=np.int64)
            designs[:, index] = np.arange(size)
            least[:, index] = self._usage(designs).argmin(0)
        return least
