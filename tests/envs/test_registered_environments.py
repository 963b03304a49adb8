"""Every registered environment, with options that reach every part of it, through the public checker."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest
from exit_samples import OPTIONS as EXITS

from codesign_gym.agents import interface
from codesign_gym.catalog import attribute
from codesign_gym.envs.core.configured import Recipe
from codesign_gym.envs.registration import ENVIRONMENTS, takes
from codesign_gym.errors import BadConfig
from codesign_gym.testing import CHECKS, CORE_CHECKS, check_env
from codesign_gym.training.config import configure

TABULAR = {
    "network": "mobilenetv2-imagenet100",
    "device": "haq-cloud",
    "accuracy": "tabular",
    "budget": {"latency": 0.6, "size": 0.7},
}
MEANS = ("project", "mask", "price", "price+project", "none")

#: Option sets for every id; an environment without an entry here fails the test below.
OPTIONS: dict[str, list[dict[str, Any]]] = {
    "codesign/EarlyExit-v0": [
        {
            "backbones": ("early_exit_samples:first", "early_exit_samples:second"),
            "pixels": None,
            "floor": 5.0,
            "enforcement": means,
            "reward": reward,
        }
        for means, reward in product(("mask", "price", "mask+price", "none"), ("terminal", "dense"))
    ]
    + [
        {
            "backbones": ("early_exit_samples:first", "early_exit_samples:second"),
            "pixels": None,
            "floor": 5.0,
            "objectives": {"latency": 0.5, "accuracy": 10},
            **options,
        }
        for options in ({"preferences": "sampled"}, {"reward": "dense", "action": "box"})
    ],
    "codesign/MixedPrecision-v0": [
        *({**TABULAR, "enforcement": means, "reward": "dense", "observation": "rich"} for means in MEANS),
        *(
            {**TABULAR, "reward": reward, "observation": observation, "action": action}
            for (reward, observation), action in product(
                [("terminal", "haq"), ("dense", "haq"), ("terminal", "rich")], ["discrete", "multidiscrete", "box"]
            )
        ),
        {**TABULAR, "budget": None, "pinned": "none", "bits": (3, 5)},
        *(
            {**TABULAR, "objectives": {"latency": 5, "size": 2}, **options}
            for options in (
                {"preferences": "sampled"},
                {"preferences": "sampled", "observation": "rich", "enforcement": "price+mask", "action": "box"},
                {"reward": "dense", "enforcement": "price+project"},
            )
        ),
    ],
    "codesign/CoDesign-v0": [
        {"quality": "tabular", **options}
        for options in (
            {"enforcement": "mask", "action": "box"},
            {"enforcement": "price", "action": "multidiscrete", "floor": 0.8},
            {"template": "fpga-engine", "bits": (8,), "preferences": "sampled"},
            {"mode": "refine", "steps": 9, "enforcement": "mask", "preferences": "sampled"},
            {"mode": "refine", "steps": 9, "enforcement": "price", "action": "box"},
        )
    ],
    "codesign/Accelerator-v0": [
        {"network": {"alexnet": 1.0, "squeezenet": 2.0}, "budget": {"area_mm2": 60}, "action": "multidiscrete"},
        {"template": "fpga-engine", "network": "alexnet", "mode": "refine", "steps": 5, "enforcement": "mask"},
        {"template": "maeri", "network": "alexnet", "enforcement": "price", "action": "box"},
    ],
    "codesign/LayerOps-v0": [
        {
            "budget": {"latency": 0.5, "size": 0.6},
            "enforcement": "price+project",
            "reward": "dense",
            "observation": "rich",
        },
        *({"space": "nasbench201", "budget": {"latency": 0.4}, "enforcement": means} for means in MEANS),
        {"space": "nasa-no-conv", "device": "nasa-chunked", "floor": 10, "minimize": "energy", "action": "box"},
        {"space": "nasbench201", "device": "maeri-256", "budget": {"latency": 0.9}, "action": "multidiscrete"},
        {"space": "nasbench201", "objectives": {"latency": 0.5}, "preferences": "sampled"},
        {"space": "nasbench201", "budget": {"latency": 0.5}, "mode": "refine", "steps": 5, "enforcement": "price"},
    ],
    "codesign/Mapping-v0": [
        {"layers": ["features.3"], "enforcement": "mask"},
        {"layers": ["features.3"], "objective": "psums", "mode": "refine", "steps": 5, "action": "box"},
        {"layers": ["features.3"], "objective": ("latency", "energy"), "preferences": "sampled"},
        {
            "network": "alexnet",
            "layers": ["features.3"],
            "device": "nasa-chunked",
            "objective": "energy-delay",
            "action": "multidiscrete",
        },
    ],
    "codesign/Dvfs-v0": [
        {**EXITS, **options, "action": action, "horizon": 25}
        for options, action in zip(
            (
                {"arrivals": "bursty", "capacity": 3, "burst_load": 2.0},
                {"arrivals": "poisson", "hidden": ("queue", "power"), "ambient_c": (15.0, 35.0), "capacitance": 0.2},
            ),
            ("box", "multidiscrete"),
            strict=True,
        )
    ]
    + [
        {
            **{name: value for name, value in EXITS.items() if name != "network"},
            "mix": {"exit_samples:records": 1.0, "exit_samples:record_pair": 2.0},
            "arrivals": "periodic",
            "action": "discrete",
            "horizon": 25,
        }
    ],
}

CASES = [(name, options) for name, sets in OPTIONS.items() for options in sets]


def label(case: Any) -> str | None:
    if not isinstance(case, dict):
        return None
    return "-".join(str(value) for name, value in case.items() if TABULAR.get(name) != value)


def test_every_environment_has_options_to_be_tested_with() -> None:
    assert set(OPTIONS) == set(ENVIRONMENTS)


@pytest.mark.parametrize(("name", "options"), CASES, ids=label)
def test_a_registered_environment_keeps_every_promise(name: str, options: dict[str, Any]) -> None:
    assert check_env(name, **options) == (*CHECKS, *CORE_CHECKS)


def test_a_measured_environment_keeps_every_promise(cache: Path) -> None:
    """Torch modules with hooks stand behind it, and still it can be pickled."""
    options = {"network": "digits-cnn", "device": "bismo-edge", "budget": {"latency": 0.6}}
    assert check_env("codesign/MixedPrecision-v0", **options) == (*CHECKS, *CORE_CHECKS)


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_an_environment_explains_itself(name: str) -> None:
    """Gymnasium's documentation pages are made of these sections."""
    document = gym.make(name, **OPTIONS[name][0]).unwrapped.__doc__ or ""
    sections = ("Description", "Action Space", "Observation Space", "Rewards", "Starting State", "Episode End")
    for section in (*sections, "Arguments", "Version History"):
        assert f"## {section}" in document


