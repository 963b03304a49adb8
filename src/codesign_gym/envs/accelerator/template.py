"""An accelerator template: a device, which of its numbers are chosen, and from which values; all of it data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, FiniteFloat, model_validator

from codesign_gym.catalog import Catalog, attribute, beside
from codesign_gym.envs.core.space import Designs, DesignSpace, Knob
from codesign_gym.errors import BadConfig, CodesignError, UnknownName, suggestion
from codesign_gym.records import Record, read_record
from codesign_gym.simulators.hardware import device as devices
from codesign_gym.simulators.hardware.device import Device
from codesign_gym.simulators.hardware.model import CostModel
from codesign_gym.simulators.hardware.sweep import factorial

CATALOG = Catalog(kind="template", folder="templates")

#: A knob of this name is the number of images that the hardware works on at once: a column of the layer table.
BATCH = "batch"


class KnobFile(Record):
    """One decision of a template.

    Attributes:
        name: of the knob.
        values: what can be chosen, from least to most.
        ordered: whether neighbouring values are alike.
        sets: parameters of the device's model that take the value (by default the one of the knob's name), or each
            with a value of its own for every choice.
        source: key of the template's sources.
    """

    name: str
    values: tuple[int | FiniteFloat | str, ...] = Field(min_length=1)
    ordered: bool = True
    sets: tuple[str, ...] | dict[str, tuple[int | FiniteFloat | str, ...]] = ()
    source: str

    @property
    def parameters(self) -> dict[str, tuple[int | float | str, ...]]:
        """The values of each parameter that the knob sets."""
        if isinstance(self.sets, dict):
            return dict(self.sets)
        return dict.fromkeys(self.sets or ((self.name,) if self.name != BATCH else ()), self.values)

    @model_validator(mode="after")
    def _as_many(self) -> Self:
        for name, values in self.parameters.items():
            if len(values) != len(self.values):
                raise ValueError(
                    f"knob {self.name!r} sets {name!r} to {len(values)} values for {len(self.values)} choices"
                )
        if len(set(self.values)) < len(self.values):
            raise ValueError(f"knob {self.name!r} has a value twice: {list(self.values)}")
        return self


class ObjectiveFile(Record):
    """A share of the score: ``weight * (1 - metric / reference)``.

    Attributes:
        metric: which.
        weight: of the share of the reference that is saved.
        reference: of the metric, also that of hypervolumes; by default the figure of the device's own design.
        source: key of the template's sources.
    """

    metric: str
    weight: float = Field(gt=0, allow_inf_nan=False)
    reference: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    source: str


class TableFile(Record):
    """Sums over a network's layers that hang on some knobs alone, and so are looked up."""

    columns: tuple[str, ...]
    knobs: tuple[str, ...]


