"""The models of STONNE's fabrics against its runs, and against Bifrost's, on the whole tables and on parts of them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from codesign_gym.simulators.hardware.verification import bifrost, stonne
from codesign_gym.simulators.hardware.verification.check import Bar, Check, NotRun

pytestmark = pytest.mark.reference

VERIFIERS: dict[str, Callable[[Path], list[Check | NotRun]]] = {
    "mesh": stonne.mesh,
    "sigma": stonne.sigma,
    "maeri": stonne.maeri,
    "magma": stonne.magma,
    "bifrost": bifrost.verify,
}


def checks(name: str, folder: Path) -> dict[str, Check]:
    return {found.quantity: found for found in VERIFIERS[name](folder) if isinstance(found, Check)}


@pytest.mark.parametrize("name", VERIFIERS)
def test_every_check_passes(name: str, references: Path) -> None:
    found = checks(name, references)
    assert found
    assert all(each.passed for each in found.values()), [each.quantity for each in found.values() if not each.passed]


def test_every_anchor_of_bifrost_is_compared(references: Path) -> None:
    found = bifrost.verify(references)
    assert [each for each in found if isinstance(each, NotRun)] == []
    tuned = checks("bifrost", references)  # by quantity: the fully connected layers come last
    assert tuned["cycles, mapping bifrost"].mape_percent < 0.1
    assert tuned["zeros of all convolutions, SIGMA, 50% sparse"].mape_percent < 1


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", VERIFIERS)
def test_whatever_is_left_of_the_tables_passes(name: str, seed: int, references: Path, tmp_path: Path) -> None:
    """Three rows in ten (all of a table of three), with every fifth cell empty."""
    random = np.random.default_rng(seed)
    for table in (stonne.TABLE, bifrost.CONVOLUTIONS, bifrost.DENSE, bifrost.SPARSE):
        rows = pd.read_csv(references / table)
        some = rows.sample(frac=0.3, random_state=seed) if len(rows) > 3 else rows
        (tmp_path / table).parent.mkdir(exist_ok=True)
        some.mask(random.random(some.shape) < 0.2).to_csv(tmp_path / table, index=False)
    (tmp_path / stonne.PATTERNS).write_bytes((references / stonne.PATTERNS).read_bytes())
    for found in VERIFIERS[name](tmp_path):
        assert found.reason if isinstance(found, NotRun) else found.passed, found.quantity


def part_of(references: Path, folder: Path, every: int, without: tuple[str, ...]) -> Path:
    """A folder with some of STONNE's rows and columns, and none of its matrices."""
    table = pd.read_csv(references / stonne.TABLE).iloc[::every].drop(columns=list(without))
    (folder / "stonne").mkdir()
    table.to_csv(folder / stonne.TABLE, index=False)
    (folder / stonne.PATTERNS).write_text("{}", encoding="utf-8")
    return folder


@pytest.mark.parametrize("name", ["mesh", "sigma", "maeri", "magma"])
def test_some_rows_without_optional_columns_or_matrices(name: str, references: Path, tmp_path: Path) -> None:
    folder = part_of(references, tmp_path, 7, ("edyn_GlobalBuffer", "edyn_total", "area_DSNetwork"))
    found = VERIFIERS[name](folder)
    assert all(each.passed for each in found if isinstance(each, Check))
    assert any(isinstance(each, NotRun) for each in found)
    assert name == "magma" or any(isinstance(each, Check) for each in found)


def test_drawn_matrices_are_information(references: Path, tmp_path: Path) -> None:
    table = pd.read_csv(references / stonne.TABLE)
    few = table[table["family"].str.startswith("SIGMA") & (table["optimize"] == 0)].head(16)
    (tmp_path / "stonne").mkdir()
    few.to_csv(tmp_path / stonne.TABLE, index=False)
    (tmp_path / stonne.PATTERNS).write_text("{}", encoding="utf-8")
    drawn = checks("sigma", tmp_path)["cycles, drawn matrices"]
    assert drawn.rows == len(few)
    assert drawn.bar == Bar()


def test_no_rows_of_a_family_is_no_failure(references: Path, tmp_path: Path) -> None:
    folder = part_of(references, tmp_path, 400, ())  # its first row, a convolution on MAERI
    for name in ("mesh", "sigma", "magma"):
        (found,) = VERIFIERS[name](folder)
        assert isinstance(found, NotRun)


def test_some_of_bifrosts_mappings_and_layers(references: Path, tmp_path: Path) -> None:
    (tmp_path / "bifrost").mkdir()
    table = pd.read_csv(references / bifrost.CONVOLUTIONS).iloc[1:2, [0, 2, 4]]
    table.to_csv(tmp_path / bifrost.CONVOLUTIONS, index=False)
    found = bifrost.verify(tmp_path)
    assert [each.rows for each in found if isinstance(each, Check)] == [2, 2]
    assert all(each.passed for each in found if isinstance(each, Check))
