"""What is typed on the command line, read into plain data."""

from __future__ import annotations

from typing import Annotated, Any

import typer
import yaml

from codesign_gym.errors import BadConfig
from codesign_gym.simulators.networks import parse_input_shape
from codesign_gym.simulators.networks.onnx_import import InputShapes
from codesign_gym.training.config import code_named
from codesign_gym.training.folder import RunFolder

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
Network = Annotated[str | None, typer.Option(help="Id, YAML file, or package.module:build.")]
Device = Annotated[str | None, typer.Option(help="Id or YAML file.")]
Data = Annotated[str | None, typer.Option(help="package.module:loaders of the network's images.")]
Budget = Annotated[
    list[str] | None,
    typer.Option(
        help="latency=0.6 (a share of what the environment's reference design needs, see show ENV), latency=5us, "
        "size=20kB; may repeat."
    ),
]
Bits = Annotated[
    str | None,
    typer.Option(help="8, or 4,8 (weights, activations), or a pair per layer: 8,8;4,6;...; else the device's highest."),
]
InputShape = Annotated[
    list[str] | None,
    typer.Option(
        help="3,224,224 for a torch module or an ONNX model; name=1,3,224,224, with the batch, for an ONNX model's "
        "inputs by name; may repeat."
    ),
]
Option = Annotated[list[str] | None, typer.Option(help="Another environment option, name=value; may repeat.")]
Trust = Annotated[bool, typer.Option("--trust", help="Import the code that the run's configuration names.")]


def refuse_beside_resume(context: typer.Context) -> None:
    """A resumed run's configuration is its own: anything else on the line would be ignored in silence."""
    for parameter in context.command.params:
        source = context.get_parameter_source(str(parameter.name))
        if parameter.name not in ("resume", "trust", "json_") and source is not None and source.name == "COMMANDLINE":
            raise BadConfig(
                f"{parameter.opts[0]} beside --resume, which goes on with the run as it was configured; leave it out, "
                "or give the whole configuration with --run"
            )


def trusted(folder: RunFolder, trust: bool) -> RunFolder:
    """The folder, unless its configuration would import code that the user has not said to trust."""
    named = code_named(folder.config())
    if named and not trust:
        raise BadConfig(
            f"{folder.path} was configured with code of its own, {', '.join(map(repr, named))}; "
            "give --trust if you know where it comes from"
        )
    return folder


def shape_of(texts: list[str] | None) -> InputShapes | None:
    """The input shapes that --input-shape names."""
    return parse_input_shape(";".join(texts)) if texts else None


def options_of(
    network: str | None,
    device: str | None,
    data: str | None,
    budget: list[str] | None,
    floor: float | None,
    option: list[str] | None,
) -> dict[str, Any]:
    """Environment options from the command line; only what was given."""
    options: dict[str, Any] = {
        name: value
        for name, value in (("network", network), ("device", device), ("data", data), ("floor", floor))
        if value is not None
    }
    if budget:
        pairs = [_pair("budget", item) for item in budget]
        if len(dict(pairs)) < len(pairs):
            raise BadConfig(f"--budget {' '.join(budget)!r}: accepted: one budget for each cost")
        options["budget"] = {name: _number(value) for name, value in pairs}
    for item in option or []:
        name, value = _pair("option", item)
        try:
            options[name] = _number(yaml.safe_load(value))
        except yaml.YAMLError as error:
            raise BadConfig(f"--option {item!r}: not valid YAML: {' '.join(str(error).split())}") from error
    return options


def _number(value: Any) -> Any:
    """A number that was typed, such as 1e-3, which YAML takes for text; anything else as it is."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _pair(kind: str, text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name or not value:
        raise BadConfig(f"--{kind} {text!r}: accepted: name=value")
    return name, value