class TemplateFile(Record):
    """The content of ``configs/templates/<id>.yaml``.

    Attributes:
        title: one line.
        device: id of the device whose numbers are not chosen, or its file, relative to this one.
        costing: how layers become a network's metrics, by a name of
            :data:`~codesign_gym.envs.accelerator.costing.COSTINGS`.
        one_by_one: whether the model searches mappings for every hardware: what is found is kept for each design, and
            knobs may choose names.
        derived: ``"module:function"`` from all parameters of the model to them with what follows from the chosen ones.
        sources: each origin once.
        metrics: columns of an evaluation.
        objectives: the score's terms.
        limits: metric to its bound; null stands for what the board has, or for the device's own design.
        knobs: the decisions.
        tables: sums that are looked up; where there are any, they have to give all that ``costing`` asks for.
    """

    title: str
    device: str
    costing: str
    one_by_one: bool = False
    derived: str | None = None
    sources: dict[str, str]
    metrics: tuple[str, ...] = Field(min_length=1)
    objectives: tuple[ObjectiveFile, ...] = Field(min_length=1)
    limits: dict[str, float | None] = Field(default_factory=dict)
    knobs: tuple[KnobFile, ...] = Field(min_length=1)
    tables: tuple[TableFile, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for source in (*(knob.source for knob in self.knobs), *(term.source for term in self.objectives)):
            if source not in self.sources:
                raise ValueError(f"source {source!r} is none of sources{suggestion(source, self.sources)}")
        for name in (*(objective.metric for objective in self.objectives), *self.limits):
            if name not in self.metrics:
                raise ValueError(f"{name!r} is no metric{suggestion(name, self.metrics)}")
        names = [knob.name for knob in self.knobs]
        if len(set(names)) < len(names):
            raise ValueError(f"two knobs have one name: {names}")
        for name in (name for table in self.tables for name in table.knobs):
            if name not in names:
                raise ValueError(f"tables: {name!r} is no knob{suggestion(name, names)}")
        return self


@dataclass(frozen=True, eq=False)
class Template:
    """Designs of an accelerator as records of its cost model.

    Attributes:
        name: the id or file it was loaded by.
        file: its content.
        device: whose other numbers are kept.
        parameters: parameter of the model to the knob that sets it and its value at every choice.
    """

    name: str
    file: TemplateFile
    device: Device
    parameters: Mapping[str, tuple[int, NDArray[Any]]]

    @property
    def space(self) -> DesignSpace:
        """A knob each."""
        return DesignSpace(tuple(Knob(knob.name, knob.values, ordered=knob.ordered) for knob in self.file.knobs))

    def model(self, designs: Designs) -> CostModel:
        """One model of all designs (batch, knobs): its chosen parameters have shape (batch, 1).

        Those that are names, which no model takes several of at once, are left as the device has them.
        """
        numbers = {name: found for name, found in self.parameters.items() if found[1].dtype.kind != "U"}
        return self._filled({name: values[designs[:, [knob]]] for name, (knob, values) in numbers.items()})

    def models(self, designs: Designs) -> Iterator[tuple[NDArray[np.intp], CostModel]]:
        """The same with the chosen names: positions of designs that choose the same ones, and their model."""
        names = {name: found for name, found in self.parameters.items() if found[1].dtype.kind == "U"}
        chosen = {name: values[designs[:, knob]] for name, (knob, values) in names.items()}
        alike = np.zeros(len(designs), dtype=np.intp)
        for column in chosen.values():
            alike = np.unique(
                np.stack([alike, np.unique(column, return_inverse=True)[1]]), axis=1, return_inverse=True
            )[1]
        for group in range(alike.max(initial=-1) + 1):
            rows = np.flatnonzero(alike == group)
            model = self.model(designs[rows])
            yield rows, replace(model, **{name: column[rows[0]].item() for name, column in chosen.items()})  # type: ignore[type-var]

    def images(self, designs: Designs) -> NDArray[np.int64]:
        """Images that each design (batch, knobs) works on at once, shape (batch, 1)."""
        for index, knob in enumerate(self.file.knobs):
            if knob.name == BATCH:
                return np.array(knob.values, dtype=np.int64)[designs[:, [index]]]
        return np.full((len(designs), 1), self.device.batch)

    def position(self, name: str) -> int:
        """Which knob has a name."""
        return [knob.name for knob in self.file.knobs].index(name)

    def design(self, values: Mapping[str, Any]) -> NDArray[np.int64]:
        """The design, (knobs,), of a value for every knob.

        Raises:
            UnknownName: for a knob that there is none of.
            BadConfig: for a value that a knob does not have, or a knob without a value.
        """
        names = [knob.name for knob in self.file.knobs]
        for name in values:
            if name not in names:
                raise UnknownName(f"knob of template {self.name!r}", name, names)
        for knob in self.file.knobs:
            if values.get(knob.name) not in knob.values:
                given = f"is {values[knob.name]!r}" if knob.name in values else "is missing"
                raise BadConfig(f"template {self.name!r}: knob {knob.name!r} {given}; accepted: {list(knob.values)}")
        return np.array([knob.values.index(values[knob.name]) for knob in self.file.knobs], dtype=np.int64)

    def _filled(self, chosen: dict[str, Any]) -> CostModel:
        if self.file.derived is not None:
            chosen = attribute(self.file.derived)({**vars(self.device.model), **chosen})
        model: CostModel = replace(self.device.model, **chosen)  # type: ignore[type-var]
        return model


def load(name: str, device: str | None = None) -> Template:
    """The template of an id or a YAML path.

    Args:
        name: which.
        device: a device of the same model in place of the template's.

    Raises:
        UnknownName: with the nearest id, or the nearest parameter of the device's model.
        BadConfig: naming the file, the field and what it accepts.
    """
    found = CATALOG.locate(name)
    if not isinstance(found, Path):
        raise BadConfig(f"template {name!r} is a {type(found).__name__}; expected the path of a YAML file")
    content = read_record(TemplateFile, found)
    machine = devices.load(beside(content.device, found))
    if device is not None:
        other = devices.load(device)
        if type(other.model) is not type(machine.model):
            raise BadConfig(
                f"device {device!r} is a {type(other.model).__name__}; template {name!r} accepts: a "
                f"{type(machine.model).__name__}, as {content.device!r} is"
            )
        machine = other
    owners: dict[str, int] = {}
    for index, knob in enumerate(content.knobs):
        for parameter in knob.parameters:
            if owners.setdefault(parameter, index) != index:
                raise BadConfig(f"{found}: two knobs set {parameter!r}; accepted: one")
    wanted = {parameter: values for knob in content.knobs for parameter, values in knob.parameters.items()}
    try:
        checked = factorial(machine, wanted).values
    except CodesignError as error:
        raise BadConfig(f"{found}: {error}") from error
    for parameter, values in checked.items():
        if values.dtype.kind == "U" and not content.one_by_one:
            raise BadConfig(f"{found}: {parameter!r} takes names, one hardware at a time; accepted: one_by_one: true")
    return Template(
        name, content, machine, {parameter: (owners[parameter], checked[parameter]) for parameter in owners}
    )
