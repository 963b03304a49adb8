"""A made-up network with three exits, quick to load: later exits are surer, righter and dearer."""

from __future__ import annotations

import numpy as np

from codesign_gym.simulators.dvfs import Work
from codesign_gym.simulators.exits.record import ExitRecord, ExitRecords

SAMPLES = 200

#: Options of an environment that plays it.
OPTIONS = {"network": "exit_samples:records", "pixels": None, "thresholds": (0.6, 0.9), "accuracy_loss": 100.0}


def record(split: str) -> ExitRecord:
    """Answers drawn for a split."""
    generator = np.random.default_rng(len(split))
    ease = generator.random((SAMPLES, 1))
    confidence = np.clip(0.4 + 0.3 * ease + np.array([0.0, 0.15, 0.25]) + 0.1 * generator.random((SAMPLES, 3)), 0, 1)
    correct = generator.random((SAMPLES, 3)) < np.array([0.8, 0.9, 0.95])
    stages = Work(np.array([2e9, 4e9, 6e9]), np.array([2e7, 4e7, 6e7]), np.array([8.0, 10.0, 12.0]))
    heads = Work(np.array([1e6, 1e6, 1e6]), np.array([1e4, 1e4, 1e4]), np.array([2.0, 2.0, 2.0]))
    return ExitRecord(
        "samples", split, ("exit1", "exit2", "full"), confidence.astype(np.float32), correct, stages, heads
    )


def records() -> ExitRecords:
    """Both splits."""
    return ExitRecords(record("search"), record("test"))


def record_pair() -> ExitRecords:
    """The same again, under another name."""
    return records()
