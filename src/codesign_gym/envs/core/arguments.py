"""Arguments of environments as their users give them: numbers that are numbers, and each where it means something."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

from pydantic import ConfigDict

from codesign_gym.errors import BadConfig
from codesign_gym.records import Record


class Arguments(Record):
    """Base of the records of environments' arguments: neither ``True`` nor ``"5"`` is a number, nor infinity an amount.

    The command line has turned what is typed into numbers before.
    """

    model_config = ConfigDict(strict=True, allow_inf_nan=False)


def amount(field: str, value: object, accepted: str = "a positive number", zero: bool = False) -> float:
    """A positive, finite number (or 0).

    Args:
        field: what it is, for the message.
        value: what was given for it.
        accepted: what is, for the message.
        zero: whether 0 is.

    Raises:
        BadConfig: for anything else.
    """
    number = math.nan if isinstance(value, bool) or not isinstance(value, Real) else float(value)
    if not (math.isfinite(number) and (number > 0 or (zero and number == 0))):
        raise BadConfig(f"{field} is {value!r}; accepted: {accepted}")
    return number


@dataclass(frozen=True)
class Only:
    """Arguments that mean something only beside certain others.

    Attributes:
        names: of the arguments.
        when: whether they mean something, from all arguments by name, defaults among them.
        where: the same in words, to follow "only".
    """

    names: tuple[str, ...]
    when: Callable[[Mapping[str, Any]], bool]
    where: str


def refuse_idle(rules: Sequence[Only], options: Record, env: str) -> None:
    """Refuse arguments that were given and mean nothing beside the others; None counts as not given.

    Raises:
        BadConfig: for the first one, with where it applies.
    """
    chosen = {name: getattr(options, name) for name in type(options).model_fields}
    for rule in rules:
        for name in rule.names:
            if name in options.model_fields_set and chosen[name] is not None and not rule.when(chosen):
                raise BadConfig(
                    f"{env}: {name} is {chosen[name]!r}, which means nothing here; accepted: only {rule.where}"
                )


def idle(rules: Sequence[Only], name: str, chosen: Mapping[str, Any]) -> bool:
    """Whether an argument would mean nothing beside those chosen, defaults among them."""
    return any(name in rule.names and not rule.when(chosen) for rule in rules)
