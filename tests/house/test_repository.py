"""The repository itself: its files, its links, its pins."""

from __future__ import annotations

import os
import re

import pytest
from house_tree import PACKAGE, ROOMS, ROOT, pyproject, repository_files

LARGEST_BYTES = 500_000

#: A path below somebody's home or work folder; URLs and longer paths that only contain such a part are not.
MACHINE_PATH = re.compile(r"(?<![\w.:/~-])/(?:home|root|work|Users)/[\w.-]+")


def machine_paths(text: str) -> list[str]:
    """The absolute paths in a text that exist on one machine only."""
    return MACHINE_PATH.findall(text)


def test_no_file_is_large() -> None:
    sizes = {path.relative_to(ROOT).as_posix(): path.stat().st_size for path in repository_files()}
    assert {name: size for name, size in sizes.items() if size > LARGEST_BYTES} == {}


def test_no_file_names_a_path_of_one_machine() -> None:
    found = {}
    for path in repository_files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:  # an image or an archive
            continue
        if paths := machine_paths(text):
            found[path.relative_to(ROOT).as_posix()] = paths
    assert found == {}


def test_a_path_of_one_machine_is_told_from_others() -> None:
    home, work = "/".join(["", "home", "ada"]), "/".join(["", "work", "x"])  # in parts: this file is read too
    assert machine_paths(f"open('{home}/data.csv'), see {work}") == [home, work]
    assert machine_paths(f"https://example.org{home}, ~{work}, ..{home}, /usr/share{home}, /tmp/x") == []


@pytest.mark.parametrize("room", ROOMS)
def test_a_link_at_the_root_points_to_its_room(room: str) -> None:
    link = ROOT / room
    assert link.is_symlink()
    assert os.readlink(link) == f"src/codesign_gym/{room}"
    assert link.resolve() == PACKAGE / room


def distribution(requirement: str) -> str:
    """The normalised name of the distribution in a requirement or a pin."""
    name = re.match(r"[\w.-]+", requirement)
    assert name is not None, requirement
    return re.sub(r"[-_.]+", "-", name[0]).lower()


def test_everything_that_is_installed_is_pinned() -> None:
    project = pyproject()["project"]
    pins = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    wanted = {distribution(line) for line in [*project["dependencies"], *project["optional-dependencies"]["dev"]]}
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", pin) for pin in pins), "a pin is name==version, without local suffix"
    assert wanted - {distribution(pin) for pin in pins} == set()
