"""Fixtures that every test folder shares."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def references() -> Path:
    """The folder of reference tables; tests that need it are marked ``reference`` and skip where it is absent."""
    beside = Path(__file__).parents[1] / "../shared/data"
    folder = Path(os.environ.get("CODESIGN_GYM_REFERENCES") or beside).resolve()
    if not folder.is_dir():
        pytest.skip(f"no reference tables in {folder}; set CODESIGN_GYM_REFERENCES to their folder")
    return folder
