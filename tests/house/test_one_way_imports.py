"""Imports point one way: configs <- simulators <- envs <- agents <- training.

Read from the source, so that an import inside a function and a lazy ``"module:attribute"`` count too.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from house_tree import PACKAGE, ROOMS, module_name, modules

#: Modules beside the rooms: the base, which every room may use and which uses no room ...
BASE = ("errors", "storage", "records", "catalog", "pareto", "compiling")

#: ... and the fronts, which may use every room and which none uses. "" is ``codesign_gym`` itself.
FRONTS = ("", "__main__", "testing")

LEVELS = {
    **dict.fromkeys(BASE, 0),
    **{room: level for level, room in enumerate(ROOMS, start=1)},
    **dict.fromkeys(FRONTS, len(ROOMS) + 1),
}

#: The lowest room that may import a library.
LOWEST = {"gymnasium": "envs", "stable_baselines3": "agents", "sb3_contrib": "agents"}

#: Where importing a module must not load torch.
WITHOUT_TORCH = ("configs", "envs", "simulators.networks", "simulators.hardware")

REFERENCE = re.compile(r"(codesign_gym(?:\.\w+)*):[\w.]+")


def place(module: str) -> str:
    """The room, or the module beside the rooms, that a module belongs to."""
    return module.removeprefix("codesign_gym").removeprefix(".").partition(".")[0]


def imported(node: ast.AST, package: str) -> Iterator[str]:
    """The modules that one node names; ``from package import name`` gives ``package.name``."""
    match node:
        case ast.Import(names=names):
            yield from (alias.name for alias in names)
        case ast.ImportFrom(module=module, names=names, level=level):
            above = package.split(".")[: len(package.split(".")) - level + 1] if level else []
            start = ".".join([*above, *([module] if module else [])])
            yield from (f"{start}.{alias.name}" for alias in names)
        case ast.Constant(value=str(text)) if reference := REFERENCE.fullmatch(text):
            yield reference[1]


def own(name: str) -> bool:
    """Whether an imported name is a part of this package, rather than a name that its front defines."""
    parts = name.split(".")
    return parts[0] == "codesign_gym" and not (
        len(parts) == 2 and parts[1] not in LEVELS and not (PACKAGE / parts[1]).exists()
    )


def mistakes(source: str, module: str, is_package: bool = False) -> list[str]:
    """What a module imports against the rules, one line each."""
    package = module if is_package else module.rpartition(".")[0]
    here, found = place(module), []
    for node in ast.walk(ast.parse(source)):
        for name in imported(node, package):
            if own(name) and LEVELS[place(name)] > LEVELS[here]:
                found.append(f"{module} imports {name}: {here} may not use {place(name) or 'codesign_gym'}")
            library = name.partition(".")[0]
            if library in LOWEST and LEVELS[here] < LEVELS[LOWEST[library]]:
                found.append(f"{module} imports {library}, which only {LOWEST[library]} and the rooms above may")
    return found


def run_on_import(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements that run when a module is imported: outside functions and ``if TYPE_CHECKING``."""
    for statement in body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.unparse(statement.test):
            yield from run_on_import(statement.orelse)
            continue
        yield statement
        for part in ("body", "orelse", "finalbody", "handlers"):
            for child in getattr(statement, part, ()):
                yield from run_on_import(child.body if isinstance(child, ast.ExceptHandler) else [child])


def loads_torch(source: str) -> bool:
    """Whether importing a module imports torch by a statement of its own."""
    statements = run_on_import(ast.parse(source).body)
    return any(name.partition(".")[0] == "torch" for node in statements for name in imported(node, ""))


def test_every_module_has_its_place() -> None:
    strangers = [name for name in map(module_name, modules()) if place(name) not in LEVELS]
    assert not strangers, f"neither in a room, nor of the base {BASE}, nor a front {FRONTS}: {strangers}"


@pytest.mark.parametrize("path", modules(), ids=module_name)
def test_imports_point_one_way(path: Path) -> None:
    assert mistakes(path.read_text(encoding="utf-8"), module_name(path), path.name == "__init__.py") == []


@pytest.mark.parametrize("room", WITHOUT_TORCH)
def test_torch_is_imported_lazily(room: str) -> None:
    folder = PACKAGE.joinpath(*room.split("."))
    eager = [module_name(path) for path in folder.rglob("*.py") if loads_torch(path.read_text(encoding="utf-8"))]
    assert eager == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("codesign_gym.errors", "from codesign_gym import configs"),
        ("codesign_gym.catalog", "from codesign_gym.simulators.hardware import device"),
        ("codesign_gym.records", "from codesign_gym.testing import check"),
        ("codesign_gym.configs.read", "import codesign_gym.simulators"),
        ("codesign_gym.simulators.hardware.device", "def lazy():\n    from codesign_gym.envs import core"),
        ("codesign_gym.simulators.hardware.device", "from ...envs.core import space"),
        ("codesign_gym.simulators.hardware.device", "import gymnasium as gym"),
        ("codesign_gym.simulators.hardware.device", "from gymnasium.spaces import Box"),
        ("codesign_gym.envs.registration", "MAKERS = {'x': 'codesign_gym.agents.vec_env:CodesignVecEnv'}"),
        ("codesign_gym.envs.core.views", "import stable_baselines3"),
        ("codesign_gym.envs.core.views", "from sb3_contrib import MaskablePPO"),
        ("codesign_gym.agents.recorder", "from codesign_gym.training import runs"),
        ("codesign_gym.training.runs", "from codesign_gym import testing"),
    ],
)
def test_a_wrong_import_is_found(module: str, source: str) -> None:
    assert len(mistakes(source, module)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("codesign_gym", "from codesign_gym.envs import registration"),
        ("codesign_gym.catalog", "from codesign_gym.errors import BadConfig"),
        ("codesign_gym.testing", "from codesign_gym.agents.vec_env import CodesignVecEnv"),
        ("codesign_gym.training.runs", "from codesign_gym import __version__"),
        ("codesign_gym.training.cli", "AGENTS = {'ppo': 'codesign_gym.agents.sb3:Ppo'}\nimport stable_baselines3"),
        ("codesign_gym.envs.core.views", "import gymnasium\nfrom codesign_gym.simulators.networks import layers"),
        ("codesign_gym.simulators.networks.zoo", "from . import layers\nfrom ..hardware import model\nimport torch"),
    ],
)
def test_a_right_import_is_left_alone(module: str, source: str) -> None:
    assert mistakes(source, module) == []


@pytest.mark.parametrize(
    "source",
    [
        "import torch",
        "from torch import nn",
        "try:\n    import torch.nn\nexcept ImportError:\n    pass",
        "try:\n    pass\nexcept ImportError:\n    import torch",
        "class A:\n    import torch",
        "if DEBUG:\n    import torch",
    ],
)
def test_torch_on_import_is_found(source: str) -> None:
    assert loads_torch(source)


@pytest.mark.parametrize(
    "source", ["def f():\n    import torch", "if TYPE_CHECKING:\n    import torch", "import torchvision_like"]
)
def test_torch_kept_for_later_is_left_alone(source: str) -> None:
    assert not loads_torch(source)