@pytest.mark.parametrize(
    ("suggestion", "quality", "taken"),
    [
        (("reward", "dense"), "tabular", True),
        (("reward", "dense"), "measured", False),
        (("observation", "rich"), "measured", False),
        (("enforcement", "price+project"), "measured", False),
        (("enforcement", "mask"), "measured", True),
        (("action", "box"), "measured", True),
        (("colour", "red"), "tabular", False),
    ],
)
def test_suggestions_that_need_tables_are_left_out_where_there_are_none(
    suggestion: tuple[str, str], quality: str, taken: bool
) -> None:
    assert takes("codesign/LayerOps-v0", *suggestion, {"quality": quality}) is taken


DESIGNING = [name for name in ENVIRONMENTS if name != "codesign/Dvfs-v0"]
IDLE: list[tuple[str, dict[str, Any], str, str]] = [
    *(
        (f"codesign/{name}-v0", {}, "steps", "mode='refine'")
        for name in ("LayerOps", "Accelerator", "Mapping", "CoDesign")
    ),
    ("codesign/LayerOps-v0", {"mode": "refine"}, "reward", "mode='construct'"),
    ("codesign/LayerOps-v0", {"mode": "refine"}, "observation", "mode='construct'"),
    ("codesign/LayerOps-v0", {"cost_file": "mine.csv"}, "device", "without a cost_file"),
    ("codesign/LayerOps-v0", {}, "minimize", "with a floor"),
    ("codesign/LayerOps-v0", {}, "quality_file", "quality='table'"),
    ("codesign/LayerOps-v0", {"cost_file": "mine.csv"}, "quality_column", "quality='table'"),
    ("codesign/LayerOps-v0", {"quality": "table"}, "seed", "other than 'table'"),
    ("codesign/CoDesign-v0", {}, "seed", "quality='tabular'"),
    ("codesign/Mapping-v0", {"device": "nasa-chunked"}, "tiles", "model maeri"),
    ("codesign/MixedPrecision-v0", {}, "minimize", "with a floor"),
    ("codesign/MixedPrecision-v0", {}, "loss_limit", "with a floor"),
    ("codesign/MixedPrecision-v0", {"accuracy": "tabular"}, "fine_tune", "accuracy is measured"),
    ("codesign/MixedPrecision-v0", {}, "samples", "accuracy='surrogate'"),
    ("codesign/MixedPrecision-v0", {}, "seed", "accuracy='tabular'"),
    ("codesign/EarlyExit-v0", {"deadline_s": 1.0}, "slack", "without deadline_s"),
]
#: Values of these arguments that are fine elsewhere.
VALUES = {
    "steps": 5,
    "reward": "dense",
    "observation": "rich",
    "minimize": "size",
    "tiles": "passes",
    "device": "bitfusion",
    "quality_file": "mine.csv",
    "quality_column": "top1",
}


