from __future__ import annotations

import gzip
import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from codesign_gym.errors import BadConfig, StorageError
from codesign_gym.simulators.accuracy import datasets, fetch
from codesign_gym.simulators.accuracy.splits import ROLES


def idx(array: np.ndarray) -> bytes:
    header = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
    return gzip.compress(header + array.astype(np.uint8).tobytes())


def draw(root: Path, counts: dict[str, int], generator: np.random.Generator, size: tuple[int, int] = (9, 7)) -> Path:
    for name, count in counts.items():
        (root / name).mkdir(parents=True)
        for number in range(count):
            pixels = generator.integers(0, 256, (*size, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number:02d}.png")
    return root


def test_idx_files_are_read_back(tmp_path: Path) -> None:
    array = np.arange(24).reshape(2, 3, 4)
    (tmp_path / "a.gz").write_bytes(idx(array))
    np.testing.assert_array_equal(datasets.read_idx(tmp_path / "a.gz", 3), array)


DAMAGED = {"empty": b"", "text": b"no gzip", "short": gzip.compress(b"no idx"), "cut": idx(np.zeros((2, 2)))[:-9]}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_damaged_idx_files_are_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.gz").write_bytes(content)
    with pytest.raises(StorageError, match=r"a\.gz") as caught:
        datasets.read_idx(tmp_path / "a.gz", 2)
    assert "\n" not in str(caught.value)


def test_absent_fashion_mnist_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "DEBIAN_FASHION", tmp_path / "none")
    monkeypatch.setenv("CODESIGN_GYM_CACHE", str(tmp_path))
    monkeypatch.setenv("CODESIGN_GYM_DATA", str(tmp_path / "mine"))
    with pytest.raises(StorageError, match="make data"):
        datasets.fashion_mnist()
    (tmp_path / "mine").mkdir()
    for name in datasets.FASHION_FILES:
        (tmp_path / "mine" / name).write_bytes(b"")
    assert datasets.find_fashion_mnist() == tmp_path / "mine"


def test_download_verifies_and_leaves_nothing_half_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    good = {name: idx(np.full((2, 2), number)) for number, name in enumerate(datasets.FASHION_FILES)}
    for name, content in good.items():
        (source / name).write_bytes(content)
    digests = {name: hashlib.sha256(gzip.decompress(content)).hexdigest() for name, content in good.items()}
    monkeypatch.setattr(fetch, "FASHION_FILES", digests)
    assert fetch.download(target, source.as_uri()) == target
    assert {file.name: file.read_bytes() for file in target.iterdir()} == good

    last = list(good)[-1]
    (source / last).write_bytes(good["train-images-idx3-ubyte.gz"])
    (target / last).unlink()
    with pytest.raises(StorageError, match=f"{last} from .* has SHA-256"):
        fetch.download(target, source.as_uri())
    assert sorted(file.name for file in target.iterdir()) == sorted(set(good) - {last})
    (source / last).unlink()
    with pytest.raises(StorageError, match="cannot download"):
        fetch.download(target, source.as_uri())


def test_fetch_verifies_what_is_there(fashion: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fetch.main() == 0
    assert capsys.readouterr().out.strip() == str(fashion)


def test_fetch_fails_with_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in datasets.FASHION_FILES:
        (tmp_path / name).write_bytes(idx(np.zeros((1, 1))))
    monkeypatch.setenv("CODESIGN_GYM_DATA", str(tmp_path))
    assert fetch.main() == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_image_folder_divides_all_pictures(tmp_path: Path, generator: np.random.Generator) -> None:
    draw(tmp_path, {"cat": 30, "dog": 20, "eel": 10}, generator)
    splits = datasets.image_folder(tmp_path, size=6, shares=(0.4, 0.2, 0.2, 0.2))
    assert splits.input_shape == (3, 6, 6)
    assert [len(splits.role(role)) for role in ROLES] == [24, 12, 12, 12]
    assert np.bincount(splits.search.labels).tolist() == [6, 4, 2]
    assert splits.train.images.min() >= 0
    assert splits.train.images.max() <= 1


def test_image_folder_keeps_the_official_validation_pictures_for_test(
    tmp_path: Path, generator: np.random.Generator
) -> None:
    draw(tmp_path / "train", {"a": 20, "b": 20}, generator)
    draw(tmp_path / "val", {"a": 3, "b": 4}, generator)
    splits = datasets.image_folder(tmp_path, size=4, channels=1, shares=(0.5, 0.25, 0.25, 0.1))
    assert [len(splits.role(role)) for role in ROLES] == [20, 10, 10, 7]
    assert splits.input_shape == (1, 4, 4)
    assert len(datasets.image_folder(tmp_path, size=4, per_class=2, shares=(1, 1, 1, 1)).test) == 4


def test_image_folder_keeps_colours_and_their_place(tmp_path: Path) -> None:
    for name, colour in (("a", (255, 0, 0)), ("b", (0, 0, 255))):
        (tmp_path / name).mkdir()
        for number in range(4):
            picture = Image.new("RGB", (8, 8), colour)
            picture.putpixel((1, 6), (number * 20, 7, 7))
            picture.save(tmp_path / name / f"{number}.png")
    splits = datasets.image_folder(tmp_path, size=8, shares=(1, 1, 1, 1))
    for role in ROLES:
        split = splits.role(role)
        assert split.images[split.labels == 0][0, :, 0, 0].tolist() == [1, 0, 0]
        assert split.images[0, 1, 6, 1] == np.float32(7 / 255)


def test_bad_image_folders_are_one_line(tmp_path: Path, generator: np.random.Generator) -> None:
    with pytest.raises(BadConfig, match="there is none"):
        datasets.image_folder(tmp_path / "absent")
    draw(tmp_path, {"a": 6, "b": 6, "empty": 0}, generator)
    with pytest.raises(BadConfig, match="class 'empty' has no picture"):
        datasets.image_folder(tmp_path)
    with pytest.raises(BadConfig, match="channels 2"):
        datasets.image_folder(tmp_path, channels=2)
    (tmp_path / "empty" / "0.png").write_bytes(b"no picture")
    with pytest.raises(StorageError, match=r"cannot read the picture .*0\.png"):
        datasets.image_folder(tmp_path, size=4)
