"""Environment ids: entry points as strings, so that registering imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points
from inspect import Parameter, signature
from typing import Any

from gymnasium.envs.registration import EnvSpec, register, registry

from codesign_gym.catalog import attribute
from codesign_gym.errors import BadConfig, UnknownName

#: Designs that an agent may score where neither the user nor the environment says otherwise.
DESIGNS = 200

#: Environment id to the entry points of its single and its vector environment.
ENVIRONMENTS: dict[str, tuple[str, str]] = {
    "codesign/MixedPrecision-v0": (
        "codesign_gym.envs.mixed_precision.env:MixedPrecisionEnv",
        "codesign_gym.envs.mixed_precision.env:MixedPrecisionVectorEnv",
    ),
    "codesign/EarlyExit-v0": (
        "codesign_gym.envs.early_exit.env:EarlyExitEnv",
        "codesign_gym.envs.early_exit.env:EarlyExitVectorEnv",
    ),
    "codesign/LayerOps-v0": (
        "codesign_gym.envs.layer_ops.env:LayerOpsEnv",
        "codesign_gym.envs.layer_ops.env:LayerOpsVectorEnv",
    ),
    "codesign/CoDesign-v0": (
        "codesign_gym.envs.codesign.env:CoDesignEnv",
        "codesign_gym.envs.codesign.env:CoDesignVectorEnv",
    ),
    "codesign/Accelerator-v0": (
        "codesign_gym.envs.accelerator.env:AcceleratorEnv",
        "codesign_gym.envs.accelerator.env:AcceleratorVectorEnv",
    ),
    "codesign/Mapping-v0": (
        "codesign_gym.envs.mapping.env:MappingEnv",
        "codesign_gym.envs.mapping.env:MappingVectorEnv",
    ),
    "codesign/Dvfs-v0": ("codesign_gym.envs.dvfs.env:DvfsEnv", "codesign_gym.envs.dvfs.env:DvfsVectorEnv"),
}

#: Any of them (``env=...``) with a vector of rewards; Gymnasium's checker knows no such thing.
MULTI_OBJECTIVE = "codesign/MultiObjective-v0"


def register_all() -> None:
    """Register every environment of this package once."""
    for name, (single, vector) in ENVIRONMENTS.items():
        if name not in registry:
            register(name, entry_point=single, vector_entry_point=vector)
    if MULTI_OBJECTIVE not in registry:
        register(
            MULTI_OBJECTIVE,
            entry_point="codesign_gym.envs.multi_objective:make",
            vector_entry_point="codesign_gym.envs.multi_objective:make_vec",
            disable_env_checker=True,
            order_enforce=False,
        )


def plugged_in() -> dict[str, str]:
    """Environment ids of installed distributions to the modules that register them (group ``codesign_gym.envs``)."""
    return {point.name: point.value for point in entry_points(group="codesign_gym.envs")}


def specification(env: str) -> EnvSpec:
    """The registered environment of an id, ``module:ns/Name-v0``, or a plug-in's id; imports the module it needs.

    Raises:
        UnknownName: for an id that is not registered, with the nearest.
        BadConfig: if the module cannot be imported.
    """
    module, _, name = env.rpartition(":")
    if module:
        try:
            attribute(f"{module}:__name__")
        except BadConfig as error:
            raise BadConfig(f"environment {env!r}: {error}") from error
    elif name not in registry and name in plugged_in():
        attribute(f"{plugged_in()[name]}:__name__")
    if name not in registry:
        ours = [known for known in registry if "/" in known and not known.startswith(("phys2d", "tabular"))]
        raise UnknownName("environment", name, [*ours, *plugged_in()])
    return registry[name]


def default_grant(env: str) -> int:
    """What an agent is granted where the user names nothing: designs, or steps; errors as in :func:`specification`."""
    recipe = getattr(_made(env), "recipe", None)
    return DESIGNS if recipe is None or recipe.default_grant is None else int(recipe.default_grant)


def completed(env: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """An environment's arguments, its defaults among them where it has a recipe; errors as in :func:`specification`."""
    recipe = getattr(_made(env), "recipe", None)
    return dict(options) if recipe is None else dict(recipe.completed(options))


def takes(env: str, name: str, value: Any, options: Mapping[str, Any]) -> bool:
    """Whether an environment has an argument and accepts a value for it beside others, as far as can be known unmade.

    One without a recipe accepts what its signature has; errors as in :func:`specification`.
    """
    made = _made(env)
    recipe = getattr(made, "recipe", None)
    if recipe is not None:
        return bool(recipe.takes(name, value, options))
    parameters = signature(made).parameters.values() if callable(made) else ()
    return any(parameter.name == name or parameter.kind is Parameter.VAR_KEYWORD for parameter in parameters)


def _made(env: str) -> Any:
    """What makes an environment."""
    entry = specification(env).entry_point
    return attribute(entry) if isinstance(entry, str) else entry
