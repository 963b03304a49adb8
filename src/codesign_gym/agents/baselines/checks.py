"""Bad parameters of an agent, refused where they are given."""

from __future__ import annotations

from typing import Any

from codesign_gym.errors import BadConfig


def whole(agent: str, least: int, **fields: Any) -> None:
    """Refuse fields that are not whole numbers from ``least`` on.

    Raises:
        BadConfig: naming the agent, the field, its value and what is accepted.
    """
    for name, value in fields.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise BadConfig(f"{agent}: field {name!r} is {value!r}; accepted: a whole number from {least} on")


def number(agent: str, least: float, most: float, **fields: Any) -> None:
    """Refuse fields that are not numbers from ``least`` to ``most``.

    Raises:
        BadConfig: naming the agent, the field, its value and what is accepted.
    """
    for name, value in fields.items():
        if not isinstance(value, int | float) or isinstance(value, bool) or not least <= value <= most:
            raise BadConfig(f"{agent}: field {name!r} is {value!r}; accepted: a number from {least:g} to {most:g}")
