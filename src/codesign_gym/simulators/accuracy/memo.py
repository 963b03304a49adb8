"""Measured results on disk: each is stored at once, found again by everything that it depends on."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from codesign_gym.errors import StorageError
from codesign_gym.storage import cache_dir, make_dir

#: Seconds a process waits for another one's write.
PATIENCE_S = 60.0

#: Keys per query; SQLite's oldest limit on parameters is 999.
CHUNK = 500


@dataclass(frozen=True, eq=False)
class Result:
    """What one evaluation measured.

    Attributes:
        correct: whether each image of the split was classified correctly, bool of shape (n,).
        loss: mean cross-entropy over the split, in nats.
    """

    correct: np.ndarray
    loss: float


@dataclass(frozen=True)
class Memo:
    """A table of results in an SQLite file, shared by any number of processes.

    A process killed at any moment loses at most the result it had not finished. The file is opened
    for each call, so the object may be pickled and used after a fork.

    Attributes:
        path: the file; it and its folder are created when the first result is stored.
    """

    path: Path

    @classmethod
    def default(cls) -> Memo:
        """The one in the cache folder."""
        return cls(cache_dir("evaluations") / "accuracy.sqlite")

    def get_many(self, keys: Sequence[bytes]) -> dict[bytes, Result]:
        """The stored results among ``keys``.

        Raises:
            StorageError: if the file cannot be read or is not a memo.
        """
        if not self.path.exists():
            return {}
        found: dict[bytes, Result] = {}
        with self._open() as connection:
            for start in range(0, len(keys), CHUNK):
                asked = list(keys[start : start + CHUNK])
                marks = ",".join("?" * len(asked))
                rows = connection.execute(
                    f"SELECT key, images, correct, loss FROM results WHERE key IN ({marks})", asked
                )
                found.update((key, _unpack(images, correct, loss)) for key, images, correct, loss in rows)
        return found

    def put(self, key: bytes, result: Result) -> None:
        """Store a result; on return it survives the process.

        Raises:
            StorageError: if the disk is full, or the file cannot be written or is not a memo.
        """
        make_dir(self.path.parent)
        row = (key, len(result.correct), np.packbits(result.correct).tobytes(), result.loss)
        with self._open() as connection:
            connection.execute("INSERT OR REPLACE INTO results VALUES (?, ?, ?, ?)", row)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """A connection in autocommit mode: every statement is a transaction of its own."""
        try:
            with closing(sqlite3.connect(self.path, timeout=PATIENCE_S, isolation_level=None)) as connection:
                # The rollback journal works on every file system; NORMAL spares one of two flushes a write and
                # risks only a power cut, not a killed process.
                connection.execute("PRAGMA synchronous = NORMAL")
                connection.execute(
                    "CREATE TABLE IF NOT EXISTS results "
                    "(key BLOB PRIMARY KEY, images INTEGER NOT NULL, correct BLOB NOT NULL, loss REAL NOT NULL) "
                    "WITHOUT ROWID"
                )
                yield connection
        except (sqlite3.Error, ValueError) as error:
            raise StorageError(f"evaluations in {self.path}: {error}; if the file is damaged, delete it") from error


def _unpack(images: int, correct: bytes, loss: float) -> Result:
    if len(correct) != -(-images // 8):
        raise ValueError(f"a row has {len(correct)} bytes for {images} images")
    return Result(np.unpackbits(np.frombuffer(correct, dtype=np.uint8), count=images).astype(bool), loss)
