"""A disk that is full or refuses: one clear line, nothing half-written, and the run goes on once there is room."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest
from training_samples import config, finished, outcome, rows

from codesign_gym.errors import StorageError
from codesign_gym.storage import write_text
from codesign_gym.training.folder import LOCK, RunFolder
from codesign_gym.training.train import train


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """No file may grow beyond ``size`` bytes: the operating system refuses, as it does on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def drafts(path: Path) -> list[Path]:
    return [entry for entry in path.rglob(".*") if entry.is_file() and entry.name != LOCK]


def test_the_old_file_stays_where_a_new_one_does_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "note.txt"
    write_text(path, "old")
    with room_for(1000), pytest.raises(StorageError, match=r"cannot write .*note\.txt: File too large"):
        write_text(path, "new" * 1000)
    assert path.read_text() == "old"
    assert drafts(tmp_path) == []


@pytest.mark.parametrize(("agent", "size", "named"), [("random", 1500, "evaluations.csv"), ("ppo", 20_000, "learner")])
def test_a_full_disk_ends_a_run_that_goes_on_once_there_is_room(
    agent: str, size: int, named: str, tmp_path: Path
) -> None:
    whole, parts = finished(tmp_path / "whole", agent), RunFolder(tmp_path / "parts")
    with room_for(size), pytest.raises(StorageError, match=rf"cannot write .*{named}"):
        train(config(agent), parts)
    assert drafts(parts.path) == []
    assert not parts.finished
    train(config(agent), parts)
    pd.testing.assert_frame_equal(rows(whole), rows(parts), check_exact=True)
    assert outcome(whole) == outcome(parts)


@pytest.mark.parametrize("call", range(4))
def test_no_space_at_any_write(call: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Configuration, checkpoint, rows, and what follows: whichever cannot be flushed, the run can go on later."""
    sync, calls = os.fsync, []

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) > call:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(descriptor)

    folder = RunFolder(tmp_path / "run")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StorageError, match="No space left on device"):
            train(config("ppo"), folder)
    assert drafts(folder.path) == []
    train(config("ppo"), folder)
    assert folder.finished


def test_a_draft_that_a_kill_left_behind_is_no_stranger(tmp_path: Path) -> None:
    (tmp_path / ".config.123.abc.json").write_text('{"run": {')
    assert finished(tmp_path, "uniform").finished


def test_a_path_that_cannot_be_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here")
    for path in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(StorageError, match="cannot create the folder"):
            train(config(), RunFolder(path))
    assert (tmp_path / "file").read_text() == "here"


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not bind the superuser")
def test_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(StorageError, match="Permission denied"):
            train(config(), RunFolder(tmp_path / "run"))
    finally:
        tmp_path.chmod(0o700)


def test_a_foreign_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(StorageError, match="is not empty and holds no run"):
        train(config(), RunFolder(tmp_path))
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"run": 3}', '{"run": {"agent": "random"}}', '{"versions": {}}'])
def test_a_damaged_configuration_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(Exception, match=r"config\.json") as caught:
        train(config(), RunFolder(tmp_path))
    assert type(caught.value).__module__ == "codesign_gym.errors"


@pytest.mark.parametrize(
    ("old", "new"), [("design", "designs"), ("loss", "accuracy"), ("-6", "-x"), ("-6", "-3-6"), ("-6", "-66")]
)
def test_damaged_rows_are_named(old: str, new: str, tmp_path: Path) -> None:
    folder = finished(tmp_path, "uniform")
    (tmp_path / "result.json").unlink()
    text = folder.rows.read_text()
    assert old in text
    folder.rows.write_text(text.replace(old, new))
    with pytest.raises(StorageError, match=r"evaluations\.csv is damaged"):
        train(config("uniform"), folder)
