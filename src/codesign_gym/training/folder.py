"""A run on disk: everything is written aside and renamed, or appended line by line, so nothing is half-written."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from filelock import FileLock, Timeout
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from codesign_gym.envs.core.problem import Values
from codesign_gym.envs.core.space import Designs
from codesign_gym.errors import StorageError
from codesign_gym.records import parse
from codesign_gym.storage import make_dir, replacing, write_text
from codesign_gym.training.config import RunConfig, difference

POLICY = "policy.safetensors"
LOCK = ".lock"

#: What every result has.
RESULT = ("metrics", "score", "reference", "constraints", "design", "claims", "ledger")
VERSIONED = ("codesign-gym", "gymnasium", "stable-baselines3", "sb3-contrib", "torch", "numpy")


@dataclass(frozen=True)
class RunFolder:
    """The files of one run.

    | file                             | holds                                                          |
    |----------------------------------|----------------------------------------------------------------|
    | ``config.json``                  | :class:`RunConfig`, and the versions it ran with               |
    | ``evaluations.csv``              | a row per distinct design: when, score, metrics, choices       |
    | ``checkpoints/*.safetensors``    | what a resumed run goes on from                                |
    | ``policy.safetensors``           | the trained policy, without code                               |
    | ``result.json``                  | best design, ledger, claims, under several objectives the      |
    |                                  | front's hypervolume; there when the run has finished           |
    | ``front.csv``                    | designs that no other beats in every metric or objective       |
    | ``plots/*.png``, ``tensorboard/``| pictures and logs                                              |
    | ``.lock``                        | held by the process that runs here                             |
    """

    path: Path

    @property
    def rows(self) -> Path:
        """The evaluations' file."""
        return self.path / "evaluations.csv"

    @property
    def finished(self) -> bool:
        """Whether the run has come to its end."""
        return (self.path / "result.json").is_file()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from running here; the lock goes with the process, however it ends.

        Raises:
            StorageError: if another process runs here, or the folder cannot be written.
        """
        make_dir(self.path)
        lock = FileLock(self.path / LOCK, timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise StorageError(
                f"another process is running in {self.path}; wait for it, or name another --run"
            ) from None
        except OSError as error:
            raise StorageError(f"cannot write {self.path}: {error.strerror or error}") from error
        try:
            yield
        finally:
            lock.release()
            if not (self.path / "config.json").is_file():  # nothing began here
                (self.path / LOCK).unlink(missing_ok=True)

    def open(self, config: RunConfig) -> bool:
        """Begin the run here, or join the one that is here.

        Returns:
            Whether there was one.

        Raises:
            StorageError: if the folder holds something else, or a run of another configuration.
        """
        if (self.path / "config.json").is_file():
            other = difference(self.config(), config)
            if other:
                raise StorageError(f"{self.path} holds a run of another configuration ({other}); name another --run")
            return True
        # A kill while config.json was being written may have left its hidden draft.
        if any(not entry.name.startswith((".config.", LOCK)) for entry in self.path.iterdir()):
            raise StorageError(f"{self.path} is not empty and holds no run; name another --run")
        content = {"run": config.model_dump(), "versions": _versions()}
        write_text(self.path / "config.json", json.dumps(content, indent=2) + "\n")
        return False

    def forget(self) -> None:
        """Leave nothing of a run that could not begin."""
        for name in ("config.json", LOCK):
            (self.path / name).unlink(missing_ok=True)
        with suppress(OSError):  # not empty
            self.path.rmdir()

    def config(self) -> RunConfig:
        """The run's configuration; raises :class:`StorageError` if this is no run folder."""
        content = self._json("config.json")
        if not isinstance(content, dict) or "run" not in content:
            raise StorageError(f"{self.path / 'config.json'} is not a run's configuration")
        return parse(RunConfig, content["run"], str(self.path / "config.json"))

    def result(self) -> dict[str, Any]:
        """The finished run's result; raises :class:`StorageError` if there is none, or if it is something else."""
        content = self._json("result.json")
        missing = [part for part in RESULT if not isinstance(content, dict) or part not in content]
        if missing:
            raise StorageError(f"{self.path / 'result.json'} is not a run's result: it lacks {', '.join(missing)}")
        return dict(content)

    def append(self, start: int, columns: tuple[str, ...], values: Values, designs: Designs, seconds: float) -> None:
        """Add a row per design, at once and durably.

        Args:
            start: number of the first design.
            columns: names of ``values``.
            values: shape (batch, columns).
            designs: choice indices, shape (batch, knobs).
            seconds: since the run began.
        """
        lines = [] if self.rows.exists() else [",".join(["evaluation", "seconds", *columns, "design"])]
        for i, (row, design) in enumerate(zip(values, designs, strict=True)):
            numbers = [f"{value:.17g}" for value in row]
            lines.append(",".join([str(start + i), f"{seconds:.3f}", *numbers, "-".join(map(str, design))]))
        try:
            with self.rows.open("a", encoding="utf-8") as file:
                file.write("\n".join(lines) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise StorageError(f"cannot write {self.rows}: {error.strerror or error}") from error

    def evaluations(self) -> tuple[pd.DataFrame, Designs]:
        """The rows so far and their designs (rows, knobs); a last line that a kill cut short is dropped for good.

        Raises:
            StorageError: if the file is damaged elsewhere.
        """
        if not self.rows.exists():
            return pd.DataFrame(), np.empty((0, 0), dtype=np.int64)
        text = self.rows.read_text(encoding="utf-8", errors="replace")
        if not text.endswith("\n"):
            text = text[: text.rfind("\n") + 1]
            write_text(self.rows, text)
        if text.count("\n") < 2:
            self.rows.unlink()
            return pd.DataFrame(), np.empty((0, 0), dtype=np.int64)
        try:
            table = pd.read_csv(self.rows)
            designs = np.array([[int(c) for c in str(d).split("-")] for d in table["design"]], dtype=np.int64)
        except (ValueError, KeyError, pd.errors.ParserError) as error:
            raise StorageError(f"{self.rows} is damaged: {' '.join(str(error).split())}") from error
        return table, designs

    def save(self, name: str, arrays: Mapping[str, NDArray[Any]], state: Mapping[str, Any]) -> None:
        """Replace a checkpoint; arrays and JSON travel in one file, so they always belong together."""
        self._store(self.path / "checkpoints" / f"{name}.safetensors", arrays, state)

    def read(self, name: str) -> tuple[dict[str, NDArray[Any]], dict[str, Any]] | None:
        """A checkpoint, or None if there is none."""
        path = self.path / "checkpoints" / f"{name}.safetensors"
        return self._load(path) if path.exists() else None

    def policy(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]] | None:
        """The trained policy, or None for an agent without one."""
        path = self.path / POLICY
        return self._load(path) if path.exists() else None

    def save_policy(self, arrays: Mapping[str, NDArray[Any]], state: Mapping[str, Any]) -> None:
        """Keep the trained policy; weights and JSON only, so that it may be shared and loaded without running code."""
        self._store(self.path / POLICY, arrays, state)

    def write(self, name: str, content: Mapping[str, Any]) -> None:
        """Write a JSON file."""
        write_text(self.path / name, json.dumps(content, indent=2) + "\n")

    def _json(self, name: str) -> Any:
        try:
            return json.loads((self.path / name).read_text(encoding="utf-8"))
        except OSError as error:
            if name != "config.json" and (self.path / "config.json").is_file():
                way_on = f"go on with: codesign-gym train --resume {self.path}"
                raise StorageError(f"{self.path} is not a finished run folder: no {name}; {way_on}") from error
            raise StorageError(f"{self.path} is not a run folder: no {name}") from error
        except ValueError as error:
            raise StorageError(f"{self.path / name} is damaged: {' '.join(str(error).split())}") from error

    @staticmethod
    def _store(path: Path, arrays: Mapping[str, NDArray[Any]], state: Mapping[str, Any]) -> None:
        with replacing(path) as aside:
            save_file(
                {name: np.ascontiguousarray(a) for name, a in arrays.items()}, aside, {"state": json.dumps(state)}
            )

    @staticmethod
    def _load(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        try:
            with safe_open(path, framework="numpy") as file:
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a mapping)
                return arrays, json.loads(file.metadata()["state"])
        except (SafetensorError, KeyError, TypeError, ValueError, OSError) as error:
            raise StorageError(f"{path} is damaged or not a checkpoint: {' '.join(str(error).split())}") from error


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for name in VERSIONED:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    return versions
