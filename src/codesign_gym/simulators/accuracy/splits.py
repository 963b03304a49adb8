"""Four disjoint sets of labelled images: what trains, what calibrates, what selects, and what is claimed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from codesign_gym.errors import BadConfig

#: The roles of the four splits, in the order a tuple of four names them.
ROLES = ("train", "calibration", "search", "test")


@dataclass(frozen=True, eq=False)
class Split:
    """Labelled images.

    Attributes:
        images: shape (n, channels, height, width), float32.
        labels: shape (n,), int64, from 0.
    """

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class Splits:
    """Disjoint splits of one data set.

    Attributes:
        train: what weights are fitted to.
        calibration: what clipping ranges are fitted to.
        search: what rewards, sensitivities and selection see.
        test: what is claimed; nothing is chosen by it.
        fingerprint: digest of the data; equal data give equal fingerprints.
    """

    train: Split
    calibration: Split
    search: Split
    test: Split
    fingerprint: str

    @classmethod
    def of(cls, data: Any, where: str = "data") -> Splits:
        """Check a user's data and put it in the expected types.

        Args:
            data: a :class:`Splits` (returned as it is), a mapping with the keys :data:`ROLES`, or a
                sequence of four in that order; each entry a pair of images (n, channels, height,
                width) and labels (n,), as anything NumPy reads.
            where: what the data came from, for the error message.

        Raises:
            BadConfig: on a missing split, a wrong shape or type, a NaN, a label out of range, or an
                image that occurs in two splits.
        """
        if isinstance(data, Splits):
            return data
        pairs = _pairs(data, where)
        splits = {role: _split(pairs[role], f"{where}: {role}") for role in ROLES}
        _check_alike(splits, where)
        _check_disjoint(splits, where)
        return cls(**splits, fingerprint=fingerprint(*(a for s in splits.values() for a in (s.images, s.labels))))

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of one image."""
        channels, height, width = self.train.images.shape[1:]
        return channels, height, width

    @property
    def classes(self) -> int:
        """Number of classes."""
        return int(max(split.labels.max() for split in (self.train, self.calibration, self.search, self.test))) + 1

    def role(self, name: str) -> Split:
        """The split of a role.

        Raises:
            BadConfig: naming the roles.
        """
        if name not in ROLES:
            raise BadConfig(f"split is {name!r}; accepted: {', '.join(ROLES)}")
        found: Split = getattr(self, name)
        return found


def fingerprint(*parts: np.ndarray | str) -> str:
    """A digest of arrays (with their shapes and types) and texts."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        if isinstance(part, str):
            digest.update(part.encode())
        else:
            digest.update(f"{part.dtype}{part.shape}".encode())
            digest.update(np.ascontiguousarray(part).data)
        digest.update(b"\0")
    return digest.hexdigest()


def content(images: np.ndarray) -> np.ndarray:
    """A 64-bit hash per image, uint64 of shape (n,): equal images have equal hashes.

    Random odd multipliers modulo 2^64; two different images of 70,000 share one with probability 1e-9.
    """
    words = np.ascontiguousarray(images.reshape(len(images), -1)).view(np.uint32).astype(np.uint64)
    multipliers = np.random.default_rng(0).integers(1, 2**64, words.shape[1], dtype=np.uint64) | np.uint64(1)
    hashes: np.ndarray = (words + np.uint64(1)) @ multipliers
    return hashes


def stratified(labels: np.ndarray, sizes: Sequence[int], generator: np.random.Generator) -> list[np.ndarray]:
    """Disjoint index arrays of the given sizes, each with the classes in about the proportions of ``labels``.

    Args:
        labels: shape (n,).
        sizes: how many of each; they sum to at most n.
        generator: draws the order within each class.

    Returns:
        One sorted index array a size.

    Raises:
        BadConfig: if there are fewer images than asked for.
    """
    if sum(sizes) > len(labels):
        raise BadConfig(f"splits of {', '.join(map(str, sizes))} images need {sum(sizes)}; there are {len(labels)}")
    shuffled = generator.permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    # Spread every class evenly over [0, 1): a contiguous piece of that order has all classes in proportion.
    counts = np.bincount(labels)
    counts = counts[counts > 0]
    place = np.concatenate([(np.arange(count) + generator.random()) / count for count in counts])
    order = by_class[np.argsort(place, kind="stable")]
    return [np.sort(piece) for piece in np.split(order[: sum(sizes)], np.cumsum(sizes)[:-1])]


def _pairs(data: Any, where: str) -> dict[str, Any]:
    if isinstance(data, Mapping):
        if missing := [role for role in ROLES if role not in data]:
            raise BadConfig(f"{where}: split {missing[0]!r} is missing; expected {', '.join(ROLES)}")
        return {role: data[role] for role in ROLES}
    if isinstance(data, Sequence) and not isinstance(data, str) and len(data) == len(ROLES):
        return dict(zip(ROLES, data, strict=True))
    raise BadConfig(
        f"{where}: expected Splits, or a mapping or tuple of four (images, labels) pairs named "
        f"{', '.join(ROLES)}; found {type(data).__name__}"
    )


def _split(pair: Any, where: str) -> Split:
    """One validated split."""
    try:
        given_images, given_labels = pair if not isinstance(pair, Split) else (pair.images, pair.labels)
        images, labels = np.asarray(given_images), np.asarray(given_labels)
    except (TypeError, ValueError) as error:
        raise BadConfig(f"{where}: expected a pair (images, labels), found {type(pair).__name__}") from error
    if images.dtype.kind not in "fiu":
        raise BadConfig(f"{where}: images are of type {images.dtype}; expected numbers")
    if images.ndim != 4 or 0 in images.shape:
        raise BadConfig(
            f"{where}: images have shape {images.shape}; expected (n, channels, height, width), none of them 0"
        )
    if labels.dtype.kind not in "iu" or labels.shape != images.shape[:1]:
        raise BadConfig(
            f"{where}: labels are {labels.dtype} of shape {labels.shape}; expected integers of shape ({len(images)},)"
        )
    if not np.isfinite(images).all():
        raise BadConfig(f"{where}: images hold values that are not finite numbers")
    if labels.min() < 0:
        raise BadConfig(f"{where}: a label is {labels.min()}; labels count from 0")
    return Split(np.ascontiguousarray(images, dtype=np.float32), labels.astype(np.int64))


def _check_alike(splits: Mapping[str, Split], where: str) -> None:
    shape, classes = splits["train"].images.shape[1:], splits["train"].labels.max() + 1
    for role, split in splits.items():
        if split.images.shape[1:] != shape:
            raise BadConfig(f"{where}: {role} images have shape {split.images.shape[1:]}, train images {shape}")
        if split.labels.max() >= classes:
            raise BadConfig(f"{where}: {role} has label {split.labels.max()}; train has labels 0..{classes - 1}")


def _check_disjoint(splits: Mapping[str, Split], where: str) -> None:
    hashes = {role: content(split.images) for role, split in splits.items()}
    for one, other in combinations(splits, 2):
        if shared := len(np.intersect1d(hashes[one], hashes[other])):
            raise BadConfig(f"{where}: {shared} images are in both {one} and {other}; splits must be disjoint")
