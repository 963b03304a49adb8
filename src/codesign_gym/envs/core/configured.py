"""Environments made from plain options: what every registered environment of this package is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from pydantic import ValidationError

from codesign_gym.envs.core.core import Core
from codesign_gym.envs.core.views import CodesignEnv, CodesignVectorEnv
from codesign_gym.records import Record, parse

#: Values of arguments that need sums over knobs, as any enforcement with ``project`` does.
NEED_TABLES = {"reward": ("dense",), "observation": ("rich",)}


@dataclass(frozen=True)
class Recipe:
    """How an environment is made.

    Attributes:
        id: its registered name.
        options: the record of its arguments.
        build: the core of such a record, and of whether it will be drawn, which takes a trace.
        untabled: whether such arguments make a problem without sums over knobs, as far as they tell.
        default_grant: what an agent may spend where the user says nothing; None for the package's default.
    """

    id: str
    options: type[Record]
    build: Callable[[Any, bool], Core[Any]]
    untabled: Callable[[Mapping[str, Any]], bool] = lambda options: False
    default_grant: int | None = None

    def core(self, options: Mapping[str, Any], drawn: bool) -> Callable[[], Core[Any]]:
        """A function that makes the core; raises :class:`BadConfig` for arguments that are none."""
        return partial(self.build, parse(self.options, dict(options), self.id), drawn)

    def takes(self, name: str, value: Any, options: Mapping[str, Any]) -> bool:
        """Whether an argument exists and accepts a value beside others, as far as its type and the recipe say."""
        if name not in self.options.model_fields:
            return False
        if self.untabled(options) and (value in NEED_TABLES.get(name, ()) or "project" in str(value)):
            return False
        try:
            self.options.model_validate({name: value})
        except ValidationError as error:
            return all(problem["loc"][:1] != (name,) for problem in error.errors(include_url=False))
        return True


class ConfiguredEnv(CodesignEnv):
    """A single environment made by its class's recipe."""

    recipe: ClassVar[Recipe]

    def __init__(self, render_mode: str | None = None, **options: Any) -> None:
        """Build the environment from options; see the class."""
        super().__init__(self.recipe.core(options, render_mode is not None), render_mode)


class ConfiguredVectorEnv(CodesignVectorEnv):
    """Many such environments that step together."""

    recipe: ClassVar[Recipe]

    def __init__(
        self,
        num_envs: int = 1,
        autoreset_mode: Any = "NextStep",
        render_mode: str | None = None,
        **options: Any,
    ) -> None:
        """Build ``num_envs`` environments that step together."""
        super().__init__(self.recipe.core(options, render_mode is not None), num_envs, autoreset_mode, render_mode)
