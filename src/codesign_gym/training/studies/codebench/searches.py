"""Searches of the joint problem and of one side of it, as jobs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from codesign_gym.training.studies.codebench.graphs import Accuracy, Family
from codesign_gym.training.studies.codebench.problem import IMAGES, CodesignProblem

#: Of the default accelerator (SPRING's shape; the template's own knobs end at 7 columns and 4 filters).
SPRING = {
    "pib": 2,
    "pif": 16,
    "pix": 7,
    "piy": 4,
    "pof": 4,
    "kernel": 3,
    "batch": 512,
    "activation_buffer_mb": 12,
    "weight_buffer_mb": 24,
    "memory": 0,
}


@dataclass(frozen=True, eq=False)
class Search:
    """One agent's search.

    Attributes:
        agent: its id.
        seed: its seed.
        evaluations: granted.
        family: the networks.
        accuracy: theirs.
        images: see :class:`~codesign_gym.training.studies.codebench.problem.CodesignProblem`.
        fixed: pinned choices, by knob.
        label: what the study calls it.
    """

    agent: str
    seed: int
    evaluations: int
    family: Family
    accuracy: Accuracy
    images: int | None = IMAGES
    fixed: tuple[tuple[str, int], ...] = ()
    label: str = ""


@dataclass(frozen=True, eq=False)
class Found:
    """What a search has found.

    Attributes:
        search: the search.
        best: best score after every evaluation, shape (evaluations,).
        design: the best one's choices.
        metrics: its metrics.
        test_accuracy: of its network, on images that no search saw.
    """

    search: Search
    best: NDArray[np.float64]
    design: NDArray[np.int64]
    metrics: NDArray[np.float64]
    test_accuracy: float

    def after(self, level: float) -> float:
        """Evaluations until a score was reached; infinite if it was not."""
        return float(np.argmax(self.best >= level) + 1) if self.best[-1] >= level else np.inf


def run(search: Search) -> Found:
    """Carry out a search in this process."""
    from codesign_gym.agents import interface
    from codesign_gym.agents.recorder import Limits
    from codesign_gym.envs.core.designing import Walk, design_core
    from codesign_gym.envs.core.problem import score

    problem = CodesignProblem(search.family, search.accuracy, search.images, search.fixed)
    agent = interface.build(interface.read(search.agent))
    recorder = interface.searched(agent, design_core(problem, Walk()), Limits.of(search.evaluations), search.seed)
    assert recorder.best is not None  # there are no constraints
    design, metrics = recorder.best
    best = np.maximum.accumulate(score(problem, recorder.known_metrics))
    return Found(search, best, design, metrics, problem.claim(design)["test_accuracy"])


def network_first(problem: CodesignProblem) -> tuple[tuple[str, int], ...]:
    """Pins of the network that is most accurate on search images: what a designer without hardware would choose."""
    graph = int(problem.accuracy.search.argmax())
    sizes = [len(values) for values in problem.family.fields.values()]
    choices = np.unravel_index(graph, sizes)
    return tuple((f"network_{name}", int(c)) for name, c in zip(problem.family.fields, choices, strict=True))


def accelerator_first(problem: CodesignProblem) -> tuple[tuple[str, int], ...]:
    """Pins of the default accelerator."""
    knobs = {knob.name: knob for knob in problem.space.knobs}
    return tuple((name, knobs[name].values.index(value)) for name, value in SPRING.items())
