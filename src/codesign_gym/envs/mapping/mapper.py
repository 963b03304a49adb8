"""What a mapping of one layer onto a machine is: its knobs, what it takes of the machine, and what it costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from codesign_gym.catalog import attribute
from codesign_gym.envs.core.space import Designs, Knob
from codesign_gym.errors import BadConfig
from codesign_gym.simulators.hardware import device as devices
from codesign_gym.simulators.hardware.device import Device
from codesign_gym.simulators.networks.layers import Network

Columns = dict[str, NDArray[np.float64]]


class LayerMapper(Protocol):
    """The mappings of one layer; a choice is an index array of shape (knobs,)."""

    @property
    def knobs(self) -> tuple[Knob, ...]:
        """The decisions, each with two values or more."""
        ...

    @property
    def scarce(self) -> str:
        """The part of the machine whose share :meth:`occupancy` is, with its size."""
        ...

    @property
    def least(self) -> NDArray[np.int64]:
        """The mapping that takes least of the machine, (knobs,); the default one."""
        ...

    def occupancy(self, choices: Designs) -> NDArray[np.float64]:
        """Share of the scarcest part of the machine that mappings (batch, knobs) take, (batch,): they fit up to 1."""
        ...

    def reach(self, choices: Designs, decided: NDArray[np.int64]) -> NDArray[np.float64]:
        """The least occupancy of mappings whose first ``decided`` (batch,) knobs are as in ``choices``, (batch,)."""
        ...

    def cost(self, choices: Designs) -> Columns:
        """``latency_s`` and what else adds up over layers, by name, each (batch,); of mappings that fit."""
        ...


def completed(choices: Designs, decided: NDArray[np.int64], least: NDArray[np.int64]) -> Designs:
    """Mappings (batch, knobs) whose knobs after the first ``decided`` (batch,) are those of ``least``."""
    return np.where(np.arange(choices.shape[1]) < decided[:, None], choices, least).astype(np.int64)


#: Mappers of a network's layers, from device, layers, bitwidth and the set of tiles: by the model that the device's
#: file names.
MAPPERS: Mapping[str, str] = {
    "maeri": "codesign_gym.envs.mapping.maeri:mappers",
    "loopnest": "codesign_gym.envs.mapping.loopnest:mappers",
    "chunked": "codesign_gym.envs.mapping.chunked:mappers",
}

#: The network that is mapped where none is named, by the machine's model: NASA's chunks hold no tile of the first fully
#: connected layer of AlexNet, which Bifrost tunes.
NETWORKS: Mapping[str, str] = {"maeri": "alexnet", "loopnest": "alexnet", "chunked": "resnet18"}

Make = Callable[[Device, Network, int, str], tuple[LayerMapper, ...]]


def modelled(name: str) -> str:
    """The model that a device's file names; errors as of :func:`~codesign_gym.simulators.hardware.device.read`."""
    return devices.read(name)[0].model


def mappers(name: str, layers: Network, bits: int | None, tiles: str) -> tuple[Device, tuple[LayerMapper, ...]]:
    """A device and the mappers of layers on it.

    Args:
        name: id or YAML file of the device.
        layers: rows that are mapped.
        bits: of weights and activations; None for the highest that the device supports.
        tiles: ``divisors`` or ``passes``, where the machine is mapped by tiles.

    Raises:
        UnknownName: for a device that there is none of.
        BadConfig: for a device whose mappings cannot be chosen, or bits that it does not support.
    """
    model, device = modelled(name), devices.load(name)
    if model not in MAPPERS:
        raise BadConfig(f"device {name!r} is of model {model!r}; mappings are chosen for: {', '.join(sorted(MAPPERS))}")
    width = device.max_bits if bits is None else bits
    if not device.min_bits <= width <= device.max_bits:
        raise BadConfig(f"bits is {width}; device {name!r} accepts: {device.min_bits} to {device.max_bits}")
    make: Make = attribute(MAPPERS[model])
    return device, make(device, layers, width, tiles)
