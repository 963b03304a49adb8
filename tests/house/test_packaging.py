"""What people install is what stands in the tree: tree -> sdist -> wheel."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from house_tree import PACKAGE, ROOT, pyproject

NOT_SOURCE = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist", "runs", "data")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel built from it; nothing is written into the tree."""
    folder = tmp_path_factory.mktemp("packaging")
    tree, out = folder / "tree", folder / "dist"
    shutil.copytree(ROOT, tree, symlinks=True, ignore=NOT_SOURCE)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(tree)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return out


def test_the_wheel_holds_the_package_and_nothing_else(built: Path) -> None:
    files = [path for path in PACKAGE.rglob("*") if path.suffix in {".py", ".yaml"} or path.name == "py.typed"]
    expected = {path.relative_to(PACKAGE.parent).as_posix() for path in files}
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert packed - expected == set(), "in the wheel, not in the tree"
    assert expected - packed == set(), "in the tree, not in the wheel"
    assert "codesign_gym/py.typed" in packed
    assert any(name.startswith("codesign_gym/configs/") and name.endswith(".yaml") for name in packed)


def test_the_sdist_can_be_tested(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    tests = {path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("*.py")}
    assert tests | {"Makefile", "constraints.txt", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE"} <= names


def entry_points() -> list[EntryPoint]:
    """Everything that pyproject.toml promises to the installer and to plug-in loaders."""
    project = pyproject()["project"]
    groups = {"console_scripts": project["scripts"], **project.get("entry-points", {})}
    return [EntryPoint(name, value, group) for group, points in groups.items() for name, value in points.items()]


@pytest.mark.parametrize("point", entry_points(), ids=lambda point: point.value)
def test_an_entry_point_leads_somewhere(point: EntryPoint) -> None:
    assert callable(point.load())
