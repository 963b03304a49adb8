"""Networks by id, file or reference, and the record that a network file holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from codesign_gym.catalog import Catalog, attribute
from codesign_gym.errors import BadConfig, CodesignError
from codesign_gym.records import Record, read_record
from codesign_gym.simulators.networks.layers import Network
from codesign_gym.simulators.networks.onnx_import import InputShapes, from_onnx
from codesign_gym.simulators.networks.topology_csv import from_csv
from codesign_gym.simulators.networks.torch_import import from_torch


def _from_onnx(path: Path, input_shape: InputShapes | None) -> Network:
    """By name with the batch dimension, as :func:`from_onnx` has them; else one input's, without."""
    if input_shape is None or isinstance(input_shape, Mapping):
        return from_onnx(path, input_shape)
    return from_onnx(path, (1, *input_shape))


def _from_csv(path: Path, input_shape: InputShapes | None) -> Network:
    _refuse_shape(path.name, input_shape)
    return from_csv(path)


#: How a file becomes a network, by the end of its name; any other is a :class:`NetworkFile`.
IMPORTERS: Mapping[str, Callable[[Path, InputShapes | None], Network]] = {".onnx": _from_onnx, ".csv": _from_csv}

CATALOG = Catalog(kind="network", folder="networks", suffixes=(".yaml", ".yml", *IMPORTERS))


class Training(Record):
    """How a network's weights are trained.

    Attributes:
        epochs: passes over the training split.
        batch_size: images in a mini-batch.
        learning_rate: its peak.
        weight_decay: L2 coefficient, decoupled in ``adamw``.
        optimizer: which update.
        momentum: of ``sgd``, Nesterov's; the others do not read it.
        seed: of the initial weights and the order of images.
    """

    epochs: int = Field(gt=0)
    batch_size: int = Field(gt=0)
    learning_rate: float = Field(gt=0, allow_inf_nan=False)
    weight_decay: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    optimizer: Literal["sgd", "adam", "adamw"] = "sgd"
    momentum: float = Field(default=0.9, ge=0, lt=1)
    seed: int = Field(default=0, ge=0)


class NetworkFile(Record):
    """The content of ``configs/networks/<id>.yaml``: exactly one of ``layers`` and ``module``.

    Attributes:
        title: one line about the network.
        source: where its shape comes from.
        layers: ``"module:function"`` that returns a :class:`Network`; shapes only.
        module: ``"module:function"`` that returns a ``torch.nn.Module``.
        arguments: passed to that function by name.
        data: ``"module:function"`` that loads the images ``module`` is trained and measured on.
        input_shape: of one input of ``module``, without the batch dimension.
        training: how ``module`` is trained.
    """

    title: str
    source: str
    layers: str | None = None
    module: str | None = None
    arguments: dict[str, Any] = Field(default_factory=dict)
    data: str | None = None
    input_shape: tuple[int, ...] | None = None
    training: Training | None = None

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if (self.layers is None) == (self.module is None):
            raise ValueError("accepted: exactly one of the fields 'layers' and 'module'")
        idle = [field for field in ("data", "input_shape", "training") if getattr(self, field) is not None]
        if idle and self.module is None:
            raise ValueError(f"{', '.join(idle)} without 'module'; accepted: only with it")
        return self


def read(name: str) -> NetworkFile:
    """The file behind an id or a YAML path.

    Raises:
        UnknownName: with the nearest id.
        BadConfig: naming the file, the field and what it accepts; or if the name stands for an
            object rather than a file.
    """
    found = CATALOG.locate(name)
    if not isinstance(found, Path) or found.suffix in IMPORTERS:
        kind = f"{found.suffix} file" if isinstance(found, Path) else type(found).__name__
        raise BadConfig(f"network {name!r} is a {kind}; expected an id or the path of a YAML file")
    return read_record(NetworkFile, found)


