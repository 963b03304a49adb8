"""NASA's auto-mapper: a mapping for every layer such that a network needs the least energy times delay.

Chunks work side by side on different images, so an image's energy is a sum over all layers and the delay between
images, the period, that of the busiest chunk, or of DRAM, which all chunks use. They share the global buffer, which is
given out in banks: a chunk's tiles, those of its largest layer, fit its banks.

:func:`auto_map` prices time: every layer takes the candidate with the least energy + price * latency. A sweep of prices
gives the lower convex hull of each chunk's (energy, busy time) at every number of banks, and the chunks' hulls are put
together under a common period. What this leaves out are points above the hulls;
:func:`~codesign_gym.simulators.hardware.chunked.exact.least_edp` has them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from codesign_gym.errors import Infeasible
from codesign_gym.pareto import nondominated
from codesign_gym.simulators.hardware.chunked.cost import OPERATORS
from codesign_gym.simulators.hardware.chunked.mappings import MappingTable

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

#: Banks of the global buffer.
BANKS = 12

#: Prices of time, in units of the network's ratio of energy to time.
PRICES = np.concatenate([[0.0], np.geomspace(1e-3, 1e3, 61)])

#: Passes of :func:`_improved`, each of which costs every candidate of every layer once.
PASSES = 3


@dataclass(frozen=True, eq=False)
class Menu:
    """The candidates of every layer that are worth a look, arrays of shape (layers, options), padded with inf.

    Attributes:
        chunk: of each layer, (layers,).
        energy_j, latency_s, dram_s: as in :class:`MappingTable`.
        banks: that the candidate's tiles take.
        candidate: position in the table, -1 where padded.
        families: which options belong to each family, (families, layers, options).
    """

    chunk: Ints
    energy_j: Floats
    latency_s: Floats
    dram_s: Floats
    banks: Floats
    candidate: Ints
    families: Bools

    @classmethod
    def of(cls, table: MappingTable, buffer_bytes: float, families: Sequence[Bools], banks: int) -> Menu:
        """The valid candidates of which no other of the same family takes less of everything.

        Args:
            table: every candidate.
            buffer_bytes: of the global buffer.
            families: masks of the table's candidates, (candidates,) each.
            banks: in which the buffer is given out.

        Raises:
            Infeasible: naming the first layer that does not fit by itself.
        """
        columns = np.stack(
            [table.energy_j, table.latency_s, table.dram_s, np.ceil(table.buffer_bytes / (buffer_bytes / banks))], -1
        )
        kept = []
        for row, valid in zip(columns, table.valid & (columns[..., -1] <= banks), strict=True):
            members = [np.flatnonzero(valid & family) for family in families]
            kept.append(np.unique(np.concatenate([own[nondominated(row[own])] for own in members])))
            if not len(kept[-1]):
                raise Infeasible(f"no mapping of layer {len(kept) - 1} fits a global buffer of {buffer_bytes:g} B")
        width = max(len(row) for row in kept)
        candidate = np.stack([np.pad(row, (0, width - len(row)), constant_values=-1) for row in kept])
        there = candidate >= 0
        picked = np.take_along_axis(columns, candidate[..., None].clip(0), axis=1)
        energy, latency, dram, needed = np.moveaxis(np.where(there[..., None], picked, np.inf), -1, 0)
        return cls(table.chunk, energy, latency, dram, needed, candidate, np.stack(families)[:, candidate] & there)

    def __len__(self) -> int:
        return len(self.chunk)

    def pick(self, options: Ints) -> Floats:
        """Energy, latency, DRAM time and banks of options (..., layers), shape (4, ..., layers)."""
        rows = np.arange(len(self))
        return np.stack([c[rows, options] for c in (self.energy_j, self.latency_s, self.dram_s, self.banks)])

    def totals(self, options: Ints) -> tuple[Floats, Floats, Floats]:
        """Energy and period of options (..., layers), and the banks of all chunks together, each of shape (...)."""
        energy, latency, dram, banks = self.pick(options)
        mine = self.chunk == np.arange(len(OPERATORS))[:, None]  # (chunks, layers)
        busy = (latency[..., None, :] * mine).sum(-1).max(-1)
        taken = (banks[..., None, :] * mine).max(-1).sum(-1)
        return energy.sum(-1), np.maximum(busy, dram.sum(-1)), taken


@dataclass(frozen=True, eq=False)
class Mapped:
    """A network's mapping.

    Attributes:
        candidate: position in the mapping table of every layer's, (layers,).
        energy_j: of an image.
        period_s: between images.
        banks: of the global buffer that all chunks take.
    """

    candidate: Ints
    energy_j: float
    period_s: float
    banks: int

    @property
    def edp_js(self) -> float:
        """Energy times period."""
        return self.energy_j * self.period_s


def auto_map(
    table: MappingTable, buffer_bytes: float, families: Sequence[Bools] | None = None, banks: int = BANKS
) -> Mapped:
    """The mapping that the auto-mapper finds.

    Args:
        table: every layer's candidates.
        buffer_bytes: of the global buffer.
        families: masks of candidates, (candidates,) each, of which every chunk keeps to one (its dataflow); by default
            every layer chooses freely.
        banks: in which the buffer is given out.

    Raises:
        Infeasible: if the chunks' smallest tiles do not fit the buffer together.
    """
    menu = Menu.of(table, buffer_bytes, families or [np.asarray(table.valid.any(0))], banks)
    return _mapped(menu, _improved(menu, _priced(menu, banks), banks))


def _mapped(menu: Menu, options: Ints) -> Mapped:
    energy, period, taken = menu.totals(options)
    return Mapped(menu.candidate[np.arange(len(menu)), options], float(energy), float(period), int(taken))


@dataclass(frozen=True, eq=False)
class _Hulls:
    """What a chunk can do, (shares, points): with 0 to all banks, at every price and in every family of candidates.

    Attributes:
        energy_j, busy_s, dram_s: inf where a layer does not fit.
        options: of the chunk's layers, (shares, points, own layers).
    """

    energy_j: Floats
    busy_s: Floats
    dram_s: Floats
    options: Ints

    @classmethod
    def of(cls, menu: Menu, own: Ints, banks: int) -> _Hulls:
        """The hulls of a chunk with layers ``own`` (own layers,)."""
        energy, latency, needed = menu.energy_j[own], menu.latency_s[own], menu.banks[own]
        scale = menu.energy_j.min(-1).sum() / max(menu.latency_s.min(-1).sum(), 1e-30)
        options = np.zeros((banks + 1, len(menu.families), len(PRICES), len(own)), dtype=np.int64)
        fits = np.ones(options.shape[:2], dtype=bool)
        for share in range(banks + 1):
            for number, family in enumerate(menu.families):
                open_ = family[own] & (needed <= share)
                fits[share, number] = open_.any(-1).all()
                if fits[share, number]:
                    price = scale * PRICES[:, None, None]
                    with np.errstate(invalid="ignore"):  # 0 * inf where the menu is padded
                        options[share, number] = np.where(open_, energy + price * latency, np.inf).argmin(-1)
        rows = np.arange(len(own))
        columns = [(c[own][rows, options]).sum(-1) for c in (menu.energy_j, menu.latency_s, menu.dram_s)]
        energy, busy, dram = (np.where(fits[..., None], c, np.inf).reshape(banks + 1, -1) for c in columns)
        return cls(energy, busy, dram, options.reshape(banks + 1, -1, len(own)))

    def cheapest(self, limits: Floats) -> Ints:
        """The point of least energy that is busy no longer than each limit, (shares, limits); any where none is."""
        late = self.busy_s[:, None, :] > limits[:, None]
        return np.asarray(np.where(late, np.inf, self.energy_j[:, None, :]).argmin(-1))


def _priced(menu: Menu, banks: int) -> Ints:
    """The best combination of the chunks' hulls under a common period, options (layers,)."""
    owned = [np.flatnonzero(menu.chunk == chunk) for chunk in range(len(OPERATORS))]
    hulls = [_Hulls.of(menu, own, banks) for own in owned]
    limits = np.unique(np.concatenate([hull.busy_s.ravel() for hull in hulls]))
    limits = limits[np.isfinite(limits)]
    if not all(np.isfinite(hull.busy_s[-1]).any() for hull in hulls):
        raise Infeasible(f"the chunks' smallest tiles do not fit a global buffer of {banks} banks")
    shares = np.stack(np.meshgrid(*[np.arange(banks + 1)] * len(owned), indexing="ij"), -1).reshape(-1, len(owned))
    shares = shares[shares.sum(-1) == banks]  # (splits, chunks)
    energy, period, dram = np.zeros((3, len(shares), len(limits)))
    points = []
    for hull, share in zip(hulls, shares.T, strict=True):
        point = hull.cheapest(limits)[share]  # (splits, limits)
        points.append(point)
        energy += hull.energy_j[share[:, None], point]
        dram += hull.dram_s[share[:, None], point]
        period = np.maximum(period, hull.busy_s[share[:, None], point])
    product = energy * np.maximum(period, dram)
    split, limit = np.unravel_index(int(product.argmin()), product.shape)
    if not np.isfinite(product[split, limit]):
        raise Infeasible(f"the chunks' smallest tiles do not fit a global buffer of {banks} banks together")
    options = np.zeros(len(menu), dtype=np.int64)
    for own, hull, share, point in zip(owned, hulls, shares[split], points, strict=True):
        options[own] = hull.options[share, point[split, limit]]
    return options


def _improved(menu: Menu, options: Ints, banks: int) -> Ints:
    """Layer by layer, the option that makes the product least beside the others', as long as that helps."""
    layers = np.arange(len(menu))
    within = menu.families[:, layers, options]  # (families, layers)
    family = [int(within[:, menu.chunk == chunk].all(-1).argmax()) for chunk in range(len(OPERATORS))]
    open_ = menu.families[np.array(family)[menu.chunk], layers]  # (layers, options)
    for _ in range(PASSES):
        before = options.copy()
        for layer in layers:
            tried = np.flatnonzero(open_[layer])
            trial = np.repeat(options[None], len(tried), axis=0)
            trial[:, layer] = tried
            energy, period, taken = menu.totals(trial)
            options = trial[np.where(taken <= banks, energy * period, np.inf).argmin()]
        if (options == before).all():
            break
    return options
