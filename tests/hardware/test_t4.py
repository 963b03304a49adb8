"""The verifier of an NVIDIA T4's kernels on tables that lack something."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from codesign_gym.errors import StorageError
from codesign_gym.simulators.hardware.verification import t4
from codesign_gym.simulators.hardware.verification.check import Check, NotRun, TableAbsent

DENSE = ("dense_int8.cuda", "[8, 512]", "int8", "[1000, 512]", None, 4.4)
CONVOLUTION = ("conv2d_HWNCnc_tensorcore.cuda", "[9, 9, 8, 512]", "uint4", "[3, 3, 512, 512]", "[1, 1]", 83.1)
OTHER = ("conv2d_NCHWc.cuda", "[8, 32, 9, 9, 16]", "int8", "[3, 3, 512, 512]", "[1, 1]", 80.0)


def folder_of(folder: Path, rows: list[tuple[object, ...]], without: str = "") -> Path:
    table = pd.DataFrame(rows, columns=[*t4.TEXTS, t4.MEASURED]).drop(columns=[without] if without else [])
    (folder / t4.TABLE).parent.mkdir()
    table.to_csv(folder / t4.TABLE, index=False)
    return folder


def test_kernels_of_a_layout_that_is_not_known_are_left_out(tmp_path: Path) -> None:
    shipped, fitted = t4.verify(folder_of(tmp_path, [DENSE, CONVOLUTION, OTHER]))
    assert isinstance(shipped, Check)
    np.testing.assert_array_equal(shipped.reference, [4.4, 83.1])
    assert shipped.note.endswith("1 other rows left out")
    assert fitted == NotRun("kernel, us, cross-validated", t4.TABLE, "2 layer shapes; cross-validation needs 8")


@pytest.mark.parametrize("column", ["op", "data", "data_dtype", "weight", "latency_us"])
def test_a_column_that_is_missing_is_named(tmp_path: Path, column: str) -> None:
    with pytest.raises(TableAbsent, match=f"no column {column}; it has"):
        t4.verify(folder_of(tmp_path, [DENSE, CONVOLUTION], without=column))


def test_without_strides_dense_kernels_remain(tmp_path: Path) -> None:
    shipped, _ = t4.verify(folder_of(tmp_path, [DENSE, CONVOLUTION], without="stride"))
    assert isinstance(shipped, Check)
    assert shipped.rows == 1


@pytest.mark.parametrize(
    ("column", "text"),
    [("data", "[9; 9, 8, 512]"), ("data", "[8, 512]"), ("weight", "[3, 3, 0, 512]"), ("stride", "1"), ("data", 5)],
)
def test_a_cell_that_lists_no_sizes_is_named(tmp_path: Path, column: str, text: object) -> None:
    cells = dict(zip([*t4.TEXTS, t4.MEASURED], CONVOLUTION, strict=True)) | {column: text}
    with pytest.raises(
        StorageError, match=rf"t4_conv_kernel_latency.csv: row 2: {column} is .*; accepted: \d positive"
    ):
        t4.verify(folder_of(tmp_path, [DENSE, tuple(cells.values())]))
