"""Small made-up records, and plain rewritings of what is computed from them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from codesign_gym.simulators.dvfs.work import Work
from codesign_gym.simulators.exits.record import ExitRecord, ExitRecords


def work(generator: np.random.Generator, exits: int, scale: float = 1.0) -> Work:
    """Random work of shape (exits,)."""
    operations, moved = generator.uniform(1e7, 2e8, exits) * scale, generator.uniform(1e5, 4e6, exits) * scale
    return Work(operations, moved, generator.integers(2, 9, exits).astype(float))


def record(seed: int, samples: int = 60, exits: int = 4, name: str = "made-up", split: str = "search") -> ExitRecord:
    """Later exits are surer and more often right."""
    generator = np.random.default_rng(seed)
    hard = generator.random((samples, 1)) ** 2
    skill = np.linspace(0.6, 1.0, exits)
    confidence = np.clip(skill - 0.7 * hard + 0.2 * generator.random((samples, exits)), 0.05, 1.0)
    correct = generator.random((samples, exits)) < 0.6 + 0.4 * confidence
    names = (*(f"exit{i + 1}" for i in range(exits - 1)), "full")
    heads = work(generator, exits, 0.01)
    stages = work(generator, exits)
    return ExitRecord(name, split, names, confidence.astype(np.float32), correct, stages, heads)


def records(seed: int = 0, name: str = "made-up") -> ExitRecords:
    """Both splits of one network."""
    search, test = record(seed, name=name), record(seed + 1000, samples=80, name=name, split="test")
    alike = ExitRecord(name, "test", test.names, test.confidence, test.correct, search.stages, search.heads)
    return ExitRecords(search, alike)


def first() -> ExitRecords:
    """A record by reference."""
    return records(0, "record_samples:first")


def second() -> ExitRecords:
    """Another one, of another network."""
    return records(7, "record_samples:second")


def plain_leaving(found: ExitRecord, placed: NDArray[np.bool_], threshold: float) -> list[int]:
    """The exit that each sample leaves by, sample by sample."""
    leaving = []
    for sample in found.confidence:
        sure = [e for e in range(found.exits - 1) if placed[e] and sample[e] >= threshold]
        leaving.append(sure[0] if sure else found.exits - 1)
    return leaving
