"""Files that are never half-written, and the folder in which results worth keeping are cached."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex

from platformdirs import user_cache_dir
from safetensors import SafetensorError

from codesign_gym.errors import StorageError

CACHE_VARIABLE = "CODESIGN_GYM_CACHE"


def cache_dir(*parts: str) -> Path:
    """The cache folder (or a folder inside it), created if absent.

    It is ``$CODESIGN_GYM_CACHE`` if set, else the user's cache folder of the operating system.
    """
    root = os.environ.get(CACHE_VARIABLE)
    return make_dir((Path(root) if root else Path(user_cache_dir("codesign-gym"))).joinpath(*parts))


def make_dir(path: Path) -> Path:
    """Create a folder with its parents; raises :class:`StorageError` where that is impossible."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot create the folder {path}: {error.strerror or error}") from error
    return path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that takes its place when the block succeeds.

    A reader sees the old file or the new one, never a part. Raises :class:`StorageError` when the
    disk is full or the folder cannot be written; the old file then stays as it was.
    """
    make_dir(path.parent)
    aside: Path | None = None
    try:
        aside = path.with_name(f".{path.stem}.{os.getpid()}.{token_hex(4)}{path.suffix}")
        aside.touch(exist_ok=False)  # with the permissions of any new file, which tempfile would not give it
        yield aside
        with aside.open("rb") as written:
            os.fsync(written.fileno())
        aside.replace(path)
    except (OSError, SafetensorError) as error:  # safetensors tells of a full disk in its own words
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise StorageError(f"cannot write {path}: {reason}") from error
    finally:
        if aside is not None:
            aside.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file as :func:`replacing` does."""
    with replacing(path) as aside:
        aside.write_text(text, encoding="utf-8")


def write_bytes(path: Path, data: bytes) -> None:
    """Write a binary file as :func:`replacing` does."""
    with replacing(path) as aside:
        aside.write_bytes(data)
