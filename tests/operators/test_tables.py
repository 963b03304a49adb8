"""Measured tables: read from files, exact where they are sums, and refused where they are wrong."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr
from space_samples import CELLS, chain, every_design, operators_csv, space_of

from codesign_gym.errors import BadConfig
from codesign_gym.simulators import operators
from codesign_gym.simulators.operators.tables import is_of_operators, read_operators
from codesign_gym.simulators.operators.tables_cells import read_accuracies, read_cells, written
from codesign_gym.simulators.operators.tables_networks import fit, read_networks


def test_operators_are_read_by_name(tmp_path: Path) -> None:
    path = operators_csv(tmp_path, chain())
    assert is_of_operators(path)
    assert read_operators(path, chain())["latency_s"] * 1e3 == pytest.approx(
        np.array([[1, 2, 3], [4, 5, 6], [7, 8, 0]]), rel=1e-12
    )


def test_a_column_a_device_is_in_milliseconds_and_millijoules(tmp_path: Path) -> None:
    space = chain()
    path = tmp_path / "many.csv"
    names = [name for layer in space.layers for name in layer.entries]
    path.write_text("\n".join(["op,a_latency,b_latency,b_energy", *(f"{name},1,2,3" for name in names)]))
    found = read_operators(path, space, "b")
    assert found["latency_s"][space.allowed] == pytest.approx(2e-3)
    assert found["energy_j"][space.allowed] == pytest.approx(3e-3)
    with pytest.raises(BadConfig, match="unknown cost_column 'c'"):
        read_operators(path, space, "c")
    with pytest.raises(BadConfig, match="accepted: cost_column a or b; the file has op, a_latency, b_latency, b_en"):
        read_operators(path, space)


def test_a_missing_operator_is_named(tmp_path: Path) -> None:
    path = operators_csv(tmp_path, chain())
    path.write_text("\n".join(line for line in path.read_text().splitlines() if "stage1.2.k5_e3" not in line))
    with pytest.raises(BadConfig, match=r"^.*operators\.csv: no row for operator 'stage1\.2\.k5_e3'$"):
        read_operators(path, chain())


def test_an_operator_given_twice_is_named_by_its_rows(tmp_path: Path) -> None:
    path = operators_csv(tmp_path, chain())
    path.write_text(path.read_text() + "\nstage1.1.skip,9")
    with pytest.raises(
        BadConfig, match=r"the same operator twice: row 1 and row 9 \('stage1\.1\.skip'\); accepted: each once"
    ):
        read_operators(path, chain())


@pytest.mark.parametrize("cell", ["nan", "-1", "", "inf"])
def test_a_figure_that_is_none_is_named_by_its_row(tmp_path: Path, cell: str) -> None:
    path = operators_csv(tmp_path, chain())
    path.write_text(path.read_text().replace("stage1.2.k3_e1,5", f"stage1.2.k3_e1,{cell}"))
    with pytest.raises(BadConfig, match=rf"row 5 \('stage1\.2\.k3_e1'\): latency_ms is {cell or 'empty'}; accepted"):
        read_operators(path, chain())


def test_all_that_is_wrong_is_named_and_beyond_five_counted(tmp_path: Path) -> None:
    path = operators_csv(tmp_path, chain())
    lines = path.read_text().splitlines()
    wrong = {
        "no row for operators 'stage1.1.skip', 'stage1.2.k3_e1'$": [lines[0], *lines[2:5], *lines[6:]],
        "row 1: operator is empty; accepted: a name such as 'stage1.1.": [lines[0], ",3", *lines[2:]],
        r"twice: row 1 and row 9 \('stage1.1.skip'\), row 2 and row 10 \('s": [*lines, *lines[1:3]],
        r"row 5 .'stage1.2.k3_e1'.: latency_ms is nan \(and 3 more\); acc": [
            lines[0],
            *(f"{line.partition(',')[0]},nan" for line in lines[1:]),
        ],
    }
    for message, kept in wrong.items():
        path.write_text("\n".join(kept))
        with pytest.raises(BadConfig, match=message) as caught:
            read_operators(path, chain())
        assert "\n" not in str(caught.value)


def cells_csv(folder: Path, drop: int = 0, extra: str = "") -> Path:
    """Accuracies 0, 1, 2, ... per cent above 10 of the designs of the small space of cells, in order."""
    space = space_of(CELLS)
    lines = [f"{i},{written(space, design)},{10 + i}" for i, design in enumerate(every_design(space))]
    path = folder / "cells.csv.gz"
    text = "\n".join(["index,arch_str,top1", *lines[drop:], *filter(None, [extra])])
    path.write_bytes(gzip.compress(text.encode()))
    return path


def test_cells_are_read_by_their_architecture_and_by_number(tmp_path: Path) -> None:
    space, path = space_of(CELLS), cells_csv(tmp_path)
    table = read_accuracies(path, space, "top1")
    designs = every_design(space)
    assert table[tuple(designs.T)] == pytest.approx(0.1 + 0.01 * np.arange(8))
    numbered = tmp_path / "latency.csv"
    numbered.write_text("\n".join(["index,phone", *(f"{i},{20 - i}" for i in reversed(range(8)))]))
    latency = read_cells(numbered, space, "phone", 1e-3, path)
    assert latency[tuple(designs.T)] == pytest.approx((20 - np.arange(8)) * 1e-3)


@pytest.mark.parametrize(
    ("drop", "extra", "message"),
    [
        (2, "", "2 of 8 cells are missing: |none~0|+|none~0|none~1|, |none~0|+|none~0|conv~1|"),
        (
            0,
            "8,|none~0|+|none~0|conv~1|,50",
            "the same architecture twice: row 2 and row 9 ('|none~0|+|none~0|conv~1|')",
        ),
        (0, "8,|none~0|+|none~0|cnov~1|,50", "row 9: arch_str is |none~0|+|none~0|cnov~1|"),
        (0, "8,|none~0|+|none~0|conv~2|,50", "row 9: arch_str is"),
        (1, "8,|none~0|+|none~0|none~1|,nan", "row 8 ('|none~0|+|none~0|none~1|'): top1 is nan"),
        (1, "8,|none~0|+|none~0|none~1|,100.5", "row 8: top1 is 100.5; accepted: 0 to 100 per cent"),
        (1, "8,|none~0|+|none~0|none~1|,-1", "): top1 is -1; accepted: a positive, finite number or 0"),
    ],
)
def test_cells_that_lack_repeat_or_are_none_are_named(tmp_path: Path, drop: int, extra: str, message: str) -> None:
    with pytest.raises(BadConfig) as caught:
        read_accuracies(cells_csv(tmp_path, drop, extra), space_of(CELLS), "top1")
    assert message in str(caught.value)


def test_numbers_need_the_file_that_explains_them(tmp_path: Path) -> None:
    numbered = tmp_path / "latency.csv"
    numbered.write_text("index,phone\n9,1")
    with pytest.raises(BadConfig, match="beside a file that numbers architectures"):
        read_cells(numbered, space_of(CELLS), "phone", 1e-3)
    with pytest.raises(BadConfig, match="row 1: index is 9; accepted: a number of"):
        read_cells(numbered, space_of(CELLS), "phone", 1e-3, cells_csv(tmp_path))


def test_a_space_with_too_many_designs_is_in_no_table(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match=r"9\.85e\+20 designs"):
        read_accuracies(cells_csv(tmp_path), operators.load("fbnet"), "top1")


def test_a_broken_archive_is_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "cells.csv.gz"
    path.write_bytes(b"\x1f\x8bnothing")
    with pytest.raises(BadConfig, match=r"cells\.csv\.gz"):
        read_accuracies(path, space_of(CELLS), "top1")


def test_sums_are_recovered_from_whole_networks(tmp_path: Path) -> None:
    space = chain()
    true = np.array([[1.0, 2.0, 4.0], [0.5, 2.5, 3.0], [2.0, 5.0, 0.0]])
    designs = every_design(space)
    latency = true[np.arange(3), designs].sum(-1)
    code = {name: number for number, name in enumerate(space.codes)}
    names = [[layer.operators[i] for layer, i in zip(space.layers, design, strict=True)] for design in designs]
    lines = [f"{' '.join(str(code[n]) for n in named)},{ms}" for named, ms in zip(names, latency, strict=True)]
    path = tmp_path / "networks.csv"
    path.write_text("\n".join(["arch,phone", *lines]))
    read, seconds = read_networks(path, space, "phone")
    assert np.array_equal(read, designs)
    found = fit(space, read, seconds)
    assert found.latency_s[np.arange(3), designs].sum(-1) == pytest.approx(latency * 1e-3, rel=1e-3)
    assert found.mape < 1e-3
    path.write_text("arch,phone\n0 1 0,5")
    with pytest.raises(BadConfig, match="row 1: arch is 0 1 0; accepted: 3 numbers below 3"):
        read_networks(path, space, "phone")


def test_a_network_given_twice_is_named_by_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "networks.csv"
    path.write_text("arch,phone\n0 1 1,5\n1 1 1,6\n0  1 1,7")
    with pytest.raises(BadConfig, match=r"networks\.csv: the same architecture twice: row 1 and row 3 \('0 1 1'\)"):
        read_networks(path, chain(), "phone")


@pytest.mark.reference
def test_a_network_of_fbnets_is_the_sum_of_its_operators(references: Path) -> None:
    """HELP's Pixel 3 figures are such sums, of the very table; nothing is left over, so stem and head are right too."""
    space = operators.load("fbnet-cifar")
    table = read_operators(references / "fbnet/hwnasbench_fbnet_op_lut_5devices.csv", space, "pixel3")["latency_s"]
    designs, measured = read_networks(references / "fbnet/fbnet_5000_latency_devices.csv.gz", space, "pixel3")
    summed = table[np.arange(len(space)), designs].sum(-1)
    assert summed == pytest.approx(measured, rel=2e-5)


