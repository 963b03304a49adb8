"""A problem small enough to train on in a second: 14 knobs, a tabulated loss, no images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from codesign_gym.training.config import DEFAULT_ENVIRONMENT, RunConfig, configure
from codesign_gym.training.folder import RunFolder
from codesign_gym.training.train import Progress, train

PROBLEM: dict[str, Any] = {
    "network": "digits-cnn",
    "device": "haq-cloud",
    "accuracy": "tabular",
    "budget": {"latency": 0.6},
}
KNOBS = 14
LEARNERS = ("ppo", "a2c", "dqn", "ddpg", "td3", "sac", "maskable-ppo", "haq-ddpg")


def config(agent: str = "random", evaluations: int = 40, **options: Any) -> RunConfig:
    return configure(DEFAULT_ENVIRONMENT, {**PROBLEM, **options}, agent, evaluations, seed=3)


def finished(path: Path, agent: str = "random", evaluations: int = 40, **options: Any) -> RunFolder:
    folder = RunFolder(path)
    train(config(agent, evaluations, **options), folder)
    return folder


def told_in_one_line(output: Any, parts: Sequence[str]) -> None:
    """What was captured is nothing but one line of an error, which has all the parts."""
    assert output.out == ""
    assert output.err.startswith("error: ")
    assert output.err.count("\n") == 1
    for part in parts:
        assert part in output.err


def rows(folder: RunFolder) -> pd.DataFrame:
    """The evaluations, without how long they took."""
    return folder.evaluations()[0].drop(columns="seconds")


def outcome(folder: RunFolder) -> dict[str, Any]:
    """The result, without how long it took."""
    result = folder.result()
    del result["ledger"]["seconds"]
    return result


def interrupt_after(evaluations: int) -> Callable[[Progress], None]:
    def listener(progress: Progress) -> None:
        if progress.evaluations >= evaluations:
            raise KeyboardInterrupt

    return listener
