"""What the verifiers ask of tables: mappings that can be read and cover, and measurements above 0."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from codesign_gym.errors import StorageError
from codesign_gym.simulators.hardware.verification.check import Bar, check, complete_table
from codesign_gym.simulators.hardware.verification.mappings import COLUMN, extents_of, mappings_of

ROW = {**{f"prob.{loop}": 1 for loop in "NPQRS"}, "prob.K": 8, "prob.C": 6, COLUMN: "L3[WIO] C3 K8 - L1[O] C2X"}


def test_mappings_of_a_table() -> None:
    rows = pd.DataFrame([ROW, ROW | {COLUMN: "L3[WIO] K2 - L2[WI] K4X - L0[W] C6"}], index=[1, 2])
    found = mappings_of(rows, Path("table.csv"))
    np.testing.assert_array_equal(found.extents, extents_of(rows))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("rubbish", "mapping 'rubbish': level 'rubbish'; accepted: L0 to L3"),
        ("L3[WIO] Z4 - L0[W] N1", "factor 'Z4'"),
        ("L3[WIO] C3 K4 - L1[O] C2X", "the mapping does 4 iterations of loop K; the layer has 8"),
        ("L3[WIO] C3 K8 G2 - L1[O] C2X", "the mapping does 2 iterations of loop G; the layer has 1"),
    ],
)
def test_a_mapping_that_is_none_is_named_with_its_row(text: str, told: str) -> None:
    with pytest.raises(StorageError) as caught:
        mappings_of(pd.DataFrame([ROW, ROW | {COLUMN: text}], index=[1, 7]), Path("table.csv"))
    assert str(caught.value).startswith("table.csv: row 7: ")
    assert told in str(caught.value)


def test_what_was_measured_is_above_0(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("size,latency\n1,2\n3,0\n")
    with pytest.raises(StorageError, match=r"t\.csv: row 2: latency is 0; accepted: above 0"):
        complete_table(tmp_path, "t.csv", ("size", "latency"), measured=("latency", "energy"))


def test_a_reference_of_0_is_met_by_0_alone() -> None:
    bar = Bar(mape_percent=10.0)
    assert check("words", "", [0.0, 1.0], [0.0, 1.0], bar).passed
    wrong = check("words", "", [5.0, 1.0], [0.0, 1.0], bar)
    assert wrong.mape_percent == np.inf
    assert not wrong.passed
