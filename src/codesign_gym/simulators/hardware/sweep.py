"""Full factorials of accelerator parameters in bounded memory, and the configurations that none beats."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any, get_type_hints

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from codesign_gym.errors import BadConfig, UnknownName
from codesign_gym.pareto import nondominated
from codesign_gym.records import describe
from codesign_gym.simulators.hardware.asked import bounds, check_layers
from codesign_gym.simulators.hardware.device import Device
from codesign_gym.simulators.networks.layers import Array, Layers

#: Elements of a (designs, layers) array that are computed at a time: 384 kB in float64, so that a model's
#: temporaries stay in the processor's cache and calls are few (measured: a third of it takes 1.3 times as long).
BLOCK = 49_152
#: Configurations whose metrics are held before they are merged into a front.
PAGE = 16_384
#: The same where the model takes no arrays.
PAGE_ONE_BY_ONE = 16
#: Combinations whose positions NumPy can count.
LARGEST = 2**62


def in_blocks(work: Callable[[slice], Array], rows: int, columns: int = 1, elements: int = BLOCK) -> NDArray[Any]:
    """An array of shape (rows, ...) made slice by slice of its rows, each of about so many elements.

    Args:
        work: from a slice of the rows to their part of the result.
        rows: how many there are, at least one.
        columns: elements that ``work`` holds for one row.
        elements: of a block.
    """
    step = max(1, elements // columns)
    first = np.asarray(work(slice(0, step)))
    if step >= rows:
        return first
    whole = np.empty((rows, *first.shape[1:]), dtype=first.dtype)
    whole[:step] = first
    for start in range(step, rows, step):
        whole[start : start + step] = work(slice(start, start + step))
    return whole


@dataclass(frozen=True)
class Factorial:
    """Every combination of some parameters' values, the last parameter varying fastest; never held at once.

    Attributes:
        values: parameter to the values it takes, codes where it is a choice by name.
    """

    values: Mapping[str, NDArray[Any]]

    @property
    def size(self) -> int:
        """How many combinations there are."""
        return prod(len(values) for values in self.values.values())

    def part(self, start: int, stop: int) -> dict[str, NDArray[Any]]:
        """The combinations of some positions, each column of shape (stop - start,)."""
        digits = np.unravel_index(np.arange(start, stop), [len(values) for values in self.values.values()])
        return {name: values[digit] for (name, values), digit in zip(self.values.items(), digits, strict=True)}


def factorial(device: Device, knobs: Mapping[str, Sequence[Any]]) -> Factorial:
    """A factorial over parameters of a device's model, every value checked as in a device file.

    Args:
        device: whose model.
        knobs: parameter to its values: numbers, or names where the parameter is a choice by name.

    Raises:
        UnknownName: for a parameter that the model does not have, with the nearest.
        BadConfig: for no knob or value, a value that the parameter does not accept, or more than 2**62 combinations.
    """
    hints = get_type_hints(type(device.model), include_extras=True)
    names = list(vars(device.model))
    if not knobs:
        raise BadConfig(f"a sweep needs a knob; accepted: {', '.join(names)}")
    if (size := prod(len(values) for values in knobs.values())) > LARGEST:
        raise BadConfig(f"the sweep has {size:.3g} configurations; accepted: at most 2**62")
    checked: dict[str, NDArray[Any]] = {}
    for name, values in knobs.items():
        if name not in names:
            raise UnknownName(f"knob of device {device.name!r}", name, names)
        where = f"device {device.name!r}: knob {name!r}"
        try:
            accepted = TypeAdapter(hints[name])
            checked[name] = np.array([accepted.validate_python(value) for value in values])
        except ValidationError as error:
            raise BadConfig(f"{where} is {describe(error).partition(' is ')[2]}") from error
        if not len(values):
            raise BadConfig(f"{where} has no values")
        if checked[name].dtype.kind == "f" and not np.isfinite(checked[name]).all():
            raise BadConfig(f"{where} is {checked[name][~np.isfinite(checked[name])][0]}; accepted: finite numbers")
    return Factorial(checked)


@dataclass(frozen=True)
class Workload:
    """A network at some bitwidths, as often as each of its rows repeats.

    Attributes:
        layers: distinct rows, columns of shape (distinct,).
        bits: of shape (distinct, 2).
        repeats: how often each is run, shape (distinct,).
    """

    layers: Layers
    bits: NDArray[Any]
    repeats: NDArray[np.float64]


def workload(device: Device, layers: Layers, bits: NDArray[Any]) -> Workload:
    """A network's rows: those that repeat once, where the device's model costs a row by itself.

    Args:
        device: whose model; it says so with ``separable``.
        layers: columns of shape (layers,).
        bits: shape (layers, 2).
    """
    if not getattr(device.model, "separable", False):
        return Workload(layers, bits, np.ones(len(layers.op)))
    check_layers(layers)  # here, and not in every block
    table = np.stack([*vars(layers).values(), *bits.T], -1)
    _, first, repeats = np.unique(table, axis=0, return_index=True, return_counts=True)
    order = np.argsort(first)
    first, repeats = first[order], repeats[order]
    return Workload(layers.map(lambda column: column[first]).read_only(), bits[first], repeats.astype(np.float64))


def evaluate(device: Device, work: Workload, knobs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """What a network costs on configurations of a device, each column of shape (configurations,).

    Computed in blocks that stay in the processor's cache, those of the same choices by name (a dataflow) together.

    Args:
        device: whose model's parameters the knobs replace.
        work: the network.
        knobs: parameter to values of shape (configurations,).

    Returns:
        ``latency_s``, where the model knows them ``energy_j`` and ``area_mm2``, and its resources by name.
    """
    step = max(1, BLOCK // len(work.repeats))
    positions: list[NDArray[np.intp]] = []
    blocks: list[dict[str, NDArray[Any]]] = []
    for alike, choices in _alike(type(device.model), knobs):
        for start in range(0, len(alike), step):
            rows = alike[start : start + step]
            columns = {name: values[rows, None] for name, values in knobs.items() if name not in choices}
            metrics = _metrics(device, work, columns | choices)
            positions.append(rows)
            blocks.append({name: np.broadcast_to(column, len(rows)) for name, column in metrics.items()})
    place = np.argsort(np.concatenate(positions))
    return {name: np.concatenate([block[name] for block in blocks])[place] for name in blocks[0]}


def _alike(model: type, knobs: Mapping[str, NDArray[Any]]) -> Iterator[tuple[NDArray[np.intp], dict[str, Any]]]:
    """Positions of the configurations with the same choices by name, and these as numbers: nothing is selected then."""
    count = len(next(iter(knobs.values())))
    sizes = {name: len(limits.names) for name, limits in bounds(model).items() if limits.names and name in knobs}
    code = np.zeros(count, dtype=np.intp)
    for name, size in sizes.items():
        code = code * size + knobs[name]
    order = np.argsort(code, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(code[order])) + 1):
        yield rows, {name: int(knobs[name][rows[0]]) for name in sizes}


def one_by_one(device: Device, work: Workload, knobs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """The same for a model whose parameters are plain numbers."""
    rows = zip(*(values.tolist() for values in knobs.values()), strict=True)
    found = [_metrics(device, work, dict(zip(knobs, row, strict=True))) for row in rows]
    return {name: np.concatenate([metrics[name] for metrics in found]) for name in found[0]}


def _metrics(device: Device, work: Workload, parameters: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    model = replace(device.model, **parameters)  # type: ignore[type-var]
    costs = replace(device, model=model).cost(work.layers, work.bits)
    found = {"latency_s": costs.latency_s @ work.repeats}
    if costs.energy_j is not None:
        found["energy_j"] = costs.energy_j @ work.repeats
    if costs.area_mm2 is not None:
        found["area_mm2"] = costs.area_mm2
    return {name: np.reshape(column, -1) for name, column in {**found, **costs.resources}.items()}


def pages(device: Device, work: Workload, plan: Factorial) -> Iterator[dict[str, NDArray[Any]]]:
    """Knobs and metrics of all configurations in order, at most :data:`PAGE` at a time.

    A model that does not take arrays for these parameters is asked one by one, and its pages are short.
    """
    arrays = takes_arrays(device, work, plan)
    compute, size = (evaluate, PAGE) if arrays else (one_by_one, PAGE_ONE_BY_ONE)
    for start in range(0, plan.size, size):
        knobs = plan.part(start, min(start + size, plan.size))
        yield knobs | compute(device, work, knobs)


def ends(device: Device, work: Workload, plan: Factorial) -> dict[str, NDArray[Any]]:
    """Metrics of the configurations of every knob's first and every knob's last value, each by itself."""
    return one_by_one(device, work, {name: values[[0, -1]] for name, values in plan.values.items()})


def takes_arrays(device: Device, work: Workload, plan: Factorial) -> bool:
    """Whether a model answers for arrays of these parameters as for their values: both ends of the plan tell.

    One that searches a mapping for every machine is better asked one by one: it tells how far it is.
    """
    if getattr(device.model, "searches", False):
        return False
    try:
        together = evaluate(device, work, {name: values[[0, -1]] for name, values in plan.values.items()})
    except (TypeError, ValueError, IndexError, BadConfig):  # a device says its model failed by BadConfig
        return False
    apart = ends(device, work, plan)
    return all(np.allclose(together[name], apart[name], rtol=1e-9, atol=0) for name in apart)


class Front:
    """Of all configurations that were added, those that no other equals or beats in every metric.

    Args:
        objectives: names of the metrics, less of which is better.
    """

    def __init__(self, objectives: Sequence[str]) -> None:
        self.objectives = tuple(objectives)
        self.columns: dict[str, NDArray[Any]] = {}

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def add(self, page: Mapping[str, NDArray[Any]]) -> None:
        """Take in columns of shape (configurations,), the objectives among them; of equals the first one stays."""
        held = self.columns or {name: column[:0] for name, column in page.items()}
        both = {name: np.concatenate([held[name], column]) for name, column in page.items()}
        kept = nondominated(np.stack([both[name] for name in self.objectives], -1))
        self.columns = {name: column[kept] for name, column in both.items()}