def parse_input_shape(text: str) -> InputShapes:
    """One input's sizes without the batch dimension, or with it the sizes of inputs by name.

    Args:
        text: ``"3x224x224"`` or ``"3,224,224"``; or ``"ids=1x128;mask=1x128"``.

    Raises:
        BadConfig: if it is neither, or names an input twice.
    """
    accepted = "accepted: sizes as in 3x224x224, or by the inputs' names, with the batch, name=1x3x224x224"
    try:
        entries = [(name.strip(), _sizes(sizes)) for name, _, sizes in (e.rpartition("=") for e in text.split(";"))]
    except ValueError:
        raise BadConfig(f"input shape {text!r}; {accepted}") from None
    if len({name for name, _ in entries}) < len(entries) or (len(entries) > 1 and not all(name for name, _ in entries)):
        raise BadConfig(f"input shape {text!r} gives an input twice, or one of several no name; {accepted}")
    return dict(entries) if entries[0][0] else entries[0][1]


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(int(size) for size in text.replace(",", "x").split("x"))


def load(name: str, input_shape: InputShapes | None = None) -> Network:
    """The layer table of an id, the path of a YAML, ONNX or CSV file, or ``"package.module:attribute"``.

    The attribute may be a :class:`Network`, a ``torch.nn.Module``, or a function without arguments
    that returns one of them.

    Args:
        name: which network.
        input_shape: of one input, without the batch dimension, for a torch module or an ONNX model; by
            default the file's, or the attribute ``input_shape`` of the function or module. For an ONNX model also
            by name, with the batch dimension; see :func:`from_onnx`. A table of shapes takes none.

    Raises:
        UnknownName: with the nearest id.
        BadConfig: naming what is wrong with the file, the reference or the shape.
        UnsupportedNetwork: if the network cannot be modelled; see :func:`from_torch`.
        StorageError: if an ONNX or CSV file cannot be read.
    """
    found = CATALOG.locate(name)
    if isinstance(found, Path) and found.suffix in IMPORTERS:
        return replace(IMPORTERS[found.suffix](found, input_shape), name=name)
    if isinstance(found, Path):
        content = read_record(NetworkFile, found)
        found = attribute(content.layers or content.module or "")
        built = _build(found, content.arguments, f"{name}: field 'arguments'")
        input_shape = input_shape or content.input_shape
    else:
        built = _build(found, {}, f"network {name!r}")
    if isinstance(built, Network):
        _refuse_shape(name, input_shape)
        return replace(built, name=name)
    if isinstance(input_shape, Mapping):
        raise BadConfig(f"network {name!r}: input_shape is {dict(input_shape)}; accepted: sizes alone, as 3x224x224")
    shape = input_shape or getattr(found, "input_shape", None) or getattr(built, "input_shape", None)
    if shape is None:
        raise BadConfig(
            f"network {name!r}: input_shape is missing; accepted: the shape of one input, as in (3, 224, 224)"
        )
    return from_torch(built, shape, name)


def _refuse_shape(name: str, input_shape: InputShapes | None) -> None:
    if input_shape is not None:
        raise BadConfig(f"network {name!r} is a table of shapes; accepted: no input shape")


def _build(found: Any, arguments: dict[str, Any], where: str) -> Any:
    """What a reference stands for: a finished network as it is, a function or class called."""
    if isinstance(found, Network) or (hasattr(found, "named_modules") and not isinstance(found, type)):
        return found
    if not callable(found):
        raise BadConfig(f"{where}: a {type(found).__name__}; accepted: a network, or a function that returns one")
    try:
        built = found(**arguments)
    except CodesignError:
        raise
    except Exception as error:  # the user's own function: its message is the best there is
        raise BadConfig(f"{where}: building the network with {arguments} failed: {error}") from error
    if not isinstance(built, Network) and not hasattr(built, "named_modules"):
        raise BadConfig(f"{where}: builds a {type(built).__name__}; accepted: a Network or a torch module")
    return built
