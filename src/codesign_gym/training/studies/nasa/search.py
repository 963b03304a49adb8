"""Part (c): a hybrid searched under an energy budget, against the best network of convolutions alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from codesign_gym.simulators import operators
from codesign_gym.simulators.hardware import device
from codesign_gym.simulators.hardware.chunked.mapped import MappedChunks
from codesign_gym.simulators.operators.space import OperatorSpace
from codesign_gym.training.studies.jobs import run_all
from codesign_gym.training.studies.nasa import pretraining
from codesign_gym.training.studies.nasa.mapping import SMALL
from codesign_gym.training.studies.nasa.nets import DEVICE, Hybrid, accelerator
from codesign_gym.training.studies.part import FULL_ONLY, Part, middle
from codesign_gym.training.studies.study import Claim, Table

TEXT = "(c) searched hybrid: 1.3x less energy than convolutions alone, at most a point lost (median)"

SEEDS = (0, 1, 2)
LESS = 1.3
LOSS_POINTS = 1.0

AGENTS = ("evolutionary", "random")
EVALUATIONS = 200

#: Of every network trained by itself.
OWN_EPOCHS = 40

CONV, CONTROL = "convolutions alone", "convolutions alone, the hybrid's budget"


@dataclass(frozen=True)
class Job:
    """One seed of shared weights, searches and final trainings.

    Attributes:
        seed: of all of them.
        shared_epochs: of the shared weights.
        own_epochs: of every network trained by itself.
        evaluations: of each search.
    """

    seed: int
    shared_epochs: int = pretraining.EPOCHS
    own_epochs: int = OWN_EPOCHS
    evaluations: int = EVALUATIONS


@dataclass(frozen=True)
class System:
    """A network that was found.

    Attributes:
        operators: names, layer by layer.
        energy_j: of an image.
        as_conv_j: of the same network with convolutions everywhere.
        operations_j: of arithmetic alone.
        search, test: accuracy with shared weights, and trained by itself on images that nothing was chosen by.
        evaluations: designs measured to find it.
    """

    operators: tuple[str, ...]
    energy_j: float
    as_conv_j: float
    operations_j: float
    search: float
    test: float
    evaluations: int


def run(scale: str, console: Console) -> Part:
    """Every seed."""
    if scale == "small":
        return Part((Claim(TEXT, "", "", "", None, f"{FULL_ONLY}: a seed takes a minute of a core"),))
    found = run_all(searched, [Job(seed) for seed in SEEDS], "searches", console)
    hybrids = [systems[AGENTS[0]] for systems in found]
    saved = [systems[CONV].energy_j / hybrid.energy_j for systems, hybrid in zip(found, hybrids, strict=True)]
    lost, control = (
        [100 * (systems[CONV].test - systems[name].test) for systems in found] for name in (AGENTS[0], CONTROL)
    )
    same = [hybrid.as_conv_j / hybrid.energy_j for hybrid in hybrids]
    claim = Claim(
        TEXT,
        "",
        f"{middle(saved):.2f}x, {middle(lost):.1f} points",
        f"{min(saved):.2f}x, {max(lost):.1f} points",
        min(saved) >= LESS and middle(lost) <= LOSS_POINTS,
        f"test images, networks trained by themselves; convolutions alone within the hybrid's budget lose "
        f"{middle(control):.1f} points; with convolutions in place of its operators, the hybrid would need "
        f"{middle(same):.2f}x its energy",
    )
    return Part((claim,), (_table(found),))


def searched(job: Job) -> dict[str, System]:
    """The systems of one seed, by name."""
    from codesign_gym.simulators.accuracy.memo import Memo
    from codesign_gym.simulators.hybrid.pretraining import PROGRESSIVE, pretrained
    from codesign_gym.simulators.supernets.measuring import OwnTraining, OwnWeights, SharedWeights

    space, memo = operators.load(SMALL), Memo.default()
    energy = energies(space)
    trained = pretrained(SMALL, PROGRESSIVE, job.shared_epochs, job.seed)
    shared = SharedWeights(trained, memo=memo)
    recipe = trained.training.model_copy(update={"epochs": job.own_epochs})
    own = OwnWeights(trained, OwnTraining(training=recipe), memo)

    conv = only_convolutions(space)
    accuracy, cost = shared.accuracy(conv), _sums(energy, conv)
    best = int(np.lexsort((cost, -accuracy))[0])
    budget_j = float(cost[best]) / LESS
    within = np.flatnonzero(cost <= budget_j)
    control = within[np.lexsort((cost[within], -accuracy[within]))[0]]
    designs = {CONV: (conv[best], len(conv)), CONTROL: (conv[control], len(conv))}
    for agent in AGENTS:
        designs[agent] = _found(agent, space, shared, energy, budget_j, job)

    def system(design: NDArray[np.int64], evaluations: int) -> System:
        names = tuple(layer.operators[choice] for layer, choice in zip(space.layers, design, strict=True))
        return System(
            names,
            float(_sums(energy, design[None])[0]),
            float(_sums(energy, _as_convolutions(space, design)[None])[0]),
            float((Hybrid.of(SMALL, design, "").operations * np.array(accelerator().op_energies_j)).sum()),
            float(shared.accuracy(design[None])[0]),
            float(own.accuracy(design[None], "test")[0]),
            evaluations,
        )

    return {name: system(*found) for name, found in designs.items()}


def energies(space: OperatorSpace) -> NDArray[np.float64]:
    """Joules of every operator of every layer, each row at its own best mapping, (layers, operators)."""
    found = device.load(DEVICE)
    mapped = replace(found, model=MappedChunks(accelerator(), operator=0))
    return np.asarray(space.tabulate(mapped).energy_j)


def only_convolutions(space: OperatorSpace) -> NDArray[np.int64]:
    """All designs of convolutions, (designs, layers)."""
    kinds = [
        [i for i, n in enumerate(layer.operators) if space.definitions[n].kind == "conv"] for layer in space.layers
    ]
    return np.stack([part.ravel() for part in np.meshgrid(*kinds, indexing="ij")], axis=-1)


def _as_convolutions(space: OperatorSpace, design: NDArray[np.int64]) -> NDArray[np.int64]:
    """The design with every operator's convolution of the same kernel and expansion in its place."""
    chosen = []
    for layer, choice in zip(space.layers, design, strict=True):
        wanted = space.definitions[layer.operators[choice]].model_copy(update={"kind": "conv"})
        chosen.append([space.definitions[name] for name in layer.operators].index(wanted))
    return np.array(chosen)


