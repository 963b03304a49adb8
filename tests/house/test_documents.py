"""The documents say what the code says."""

from __future__ import annotations

import io
import re
import warnings
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from house_tree import ROOT, pyproject

from codesign_gym.simulators.hardware.device import MODELS

HEADINGS = ["Breaking", "New", "Bug fixes", "Deprecations", "Others", "Documentation"]


def requirement_names() -> list[str]:
    """The runtime dependencies, without their versions."""
    return [re.split(r"[<>=!~\[; ]", line)[0] for line in pyproject()["project"]["dependencies"]]


def table_column(text: str, heading: str) -> list[str]:
    """The first column of the markdown table whose first column is headed ``heading``."""
    rows = [[cell.strip(" `") for cell in line.strip("| ").split("|")] for line in text.splitlines() if "|" in line]
    start = next((i for i, row in enumerate(rows) if row[0] == heading), None)
    assert start is not None, f"no table with the first column {heading!r}"
    return [row[0] for row in rows[start + 2 :]]


@pytest.mark.parametrize("command", ["make demo", "make test"])
def test_the_readme_names_its_two_commands(command: str) -> None:
    assert command in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", requirement_names())
def test_the_readme_has_a_row_for_every_dependency(name: str) -> None:
    assert name in table_column((ROOT / "README.md").read_text(encoding="utf-8"), "package")


def test_the_changelog_opens_with_this_version_under_the_fixed_headings() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    latest = re.split(r"^## ", text, flags=re.MULTILINE)[1]
    assert latest.startswith(pyproject()["project"]["version"])
    assert re.findall(r"^### (.+)$", latest, flags=re.MULTILINE) == HEADINGS


def test_the_makefile_has_the_verbs_that_the_documents_name() -> None:
    verbs = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    for document in ("README.md", "CONTRIBUTING.md"):
        named = set(re.findall(r"`make ([a-z]+)", (ROOT / document).read_text(encoding="utf-8")))
        assert named - verbs == set(), document


def test_the_modules_that_contributing_names_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    paths = re.findall(r"`((?:src|tests|benchmarks|examples|docs|\.ci)/[\w./-]+)`", text)
    assert paths
    assert [path for path in paths if not (ROOT / path).exists()] == []


def run_page(name: str) -> tuple[str, str]:
    """A page, and what its Python blocks print as one program, each line of which a reader may type."""
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)
    assert len(blocks) >= 2
    with warnings.catch_warnings():  # array-api-compat remembers namespaces; Dynamo says that it traces through
        warnings.filterwarnings("ignore", message="Dynamo detected a call to a `functools.lru_cache`")
        with redirect_stdout(io.StringIO()) as printed:
            exec(compile("\n".join(blocks), f"docs/{name}", "exec"), {})
    return text, printed.getvalue()


def test_the_soc_page_runs_and_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    _, printed = run_page("your-soc.md")
    off = [float(line.rpartition(" ")[2]) for line in printed.splitlines()]
    assert len(off) == 2
    assert max(off) < 0.05


def test_the_cost_models_page_runs_and_has_every_model() -> None:
    text, printed = run_page("cost-models.md")
    assert "4089.184256 million MACs in" in printed
    named = {name for cell in table_column(text, "model") for name in re.findall(r"[\w-]+", cell)}
    assert set(MODELS) - named == set()
