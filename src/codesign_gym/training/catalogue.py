"""Everything that has an id, listed and described."""

from __future__ import annotations

from inspect import getdoc, isfunction
from pathlib import Path
from typing import Any

import gymnasium as gym
from rich.table import Table

from codesign_gym.agents import interface
from codesign_gym.catalog import Catalog, attribute
from codesign_gym.envs.accelerator import template
from codesign_gym.envs.registration import ENVIRONMENTS, MULTI_OBJECTIVE, plugged_in
from codesign_gym.errors import BadConfig, CodesignError, UnknownName
from codesign_gym.records import Record, read_yaml
from codesign_gym.simulators import dvfs, operators
from codesign_gym.simulators.hardware import device as devices
from codesign_gym.simulators.networks import CATALOG as NETWORKS
from codesign_gym.simulators.networks.catalog import NetworkFile
from codesign_gym.simulators.networks.onnx_import import InputShapes
from codesign_gym.training.options import options_table, recipe_of
from codesign_gym.training.studies import STUDIES

FILES: dict[str, Catalog] = {
    "devices": devices.CATALOG,
    "networks": NETWORKS,
    "agents": interface.CATALOG,
    "socs": dvfs.CATALOG,
    "spaces": operators.CATALOG,
    "templates": template.CATALOG,
}

YAML = devices.CATALOG.suffixes

#: Environment id to the docstring that describes it.
DOCUMENTED: dict[str, str] = {
    **{name: f"{single}.__doc__" for name, (single, _) in ENVIRONMENTS.items()},
    MULTI_OBJECTIVE: "codesign_gym.envs.multi_objective:__doc__",
}

#: What a user's own YAML file of each kind holds.
RECORDS: dict[str, type[Record]] = {
    "devices": devices.DeviceFile,
    "networks": NetworkFile,
    "agents": interface.AgentFile,
    "socs": dvfs.SocFile,
    "spaces": operators.SpaceFile,
    "templates": template.TemplateFile,
}


def listing(kind: str | None = None) -> dict[str, list[tuple[str, str]]]:
    """Kind to its ids with one line each.

    Raises:
        UnknownName: for a kind that does not exist.
    """
    kinds = {name: [(i, _title(name, i)) for i in catalog.names()] for name, catalog in FILES.items()}
    kinds["envs"] = [(name, _first_line(name)) for name in DOCUMENTED] + [
        (name, f"plug-in, {module}") for name, module in plugged_in().items()
    ]
    kinds["studies"] = [(name, title) for name, (title, _) in STUDIES.items()]
    if kind is not None and kind not in kinds:
        raise UnknownName("kind", kind, kinds)
    return kinds if kind is None else {kind: kinds[kind]}


def describe(name: str, input_shape: InputShapes | None = None, kind: str | None = None) -> str:
    """What is behind an id: its file, and as comments what else is known of it, for a network its layers.

    The file of an id loads again where it is redirected to; of an id of several kinds it is the first one's.

    Args:
        name: an id of any kind, or a file.
        input_shape: of a network, as :func:`~codesign_gym.simulators.networks.load` takes it.
        kind: one of :data:`FILES`, for an id of several kinds.

    Raises:
        UnknownName: with the nearest id of any kind, or for a kind that does not exist.
        BadConfig: for a file that does not exist, or an input shape of what is no network.
    """
    if kind is not None and kind not in FILES:
        raise UnknownName("kind", kind, FILES)
    if name in DOCUMENTED and input_shape is None and kind is None:
        return str(gym.spec(name)) + "\n\n" + _docstring(name)
    kinds = [kind] if kind else [kind for kind, catalog in FILES.items() if name in catalog.names()]
    study = [f"study {name}: {STUDIES[name][0]}; codesign-gym study {name}"] if name in STUDIES and not kind else []
    if not kinds and not study:
        kinds = [_kind(_file(name))]
    if input_shape is not None and "networks" not in kinds:
        raise BadConfig(f"{name!r} is no network; accepted: no input shape")
    if not kinds:
        return study[0]
    others = [*study, *(f"also among {other}: codesign-gym show {name} --kind {other}" for other in kinds[1:])]
    return "\n".join([*(f"# {line}" for line in others), _described(kinds[0], name, input_shape)])


def _file(name: str) -> Path:
    """The path that a name stands for, which is no id."""
    path = Path(name)
    if path.is_file():
        return path
    if ":" not in name and (path.suffix or path.name != name):
        raise BadConfig(f"no such file: {name!r}")
    known = [i for catalog in FILES.values() for i in catalog.names()]
    raise UnknownName("id", name, [*known, *DOCUMENTED, *STUDIES], "codesign-gym list shows them")


def options(name: str, width: int) -> Table | None:
    """The options of an environment, as a table for a terminal of some width; None for anything else."""
    recipe = recipe_of(ENVIRONMENTS[name][0]) if name in ENVIRONMENTS else None
    return None if recipe is None else options_table(name, recipe, width)


def _kind(path: Path) -> str:
    """The kind of a user's own file: the one whose fields it shares most of; tables of layers are networks."""
    if path.suffix not in YAML:
        return "networks"
    fields = read_yaml(path).keys()
    return max(RECORDS, key=lambda kind: len(fields & RECORDS[kind].model_fields.keys()))


def _described(kind: str, name: str, input_shape: InputShapes | None) -> str:
    found = FILES[kind].locate(name)
    more = FURTHER[kind](name, input_shape) if kind in FURTHER else []
    if isinstance(found, Path) and found.suffix in YAML:
        text = found.read_text(encoding="utf-8").rstrip()
        return "\n".join([f"# {kind.removesuffix('s')} {name}", text, *(f"# {line}" for line in more)])
    readable = isinstance(found, Path) and found.suffix != ".onnx"
    documented = (getdoc(found) or "") if isfunction(found) else str(found)
    text = found.read_text(encoding="utf-8") if readable else documented
    return "\n".join([f"{kind.removesuffix('s')} {name}", "", text, *more])


def _trust(name: str, _: InputShapes | None) -> list[str]:
    """What a device was fitted to or read from, if anything; or why a file is no device."""
    try:
        return devices.load(name).summary()
    except CodesignError as error:
        return [f"it cannot be loaded as a device: {error}"]


def _layers(name: str, input_shape: InputShapes | None) -> list[str]:
    from codesign_gym.simulators.networks import load

    network = load(name, input_shape)
    table = network.weighted()
    lines = [
        f"{n:40s} {int(m):>14,d} MACs {int(p):>12,d} parameters"
        for n, m, p in zip(table.layer_names, table.macs, table.parameters, strict=True)
    ]
    total = f"{'total':40s} {int(network.macs.sum()):>14,d} MACs {int(network.parameters.sum()):>12,d} parameters"
    return [*lines, total]


#: Kind to what is told beside the file.
FURTHER = {"devices": _trust, "networks": _layers}


def _title(kind: str, name: str) -> str:
    found: Any = FILES[kind].locate(name)
    if isinstance(found, Path):
        return str(read_yaml(found).get("title", "")) + (BESIDE[kind](name) if kind in BESIDE else "")
    first = (found.__doc__ or "").strip().partition("\n")[0]
    return getattr(found, "title", first if isfunction(found) and first else "plug-in")


#: Kind to what a title does not say and a choice needs to know.
BESIDE = {"spaces": lambda name: f"; device {operators.read(name).device}, unless another is given"}


def _first_line(env: str) -> str:
    return _docstring(env).strip().splitlines()[0]


def _docstring(env: str) -> str:
    return attribute(DOCUMENTED[env]) or ""
