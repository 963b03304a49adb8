"""Made-up records of networks with exits, so that nothing has to be trained."""

from __future__ import annotations

import numpy as np

from codesign_gym.simulators.dvfs.work import Work
from codesign_gym.simulators.exits.record import ExitRecord, ExitRecords


def made_up(seed: int, name: str, exits: int = 3, samples: int = 200) -> ExitRecords:
    """Later exits are surer and more often right; what is sure is mostly right."""
    generator = np.random.default_rng(seed)
    operations, moved = generator.uniform(2e7, 2e8, exits), generator.uniform(1e6, 4e6, exits)
    stages = Work(operations, moved, np.full(exits, 4.0))
    heads = Work(operations * 0.01, moved * 0.05, np.full(exits, 2.0))
    names = (*(f"exit{i + 1}" for i in range(exits - 1)), "full")

    def split(kind: str) -> ExitRecord:
        hard = generator.random((samples, 1))
        skill = np.linspace(0.7, 1.0, exits)
        confidence = np.clip(1 - hard**4 * (1.3 - skill) * 2, 0.1, 1.0) ** (2 - skill)
        correct = generator.random((samples, 1)) < confidence**0.3
        return ExitRecord(name, kind, names, confidence.astype(np.float32), correct, stages, heads)

    return ExitRecords(split("search"), split("test"))


def first() -> ExitRecords:
    """A network with three exits."""
    return made_up(0, "first")


def second() -> ExitRecords:
    """Another one."""
    return made_up(1, "second")


def longer() -> ExitRecords:
    """One with four exits."""
    return made_up(2, "longer", exits=4)


def blind() -> ExitRecords:
    """One whose first exit is never sure of anything."""
    search, test = made_up(3, "blind")
    doubtful = search.confidence.copy()
    doubtful[:, 0] = 0.2
    work = (search.stages, search.heads)
    return ExitRecords(ExitRecord("blind", "search", search.names, doubtful, search.correct, *work), test)
