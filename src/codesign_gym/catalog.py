"""Ids: what ships with the package, what an installed plug-in adds, and what a user points at by path.

Four doors lead into a catalogue: a shipped YAML file by its stem, a user's own YAML file by path, an
object by ``"module:attribute"``, and the entry points of installed distributions, which are read
only when a name is looked up.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import entry_points
from importlib.resources import files
from pathlib import Path
from typing import Any

from codesign_gym.errors import BadConfig, UnknownName


@dataclass(frozen=True)
class Catalog:
    """The ids of one kind of thing.

    Attributes:
        kind: what it is called in messages, e.g. ``"device"``.
        folder: its folder under ``codesign_gym/configs``; the entry-point group is
            ``codesign_gym.<folder>``.
        suffixes: how the paths of users' own files end.
        made: id to ``"module:attribute"``, of what this package ships and no file could hold.
    """

    kind: str
    folder: str
    suffixes: tuple[str, ...] = (".yaml", ".yml")
    made: Mapping[str, str] = field(default_factory=dict)

    def shipped(self) -> dict[str, Path]:
        """Id to YAML file, of what this package ships."""
        root = Path(str(files("codesign_gym.configs"))) / self.folder
        return {path.stem: path for path in sorted(root.glob("*.yaml"))}

    def plugged_in(self) -> dict[str, str]:
        """Id to ``"module:attribute"``, of what installed distributions add."""
        return {point.name: point.value for point in entry_points(group=f"codesign_gym.{self.folder}")}

    def names(self) -> list[str]:
        """Every id, sorted."""
        return sorted({*self.shipped(), *self.made, *self.plugged_in()})

    def locate(self, name: str) -> Path | Any:
        """The file a name stands for, or the object when it is ``"module:attribute"``.

        Raises:
            UnknownName: with the nearest id.
            BadConfig: if a path does not exist or a reference cannot be imported.
        """
        shipped = self.shipped()
        if name in shipped:
            return shipped[name]
        if name.endswith(self.suffixes):
            path = Path(name).expanduser()
            if not path.is_file():
                raise BadConfig(f"{self.kind} file {name!r} does not exist")
            return path
        references = {**self.plugged_in(), **self.made}
        if name in references:
            return _as_path(attribute(references[name]))
        if ":" in name:
            return _as_path(attribute(name))
        if Path(name).is_file():
            raise BadConfig(f"{self.kind} file {name!r}: accepted: a file that ends in {', '.join(self.suffixes)}")
        raise UnknownName(self.kind, name, self.names())


def beside(name: str, file: Path) -> str:
    """A name that a file gives: of a file that lies beside it, where there is one, else as it stands."""
    near = file.parent / Path(name).expanduser()
    return str(near) if near.is_file() else name


def _as_path(found: Any) -> Path | Any:
    """A plug-in may name its YAML file by a ``Path`` or a ``Traversable``; anything else is the object itself."""
    return Path(str(found)) if hasattr(found, "joinpath") else found


@cache
def attribute(reference: str) -> Any:
    """The object that ``"package.module:attribute"`` names.

    Raises:
        BadConfig: if the reference is malformed, or the module or attribute does not exist.
    """
    module_name, _, path = reference.partition(":")
    if not module_name or not path:
        raise BadConfig(f"{reference!r} is not of the form 'package.module:attribute'")
    try:
        found: Any = importlib.import_module(module_name)
    except ImportError as error:
        raise BadConfig(f"{reference!r}: cannot import {module_name!r}: {error}") from error
    for part in path.split("."):
        try:
            found = getattr(found, part)
        except AttributeError as error:
            known = [name for name in vars(found) if not name.startswith("_")]
            raise BadConfig(
                f"{reference!r}: {module_name} has no {path!r}; it has {', '.join(sorted(known)[:12])}"
            ) from error
    return found
