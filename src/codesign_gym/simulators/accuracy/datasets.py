"""Real images: scikit-learn's digits, Fashion-MNIST, and folders of pictures."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from codesign_gym.errors import BadConfig, StorageError
from codesign_gym.simulators.accuracy.splits import Split, Splits, fingerprint, stratified
from codesign_gym.storage import cache_dir

DATA_VARIABLE = "CODESIGN_GYM_DATA"

#: Where Debian's package ``dataset-fashion-mnist`` puts its files.
DEBIAN_FASHION = Path("/usr/share/datasets/fashion-mnist")

#: The four files of Fashion-MNIST (Xiao et al. 2017) with the SHA-256 of their uncompressed content.
FASHION_FILES = {
    "train-images-idx3-ubyte.gz": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte.gz": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte.gz": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte.gz": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".ppm", ".pgm")


def digits(calibration: int = 97, search: int = 500, test: int = 500, seed: int = 0) -> Splits:
    """scikit-learn's 1,797 handwritten digits, 1x8x8, in [0, 1].

    Search and test hold 500 images each, so that half a point is 2.5 images; the 700 left train to 97 %.
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = (bunch.images[:, None] / 16).astype(np.float32)
    labels = bunch.target.astype(np.int64)
    sizes = (len(labels) - calibration - search - test, calibration, search, test)
    generator = np.random.default_rng(seed)
    train, fit, select, claim = (Split(images[index], labels[index]) for index in stratified(labels, sizes, generator))
    return Splits(train, fit, select, claim, fingerprint(images, labels, f"digits {sizes} {seed}"))


def fashion_mnist(calibration: int = 512, search: int = 1000, seed: int = 0) -> Splits:
    """Fashion-MNIST, 1x28x28, in [0, 1]: the official 10,000 test images are the test split.

    Search holds 1,000 images so that one thread measures about three designs a second; its errors are
    three times those of the test split, which is why claims are made there. 512 calibration images
    give every layer of the shipped networks at least 32,768 activations to fit a clipping range to.
    The other 58,488 train.

    Raises:
        StorageError: if the files are absent, with how to get them, or are not what they should be.
    """
    folder = find_fashion_mnist()
    train_images, train_labels, test_images, test_labels = (
        read_idx(folder / name, dimensions) for name, dimensions in zip(FASHION_FILES, (3, 1, 3, 1), strict=True)
    )
    sizes = (len(train_labels) - calibration - search, calibration, search)
    generator = np.random.default_rng(seed)
    train, fit, select = (
        _scaled(train_images[index], train_labels[index]) for index in stratified(train_labels, sizes, generator)
    )
    mark = fingerprint(train_images, train_labels, test_images, test_labels, f"fashion-mnist {sizes} {seed}")
    return Splits(train, fit, select, _scaled(test_images, test_labels), mark)


def fashion_mnist_folders() -> list[Path]:
    """Where Fashion-MNIST is looked for: ``$CODESIGN_GYM_DATA``, the cache, Debian's folder."""
    own = os.environ.get(DATA_VARIABLE)
    roots = [Path(own), Path(own) / "fashion-mnist"] if own else []
    return [*roots, cache_dir("data", "fashion-mnist"), DEBIAN_FASHION]


def find_fashion_mnist() -> Path:
    """The first of :func:`fashion_mnist_folders` that has the four files.

    Raises:
        StorageError: if none has, saying how to get them.
    """
    for folder in fashion_mnist_folders():
        if all((folder / name).is_file() for name in FASHION_FILES):
            return folder
    raise StorageError(
        "Fashion-MNIST is not here; run `make data` (or install Debian's package dataset-fashion-mnist), or point "
        f"${DATA_VARIABLE} at the folder with {', '.join(FASHION_FILES)}"
    )


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """A gzipped IDX file of bytes (LeCun's format), uint8 with the given number of dimensions.

    Raises:
        StorageError: if the file cannot be read or is not such a file.
    """
    try:
        raw = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise StorageError(f"cannot read {path}: {error}") from error
    start = 4 + 4 * dimensions
    # Magic number: two zero bytes, 0x08 for unsigned bytes, the number of dimensions.
    right = len(raw) >= start and raw[:4] == bytes((0, 0, 8, dimensions))
    shape = tuple(np.frombuffer(raw[4:start], dtype=">u4").astype(int)) if right else ()
    if not right or len(raw) - start != np.prod(shape):
        raise StorageError(f"{path} is not an IDX file of bytes with {dimensions} dimensions; run `make data` again")
    return np.frombuffer(raw, dtype=np.uint8, offset=start).reshape(shape)


