"""YAML read into validated, frozen records, with errors that name the file, the field and what it accepts."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from codesign_gym.errors import BadConfig, suggestion


#: PyYAML's safe loader, in C where PyYAML was built with it: seven times as fast.
class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """... that refuses a key given twice, of which YAML readers silently take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for key in keys:
            if keys.count(key) > 1 and key != "<<":
                raise yaml.constructor.ConstructorError(None, None, f"field {key!r} is given twice", node.start_mark)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


class Record(BaseModel):
    """Base of the records that configuration files hold: frozen, and closed to unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=False)


R = TypeVar("R", bound=Record)


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file whose top level is a mapping.

    Raises:
        BadConfig: if the file is absent, is not YAML, or is not a mapping.
    """
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except OSError as error:
        raise BadConfig(f"{path}: cannot be read: {error.strerror or error}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadConfig(f"{path}: not valid YAML: {_one_line(error)}") from error
    if not isinstance(data, dict):
        raise BadConfig(f"{path}: expected a mapping of fields, found {type(data).__name__}")
    return data


def read_record(record: type[R], path: Path) -> R:
    """Read a YAML file into a record; errors as in :func:`parse` and :func:`read_yaml`."""
    return parse(record, read_yaml(path), str(path))


def parse(record: type[R], data: object, where: str) -> R:
    """Validate ``data`` as ``record``.

    Args:
        record: the record's class.
        data: plain data, as YAML or JSON gives it.
        where: the file or option the data came from, for the error message.

    Raises:
        BadConfig: naming the first field that is wrong and what it accepts.
    """
    try:
        return record.model_validate(data)
    except ValidationError as error:
        raise BadConfig(f"{where}: {describe(error, tuple(record.model_fields))}") from error


def describe(error: ValidationError, fields: tuple[str, ...] = ()) -> str:
    """One line for a validation error: field, bad value, and what would have been accepted."""
    problems = error.errors(include_url=False)
    # A misspelt field is missing, too; its own name tells more.
    first = next((problem for problem in problems if problem["type"] == "extra_forbidden"), problems[0])
    field = ".".join(str(part) for part in first["loc"]) or "(top level)"
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    match first["type"]:
        case "extra_forbidden":
            return f"unknown field {field!r}{suggestion(str(first['loc'][-1]), fields)}{more}"
        case "missing":
            return f"field {field!r} is missing{more}"
        case _:
            message = first["msg"].removeprefix("Value error, ")
            if not first["loc"] and isinstance(first["input"], dict):  # of the whole record; it says what it is about
                return f"{message}{more}"
            return f"field {field!r} is {first['input']!r}: {message}{more}"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
