"""Environments made from plain options: what every registered environment of this package is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from pydantic import ValidationError

from codesign_gym.envs.core.arguments import Only, idle, refuse_idle
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
        only: arguments that mean something only beside certain others.
        default_grant: what an agent may spend where the user says nothing; None for the package's default.
    """

    id: str
    options: type[Record]
    build: Callable[[Any, bool], Core[Any]]
    untabled: Callable[[Mapping[str, Any]], bool] = lambda options: False
    only: tuple[Only, ...] = ()
    default_grant: int | None = None

    def core(self, options: Mapping[str, Any], drawn: bool) -> Callable[[], Core[Any]]:
        """A function that makes the core; raises :class:`BadConfig` for arguments that are none or mean nothing."""
        parsed = parse(self.options, dict(options), self.id)
        refuse_idle(self.only, parsed, self.id)
        return partial(self.build, parsed, drawn)

    def completed(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments with the defaults of the others; raises :class:`BadConfig` for arguments that are none."""
        return parse(self.options, dict(options), self.id).model_dump()

    def takes(self, name: str, value: Any, options: Mapping[str, Any]) -> bool:
        """Whether an argument exists and accepts a value beside others, as far as its type and the recipe say."""
        if name not in self.options.model_fields:
            return False
        defaults = {
            own: field.get_default(call_default_factory=True) for own, field in self.options.model_fields.items()
        }
        chosen = {**defaults, **options}
        if idle(self.only, name, chosen):
            return False
        repairs = name == "enforcement" and "project" in str(value)
        weighed = (name, value) == ("reward", "dense") and chosen.get("preferences") == "sampled"
        if weighed or (repairs and chosen.get("mode") == "refine"):
            return False
        if (repairs or value in NEED_TABLES.get(name, ())) and self.untabled(options):
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
