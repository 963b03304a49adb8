"""A run's configuration: everything that decides its outcome, as plain data."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pydantic import Field

from codesign_gym.agents import interface
from codesign_gym.agents.interface import Agent, AgentFile
from codesign_gym.envs.registration import default_grant, takes
from codesign_gym.errors import BadConfig
from codesign_gym.records import Record

DEFAULT_ENVIRONMENT = "codesign/MixedPrecision-v0"


#: What NumPy's and torch's generators both take.
LARGEST_SEED = 2**32 - 1


class RunConfig(Record):
    """What ``config.json`` of a run folder holds.

    Attributes:
        env: environment id, with ``module:`` in front where a module registers it.
        options: the environment's arguments.
        agent: the agent's id or file.
        agent_file: its content at the time.
        evaluations: distinct designs it may score, or steps where the environment is controlled.
        proposals: designs it may propose, repeated ones included.
        seed: of all randomness.
    """

    env: str = DEFAULT_ENVIRONMENT
    options: dict[str, Any] = Field(default_factory=dict)
    agent: str
    agent_file: AgentFile
    evaluations: int = Field(gt=0)
    proposals: int = Field(gt=0)
    seed: int = Field(ge=0)


def configure(
    env: str,
    options: dict[str, Any],
    agent: str,
    evaluations: int | None = None,
    proposals: int | None = None,
    seed: int = 0,
) -> RunConfig:
    """A run's configuration, the agent's own environment options filled in where the user gave none.

    Without ``evaluations`` it is the agent's default, or else the environment's.

    Raises:
        UnknownName: for an unknown agent or environment, with the nearest.
        BadConfig: for a bad value.
    """
    content = interface.read(agent)
    evaluations = (content.evaluations or default_grant(env)) if evaluations is None else evaluations
    proposals = 4 * evaluations if proposals is None else proposals
    for name, value, least in (("evaluations", evaluations, 1), ("proposals", proposals, 1), ("seed", seed, 0)):
        if value < least:
            raise BadConfig(f"{name} is {value}; accepted: {least} or more")
    if seed > LARGEST_SEED:
        raise BadConfig(f"seed is {seed}; accepted: 0 to {LARGEST_SEED}")
    suggested = {name: value for name, value in content.environment.items() if takes(env, name, value, options)}
    return RunConfig(
        env=env,
        options={**suggested, **options},
        agent=agent,
        agent_file=content,
        evaluations=evaluations,
        proposals=proposals,
        seed=seed,
    )


#: Packages whose functions and classes a configuration may name without being asked about.
KNOWN_CODE = ("codesign_gym", "stable_baselines3", "sb3_contrib")


def code_named(config: RunConfig) -> list[str]:
    """The ``module:attribute`` references of a configuration that lead elsewhere: code that it would import."""
    content = config.agent_file
    named = [config.env, content.agent, *content.parameters.values(), *config.options.values()]
    return [name for name in named if isinstance(name, str) and ":" in name and not _known(name)]


def _known(reference: str) -> bool:
    module, _, attribute = reference.partition(":")
    return module.split(".")[0] in KNOWN_CODE and "." not in attribute


def agent_of(config: RunConfig) -> Agent:
    """The configured agent; where the user named a view of actions, it takes that one.

    Raises:
        BadConfig: for parameters that the agent does not have, or a view that it cannot take.
    """
    agent: Any = interface.build(config.agent_file)
    wanted = config.options.get("action")
    if wanted is not None and hasattr(agent, "actions"):
        agent = replace(agent, actions=wanted)
    built: Agent = agent
    return built


def difference(one: RunConfig, other: RunConfig) -> str | None:
    """The first field in which two configurations differ, with both values, or None."""
    left, right = one.model_dump(), other.model_dump()
    for name, value in left.items():
        if value != right[name]:
            if isinstance(value, dict):
                for key in sorted({*value, *right[name]}):
                    if value.get(key) != right[name].get(key):
                        return f"{name}.{key}: {value.get(key)!r} there, {right[name].get(key)!r} asked for"
            return f"{name}: {value!r} there, {right[name]!r} asked for"
    return None
