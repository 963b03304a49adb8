"""What MAERI's read ports send in one fold: which multiplier wants which word, and words sent once to several.

Virtual neurons lie side by side in the order N, G, K, X', Y' (the last runs fastest), and the products of
one in the order C, R, S behind the multiplier of its partial sum, if it has one. Columns are of shape
(cases, multipliers), and everything is int64 NumPy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from codesign_gym.simulators.hardware.stonne.networks import Hardware
from codesign_gym.simulators.hardware.stonne.tiles import Ints, Loops


class Sent(NamedTuple):
    """A quantity for each kind of word."""

    weights: Ints
    inputs: Ints
    newest: Ints  # inputs of the newest column of the windows
    partial: Ints  # sums


@dataclass(frozen=True, eq=False)
class Places:
    """The multipliers of every case: the word that each wants, and who wants one of each kind."""

    word: Sent  # (cases, multipliers) which word
    wants: tuple[NDArray[np.bool_], ...]  # as Sent
    place: Ints  # (1, multipliers)
    hardware: Hardware

    def words(self) -> Sent:
        """Words that each read port sends, columns of shape (cases, ports)."""
        width = self.hardware.port_width[:, None]
        ports = int(self.hardware.read_ports.max(initial=1))
        port = np.broadcast_to(self.place // width, self.word.weights.shape)
        return Sent(*(_distinct(word, port, want, ports) for word, want in zip(self.word, self.wants, strict=True)))

    def hops(self) -> tuple[Sent, Sent]:
        """Links and switches of the distribution trees that all words together take, columns of shape (cases,).

        A port's tree has a leaf for every multiplier; a word passes each part of the tree once.
        """
        width = self.hardware.port_width
        links, switches = ([np.zeros_like(width) for _ in self.word] for _ in range(2))
        for height in range(int(width.max(initial=1)).bit_length()):
            inside = (width >> height) > 0
            part = np.broadcast_to(self.place >> height, self.word.weights.shape)
            for kind, (word, want) in enumerate(zip(self.word, self.wants, strict=True)):
                taken = _distinct(word, part, want, part.shape[1]).sum(-1) * inside
                links[kind] += taken
                switches[kind] += taken * (height > 0)
        return Sent(*links), Sent(*switches)


def places(tiles: Loops, stride: Ints, returns: NDArray[np.bool_], hardware: Hardware) -> Places:
    """The multipliers under tiles; ``returns`` says whether partial sums come back.

    All arguments are columns of shape (cases,).
    """
    place = np.arange(int(hardware.multipliers.max(initial=1)))[None]
    size = (tiles.neuron + returns)[:, None]
    neuron, inside = place // size, place % size - returns[:, None]
    used = neuron < tiles.neurons[:, None]
    r, s, c, k, g, _, x, y = (tile[:, None] for tile in tiles)
    step = stride[:, None]
    column, rest = inside % s, inside // s
    row, channel = rest % r, rest // r
    at_y, rest = neuron % y, neuron // y
    at_x, rest = rest % x, rest // x
    at_k, rest = rest % k, rest // k
    at_g, image = rest % g, rest // g
    high, wide = (x - 1) * step + r, (y - 1) * step + s  # the window of all positions together
    weight = (((at_g * k + at_k) * c + channel) * r + row) * s + column
    source = (((image * g + at_g) * c + channel) * high + at_x * step + row) * wide + at_y * step + column
    product = used & (inside >= 0)
    wants = (product, product, product & (column == s - 1), used & (inside < 0))
    return Places(Sent(weight, source, source, neuron), wants, place, hardware)


def _distinct(word: Ints, part: Ints, wanted: NDArray[np.bool_], parts: int) -> Ints:
    """How many distinct words are wanted in each part of the multipliers, shape (cases, parts)."""
    words = int(word.max(initial=0)) + 1
    key = np.sort(np.where(wanted, part * words + word, parts * words), axis=-1)
    fresh = np.ones(key.shape, dtype=bool)
    fresh[:, 1:] = key[:, 1:] != key[:, :-1]
    case = np.arange(key.shape[0])[:, None] * (parts + 1)
    counted = np.bincount((case + key // words)[fresh], minlength=key.shape[0] * (parts + 1))
    return counted.reshape(-1, parts + 1)[:, :parts]
