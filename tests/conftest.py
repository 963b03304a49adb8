"""Fixtures that every folder of tests may use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache folder for the whole session, so that a network is trained once; ``$CODESIGN_GYM_CACHE`` names it."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CODESIGN_GYM_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def references() -> Path:
    """The folder of reference tables: ``$CODESIGN_GYM_REFERENCES``, else ``shared/data`` beside the repository."""
    folder = Path(os.environ.get("CODESIGN_GYM_REFERENCES", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no reference tables in {folder}; set CODESIGN_GYM_REFERENCES to their folder")
    return folder
