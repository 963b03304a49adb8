"""A mapping core from plain options: the names and numbers that a user types."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from codesign_gym.envs.core.arguments import Only
from codesign_gym.envs.core.designing import REFINED, DesignCore, Walk, design_core
from codesign_gym.envs.core.enforcement import Unrepaired
from codesign_gym.envs.mapping.mapper import NETWORKS, mappers, modelled
from codesign_gym.envs.mapping.problem import MappingProblem
from codesign_gym.errors import BadConfig, UnknownName
from codesign_gym.simulators import networks
from codesign_gym.simulators.networks.layers import Network


class Options(Walk):
    """What can be chosen of a mapping environment; every field is plain data.

    Beside these fields there are those of :class:`~codesign_gym.envs.core.designing.Walk`.

    Attributes:
        network: id, file or reference; by default alexnet, and on NASA's chunks, which do not hold it, resnet18.
        layers: which of its rows are mapped, by name; None for all that multiply.
        device: a machine of model maeri, loopnest or chunked, by id or YAML file.
        bits: of weights and activations; by default the highest that the device supports.
        objective: ``latency``, ``energy``, ``energy-delay``, or on MAERI ``psums``, the partial sums that Bifrost tunes
            by because they are known without simulating; or several of them, whose gains are objectives each.
        tiles: on MAERI the ``divisors`` of every loop, or the smallest tile for each number of ``passes`` over it.
        enforcement: ``mask``, ``price``, both, or ``none``.
    """

    network: str | None = None
    layers: Sequence[str] | None = None
    device: str = "maeri-128"
    bits: int | None = Field(default=None, ge=1)
    objective: str | Sequence[str] = "latency"
    tiles: Literal["divisors", "passes"] = "divisors"
    enforcement: Unrepaired = "mask"


#: Arguments that mean something only beside others.
ONLY = (REFINED, Only(("tiles",), lambda chosen: modelled(chosen["device"]) == "maeri", "on a device of model maeri"))


def build(options: Options, drawn: bool = False) -> DesignCore:
    """The core of an environment; whether it will be drawn makes no difference.

    Raises:
        UnknownName: for an id or name that does not exist, with the nearest.
        BadConfig: for an option out of bounds.
    """
    return design_core(mapping_problem(options), options)


def mapping_problem(options: Options) -> MappingProblem:
    """The design problem alone; errors as in :func:`build`."""
    network = options.network or NETWORKS.get(modelled(options.device), "alexnet")
    rows = _rows(networks.load(network), options.layers)
    _, found = mappers(options.device, rows, options.bits, options.tiles)
    several = [(name, mapper) for name, mapper in zip(rows.layer_names, found, strict=True) if mapper.knobs]
    if not several:
        raise BadConfig(f"the layers of {network!r} have one mapping each on {options.device!r}")
    names, chosen = zip(*several, strict=True)
    sought = (options.objective,) if isinstance(options.objective, str) else tuple(options.objective)
    return MappingProblem(names, chosen, sought)


def _rows(network: Network, names: Sequence[str] | None) -> Network:
    """The rows that are mapped."""
    multiply = network.rows(np.asarray(network.layers.multiplies))
    if names is None:
        return multiply
    for name in names:
        if name not in multiply.layer_names:
            raise UnknownName(f"layer of {network.name!r} that multiplies", name, multiply.layer_names)
    if not names or len(set(names)) < len(names):
        raise BadConfig(f"layers is {list(names)}; accepted: one layer or more, each once")
    return multiply.rows(np.array([name in names for name in multiply.layer_names]))
