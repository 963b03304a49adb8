"""A device: a cost model's name, its parameters with units, and where every number comes from."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, Self, get_type_hints

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, FiniteFloat, TypeAdapter, ValidationError, model_validator

from codesign_gym.catalog import Catalog, attribute
from codesign_gym.errors import BadConfig, CodesignError, UnknownName, suggestion
from codesign_gym.records import Record, describe, read_record
from codesign_gym.simulators.hardware import cells
from codesign_gym.simulators.hardware.asked import Limits, check_bits, check_layers
from codesign_gym.simulators.hardware.calibration.record import Calibration
from codesign_gym.simulators.hardware.host import beside
from codesign_gym.simulators.hardware.lookup.cost import TableFile
from codesign_gym.simulators.hardware.model import CostModel, Costs, Unit
from codesign_gym.simulators.networks.layers import Array, Layers

#: Cost models by name; the user's own is named ``"module:attribute"`` in the device file.
MODELS: dict[str, str] = {
    "accelbench": "codesign_gym.simulators.hardware.accelbench.cost:AccelBench",
    "chunked": "codesign_gym.simulators.hardware.chunked:Chunked",
    "fpga-engine": "codesign_gym.simulators.hardware.fpga_engine:FpgaEngine",
    "bitfusion": "codesign_gym.simulators.hardware.bitfusion.cost:BitFusion",
    "bismo": "codesign_gym.simulators.hardware.bismo:Bismo",
    "systolic": "codesign_gym.simulators.hardware.systolic.cost:Systolic",
    "haq-cloud": "codesign_gym.simulators.hardware.haq_cloud:HaqCloud",
    "loopnest": "codesign_gym.simulators.hardware.loopnest.cost:LoopNest",
    "gemmini": "codesign_gym.simulators.hardware.gemmini.cost:Gemmini",
    "tpu": "codesign_gym.simulators.hardware.tpu:Tpu",
    "roofline": "codesign_gym.simulators.hardware.roofline:Roofline",
    "refined_roofline": "codesign_gym.simulators.hardware.refined_roofline:RefinedRoofline",
    "lookup": "codesign_gym.simulators.hardware.lookup.cost:Lookup",
    "mesh": "codesign_gym.simulators.hardware.stonne.mesh:Mesh",
    "sigma": "codesign_gym.simulators.hardware.stonne.sigma:Sigma",
    "maeri": "codesign_gym.simulators.hardware.stonne.maeri:Maeri",
    "magma": "codesign_gym.simulators.hardware.stonne.magma:Magma",
}

CATALOG = Catalog(kind="device", folder="devices")

#: What a cost model with a mistake in it may raise.
MISTAKES = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


class Quantity(Record):
    """One number of a device file, or one name where a model's field is a choice by name.

    ``free`` marks a number for ``codesign-gym calibrate``.
    """

    value: int | FiniteFloat | str
    unit: str
    source: str
    free: bool = False


class DeviceFile(Record):
    """The content of ``configs/devices/<id>.yaml``.

    ``sources`` names each origin once; every parameter's ``source`` is one of its keys. ``table`` is
    for models that read one, and ``calibration`` says how the parameters were fitted.
    """

    title: str
    model: str
    batch: int = Field(gt=0, le=2**20)
    min_bits: int = Field(default=1, ge=1)
    max_bits: int = Field(default=8, le=64)
    sources: dict[str, str]
    parameters: dict[str, Quantity] = Field(default_factory=dict)
    table: TableFile | None = None
    calibration: Calibration | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min_bits > self.max_bits:
            raise ValueError(f"min_bits {self.min_bits} is above max_bits {self.max_bits}")
        return self

    @model_validator(mode="after")
    def _fitted_exist(self) -> Self:
        for name in self.calibration.fitted if self.calibration else ():
            if name not in self.parameters:
                raise ValueError(f"calibration.fitted has {name!r}{suggestion(name, self.parameters)}")
        return self


@dataclass(frozen=True)
class Device:
    """A cost model with its numbers filled in.

    Attributes:
        name: the id or file it was loaded by.
        title: one line about the hardware.
        batch: images it processes at once; latency and energy are for this batch.
        min_bits, max_bits: bitwidths that its arithmetic supports.
        model: the filled-in cost model.
        parameters: name to value, unit and source, as the file gives them.
        sources: source key to citation.
        calibration: what the parameters were fitted to, if they were.
    """

    name: str
    title: str
    batch: int
    min_bits: int
    max_bits: int
    model: CostModel
    parameters: dict[str, Quantity]
    sources: dict[str, str]
    calibration: Calibration | None = None

    def cost(self, layers: Layers, bits: Array) -> Costs:
        """Costs of shape (..., layers) at this device's batch size; see :class:`CostModel`.

        A batch of designs for one network is looked up in a table of all pairs of bitwidths where
        the model is separable and the table is smaller than the batch.

        Args:
            layers: columns of shape (..., layers).
            bits: shape (..., layers, 2), weight and activation bitwidths, NumPy or torch.

        Raises:
            BadConfig: if a bitwidth is one that the device does not support, or if the model answers
                with a cost that is not a positive, finite number, or fails; or if shapes do not fit.
            UnsupportedNetwork: for columns that are no layers.
        """
        self._check(layers, bits)
        layers = layers.read_only() if isinstance(layers.op, np.ndarray) else layers
        layers = _beside(layers.with_batch(self.batch), bits)
        bit_values = range(self.min_bits, self.max_bits + 1)
        if not (getattr(self.model, "separable", False) and cells.worthwhile(layers, bits, len(bit_values))):
            return self._asked(layers, bits)
        table = self._asked(layers, cells.grid(bit_values, len(layers.op)))
        return cells.gather(cells.layers_first(table), self.min_bits, bits)

    def extrapolated(self, layers: Layers, bits: NDArray[np.integer[Any]]) -> list[tuple[int, str]]:
        """Rows beyond what the device was calibrated on, as (row, what is beyond).

        Args:
            layers: columns of shape (layers,).
            bits: shape (layers, 2).
        """
        return [] if self.calibration is None else self.calibration.ranges.outside(layers.with_batch(self.batch), bits)

    def summary(self) -> list[str]:
        """Lines on how far its figures may be trusted: its calibration, and what its model says of its data."""
        calibrated = [] if self.calibration is None else self.calibration.summary()
        of_model = getattr(self.model, "summary", None)
        return calibrated + (of_model() if callable(of_model) else [])

    def _asked(self, layers: Layers, bits: Array) -> Costs:
        """The model's answer, checked."""
        try:
            return self._checked(self.model.cost(layers, bits))
        except CodesignError:
            raise
        except MISTAKES as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise BadConfig(f"device {self.name!r}: its model {type(self.model).__name__} failed: {reason}") from error

    def _check(self, layers: Layers, bits: Array) -> None:
        check_layers(layers)
        accepted = Limits(self.min_bits, self.max_bits, f"{self.min_bits} to {self.max_bits}")
        try:
            check_bits(bits, tuple(layers.op.shape), accepted)
        except BadConfig as error:
            raise BadConfig(f"device {self.name!r}: {error}") from None

    def _checked(self, costs: Costs) -> Costs:
        for name, column in (("latency_s", costs.latency_s), ("energy_j", costs.energy_j)):
            if not isinstance(column, np.ndarray):
                continue  # absent, or a tensor, whose check would wait for its device
            bad = ~(np.isfinite(column) & (column >= 0))
            if bad.any():
                first = tuple(np.argwhere(bad)[0])
                raise BadConfig(
                    f"device {self.name!r}: its model gives {name} {column[first]} for layer {first[-1]};"
                    " expected a positive, finite number"
                )
        return costs


