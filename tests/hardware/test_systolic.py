"""The systolic array by hand, by conservation, and against SCALE-Sim."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hardware_samples import conv, layers, linear, rows
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign_gym.errors import BadConfig, StorageError
from codesign_gym.simulators.hardware.device import CATALOG, load
from codesign_gym.simulators.hardware.rounding import EXACT
from codesign_gym.simulators.hardware.systolic.cost import PHYSICAL, SCALE_SIM, Systolic
from codesign_gym.simulators.hardware.systolic.form import DATAFLOWS, lower
from codesign_gym.simulators.hardware.verification.check import Check, NotRun, TableAbsent
from codesign_gym.simulators.hardware.verification.systolic import TABLE, verify
from codesign_gym.simulators.networks.layers import Layers, Op

few = settings(max_examples=20, deadline=None, derandomize=True)
EIGHT = np.array([[8, 8]])
OS, WS, IS = range(3)


@pytest.fixture(scope="module")
def edge() -> Systolic:
    model = load("systolic-edge").model
    assert isinstance(model, Systolic)
    return model


def small(model: Systolic, **fields: Any) -> Systolic:
    return replace(model, **{"rows": 8, "columns": 4, "counting": SCALE_SIM, **fields})


def costs(model: Systolic, table: Layers, bits: np.ndarray = EIGHT) -> dict[str, Any]:
    found = model.cost(table, bits)
    return {"latency_s": found.latency_s, "size_bytes": found.size_bytes, **found.detail}


#: Of a product of 10 x 9 by 9 x 20 on 8 x 4: cycles, then words of inputs, filters and outputs at the array.
BY_HAND = {
    OS: (2 * 5 * (9 + 8 + 4 - 2), 10 * 9 * 5, 20 * 9 * 2, 10 * 20 + 10 * (8 + 4)),
    WS: (2 * 5 * (10 + 16 + 4 - 2), 10 * 9 * 5, 20 * 9, 10 * 20 * 2),
    IS: (2 * 3 * (20 + 16 + 4 - 2), 10 * 9, 20 * 9 * 3, 10 * 20 * 2),
}


@pytest.mark.parametrize("dataflow", BY_HAND)
def test_a_product_by_hand(edge: Systolic, dataflow: int) -> None:
    table = layers({"op": Op.LINEAR, "in_channels": 9, "out_channels": 20, "in_height": 10, "out_height": 10})
    found = costs(small(edge, dataflow=dataflow), table)
    names = ("cycles", "ifmap_sram_words", "filter_sram_words", "ofmap_sram_words")
    assert tuple(found[name][0] for name in names) == BY_HAND[dataflow]
    assert found["mac_slots"] == BY_HAND[dataflow][0] * 32
    assert found["size_bytes"] == 180
    true = costs(small(edge, dataflow=dataflow, counting=PHYSICAL), table)
    assert true["cycles"] == found["cycles"]
    assert true["ofmap_sram_words"] == (200 if dataflow == OS else 400)


def test_utilisation_by_hand(edge: Systolic) -> None:
    table = layers({"op": Op.LINEAR, "in_channels": 9, "out_channels": 20, "in_height": 10, "out_height": 10})
    mapping = 9 * 20 / (10 * 32)
    printed = small(edge, dataflow=WS).utilisation(table, EIGHT)
    true = small(edge, dataflow=WS, counting=PHYSICAL).utilisation(table, EIGHT)
    assert printed["mapping"] == true["mapping"] == mapping
    for share in ("compute", "overall"):
        assert true[share] == pytest.approx(1800 / (32 * 280))
    assert printed["compute"] == pytest.approx(mapping * 10 / 31)
    assert printed["overall"] == pytest.approx(1800 / (32 * 279))


def test_depthwise_is_a_product_per_channel(edge: Systolic) -> None:
    whole, single = costs(edge, layers(conv(8, 48, 48, 3, groups=48))), costs(edge, layers(conv(8, 1, 1, 3)))
    for name, column in whole.items():
        np.testing.assert_allclose(column, 48 * single[name], err_msg=name)


def test_attention_is_a_product_per_head_and_image_without_stored_weights(edge: Systolic) -> None:
    row = {"op": Op.MATMUL, "batch": 3, "in_channels": 4 * 16, "out_channels": 4 * 50, "groups": 4}
    heads = costs(edge, layers({**row, "in_height": 50, "out_height": 50}), np.array([[2, 8]]))
    one = costs(edge, layers({**linear(16, 50), "in_height": 50, "out_height": 50}))
    assert heads["size_bytes"] == 0
    for name in ("cycles", "dram_bytes", "latency_s", "filter_dram_words"):
        np.testing.assert_allclose(heads[name], 12 * one[name], err_msg=name)


def test_the_slower_of_array_and_memory_sets_the_pace(edge: Systolic) -> None:
    table = layers(conv(14, 64, 64, 3))
    small, large = costs(edge, table), costs(replace(edge, filter_sram_bytes=1e6), table)
    once = 14 * 14 * 64 * 2 + 9 * 64 * 64
    assert large["dram_bytes"] == once
    assert large["latency_s"] == large["cycles"] / edge.clock_hz
    assert small["dram_bytes"] == once + 9 * 64 * 64 * (7 - 1)  # half of 64 KiB is too small for the filters
    assert small["latency_s"] == small["dram_bytes"] / edge.dram_bytes_per_s


def test_fewer_bits_move_fewer_bytes_and_fit_where_more_do_not(edge: Systolic) -> None:
    table, half = layers(conv(14, 64, 64, 3)), replace(edge, filter_sram_bytes=9 * 64 * 64)
    words = [costs(half, table, np.array([[bits, 8]]))["filter_dram_words"][0] for bits in (3, 4, 8)]
    assert words[0] == 9 * 64 * 64 < words[1] == words[2]  # what fills its half exactly is fetched again


def test_partial_sums_that_fit_stay_and_others_are_written_and_read(edge: Systolic) -> None:
    table, outputs = layers(conv(14, 64, 64, 3)), 14 * 14 * 64
    for dataflow in (WS, IS):
        model = replace(edge, dataflow=dataflow)
        folds = 9 * 64 / 32
        assert costs(model, table)["ofmap_dram_words"] == outputs
        spilling = replace(model, ofmap_sram_bytes=1000)
        assert costs(spilling, table)["ofmap_dram_words"] == outputs * (1 + 2 * (folds - 1))
        assert costs(replace(spilling, counting=SCALE_SIM), table)["ofmap_dram_words"] == outputs * folds


@few
@given(row=rows(), size=st.tuples(st.integers(1, 70), st.integers(1, 70)), dataflow=st.integers(0, 2))
def test_work_is_done_once_and_every_operand_is_read(row: dict[str, int], size: tuple[int, int], dataflow: int) -> None:
    table = layers(row)
    model = replace(load("systolic-edge").model, rows=size[0], columns=size[1], dataflow=dataflow)
    found, product = costs(model, table), lower(np, table, np.float64)
    assert found["mac_slots"] >= table.macs
    assert all(0 < share[0] <= 1 for share in model.utilisation(table, EIGHT).values())
    least = {
        "ifmap": product.count * product.inputs,
        "filter": np.asarray(table.weights),
        "ofmap": np.asarray(table.out_elements),
    }
    for operand, words in least.items():
        assert found[f"{operand}_dram_words"] >= words
        assert found[f"{operand}_sram_words"] >= words
    assert (product.inputs <= product.m * product.k).all()


@few
@given(row=rows(), seed=st.integers(0, 2**32 - 1))
def test_knobs_of_all_kinds_as_arrays(row: dict[str, int], seed: int) -> None:
    random, table, device = np.random.default_rng(seed), layers(row, linear(8, 8)), load("systolic-edge")
    knobs = {
        "rows": random.integers(1, 300, (6, 1)),
        "columns": random.integers(1, 300, (6, 1)),
        "dataflow": random.integers(0, 3, (6, 1)),
        "clock_hz": random.uniform(1e8, 1e9, (6, 1)),
        "ifmap_sram_bytes": random.uniform(1e2, 1e6, (6, 1)),
        "filter_sram_bytes": random.uniform(1e2, 1e6, (6, 1)),
        "ofmap_sram_bytes": random.uniform(1e2, 1e6, (6, 1)),
        "dram_bytes_per_s": random.uniform(1e8, 1e11, (6, 1)),
    }
    bits = np.full((2, 2), 6)
    together = replace(device.model, **knobs).cost(table, bits)
    assert together.resources["mac_units"].shape == (6,)
    for i in range(6):
        alone = replace(device.model, **{name: values[i, 0].item() for name, values in knobs.items()}).cost(table, bits)
        np.testing.assert_allclose(together.latency_s[i], alone.latency_s, rtol=1e-14)
        np.testing.assert_allclose(together.detail["dram_bytes"][i], alone.detail["dram_bytes"], rtol=1e-14)
        assert together.resources["mac_units"][i] == alone.resources["mac_units"]


def test_counts_stay_exact_where_32_bits_overflow(edge: Systolic) -> None:
    side = 3907  # a product of 6e10 multiply-accumulates
    table = layers({**linear(side, side), "in_height": side, "out_height": side})
    found = costs(small(edge, rows=7, columns=3), table)
    assert found["cycles"][0] == -(-side // 7) * -(-side // 3) * (side + 7 + 3 - 2)
    assert found["ifmap_sram_words"][0] == side * side * -(-side // 3)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("wss", r"field 'dataflow' is 'wss': unknown name; did you mean 'ws'\? \(known: is, os, ws\)"),
        (7, "field 'dataflow' is 7: Input should be less than 3"),
    ],
)
def test_a_dataflow_is_a_name(tmp_path: Path, value: object, message: str) -> None:
    text = CATALOG.shipped()["systolic-edge"].read_text(encoding="utf-8")
    path = tmp_path / "mine.yaml"
    path.write_text(text.replace("value: os,", f"value: {value},"), encoding="utf-8")
    with pytest.raises(BadConfig, match=message):
        load(str(path))
    assert load("systolic-edge").model.dataflow == DATAFLOWS.index("os")


@pytest.mark.slow  # Dynamo takes seconds
def test_one_compiled_kernel_gives_the_same_numbers(edge: Systolic) -> None:
    torch = pytest.importorskip("torch")
    table = layers(conv(14, 24, 96, 3), conv(14, 24, 24, 3, groups=24), linear(300, 77))
    table = table.map(lambda column: torch.asarray(np.array(column)))
    bits, size = torch.full((3, 2), 6.0, dtype=torch.float64), torch.arange(1, 9, dtype=torch.float64)[:, None]
    codes = torch.arange(8)[:, None] % 3

    def latency(size: Any, codes: Any, bits: Any) -> Any:
        return replace(edge, rows=size, columns=2 * size, dataflow=codes).cost(table, bits, EXACT).latency_s

    with warnings.catch_warnings():  # array-api-compat remembers namespaces; Dynamo says that it traces through
        warnings.filterwarnings("ignore", message="Dynamo detected a call to a `functools.lru_cache`")
        compiled = torch.compile(latency, fullgraph=True, backend="eager")
        found = compiled(size, codes, bits)
    torch.testing.assert_close(found, latency(size, codes, bits), rtol=0, atol=0)


@pytest.mark.reference
def test_scale_sim_row_by_row(references: Path) -> None:
    checks = {found.quantity: found for found in verify(references) if isinstance(found, Check)}
    exact = [quantity for quantity in checks if "do not fit" not in quantity]
    assert {"cycles", "SRAM words, outputs", "compute utilisation, %"} <= set(exact)
    for quantity in exact:
        assert checks[quantity].exact_share == 1.0, quantity
    assert all(found.passed for found in checks.values())


HEADER = "gemm_M,gemm_N,gemm_K,array_rows,array_cols,dataflow,compute_cycles"


def test_a_table_of_fewer_columns_makes_the_checks_that_it_can(tmp_path: Path) -> None:
    path = tmp_path / TABLE
    path.parent.mkdir()
    path.write_text(f"{HEADER}\n10,20,9,8,4,os,190\n10,20,9,8,4,is,227\n", encoding="utf-8")
    cycles, *others = verify(tmp_path)
    assert isinstance(cycles, Check)
    assert (cycles.rows, cycles.exact_share, cycles.passed) == (2, 0.5, False)
    assert all(isinstance(found, NotRun) and "no column" in found.reason for found in others)


@pytest.mark.reference
@pytest.mark.parametrize("kind", ["kind", "layer"])  # a column to leave out besides
def test_without_the_shapes_of_convolutions_their_inputs_are_not_checked(
    kind: str, references: Path, tmp_path: Path
) -> None:
    table = pd.read_csv(references / TABLE).drop(columns=["ifmap_h", "filt_h", kind])
    (tmp_path / TABLE).parent.mkdir()
    table.to_csv(tmp_path / TABLE, index=False)
    found = {each.quantity: each for each in verify(tmp_path)}
    assert all(each.passed for each in found.values() if isinstance(each, Check))
    if kind == "kind":
        assert isinstance(found["DRAM words, inputs"], NotRun)
        assert "no column ifmap_h, filt_h" in found["DRAM words, inputs"].reason
    else:  # matrix products need no such shapes
        assert 0 < found["DRAM words, inputs that fit"].rows < (table["kind"] == "gemm").sum()


def test_a_table_that_is_absent_or_no_such_table(tmp_path: Path) -> None:
    with pytest.raises(TableAbsent):
        verify(tmp_path)
    (tmp_path / TABLE).parent.mkdir()
    (tmp_path / TABLE).write_text("gemm_M,gemm_N\n1,2\n", encoding="utf-8")
    with pytest.raises(StorageError, match="no column gemm_K"):
        verify(tmp_path)
