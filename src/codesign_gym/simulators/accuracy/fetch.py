"""Get Fashion-MNIST: ``python -m codesign_gym.simulators.accuracy.fetch``.

Debian's package is used where it is installed or can be, else the files are downloaded from where
their authors publish them. Nothing else in this package reaches for the network.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import subprocess
import sys
import zlib
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from codesign_gym.errors import CodesignError, StorageError
from codesign_gym.simulators.accuracy.datasets import FASHION_FILES, find_fashion_mnist
from codesign_gym.storage import cache_dir, write_bytes

#: The authors' own copy (README of github.com/zalandoresearch/fashion-mnist).
URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"

PACKAGE = "dataset-fashion-mnist"

TIMEOUT_S = 60


def fetch() -> Path:
    """The folder with Fashion-MNIST's four files, verified; they are installed or downloaded if absent.

    Raises:
        StorageError: if they cannot be had, or differ from the published ones.
    """
    try:
        folder = find_fashion_mnist()
    except StorageError:
        folder = find_fashion_mnist() if install() else download(cache_dir("data", "fashion-mnist"))
    for name in FASHION_FILES:
        verified((folder / name).read_bytes(), name, str(folder))
    return folder


def install() -> bool:
    """Install Debian's package; False where there is no apt, no right to use it, or no such package."""
    apt = shutil.which("apt-get")
    if apt is None or os.geteuid() != 0:
        return False
    done = subprocess.run([apt, "install", "--yes", PACKAGE], capture_output=True, check=False)
    return done.returncode == 0


def download(folder: Path, url: str = URL) -> Path:
    """Download the four files into ``folder``; each appears there whole and verified, or not at all.

    Raises:
        StorageError: if a file cannot be had, or is not the published one.
    """
    for name in FASHION_FILES:
        source = f"{url}/{name}"
        try:
            with urlopen(source, timeout=TIMEOUT_S) as answer:
                content = answer.read()
        except (URLError, OSError) as error:
            raise StorageError(f"cannot download {source}: {error}") from error
        write_bytes(folder / name, verified(content, name, source))
    return folder


def verified(content: bytes, name: str, where: str) -> bytes:
    """``content`` if it unpacks to the published file of that name.

    The digest is of the uncompressed bytes, because Debian's copies carry another gzip header.

    Raises:
        StorageError: if it does not.
    """
    try:
        digest = hashlib.sha256(gzip.decompress(content)).hexdigest()
    except (OSError, EOFError, zlib.error) as error:
        raise StorageError(f"{name} from {where} is not a gzip file: {error}") from error
    if digest != FASHION_FILES[name]:
        raise StorageError(f"{name} from {where} has SHA-256 {digest[:16]}... unpacked; expected {FASHION_FILES[name]}")
    return content


def main() -> int:
    """Print the folder, or one line that says what went wrong; returns the exit status."""
    try:
        print(fetch())
    except CodesignError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
