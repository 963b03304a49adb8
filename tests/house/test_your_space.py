"""The page on spaces of one's own: its files are written, its commands and programs run."""

from __future__ import annotations

import io
import re
import shlex
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from house_tree import ROOT
from typer.testing import CliRunner

from codesign_gym.training.cli import app

PAGE = (ROOT / "docs" / "your-space.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"^`([\w.-]+)`:\n\n```(?:yaml|python)\n(.*?)^```$", PAGE, flags=re.DOTALL | re.MULTILINE))
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, flags=re.DOTALL | re.MULTILINE)
COMMANDS = [line for kind, block in BLOCKS if not kind for line in block.splitlines()]
PROGRAMS = [block for kind, block in BLOCKS if kind == "python" and block not in FILES.values()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the page's files, in which everything runs."""
    found = tmp_path_factory.mktemp("your-space")
    for name, content in FILES.items():
        (found / name).write_text(content, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(found)
        patch.syspath_prepend(str(found))  # as the command does
        yield found


def test_every_block_of_the_page_is_run() -> None:
    assert len(FILES) == 5
    assert len(FILES) + len(PROGRAMS) + sum(not kind for kind, _ in BLOCKS) == len(BLOCKS)
    assert all(command.startswith("codesign-gym ") for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_page(folder: Path, cache: Path, command: str) -> None:
    run = [] if " show " in command else ["--run", f"run-{COMMANDS.index(command)}"]
    ran = CliRunner().invoke(app, [*shlex.split(command)[1:], *run])
    assert ran.exit_code == 0, ran.output
    if run:
        assert (folder / run[1] / "result.json").is_file()


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_of_the_page(folder: Path, program: str) -> None:
    with redirect_stdout(io.StringIO()) as printed:
        exec(compile(program, "docs/your-space.md", "exec"), {})
    assert "vector environment" in printed.getvalue()
