"""LANA's search as a design problem: an operator a layer, the sum of loss changes, a budget on latency."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from codesign_gym.agents import interface
from codesign_gym.agents.recorder import Limits, Recorder
from codesign_gym.envs.core.actions import view
from codesign_gym.envs.core.construct import ConstructCore, DenseReward
from codesign_gym.envs.core.enforcement import enforcement
from codesign_gym.envs.core.observers import choices_observer
from codesign_gym.envs.core.problem import Constraint, Objective
from codesign_gym.envs.core.separable import Separable, Table
from codesign_gym.envs.core.space import Designs
from codesign_gym.envs.layer_ops.costs import TableCosts
from codesign_gym.envs.layer_ops.problem import LayerOpsProblem
from codesign_gym.simulators.hardware import device as devices
from codesign_gym.simulators.operators.quality import AdditiveQuality
from codesign_gym.simulators.replacement.patched import Patched
from codesign_gym.simulators.replacement.space import operator_space, patched


@dataclass(frozen=True, eq=False)
class Replaced:
    """A teacher on a device: what every operator loses and costs.

    Attributes:
        measurer: of designs, numbered as all operators are.
        loss_changes: of the teacher when one layer alone is replaced, in nats, (layers, operators).
        latency_s: of every operator; what is not replaced is charged to the first layer, (layers, operators).
        kept: operators worth searching, from the fastest, of every layer.
    """

    measurer: Patched
    loss_changes: Table
    latency_s: Table
    kept: tuple[tuple[int, ...], ...]

    def problem(self, share: float) -> LayerOpsProblem:
        """The search among the kept operators, at a share of the teacher's latency; the quality is less loss."""
        space = operator_space(self.measurer.trained, self.kept)
        quality = AdditiveQuality(-self._of_kept(self.loss_changes))
        return LayerOpsProblem(
            operators=space,
            quality=quality,
            costs=TableCosts({"latency_s": self._of_kept(self.latency_s)}),
            objectives=(Objective("quality", 1.0, quality.reference),),
            constraints=(Constraint("latency_s", share * float(self.latency(self.unchanged)[0])),),
        )

    @property
    def unchanged(self) -> Designs:
        """The teacher, shape (1, layers)."""
        return self.measurer.trained.unchanged[None]

    def numbered(self, designs: Designs) -> Designs:
        """Designs (batch, layers) of :meth:`problem` in the numbers of all operators."""
        return self._indices[np.arange(len(self.kept)), designs]

    def latency(self, designs: Designs) -> NDArray[np.float64]:
        """Seconds, shape (batch,), of designs in the numbers of all operators."""
        return np.asarray(self.latency_s[np.arange(designs.shape[1]), designs].sum(-1))

    def change(self, designs: Designs) -> NDArray[np.float64]:
        """Sum of loss changes, LANA's objective, in nats, shape (batch,); numbered likewise."""
        return np.asarray(self.loss_changes[np.arange(designs.shape[1]), designs].sum(-1))

    @cached_property
    def _indices(self) -> NDArray[np.int64]:
        """Kept operators, (layers, most of a layer); the first again where a layer keeps fewer."""
        most = max(map(len, self.kept))
        return np.array([(*own, *own[:1] * (most - len(own))) for own in self.kept], dtype=np.int64)

    def _of_kept(self, table: Table) -> Table:
        return np.asarray(np.take_along_axis(table, self._indices, axis=1))


def replaced(network: str, device: str, seed: int = 0) -> Replaced:
    """A trained network on a device.

    Args:
        network: id or file.
        device: id or file; its model costs rows one by one, at 8 bits.
        seed: of the operators' distillation.
    """
    measurer = patched(network, seed)
    given = measurer.trained
    latency = np.asarray(operator_space(given).tabulate(devices.load(device)).latency_s)
    changes = measurer.loss_changes()
    guessing = float(np.log(given.splits.classes) - measurer.loss(given.unchanged[None])[0])
    kept = tuple(
        worthwhile(changes[site, :size], latency[site, :size], guessing) for site, size in enumerate(given.sizes)
    )
    return Replaced(measurer, changes, latency, kept)


def worthwhile(loss: NDArray[np.float64], latency: NDArray[np.float64], guessing: float) -> tuple[int, ...]:
    """Operators that no other is at least as fast and as good as, from the fastest; an optimum needs no others.

    Those that alone make the network no better than guessing are left out, too.

    Args:
        loss: change of the loss, shape (operators,).
        latency: shape (operators,).
        guessing: change of the loss at which all classes look alike.
    """
    order = np.lexsort((loss, latency))
    before = np.minimum.accumulate(np.r_[np.inf, loss[order][:-1]])
    return tuple(int(i) for i, least in zip(order, before, strict=True) if loss[i] < min(least, guessing))


def tables(problem: LayerOpsProblem) -> Separable:
    """Losses and usages, which are sums here."""
    assert problem.separable is not None
    return problem.separable


def search(agent: str, problem: LayerOpsProblem, evaluations: int, seed: int) -> Recorder:
    """What a shipped agent leaves behind of a grant, with the environment that its file asks for."""
    content = interface.read(agent)
    core = ConstructCore(
        problem=problem,
        observer=choices_observer(problem),
        reward=DenseReward(),
        enforcement=enforcement(content.environment.get("enforcement", "mask")),
        actions=view("discrete", (problem.space.choices,)),
    )
    return interface.searched(interface.build(content), core, Limits(evaluations, evaluations), seed)
