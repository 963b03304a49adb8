"""Operator spaces by id, file or reference."""

from __future__ import annotations

from pathlib import Path

from codesign_gym.catalog import Catalog, beside
from codesign_gym.errors import BadConfig
from codesign_gym.records import read_record
from codesign_gym.simulators.operators.expansion import expand
from codesign_gym.simulators.operators.file import SpaceFile
from codesign_gym.simulators.operators.space import OperatorSpace

CATALOG = Catalog(
    kind="space",
    folder="spaces",
    made={
        "lana-digits": "codesign_gym.simulators.replacement.space:digits",
        "lana-fashion": "codesign_gym.simulators.replacement.space:fashion",
    },
)


def read(name: str) -> SpaceFile:
    """The file behind an id or a YAML path.

    Raises:
        UnknownName: with the nearest id.
        BadConfig: naming the file, the field and what it accepts; or if the name stands for an object.
    """
    found = CATALOG.locate(name)
    if not isinstance(found, Path):
        raise BadConfig(
            f"space {name!r} is a {type(found).__name__} in Python; accepted: one that a YAML file describes, by id "
            f"({', '.join(CATALOG.shipped())}) or path"
        )
    return read_record(SpaceFile, found)


def load(name: str) -> OperatorSpace:
    """The space of an id, a YAML path, or ``"package.module:attribute"``.

    The attribute is an :class:`OperatorSpace`, or a function without arguments that returns one.

    Raises:
        UnknownName: with the nearest id.
        BadConfig: naming what is wrong with the file or the reference.
        UnsupportedNetwork: for sizes that are no network's.
    """
    found = CATALOG.locate(name)
    if isinstance(found, Path):
        content = read_record(SpaceFile, found)
        return expand(name, content.model_copy(update={"device": beside(content.device, found)}))
    space = found() if callable(found) else found
    if not isinstance(space, OperatorSpace):
        raise BadConfig(f"space {name!r} is a {type(space).__name__}; accepted: OperatorSpace")
    return space
