from __future__ import annotations

import os
import pickle
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from codesign_gym.errors import StorageError
from codesign_gym.simulators.accuracy.memo import Memo, Result


def result(number: int, images: int = 21) -> Result:
    return Result(np.random.default_rng(number).random(images) < 0.5, number / 7)


def assert_same(one: Result, other: Result) -> None:
    np.testing.assert_array_equal(one.correct, other.correct)
    assert one.loss == other.loss


def write_hundred(path: Path, start: int) -> None:
    for number in range(start, start + 100):
        Memo(path).put(b"%d" % number, result(number))


def test_what_is_put_is_found(tmp_path: Path) -> None:
    memo = Memo(tmp_path / "new" / "memo.sqlite")
    assert memo.get_many([b"1"]) == {}
    write_hundred(memo.path, 0)
    found = pickle.loads(pickle.dumps(memo)).get_many([b"%d" % number for number in range(2000)])
    assert len(found) == 100
    for number in range(100):
        assert_same(found[b"%d" % number], result(number))


def test_a_second_put_replaces(tmp_path: Path) -> None:
    memo = Memo(tmp_path / "memo.sqlite")
    memo.put(b"k", result(1))
    memo.put(b"k", result(2, images=16))
    assert_same(memo.get_many([b"k"])[b"k"], result(2, images=16))


HUNDRED = """
import sys
from pathlib import Path
import numpy as np
from codesign_gym.simulators.accuracy.memo import Memo, Result
start = int(sys.argv[2])
for number in range(start, start + 100):
    Memo(Path(sys.argv[1])).put(b"%d" % number, Result(np.full(9, True), float(number)))
"""


def test_two_processes_write_at_once(tmp_path: Path) -> None:
    memo = Memo(tmp_path / "memo.sqlite")
    writers = [subprocess.Popen([sys.executable, "-c", HUNDRED, str(memo.path), start]) for start in ("0", "100")]
    assert [writer.wait() for writer in writers] == [0, 0]
    found = memo.get_many([b"%d" % number for number in range(200)])
    assert [found[b"%d" % number].loss for number in range(200)] == list(range(200))


ENDLESS = """
import sys
from pathlib import Path
import numpy as np
from codesign_gym.simulators.accuracy.memo import Memo, Result
memo = Memo(Path(sys.argv[1]))
for number in range(10**9):
    memo.put(b"%d" % number, Result(np.full(1000, True), 0.5))
    print(number, flush=True)
"""


def test_a_killed_writer_loses_nothing_it_had_stored(tmp_path: Path) -> None:
    memo = Memo(tmp_path / "memo.sqlite")
    with subprocess.Popen([sys.executable, "-c", ENDLESS, str(memo.path)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        for _ in range(40):
            last = int(writer.stdout.readline())
        os.kill(writer.pid, signal.SIGKILL)
        rest = [int(line) for line in writer.stdout.read().split("\n") if line]
    assert writer.returncode == -signal.SIGKILL
    stored = max([last, *rest])
    found = memo.get_many([b"%d" % number for number in range(stored + 1)])
    assert len(found) == stored + 1
    assert all(len(entry.correct) == 1000 and entry.correct.all() for entry in found.values())
    memo.put(b"after", result(5))
    assert_same(memo.get_many([b"after"])[b"after"], result(5))


@pytest.mark.parametrize(
    "content", [b"not a database, and longer than a header" * 9, b"SQLite format 3\0" + b"\xff" * 200]
)
def test_a_corrupt_file_is_one_line(tmp_path: Path, content: bytes) -> None:
    memo = Memo(tmp_path / "memo.sqlite")
    memo.path.write_bytes(content)
    for act in (lambda: memo.get_many([b"k"]), lambda: memo.put(b"k", result(1))):
        with pytest.raises(StorageError, match=r"memo\.sqlite: .*; if the file is damaged, delete it") as caught:
            act()
        assert "\n" not in str(caught.value)


def test_a_damaged_row_is_one_line(tmp_path: Path) -> None:
    memo = Memo(tmp_path / "memo.sqlite")
    memo.put(b"k", result(1))
    connection = sqlite3.connect(memo.path)
    with connection:
        connection.execute("UPDATE results SET images = 400")
    connection.close()
    with pytest.raises(StorageError, match="3 bytes for 400 images"):
        memo.get_many([b"k"])


def test_an_unwritable_place_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot create the folder"):
        Memo(tmp_path / "file" / "memo.sqlite").put(b"k", result(1))
    (tmp_path / "folder.sqlite").mkdir()
    with pytest.raises(StorageError, match=r"folder\.sqlite"):
        Memo(tmp_path / "folder.sqlite").put(b"k", result(1))


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    full = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from codesign_gym.errors import StorageError
from codesign_gym.simulators.accuracy.memo import Memo, Result
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
memo = Memo(Path(sys.argv[1]))
memo.put(b"first", Result(np.full(8, True), 0.5))
resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
try:
    memo.put(b"second", Result(np.full(10**6, True), 0.5))
except StorageError as error:
    print(error)
print(len(memo.get_many([b"first", b"second"])))
"""
    done = subprocess.run(
        [sys.executable, "-c", full, str(tmp_path / "memo.sqlite")], capture_output=True, text=True, check=True
    )
    message, count = done.stdout.splitlines()
    assert message.startswith("evaluations in ")
    assert count == "1"
