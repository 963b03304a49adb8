"""Device files: what ships, and one line for every mistake."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pytest
import yaml
from hardware_samples import DEVICES, conv, layers
from pydantic import Field
from yaml_samples import edited

from codesign_gym.errors import BadConfig, CodesignError, UnknownName
from codesign_gym.simulators.hardware.device import CATALOG, load
from codesign_gym.simulators.hardware.model import Costs, Unit
from codesign_gym.simulators.networks.layers import Layers

EDGE = CATALOG.shipped()["bismo-edge"]

EDITS: dict[str, tuple[tuple[Any, ...], str]] = {
    # keys to the edited entry and its new value; part of the message
    "unknown field": (("colour", "red"), "unknown field 'colour'"),
    "unknown parameter": (
        ("parameters", "clok_hz", {"value": 1, "unit": "Hz", "source": "fpl"}),
        "unknown field 'parameters.clok_hz'; did you mean 'clock_hz'?",
    ),
    "wrong unit": (("parameters", "clock_hz", "unit", "MHz"), "'parameters.clock_hz.unit' is 'MHz'; accepted: 'Hz'"),
    "missing source": (("parameters", "clock_hz", "source", "flp"), "source' is 'flp'; did you mean 'fpl'?"),
    "missing parameter": (("parameters", "dk", None), "field 'dk' is missing"),
    "missing field": (("batch", None), "field 'batch' is missing"),
    "negative clock": (("parameters", "clock_hz", "value", -1.0), "field 'clock_hz' is -1.0: Input should be greater"),
    "infinite clock": (("parameters", "clock_hz", "value", float("inf")), "should be a finite number"),
    "text for a number": (("parameters", "dm", "value", "eight"), "is 'eight': Input should be a valid"),
    "half a row": (("parameters", "dm", "value", 8.5), "field 'dm' is 8.5: Input should be a valid integer"),
    "no images": (("batch", 0), "field 'batch' is 0: Input should be greater than 0"),
    "bitwidths the wrong way round": (("min_bits", 9), "min_bits 9 is above max_bits 8"),
    "unknown model": (("model", "bissmo"), "unknown cost model 'bissmo'; did you mean 'bismo'?"),
    "model that is no dataclass": (("model", "math:pi"), "'math:pi' is not a dataclass"),
    "model that cannot be imported": (("model", "no_such_module:Model"), "cannot import 'no_such_module'"),
}


@pytest.mark.parametrize("case", EDITS)
def test_every_mistake_is_one_line_that_names_it(case: str, tmp_path: Path) -> None:
    keys, message = EDITS[case]
    path = edited(tmp_path / "device.yaml", EDGE, *keys)
    with pytest.raises(CodesignError) as caught:
        load(str(path))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    device = load(str(edited(tmp_path / "device.yaml", EDGE, "parameters", "dm", "value", 4)))
    assert device.model.dm == 4
    assert device.parameters["dm"].unit == "rows"


def test_malformed_yaml(tmp_path: Path) -> None:
    path = tmp_path / "device.yaml"
    path.write_text("title: [unclosed", encoding="utf-8")
    with pytest.raises(BadConfig, match="not valid YAML") as caught:
        load(str(path))
    assert "\n" not in str(caught.value)


def test_absent_files_and_unknown_ids() -> None:
    with pytest.raises(BadConfig, match=r"device file 'absent\.yaml' does not exist"):
        load("absent.yaml")
    with pytest.raises(UnknownName, match="unknown device 'bitfusoin'; did you mean 'bitfusion'"):
        load("bitfusoin")


def test_the_catalogue_lists_what_ships() -> None:
    assert {"bismo-edge", "bitfusion", "haq-cloud"} <= set(CATALOG.names())


@pytest.mark.parametrize("name", DEVICES)
def test_every_number_that_ships_has_a_unit_and_a_source(name: str) -> None:
    device = load(name)
    assert device.parameters
    for quantity in device.parameters.values():
        assert quantity.unit
        assert len(device.sources[quantity.source]) > 20
    assert set(device.sources) == {quantity.source for quantity in device.parameters.values()}
    assert set(device.parameters) == set(vars(device.model))


@dataclass(frozen=True)
class Broken:
    """A cost model that fails for the second layer."""

    clock_hz: Annotated[float, Unit("Hz"), Field(gt=0)]

    def cost(self, layers: Layers, bits: np.ndarray) -> Costs:
        latency_s = np.where(np.arange(bits.shape[-2]) == 1, np.nan, 1.0) + 0.0 * bits[..., 0]
        return Costs(latency_s, np.ones_like(latency_s))


@pytest.mark.parametrize("batch", [(), (100,)])
def test_a_model_that_answers_nonsense_is_named_with_the_layer(tmp_path: Path, batch: tuple[int, ...]) -> None:
    path = tmp_path / "broken.yaml"
    quantity = {"value": 1.0, "unit": "Hz", "source": "none"}
    content = {"title": "broken", "model": f"{__name__}:Broken", "batch": 1, "sources": {"none": "none"}}
    path.write_text(yaml.safe_dump({**content, "parameters": {"clock_hz": quantity}}), encoding="utf-8")
    table = layers(conv(4, 4, 4, 1), conv(4, 4, 4, 1), conv(4, 4, 4, 1))
    with pytest.raises(BadConfig, match="its model gives latency_s nan for layer 1") as caught:
        load(str(path)).cost(table, np.full((*batch, 3, 2), 8))
    assert "\n" not in str(caught.value)
