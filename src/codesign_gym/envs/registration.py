"""Environment ids: entry points as strings, so that registering imports nothing heavy."""

from __future__ import annotations

from importlib.metadata import entry_points

from gymnasium.envs.registration import register, registry

#: Environment id to the entry points of its single and its vector environment.
ENVIRONMENTS: dict[str, tuple[str, str]] = {
    "codesign/MixedPrecision-v0": (
        "codesign_gym.envs.mixed_precision.env:MixedPrecisionEnv",
        "codesign_gym.envs.mixed_precision.env:MixedPrecisionVectorEnv",
    ),
}


def register_all() -> None:
    """Register every environment of this package once."""
    for name, (single, vector) in ENVIRONMENTS.items():
        if name not in registry:
            register(name, entry_point=single, vector_entry_point=vector)


def plugged_in() -> dict[str, str]:
    """Environment ids of installed distributions to the modules that register them (group ``codesign_gym.envs``)."""
    return {point.name: point.value for point in entry_points(group="codesign_gym.envs")}
