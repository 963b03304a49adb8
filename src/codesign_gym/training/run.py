"""One run as a user sees it: a progress bar, TensorBoard, pictures, the front, and a way to go on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from codesign_gym.errors import StorageError
from codesign_gym.pareto import nondominated
from codesign_gym.storage import replacing
from codesign_gym.training import control
from codesign_gym.training.config import RunConfig
from codesign_gym.training.folder import RunFolder
from codesign_gym.training.train import Progress as State
from codesign_gym.training.train import train

#: What a run writes last.
LAST = Path("plots") / "pareto.png"


def run(config: RunConfig, path: Path, console: Console) -> dict[str, Any]:
    """Train in a folder with everything shown and saved; see :func:`codesign_gym.training.train.train`."""
    from codesign_gym.training import plots

    folder = RunFolder(path)
    if folder.finished and folder.config() == config:
        result = folder.result()
    else:
        with _Bar(config, console) as bar, _TensorBoard(path) as board:
            result = train(config, folder, bar, board)
    if result.get("kind") == "control":
        if not (path / control.ANIMATION).is_file():
            control.draw(folder, {})
        return result
    if not (path / LAST).is_file():  # a kill may have come between the result and its pictures
        table, _ = folder.evaluations()
        _write_front(path, table, list(result["metrics"]))
        plots.of_run(path, table, result)
    return result


def _write_front(path: Path, table: pd.DataFrame, metrics: list[str]) -> None:
    """The feasible designs that no other beats in every metric; of all, where none is feasible."""
    if table.empty:
        return
    kept = table[table["feasible"] > 0] if (table["feasible"] > 0).any() else table
    signs = np.array([-1.0 if name == "accuracy" else 1.0 for name in metrics])
    best = kept.iloc[nondominated(kept[metrics].to_numpy(dtype=float) * signs)]
    with replacing(path / "front.csv") as aside:
        best.to_csv(aside, index=False)


def default_path(config: RunConfig) -> Path:
    """A folder name that tells what is in it."""
    options = config.options
    parts = [config.agent, options.get("network", ""), options.get("device", ""), f"seed{config.seed}"]
    plain = ["".join(c if c.isalnum() or c in "-." else "_" for c in Path(str(part)).name) for part in parts if part]
    return Path("runs") / "-".join(plain)


class _Bar:
    """A progress bar with the rate and the best design so far; silent where nobody watches."""

    def __init__(self, config: RunConfig, console: Console) -> None:
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[best]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self.task = self.progress.add_task(
            f"{config.agent} seed {config.seed}", total=config.evaluations, rate="", best=""
        )

    def __enter__(self) -> _Bar:
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def __call__(self, state: State) -> None:
        task = self.progress.tasks[0]
        rate = f"{task.speed:.1f}/s" if task.speed else ""
        best = "" if state.best is None else " ".join(f"{n} {v:.4g}" for n, v in list(state.best.items())[:2])
        self.progress.update(self.task, completed=state.evaluations, rate=rate, best=f"best {best}" if best else "")


class _TensorBoard:
    """Writes scalars under ``tensorboard/``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.writer: Any = None

    def __enter__(self) -> _TensorBoard:
        return self

    def __exit__(self, *_: object) -> None:
        if self.writer is not None:
            self.writer.close()

    def __call__(self, scalars: Mapping[str, float], evaluation: int) -> None:
        if self.writer is None:
            from torch.utils.tensorboard import SummaryWriter

            self.writer = SummaryWriter(str(self.path / "tensorboard"), flush_secs=10)
        try:
            for name, value in scalars.items():
                self.writer.add_scalar(name, value, evaluation)
        except OSError as error:
            raise StorageError(f"cannot write {self.path / 'tensorboard'}: {error.strerror or error}") from error