def image_folder(
    path: str | Path,
    size: int = 224,
    channels: int = 3,
    shares: Sequence[float] = (0.7, 0.05, 0.1, 0.15),
    per_class: int | None = None,
    seed: int = 0,
) -> Splits:
    """Pictures in a folder a class, as ImageNet has them; values in [0, 1].

    Where ``path`` holds ``train`` and ``val``, the pictures of ``val`` are the test split and those of
    ``train`` are divided among the other three; else all are divided. Each picture's shorter side
    is scaled to ``size`` and its centre is cut out. All pictures are held in memory.

    Args:
        path: the folder.
        size: height and width, in pixels.
        channels: 3 for colour, 1 for grey.
        shares: of train, calibration, search and test; with a ``val`` folder the last is not used.
        per_class: read at most so many pictures a class and folder, the first by name.
        seed: of the division.

    Raises:
        BadConfig: if there is no such folder, no class or no picture in one, or a bad option.
        StorageError: if a picture cannot be read.
    """
    root = Path(path).expanduser()
    if channels not in (1, 3) or size < 1 or len(shares) != 4 or min(shares) <= 0:
        raise BadConfig(
            f"image folder {root}: size is {size}, channels {channels}, shares {tuple(shares)}; accepted: a positive "
            "size, 1 or 3 channels, four positive shares"
        )
    official = (root / "train").is_dir() and (root / "val").is_dir()
    names = _classes(root / "train" if official else root)
    images, labels = _pictures(root / "train" if official else root, names, size, channels, per_class)
    used = np.asarray(shares[:3] if official else shares)
    sizes = [int(count) for count in len(labels) * used / used.sum()]
    sizes[0] += len(labels) - sum(sizes)
    pieces = [(images[i], labels[i]) for i in stratified(labels, sizes, np.random.default_rng(seed))]
    if official:
        pieces.append(_pictures(root / "val", names, size, channels, per_class))
    return Splits.of(pieces, f"image folder {root}")


def _scaled(images: np.ndarray, labels: np.ndarray) -> Split:
    """Bytes (n, height, width) as float32 in [0, 1] with one channel."""
    return Split(images[:, None].astype(np.float32) / np.float32(255), labels.astype(np.int64))


def _classes(root: Path) -> list[str]:
    names = sorted(child.name for child in root.iterdir() if child.is_dir()) if root.is_dir() else []
    if not names:
        raise BadConfig(f"image folder {root}: expected a folder a class; there is none")
    return names


def _pictures(
    root: Path, names: Sequence[str], size: int, channels: int, per_class: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Images (n, channels, size, size) and labels (n,) of the class folders under ``root``."""
    found = {name: _files(root / name)[:per_class] for name in names}
    if empty := [name for name, files in found.items() if not files]:
        raise BadConfig(f"image folder {root}: class {empty[0]!r} has no picture ({', '.join(SUFFIXES)})")
    images = np.stack([_picture(file, size, channels) for files in found.values() for file in files])
    return images, np.repeat(np.arange(len(names)), [len(files) for files in found.values()])


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.glob("*") if file.suffix.lower() in SUFFIXES)


def _picture(path: Path, size: int, channels: int) -> np.ndarray:
    """One picture, float32 of shape (channels, size, size)."""
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as picture:
            fitted = ImageOps.fit(picture.convert("RGB" if channels == 3 else "L"), (size, size))
    except (OSError, ValueError) as error:
        raise StorageError(f"cannot read the picture {path}: {error}") from error
    pixels = np.asarray(fitted, dtype=np.float32).reshape(size, size, channels) / np.float32(255)
    return pixels.transpose(2, 0, 1)
