"""The table of an environment's options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import StringIO
from typing import Any, Literal

import pytest
from pydantic import Field
from rich.console import Console

from codesign_gym.envs.core.arguments import Arguments, Only
from codesign_gym.envs.core.configured import Recipe
from codesign_gym.envs.registration import ENVIRONMENTS
from codesign_gym.training import catalogue
from codesign_gym.training.options import option_rows, options_table, recipe_of


class Walked(Arguments):
    """What others share.

    Attributes:
        steps: moves.
    """

    steps: int = Field(default=20, ge=1, le=50)


class Sample(Walked):
    """A record of every kind of option.

    Attributes:
        name: id, or ``"module:attribute"``.
        low, high: see :class:`~codesign_gym.envs.core.problem.Objective`,
            on two lines.
        kind: which.
        shares: of each: some.
        either: one or several.
    """

    name: str | None = None
    low: float = Field(default=0.5, gt=0)
    high: float = Field(default=1.0, lt=2)
    kind: Literal["a", "b"] = "a"
    shares: Mapping[str, float] = Field(default_factory=dict)
    either: str | Sequence[int] = (2, 8)


def never_built(options: Any, drawn: bool) -> Any:
    raise AssertionError


def test_rows_come_from_the_record_and_its_docstrings() -> None:
    recipe = Recipe("x/Y-v0", Sample, never_built, only=(Only(("low",), bool, "with a name"),))
    assert option_rows(recipe) == [
        ("name", "text", "-", "id, or 'module:attribute'."),
        ("low", "number, > 0", "0.5", "see Objective, on two lines. Only with a name."),
        ("high", "number, < 2", "1", "see Objective, on two lines."),
        ("kind", "a | b", "a", "which."),
        ("shares", "{name: number}", "{}", "of each: some."),
        ("either", "text | [integer, ...]", "[2, 8]", "one or several."),
        ("steps", "integer, >= 1, <= 50", "20", "moves."),
    ]


@pytest.mark.parametrize("env", ENVIRONMENTS)
@pytest.mark.parametrize("width", [80, 100, 140])
def test_every_option_has_a_meaning_and_lines_fit(env: str, width: int) -> None:
    recipe: Any = recipe_of(ENVIRONMENTS[env][0])
    rows = option_rows(recipe)
    assert {row[0] for row in rows} == set(recipe.options.model_fields)
    assert all(len(row[3]) > 5 and "``" not in row[3] and ":class:" not in row[3] for row in rows)
    console = Console(width=width, file=StringIO(), record=True)
    console.print(options_table(env, recipe, width))
    assert max(map(len, console.export_text().splitlines())) <= min(width, 100)


def test_other_kinds_have_no_options() -> None:
    assert catalogue.options("bitfusion", 80) is None
    assert catalogue.options("codesign/MultiObjective-v0", 80) is None
