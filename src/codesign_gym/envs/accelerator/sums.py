"""What a network's layers cost together on designs of a template: by one call of the model, by tables, or by search."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from math import prod
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from codesign_gym.envs.accelerator.costing import per_layer
from codesign_gym.envs.accelerator.template import Template
from codesign_gym.envs.core.space import Designs
from codesign_gym.errors import BadConfig, UnknownName
from codesign_gym.simulators.hardware.model import CostModel, Costs
from codesign_gym.simulators.hardware.sweep import BLOCK, Workload, in_blocks

Sums = Mapping[str, NDArray[np.float64]]

#: Designs whose mappings are searched for at a time: what their layers' mappings move lies in memory together.
TOGETHER = 32


class Network(Protocol):
    """A network on designs of a template."""

    def __call__(self, designs: Designs) -> Sums:
        """Sums over the layers for a batch of images, by name, each (batch,), of designs (batch, knobs)."""
        ...


@dataclass(frozen=True, eq=False)
class Called:
    """The model is called with a batch of designs, in blocks that stay in the cache; equal where all numbers are."""

    template: Template
    work: Workload

    def __call__(self, designs: Designs) -> Sums:
        """See :class:`Network`."""
        names: list[str] = []

        def block(part: slice) -> NDArray[np.float64]:
            chosen = designs[part]
            sums = summed(self.template.model(chosen), self.work, self.template.images(chosen))
            names[:] = sums
            return np.stack([np.broadcast_to(column, (len(chosen),)) for column in sums.values()], -1)

        found = in_blocks(block, len(designs), len(self.work.repeats), BLOCK)
        return dict(zip(names, found.T, strict=True))

    @cached_property
    def _numbers(self) -> tuple[Any, ...]:
        """All that an answer hangs on."""
        arrays = (*vars(self.work.layers).values(), self.work.bits, self.work.repeats)
        content = self.template.file.model_dump_json()
        return content, self.template.device.model, self.template.device.batch, *(array.tobytes() for array in arrays)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Called) and self._numbers == other._numbers

    def __hash__(self) -> int:
        return hash(self._numbers)


@dataclass(frozen=True, eq=False)
class Tabulated:
    """Sums that hang on some knobs alone are made once for all of their combinations, and looked up.

    Of CODEBench's 69,957,888 designs that takes the costs of 49,800: 37,632 of the array at each batch, 1,014 of the
    buffers, 11,154 of buffers and memory.
    """

    called: Called

    def __call__(self, designs: Designs) -> Sums:
        """See :class:`Network`."""
        found = {}
        for knobs, sizes, columns in _tables(self.called):
            row = np.ravel_multi_index(tuple(designs[:, knobs].T), sizes)
            found.update({name: column[row] for name, column in columns.items()})
        return found


@lru_cache(maxsize=16)
def _tables(called: Called) -> list[tuple[list[int], tuple[int, ...], Sums]]:
    """For each table its knobs, their numbers of choices, and its columns over their combinations.

    Raises:
        BadConfig: for a column that the model does not have.
    """
    file = called.template.file
    made: list[tuple[list[int], tuple[int, ...], Sums]] = []
    for table in file.tables:
        knobs = [called.template.position(name) for name in table.knobs]
        sizes = tuple(len(file.knobs[knob].values) for knob in knobs)
        designs = np.zeros((prod(sizes), len(file.knobs)), dtype=np.int64)
        designs[:, knobs] = np.stack(np.unravel_index(np.arange(prod(sizes)), sizes), -1)
        sums = called(designs)
        for name in table.columns:
            if name not in sums:
                raise BadConfig(f"template {called.template.name!r}: tables: {UnknownName('column', name, sums)}")
        made.append((knobs, sizes, {name: np.ascontiguousarray(sums[name]) for name in table.columns}))
    return made


@dataclass(frozen=True, eq=False)
class Searched:
    """The model searches mappings for every hardware; what it has found is kept for every distinct design.

    New designs are searched for side by side. On one core each costs about 0.01 s a distinct layer on a loop-nest
    machine and 0.005 s on a MAERI.
    """

    template: Template
    work: Workload
    known: dict[bytes, tuple[float, ...]] = field(default_factory=dict)  # by design, in the order of ``names``
    names: list[str] = field(default_factory=list)

    def __call__(self, designs: Designs) -> Sums:
        """See :class:`Network`."""
        rows, which = np.unique(designs, axis=0, return_inverse=True)
        new = rows[[row.tobytes() not in self.known for row in rows]]
        for start in range(0, len(new), TOGETHER):
            self._search(new[start : start + TOGETHER])
        found = np.array([self.known[row.tobytes()] for row in rows])[which.reshape(-1)]
        return dict(zip(self.names, found.T, strict=True))

    def _search(self, designs: Designs) -> None:
        for rows, model in self.template.models(designs):
            chosen = designs[rows]
            sums = summed(model, self.work, self.template.images(chosen))
            self.names[:] = sums
            columns = [np.broadcast_to(column, (len(chosen),)).tolist() for column in sums.values()]
            self.known.update(zip((row.tobytes() for row in chosen), zip(*columns, strict=True), strict=True))


def summed(model: CostModel, work: Workload, images: NDArray[Any]) -> Sums:
    """Sums over layers, (...), of a model whose chosen parameters are (..., 1), for batches of (..., 1) images."""
    layers = replace(work.layers, batch=images + 0 * work.layers.batch)
    costs: Costs = model.cost(layers, work.bits)
    # Not a matrix product: its last bits hang on how many designs there are.
    return {name: np.multiply(column, work.repeats, order="C").sum(-1) for name, column in per_layer(costs).items()}


def network_sums(template: Template, work: Workload) -> Network:
    """How a template's designs are costed."""
    if template.file.one_by_one:
        return Searched(template, work)
    called = Called(template, work)
    return Tabulated(called) if template.file.tables else called
