"""The formula that the refined roofline is verified against, and ANNETTE's own layer models."""

import json
from dataclasses import fields
from pathlib import Path

import pytest

from codesign_gym.errors import StorageError
from codesign_gym.simulators.hardware.device import load
from codesign_gym.simulators.hardware.verification import annette as verification
from codesign_gym.simulators.hardware.verification.check import Bar, Check, NotRun, TableAbsent

ENTRY = {
    "op_s": 1e3,
    "bandwidth": 1e9,
    "est_type": "refined_roofline",
    "architecture": {"bit_act": 8, "bit_weights": 8, "c_par": 16.0, "c_alpha": 0.5},
}


def test_the_formula_by_hand() -> None:
    ops = 2 * 9 * 20 * 8 * 7 * 7
    refined = verification.estimate("Conv", ENTRY, size=7, inputs=20, filters=8, kernel=3, stride=1)
    assert refined == pytest.approx(1e3 * ops / 1e3 * (0.5 + 0.5 * 32 / 20))
    plain = verification.estimate("Conv", {**ENTRY, "est_type": "roofline"}, 7, 20, 8, 3, 1)
    assert plain == pytest.approx(1e3 * ops / 1e3)


def test_absent_and_broken_layer_models(tmp_path: Path) -> None:
    with pytest.raises(TableAbsent):
        verification.verify(tmp_path)
    table = tmp_path / verification.TABLES["ncs2"][0]
    table.parent.mkdir()
    table.write_text(json.dumps({"Conv": ENTRY}), encoding="utf-8")
    found = verification.verify(tmp_path)
    exact, shipped = (one for one in found if isinstance(one, Check))
    assert exact.passed
    assert shipped.bar == Bar()
    assert (shipped.predicted >= shipped.reference).all()
    assert sum(isinstance(one, NotRun) for one in found) == 3
    table.write_text("{", encoding="utf-8")
    with pytest.raises(StorageError, match="cannot be read"):
        verification.verify(tmp_path)


def test_layer_models_of_any_device_and_what_was_learned(tmp_path: Path) -> None:
    table = tmp_path / "annette" / "layer__someone-ref_roofline.json"
    table.parent.mkdir()
    entries = {
        "Conv": ENTRY,
        "FullyConnected": ENTRY | {"est_type": "mixed"},
        "DepthwiseConv": {"est_type": "roofline"},
    }
    table.write_text(json.dumps(entries), encoding="utf-8")
    found = [one for one in verification.verify(tmp_path) if one.table.endswith(table.name)]
    assert [one.quantity for one in found if isinstance(one, Check)] == [
        "someone-ref_roofline: Conv by refined_roofline, ms",
        "someone-ref_roofline: Conv by refined_roofline, monotone, ms",
    ]
    assert all(one.passed for one in found if isinstance(one, Check))
    assert [(one.quantity, one.reason) for one in found if isinstance(one, NotRun)] == [
        ("someone-ref_roofline: DepthwiseConv, ms", "its layer model has no op_s, bandwidth"),
        (
            "someone-ref_roofline: FullyConnected by mixed",
            "ANNETTE's learned regressors are no part of its tables",
        ),
    ]


def test_a_file_without_a_layer_type_that_is_covered_says_so(tmp_path: Path) -> None:
    table = tmp_path / "annette" / "layer__foodev-mixed.json"
    table.parent.mkdir()
    table.write_text(json.dumps({"name": "foodev", "Pool": ENTRY}), encoding="utf-8")
    *_, found = verification.verify(tmp_path)
    reason = "it has no layer model of Conv or DepthwiseConv or FullyConnected"
    assert found == NotRun("foodev-mixed: layers, ms", f"annette/{table.name}", reason)


@pytest.mark.reference
def test_annettes_own_parameters_give_annettes_times(references: Path) -> None:
    every = verification.verify(references)
    found = [one for one in every if isinstance(one, Check)]
    assert all("learned" in one.reason for one in every if isinstance(one, NotRun))
    barred, told = [one for one in found if one.bar != Bar()], [one for one in found if one.bar == Bar()]
    assert len(barred) >= 10
    assert all(one.exact_share == 1 for one in barred)
    assert [one.quantity for one in told] == [
        f"{name}: Conv by refined_roofline, monotone, ms" for name in verification.TABLES
    ]
    for one in told:  # only between the two ridges, and never faster
        assert 0.7 < one.exact_share < 1
        assert (one.predicted >= one.reference * (1 - 1e-12)).all()


@pytest.mark.reference
@pytest.mark.parametrize("name", verification.TABLES)
def test_what_ships_is_the_layer_model(name: str, references: Path) -> None:
    entries = json.loads((references / verification.TABLES[name][0]).read_text(encoding="utf-8"))
    model = load(name).model
    convolution = verification.filled(model, entries["Conv"])
    shared = [field.name for field in fields(model) if not field.name.startswith(("dense", "pool", "launch"))]
    assert {part: getattr(model, part) for part in shared} == {part: getattr(convolution, part) for part in shared}
    for kind, prefix in (("FullyConnected", "dense_"), ("Pool", "pool_")):
        assert getattr(model, f"{prefix}bytes_per_s") == entries[kind]["bandwidth"]
