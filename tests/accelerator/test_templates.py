"""Templates: the shipped ones against their models, and files with mistakes in them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign_gym.envs.accelerator import template as templates
from codesign_gym.envs.accelerator.factory import Options, accelerator_problem
from codesign_gym.envs.accelerator.template import CATALOG, load
from codesign_gym.errors import BadConfig, CodesignError, UnknownName
from codesign_gym.simulators import networks
from codesign_gym.simulators.hardware import device as devices
from codesign_gym.simulators.hardware.accelbench.synthesis import DESIGNS, KNOBS
from codesign_gym.simulators.hardware.loopnest.presets import gemmini
from codesign_gym.simulators.hardware.stonne.maeri import Maeri

quick = settings(max_examples=15, deadline=None, derandomize=True)
ALEXNET = networks.load("alexnet").layers
seeds = st.integers(0, 10**6)


def drawn(name: str, seed: int, **options: Any) -> tuple[Any, np.ndarray]:
    """A problem of alexnet and one random design, (1, knobs)."""
    problem = accelerator_problem(Options(template=name, network="alexnet", **options))
    return problem, problem.space.sample(np.random.default_rng(seed), 1)


def values(problem: Any, design: np.ndarray) -> dict[str, Any]:
    return {knob.name: knob.values[i] for knob, i in zip(problem.space.knobs, design[0], strict=True)}


def metrics(problem: Any, designs: np.ndarray) -> dict[str, np.ndarray]:
    return dict(zip((m.name for m in problem.metrics), problem.evaluate(designs).T, strict=True))


def test_codebench_is_the_whole_template() -> None:
    template = load("codebench")
    assert template.space.size == DESIGNS == 69_957_888
    assert {knob.name: knob.values for knob in template.file.knobs} == dict(KNOBS)


@quick
@given(seed=seeds)
def test_codebench_looked_up_is_its_model_asked_for_one_design(seed: int) -> None:
    problem, design = drawn("codebench", seed)
    chosen = values(problem, design)
    images = chosen.pop("batch")
    model = replace(devices.load("accelbench-spring").model, **chosen)
    total = model.cost(ALEXNET.with_batch(images), np.full((len(ALEXNET.op), 2), 20)).total()
    latency_s = model.overlapped_cycles(total) / model.clock_hz
    found = metrics(problem, design)
    assert found["latency_s"] == pytest.approx(latency_s / images, rel=1e-12)
    assert found["dynamic_energy_j"] == pytest.approx(total.detail["dynamic_energy_j"] / images, rel=1e-12)
    assert found["leakage_energy_j"] == pytest.approx(latency_s * model.leakage_w / images, rel=1e-12)
    assert found["area_mm2"] == pytest.approx(model.area_mm2, rel=1e-12)
    # The published measure of performance, without its 0.2 for accuracy.
    published = 0.8 - 0.2 * found["latency_s"] - 0.1 * found["area_mm2"] / 1000
    published -= 0.02 * found["dynamic_energy_j"] + 0.03 * found["leakage_energy_j"]
    assert sum(term.reward(found[term.metric]) for term in problem.objectives) == pytest.approx(published, rel=1e-12)


@quick
@given(seed=seeds, board=st.sampled_from(["fpga-zc706", "fpga-ultra96"]))
def test_an_fpga_engine_is_its_device_with_other_numbers(seed: int, board: str) -> None:
    problem, design = drawn("fpga-engine", seed, device=board)
    device = devices.load(board)
    changed = replace(device, model=replace(device.model, **values(problem, design)))
    costs = changed.cost(ALEXNET, np.full((len(ALEXNET.op), 2), device.max_bits))
    found = metrics(problem, design)
    assert found["latency_s"] == pytest.approx(costs.latency_s.sum(), rel=1e-12)
    assert found["energy_j"] == pytest.approx(costs.energy_j.sum(), rel=1e-12)
    for name, amount in costs.resources.items():
        assert found[name] == pytest.approx(amount, rel=1e-12)
    assert {bound.metric: bound.limit for bound in problem.constraints} == dict(device.model.limits)


@settings(max_examples=5, deadline=None, derandomize=True)
@given(seed=seeds)
def test_maeri_takes_the_fastest_tiles_of_each_design(seed: int) -> None:
    problem, design = drawn("maeri", seed)
    chosen = values(problem, design)
    for size in ("distribution_words_per_cycle", "reduction_words_per_cycle"):
        chosen[size] = min(chosen[size], chosen["multipliers"])
    model = replace(devices.load("maeri-128").model, **chosen)
    assert isinstance(model, Maeri)
    costs = model.cost(ALEXNET, np.full((len(ALEXNET.op), 2), 8))
    found = metrics(problem, design)
    assert found["latency_s"] == pytest.approx(costs.latency_s.sum(), rel=1e-12)
    assert found["area_stonne_units"] == pytest.approx(costs.resources["area_stonne_units"], rel=1e-12)


def test_sigma_with_more_ports_than_multipliers_builds_no_more() -> None:
    problem, _ = drawn("sigma", 0)
    many, as_many = (
        problem.template.design(
            {"multipliers": 16, "distribution_words_per_cycle": words, "reduction_words_per_cycle": words}
        )
        for words in (256, 16)
    )
    np.testing.assert_array_equal(*problem.evaluate(np.stack([many, as_many])))


def test_a_loop_nest_machine_follows_its_sizes() -> None:
    template = load("loopnest")
    chosen = {
        "columns": 32,
        "rows": 32,
        "scratchpad_bytes": 131072,
        "accumulator_column_bytes": 2048,
        "dram_bits_per_cycle": 64,
        "dataflow": "K-C",
    }
    ((_, model),) = template.models(template.design(chosen)[None])
    preset = gemmini(32, 131072, 2048)
    for field in fields(preset):
        ours, theirs = np.squeeze(getattr(model, field.name)).item(), getattr(preset, field.name)
        assert ours == (theirs if isinstance(theirs, str) else pytest.approx(theirs, rel=1e-6)), field.name


@pytest.mark.parametrize("name", sorted(CATALOG.shipped()))
def test_the_devices_own_design_is_the_reference(name: str) -> None:
    """With the device's own numbers as every knob's only value, the score is that of the references."""
    template = load(name)
    for knob in template.file.knobs:
        for parameter in knob.parameters:
            assert hasattr(template.device.model, parameter)
    problem = accelerator_problem(Options(template=name, network="squeezenet"))
    if name == "codebench":
        return  # its own device is outside the template, and its references are published
    own = {}
    for knob in template.file.knobs:
        for index in range(len(knob.values)):
            if all(
                getattr(template.device.model, parameter) == choices[index]
                for parameter, choices in knob.parameters.items()
            ):
                own[knob.name] = knob.values[index]
    if len(own) == len(template.file.knobs):
        found = metrics(problem, template.design(own)[None])
        for term in problem.objectives:
            assert found[term.metric] == pytest.approx(term.reference, rel=1e-5)


def broken(change: Callable[[dict[str, Any]], None]) -> str:
    content = yaml.safe_load(CATALOG.shipped()["fpga-engine"].read_text())
    change(content)
    return yaml.safe_dump(content)


BROKEN: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "a parameter that there is none of": (lambda c: c["knobs"][0].update(name="pg"), "did you mean 'p[cfv]'"),
    "a value out of bounds": (lambda c: c["knobs"][0].update(values=[1, 0]), "'pf' is"),
    "a value twice": (lambda c: c["knobs"][0].update(values=[1, 1]), "a value twice"),
    "values of unequal number": (lambda c: c["knobs"][0].update(sets={"pf": [1]}), "1 values for 10 choices"),
    "two knobs of one parameter": (lambda c: c["knobs"][0].update(name="x", sets=["pc"]), "two knobs set 'pc'"),
    "two knobs of one name": (lambda c: c["knobs"].append(c["knobs"][0]), "two knobs have one name"),
    "a source that there is none of": (lambda c: c["knobs"][0].update(source="fam"), "did you mean 'fan'"),
    "a limit on no metric": (lambda c: c["limits"].update(dps=1.0), "did you mean 'dsp'"),
    "an objective on no metric": (lambda c: c["objectives"][0].update(metric="latency"), "did you mean 'latency_s'"),
    "a metric that the model does not give": (lambda c: c["metrics"].append("area_mm2"), "unknown metric 'area_mm2'"),
    "another costing": (lambda c: c.update(costing="sequentially"), "did you mean 'sequential'"),
    "a table over no knob": (lambda c: c.update(tables=[{"columns": ["latency_s"], "knobs": ["ph"]}]), "is no knob"),
    "an unknown field": (lambda c: c.update(divice="x"), "did you mean 'device'"),
}


@pytest.mark.parametrize(("change", "message"), BROKEN.values(), ids=BROKEN)
def test_a_broken_template_is_one_line(tmp_path: Path, change: Callable[[dict[str, Any]], None], message: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(broken(change))
    with pytest.raises(CodesignError, match=message) as caught:
        accelerator_problem(Options(template=str(path), network="alexnet"))
    assert "\n" not in str(caught.value)


def test_a_device_file_is_looked_for_beside_the_template_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From wherever it is asked for; a path from the working folder does, too."""
    own = tmp_path / "mine"
    own.mkdir()
    (own / "board.yaml").write_text(devices.CATALOG.shipped()["fpga-zc706"].read_text())
    (own / "template.yaml").write_text(broken(lambda content: content.update(device="board.yaml")))
    monkeypatch.chdir(tmp_path)
    assert load("mine/template.yaml").device.name == str(Path("mine/board.yaml"))
    (own / "template.yaml").write_text(broken(lambda content: content.update(device="mine/board.yaml")))
    assert load("mine/template.yaml").device.name == "mine/board.yaml"


def test_a_table_of_a_column_that_the_model_does_not_have(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(broken(lambda c: c.update(tables=[{"columns": ["cycle"], "knobs": ["pf"]}])))
    problem = accelerator_problem(Options(template=str(path), network="alexnet"))
    with pytest.raises(BadConfig, match="did you mean 'cycles'"):
        problem.evaluate(np.zeros((1, 6), dtype=np.int64))


def test_a_design_is_made_of_values_that_there_are() -> None:
    template = load("sigma")
    with pytest.raises(UnknownName, match="did you mean 'multipliers'"):
        template.design({"multiplier": 8})
    with pytest.raises(BadConfig, match=r"'multipliers' is 9; accepted: \[8, 16"):
        template.design({"multipliers": 9, "distribution_words_per_cycle": 8, "reduction_words_per_cycle": 8})
    with pytest.raises(BadConfig, match="'reduction_words_per_cycle' is missing"):
        template.design({"multipliers": 8, "distribution_words_per_cycle": 8})


def test_a_template_is_found_by_its_nearest_name() -> None:
    with pytest.raises(UnknownName, match="did you mean 'codebench'"):
        templates.load("codebensh")