def _beside(layers: Layers, bits: Array) -> Layers:
    """The layers as arrays of the library, and on the processor, that ``bits`` are of."""
    if isinstance(bits, np.ndarray) or not isinstance(layers.op, np.ndarray):
        return layers
    return layers.map(lambda column: beside(column, bits))


def load(name: str) -> Device:
    """The device of an id, a YAML path, or ``"module:attribute"``.

    Raises:
        UnknownName: with the nearest id.
        BadConfig: naming the file, the field and what it accepts.
    """
    found = CATALOG.locate(name)
    return found if isinstance(found, Device) else _build(name, *_read(name, found))


def read(name: str) -> tuple[DeviceFile, Path]:
    """The file behind an id or a YAML path, and where it lies.

    Raises:
        UnknownName: with the nearest id.
        BadConfig: naming the file, the field and what it accepts; or if the name stands for an object.
    """
    return _read(name, CATALOG.locate(name))


def _read(name: str, found: Any) -> tuple[DeviceFile, Path]:
    if not isinstance(found, Path):
        raise BadConfig(f"device {name!r} is a {type(found).__name__}; expected a Device or the path of a YAML file")
    return read_record(DeviceFile, found), found


def _build(name: str, content: DeviceFile, path: Path) -> Device:
    return Device(
        name=name,
        title=content.title,
        batch=content.batch,
        min_bits=content.min_bits,
        max_bits=content.max_bits,
        model=_fill(content, path),
        parameters=content.parameters,
        sources=content.sources,
        calibration=content.calibration,
    )


def _fill(content: DeviceFile, where: Path) -> CostModel:
    """The cost model with the file's numbers and table, checked for names, units, sources and bounds."""
    if content.model not in MODELS and ":" not in content.model:
        raise BadConfig(f"{where}: field 'model': {UnknownName('cost model', content.model, MODELS)}")
    model = attribute(MODELS.get(content.model, content.model))
    if not (isinstance(model, type) and is_dataclass(model)):
        raise BadConfig(f"{where}: field 'model': {content.model!r} is not a dataclass")
    hints = get_type_hints(model, include_extras=True)
    units = {field.name: _unit(hints[field.name]) for field in fields(model)}
    for name, quantity in content.parameters.items():
        if name not in units:
            raise BadConfig(f"{where}: unknown field 'parameters.{name}'{suggestion(name, units)}")
        if quantity.unit != units[name]:
            raise BadConfig(f"{where}: field 'parameters.{name}.unit' is {quantity.unit!r}; accepted: {units[name]!r}")
        if quantity.source not in content.sources:
            nearest = suggestion(quantity.source, content.sources)
            raise BadConfig(f"{where}: field 'parameters.{name}.source' is {quantity.source!r}{nearest}")
    values: dict[str, Any] = {name: quantity.value for name, quantity in content.parameters.items()}
    if content.table is not None:
        if "table" not in units:
            raise BadConfig(f"{where}: field 'table': model {content.model!r} reads none; accepted: without it")
        if content.table.source not in content.sources:
            nearest = suggestion(content.table.source, content.sources)
            raise BadConfig(f"{where}: field 'table.source' is {content.table.source!r}{nearest}")
        values["table"] = content.table.read(where.parent)
    try:
        filled: CostModel = TypeAdapter(model).validate_python(values)
    except ValidationError as error:
        raise BadConfig(f"{where}: parameters: {describe(error, tuple(units))}") from error
    return filled


def _unit(hint: Any) -> str:
    return next((part.symbol for part in getattr(hint, "__metadata__", ()) if isinstance(part, Unit)), "1")