def _sums(energy: NDArray[np.float64], designs: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.asarray(energy[np.arange(len(energy)), designs].sum(-1))


def _found(
    agent: str, space: OperatorSpace, shared: Any, energy: NDArray[np.float64], budget_j: float, job: Job
) -> tuple[NDArray[np.int64], int]:
    """The best design of an agent's search, and how many it measured."""
    from codesign_gym.agents import interface
    from codesign_gym.agents.recorder import Limits
    from codesign_gym.envs.core.designing import Walk, design_core
    from codesign_gym.envs.core.problem import Constraint, Objective
    from codesign_gym.envs.layer_ops.costs import TableCosts
    from codesign_gym.envs.layer_ops.problem import LayerOpsProblem

    problem = LayerOpsProblem(
        operators=space,
        quality=Measured(shared),
        costs=TableCosts({"energy_j": energy}),
        objectives=(Objective("accuracy", 1.0, 0.0),),
        constraints=(Constraint("energy_j", budget_j),),
    )
    core, limits = design_core(problem, Walk(enforcement="mask")), Limits(job.evaluations, job.evaluations)
    recorder = interface.searched(interface.build(interface.read(agent)), core, limits, job.seed)
    assert recorder.best is not None
    return np.asarray(recorder.best[0], dtype=np.int64), recorder.evaluations


@dataclass(frozen=True, eq=False)
class Measured:
    """Accuracy on search images with shared weights, and no prediction of it: every score is an evaluation."""

    shared: Any
    metric_name: str = "accuracy"
    measured: bool = True
    reference: float = 0.0
    losses: None = None
    exact: bool = False

    @property
    def images(self) -> int:
        """Images of the search split."""
        return len(self.shared.trained.splits.search)

    def score(self, designs: NDArray[np.int64]) -> NDArray[np.float64]:
        """Shape (batch,), for designs of shape (batch, layers)."""
        return np.asarray(self.shared.accuracy(designs))


def _table(found: list[dict[str, System]]) -> Table:
    rows = tuple(
        (
            seed,
            name,
            " ".join(system.operators),
            f"{1e6 * system.energy_j:.2f} uJ",
            f"{1e6 * system.operations_j:.3f} uJ",
            f"{100 * system.search:.1f} %",
            f"{100 * system.test:.1f} %",
            system.evaluations,
        )
        for seed, systems in zip(SEEDS, found, strict=True)
        for name, system in systems.items()
    )
    title = f"(c) searches in {SMALL}; convolutions alone are searched exhaustively"
    headings = ("seed", "system", "operators", "energy", "arithmetic", "search, shared", "test, own", "evaluations")
    return Table(title, headings, rows)
