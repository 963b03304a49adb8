"""Reading the files that importers are given, of which nothing is known but the path."""

from __future__ import annotations

from pathlib import Path

from codesign_gym.errors import StorageError


def content(path: Path, largest: int) -> bytes:
    """The bytes of a regular file of at most ``largest`` bytes.

    Raises:
        StorageError: if there is none, it cannot be read, or it is larger.
    """
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise StorageError(f"{path}: cannot be read: not a file")
        if size > largest:
            raise StorageError(f"{path}: {size} bytes; accepted: at most {largest}")
        return path.read_bytes()
    except OSError as error:
        raise StorageError(f"{path}: cannot be read: {error.strerror or error}") from error
