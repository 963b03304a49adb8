"""One run as a user sees it: a progress bar, TensorBoard, pictures, the front, and a way to go on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from codesign_gym.errors import StorageError
from codesign_gym.pareto import nondominated
from codesign_gym.storage import replacing
from codesign_gym.training import control, tables
from codesign_gym.training.config import DEFAULT_ENVIRONMENT, RunConfig
from codesign_gym.training.folder import RunFolder
from codesign_gym.training.train import Progress as State
from codesign_gym.training.train import train

#: Options whose values tell runs of one environment apart.
NAMING = ("space", "template", "network", "device")
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
        _write_front(path, table, result)
        plots.of_run(path, table, result)
    return result


def _write_front(path: Path, table: pd.DataFrame, result: Mapping[str, Any]) -> None:
    """The feasible designs that no other beats; of all, where none is feasible.

    Designs are compared by the objectives, and by what else is maximised, where there are several; under one objective
    the rest is what it is traded against, and they are compared by every metric.
    """
    if table.empty:
        return
    wanted, more = tables.objectives(result), tables.maximized(result)
    metrics = [name for name in result["metrics"] if len(wanted) == 1 or name in wanted or name in more]
    kept = tables.feasible_rows(table)
    signs = np.array([-1.0 if name in more else 1.0 for name in metrics])
    best = kept.iloc[nondominated(kept[metrics].to_numpy(dtype=float) * signs)]
    with replacing(path / "front.csv") as aside:
        best.to_csv(aside, index=False)


def front_line(path: Path, result: Mapping[str, Any]) -> str | None:
    """Where the front of a run with several objectives is, and what it comes to; None where there is no such front."""
    if "front" not in result or not (path / "front.csv").is_file():
        return None
    found, count = result["front"], len(pd.read_csv(path / "front.csv"))
    told = f"front: {path / 'front.csv'} ({count} design{'s' * (count != 1)} that no other beats)"
    return f"{told}; {tables.hypervolume(found)}"


def default_path(config: RunConfig) -> Path:
    """A folder name that tells what is in it."""
    named = [value for name in NAMING if (value := config.options.get(name))]
    short = re.sub(r"-v\d+$", "", config.env.rpartition("/")[2])
    environment = [] if config.env == DEFAULT_ENVIRONMENT else [short.lower()]
    parts = [*environment, config.agent, *map(_plain, named), f"seed{config.seed}"]
    return Path("runs") / "-".join(map(_plain, parts))


def _plain(value: Any) -> str:
    """An option's value as a part of a file's name: of paths the last part, of several values all."""
    names = [value] if isinstance(value, str) else list(value) if isinstance(value, Iterable) else [str(value)]
    return "_".join("".join(c if c.isalnum() or c in "-." else "_" for c in Path(str(n)).name) for n in names)


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