@pytest.mark.parametrize(
    ("name", "beside", "option", "where"), IDLE, ids=lambda value: str(value).removeprefix("codesign/")
)
def test_an_option_that_means_nothing_is_refused_with_where_it_applies(
    name: str, beside: dict[str, Any], option: str, where: str
) -> None:
    value = VALUES.get(option, 3)
    with pytest.raises(
        BadConfig, match=rf"^{name}: {option} is .*, which means nothing here; accepted: only .*{where}"
    ):
        recipe_of(name).core({**beside, option: value}, False)
    assert not takes(name, option, value, beside)


@pytest.mark.parametrize("name", DESIGNING)
def test_every_rule_is_about_options_that_there_are(name: str) -> None:
    recipe = recipe_of(name)
    assert {option for rule in recipe.only for option in rule.names} <= recipe.options.model_fields.keys()
    recipe.core({}, False)  # the defaults break none


@pytest.mark.parametrize("mode", ["construct", "refine"])
@pytest.mark.parametrize("agent", interface.CATALOG.names())
def test_what_an_agent_suggests_is_accepted_wherever_it_is_used(agent: str, mode: str) -> None:
    for name in ENVIRONMENTS:
        recipe = recipe_of(name)
        options = {"mode": mode} if "mode" in recipe.options.model_fields else {}
        recipe.core(configure(name, options, agent, 10).options, False)


@pytest.mark.parametrize("beside", [{"mode": "refine"}, {"device": "nasa-chunked"}, {"device": "maeri-128"}])
@pytest.mark.parametrize("agent", ["ppo", "maskable-ppo", "dqn"])
def test_suggestions_are_left_out_where_a_core_could_not_be_made(agent: str, beside: dict[str, Any]) -> None:
    options = {"space": "digits-supernet", **beside}
    recipe_of("codesign/LayerOps-v0").core(configure("codesign/LayerOps-v0", options, agent, 10).options, False)()


SEVERAL: list[tuple[str, dict[str, Any]]] = [
    ("codesign/LayerOps-v0", {"objectives": {"latency": 5}}),
    ("codesign/MixedPrecision-v0", {**TABULAR, "objectives": {"latency": 5}}),
    ("codesign/EarlyExit-v0", OPTIONS["codesign/EarlyExit-v0"][-2]),
]


@pytest.mark.parametrize("agent", ["ppo", "maskable-ppo", "dqn"])
@pytest.mark.parametrize(("name", "options"), SEVERAL, ids=lambda value: value if isinstance(value, str) else "")
def test_a_reward_that_weights_cannot_weigh_is_not_suggested_beside_them(
    agent: str, name: str, options: dict[str, Any]
) -> None:
    fixed, sampled = (
        configure(name, {**options, "preferences": weights}, agent, 10).options for weights in ("fixed", "sampled")
    )
    assert fixed["reward"] == "dense"
    assert "reward" not in sampled
    core: Any = recipe_of(name).core(sampled, False)()
    assert core.preferences is not None


def recipe_of(name: str) -> Recipe:
    """What makes an environment."""
    made = attribute(ENVIRONMENTS[name][0])
    found: Recipe = made.recipe
    return found