#: Figures of this model on networks held out, with room: (most MAPE, least Spearman).
MEASURED = {
    "titanx_1": (0.005, 0.99),
    "2080ti_1": (0.01, 0.99),
    "silver_4210r": (0.01, 0.99),
    "gold_6240": (0.03, 0.96),
}


@pytest.mark.reference
@pytest.mark.parametrize("device", MEASURED)
def test_measured_networks_are_nearly_sums_too(references: Path, device: str) -> None:
    space = operators.load("fbnet-cifar")
    found = fit(space, *read_networks(references / "fbnet/fbnet_5000_latency_devices.csv.gz", space, device))
    mape, spearman = MEASURED[device]
    assert found.mape <= mape
    assert found.spearman >= spearman


@pytest.mark.reference
def test_a_table_of_one_device_ranks_networks_of_its_kind(references: Path) -> None:
    """A Raspberry Pi's operators rank networks on the Pixel 3 (0.96), not on a GPU (0.26): devices differ."""
    space = operators.load("fbnet-cifar")
    table = read_operators(references / "fbnet/hwnasbench_fbnet_op_lut_5devices.csv", space, "raspi4")["latency_s"]
    path = references / "fbnet/fbnet_5000_latency_devices.csv.gz"
    ranks = {}
    for device in ("pixel3", "1080ti_1"):
        designs, measured = read_networks(path, space, device)
        ranks[device] = spearmanr(table[np.arange(len(space)), designs].sum(-1), measured).statistic
    assert ranks["pixel3"] > 0.95
    assert ranks["1080ti_1"] < 0.4


@pytest.mark.reference
def test_nas_bench_201s_optima_are_found(references: Path) -> None:
    space = operators.load("nasbench201")
    path = references / "nasbench201/nb201_accuracy.csv.gz"
    for column, optimum in (("c10_test_200ep", 94.3733), ("c100_test_200ep", 73.5133), ("in16_test_200ep", 47.3111)):
        assert 100 * read_accuracies(path, space, column).max() == pytest.approx(optimum, abs=1e-4)
    with pytest.raises(BadConfig, match="13626 of 15625 cells are missing"):
        read_cells(references / "nasbench201/nb201_1999_latency_devices.csv.gz", space, "eagle_gtx", 1e-3, path)
