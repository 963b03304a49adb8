"""NASA's chunks: dataflow, fill of the PEs and tile of the global buffer, as its auto-mapper has them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from codesign_gym.envs.core.space import Designs, Knob
from codesign_gym.envs.mapping.mapper import Columns
from codesign_gym.simulators.hardware.chunked import Chunked
from codesign_gym.simulators.hardware.chunked.mappings import CHOICES, DATAFLOWS, INNERMOST, PARTS, mapping_table
from codesign_gym.simulators.hardware.device import Device
from codesign_gym.simulators.networks.layers import Network

#: The choices of a layer; a candidate is one of each, but not every dataflow has all fills and all that can stay.
KNOBS = (
    Knob("dataflow", tuple(dataflow.name for dataflow in DATAFLOWS), ordered=False),
    Knob("fill", tuple(range(max(len(dataflow.fills) for dataflow in DATAFLOWS))), ordered=False),
    *(Knob(f"{loop}_parts", parts) for loop, parts in PARTS.items()),
    Knob("stays", tuple(INNERMOST), ordered=False),
)
SIZES = tuple(len(knob.values) for knob in KNOBS)

#: Occupancy of a combination that is no candidate, or one whose registers do not hold what it asks of them.
OVERFLOWS = 2.0


def _positions() -> NDArray[np.int64]:
    """The candidate of every combination of choices, shape SIZES; -1 where it is none."""
    number = {(c.dataflow, c.fill, c.parts, c.stays): i for i, c in enumerate(CHOICES)}
    found = np.empty(SIZES, dtype=np.int64)
    for index in np.ndindex(*SIZES):
        dataflow, fill, *cut, stays = index
        k, c, q = (values[i] for values, i in zip(PARTS.values(), cut, strict=True))
        found[index] = number.get((dataflow, fill, (k, c, q), tuple(INNERMOST)[stays]), -1)
    return found


POSITIONS = _positions()


@dataclass(frozen=True, eq=False)
class ChunkedMapper:
    """One layer's candidates, arrays of shape SIZES.

    Attributes:
        latency_s: of the layer.
        energy_j: of the layer.
        taken: share of the global buffer; of what is no candidate OVERFLOWS, or more than any candidate that fits.
        buffer_bytes: of the global buffer.
    """

    latency_s: NDArray[np.float64]
    energy_j: NDArray[np.float64]
    taken: NDArray[np.float64]
    buffer_bytes: int

    @property
    def knobs(self) -> tuple[Knob, ...]:
        """The same for every layer."""
        return KNOBS

    @property
    def scarce(self) -> str:
        """The global buffer."""
        return f"{self.buffer_bytes} bytes of global buffer (for a tile and the next one)"

    @cached_property
    def least(self) -> NDArray[np.int64]:
        """The first of the candidates with the smallest tile."""
        return np.array(np.unravel_index(int(self.taken.argmin()), SIZES), dtype=np.int64)

    def occupancy(self, choices: Designs) -> NDArray[np.float64]:
        """Looked up."""
        return np.asarray(self.taken[tuple(choices.T)])

    def reach(self, choices: Designs, decided: NDArray[np.int64]) -> NDArray[np.float64]:
        """The least of all completions, looked up."""
        found = np.empty(len(choices))
        for count in np.unique(decided):
            rows = decided == count
            found[rows] = self._reach[count][tuple(choices[rows, :count].T)]
        return found

    def cost(self, choices: Designs) -> Columns:
        """Looked up."""
        row = tuple(choices.T)
        return {"latency_s": self.latency_s[row], "energy_j": self.energy_j[row]}

    @cached_property
    def _reach(self) -> list[NDArray[np.float64]]:
        """For each number of knobs decided, the least share of the completions."""
        return [self.taken.min(axis=tuple(range(count, len(SIZES)))) for count in range(len(SIZES) + 1)]


def mappers(device: Device, network: Network, bits: int, tiles: str) -> tuple[ChunkedMapper, ...]:
    """A mapper for every row, each with the whole global buffer; ``tiles`` makes no difference."""
    model = device.model
    assert isinstance(model, Chunked)
    table = mapping_table(model, network.layers.with_batch(device.batch), np.full((len(network), 2), bits))
    buffer_bytes = model.conv_buffer_bytes + model.shift_buffer_bytes + model.adder_buffer_bytes
    shares = np.where(table.valid, table.buffer_bytes / buffer_bytes, np.inf)  # (layers, candidates)
    beyond = np.maximum(OVERFLOWS, 2 * shares.min(-1, keepdims=True))  # where nothing fits, the least is a candidate
    taken = np.where(table.valid, shares, beyond)
    return tuple(
        ChunkedMapper(
            latency_s[POSITIONS],
            energy_j[POSITIONS],
            np.where(POSITIONS >= 0, share[POSITIONS], most),
            int(buffer_bytes),
        )
        for latency_s, energy_j, share, most in zip(table.latency_s, table.energy_j, taken, beyond[:, 0], strict=True)
    )
