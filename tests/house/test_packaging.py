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

#: Folders at the root that hold what people make, not what they are given.
MADE = {"build", "dist", "runs", "data"}


def not_source(folder: str, names: list[str]) -> set[str]:
    """What a snapshot of the tree leaves out of a folder."""
    skipped = {name for name in names if name == "__pycache__" or name.endswith(".egg-info")}
    return skipped | {name for name in names if Path(folder) == ROOT and (name in MADE or name.startswith("."))}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a snapshot ``tree``, and in ``dist`` the sdist and the wheel built from that."""
    folder = tmp_path_factory.mktemp("packaging")
    shutil.copytree(ROOT, folder / "tree", symlinks=True, ignore=not_source)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder / "dist"), str(folder / "tree")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return folder


def test_the_wheel_holds_the_package_and_nothing_else(built: Path) -> None:
    source = built / "tree" / PACKAGE.parent.relative_to(ROOT)
    files = [path for path in source.rglob("*") if path.suffix in {".py", ".yaml"} or path.name == "py.typed"]
    expected = {path.relative_to(source).as_posix() for path in files}
    (wheel,) = built.glob("dist/*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert packed - expected == set(), "in the wheel, not in the tree"
    assert expected - packed == set(), "in the tree, not in the wheel"
    assert "codesign_gym/py.typed" in packed
    assert any(name.startswith("codesign_gym/configs/") and name.endswith(".yaml") for name in packed)


def test_the_sdist_can_be_tested(built: Path) -> None:
    tests = {path.relative_to(built / "tree").as_posix() for path in built.glob("tree/tests/**/*.py")}
    (sdist,) = built.glob("dist/*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert tests | {"Makefile", "constraints.txt", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE"} <= names


def entry_points() -> list[EntryPoint]:
    """Everything that pyproject.toml promises to the installer and to plug-in loaders."""
    project = pyproject()["project"]
    groups = {"console_scripts": project["scripts"], **project.get("entry-points", {})}
    return [EntryPoint(name, value, group) for group, points in groups.items() for name, value in points.items()]


@pytest.mark.parametrize("point", entry_points(), ids=lambda point: point.value)
def test_an_entry_point_leads_somewhere(point: EntryPoint) -> None:
    assert callable(point.load())
