"""The options of an environment as a user reads them, from the record that parses them and its docstring."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from inspect import getdoc
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from codesign_gym.catalog import attribute
from codesign_gym.envs.core.configured import Recipe
from codesign_gym.records import Record

#: Columns of a terminal that the table takes at most.
WIDEST = 100
#: Plain types in words; and how bounds of numbers, by the name pydantic gives them, are written.
WORDS: dict[Any, str] = {str: "text", int: "integer", float: "number", bool: "true or false", Any: "a value"}
BOUNDS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}


def recipe_of(entry_point: str) -> Recipe | None:
    """How an environment is made from options; None where it says nothing of them."""
    return getattr(attribute(entry_point), "recipe", None)


def options_table(env: str, recipe: Recipe, width: int) -> Table:
    """A row per option: name, what is accepted, default, meaning.

    Args:
        env: the environment's id.
        recipe: its own.
        width: columns of the terminal.
    """
    made = Table(title=f"options of {env}", title_justify="left", box=SIMPLE_HEAD, width=min(width, WIDEST))
    made.add_column("option", no_wrap=True)
    made.add_column("accepted", overflow="fold", max_width=21)
    made.add_column("default", overflow="fold", max_width=13)
    made.add_column("meaning", ratio=1)
    for row in option_rows(recipe):
        made.add_row(*map(escape, row))
    return made


def option_rows(recipe: Recipe) -> list[tuple[str, str, str, str]]:
    """The cells of :func:`options_table`, those of the environment's own record first."""
    told = meanings(recipe.options)
    only = {name: rule.where for rule in recipe.only for name in rule.names}
    own = [name for name in recipe.options.__annotations__ if name in recipe.options.model_fields]
    names = dict.fromkeys([*own, *recipe.options.model_fields])
    rows = []
    for name in names:
        field = recipe.options.model_fields[name]
        default = _written(field.get_default(call_default_factory=True))
        meaning = told[name] + (f" Only {only[name]}." if name in only else "")
        rows.append((name, accepted(field), default, meaning))
    return rows


def meanings(record: type[Record]) -> dict[str, str]:
    """Field to its meaning, as the docstrings of a record and of those it inherits from say under "Attributes"."""
    told: dict[str, str] = {}
    for base in reversed(record.__mro__):
        _, _, attributes = (getdoc(base) or "").partition("\nAttributes:\n")
        for names, text in re.findall(r"^ {4}(\w[\w, ]*):((?:.*\n?)(?: {8}.*\n?)*)", attributes, re.MULTILINE):
            told |= dict.fromkeys(names.split(", "), _plain(text))
    return told


def _plain(text: str) -> str:
    """A sentence without markup: literals in quotes, of a reference its last part."""
    text = " ".join(text.split())
    text = re.sub(r":\w+:`~?(?:[\w.]*\.)?(\w+)`", r"\1", text)
    return re.sub(r"``\"?(.+?)\"?``", r"'\1'", text)


def accepted(field: FieldInfo) -> str:
    """What a field takes, in words, with the bounds of a number."""
    bounds = (
        f"{sign} {value:g}"
        for name, sign in BOUNDS.items()
        for limit in field.metadata
        if (value := getattr(limit, name, None)) is not None
    )
    return ", ".join([_typed(field.annotation), *bounds])


def _typed(kind: Any) -> str:
    origin, parts = get_origin(kind), [part for part in get_args(kind) if part is not NoneType]
    if origin is Literal:
        return " | ".join(map(str, parts))
    if origin in (Union, UnionType):
        return " | ".join(map(_typed, parts))
    if origin is not None and issubclass(origin, Mapping):
        return f"{{name: {_typed(parts[1])}}}"
    if origin is not None and issubclass(origin, Sequence):
        return f"[{_typed(parts[0])}, ...]"
    return WORDS[kind]


def _written(value: Any) -> str:
    """A default as it would be typed; a dash where there is none."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_written, value))}]"
    return "-" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
