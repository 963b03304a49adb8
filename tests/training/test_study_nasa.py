from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from codesign_gym.simulators import operators
from codesign_gym.training.cli import app
from codesign_gym.training.studies.nasa import allocation, mapping, pretraining, search
from codesign_gym.training.studies.nasa.mapping import LARGE, SMALL, Job
from codesign_gym.training.studies.nasa.nets import Hybrid, accelerator


def test_nasa_at_scale_small_prints_its_claims(cache, tmp_path) -> None:
    out = tmp_path / "claims.json"
    ran = CliRunner().invoke(app, ["study", "nasa", "--scale", "small", "--json", str(out)])
    report = json.loads(out.read_text())
    assert ran.exit_code == (0 if report["passed"] else 1), ran.output
    claims = {claim["text"]: claim for claim in report["claims"]}
    assert claims[mapping.EXACT]["passed"] is True
    assert all(claim["passed"] is True for text, claim in claims.items() if text.startswith("(b)"))
    assert claims[search.TEXT]["passed"] is None
    assert sum(text.startswith(pretraining.TEXT) for text in claims) == 2
    assert all(claim["note"] for claim in report["claims"])
    (mapped, _, split) = report["tables"]
    column = {name: [row[i] for row in mapped["rows"]] for i, name in enumerate(mapped["headings"])}
    assert all(float(text.rstrip("x")) >= 1 for text in column["random, 972 drawn"])
    assert split["headings"][-1].startswith("a random split")


def test_hybrids_have_the_rows_of_their_space() -> None:
    net = Hybrid.drawn(LARGE, 0)
    assert set(net.kind.tolist()) == {0, 1, 2}
    assert net.operations.sum() == net.layers.macs.sum()
    conv = Hybrid.of(SMALL, search.only_convolutions(operators.load(SMALL))[0], "")
    assert (conv.kind == 0).all()


def test_the_mapper_is_no_worse_than_any_dataflow_for_all() -> None:
    found = mapping.mapped(Job(SMALL, 0, mapping.FAST, exact=True))
    assert found.optimum_js <= found.edp_js <= found.chunk_js <= min(found.shared_js.values())
    assert found.chunk_optimum_js <= found.chunk_js
    assert mapping.gain(found) == min(found.shared_js.values()) / found.edp_js


def test_random_mappings_are_no_better_than_the_optimum_and_repeat() -> None:
    model = accelerator()
    table, buffer = Hybrid.drawn(SMALL, 1).table(model), float(model.buffer_bytes)
    found = [mapping.drawn_js(table, buffer, seed) for seed in (0, 0, 1)]
    assert found[0] == found[1] != found[2]
    assert min(found) >= mapping.mapped(Job(SMALL, 1, mapping.SHIPPED, exact=True)).optimum_js


def test_a_random_mapping_costs_what_its_parts_cost() -> None:
    """With one candidate a layer there is one mapping: energies add up, and the busiest chunk or DRAM sets the pace."""
    model = accelerator()
    table = Hybrid.drawn(SMALL, 0).table(model)
    first = (table.valid & (table.buffer_bytes <= model.buffer_bytes / 3)).argmax(-1)
    alone = table.only(np.arange(table.valid.shape[1]) == first[:, None])
    rows = np.arange(len(first))
    busy = max(table.latency_s[rows, first][table.chunk == chunk].sum() for chunk in range(3))
    pace = max(busy, table.dram_s[rows, first].sum())
    assert mapping.drawn_js(alone, model.buffer_bytes, 0) == pytest.approx(table.energy_j[rows, first].sum() * pace)


def test_with_work_for_one_chunk_the_proportional_split_gives_it_the_area() -> None:
    model = accelerator()
    net = Hybrid.of(SMALL, search.only_convolutions(operators.load(SMALL))[0], "")
    aside, real = allocation._periods(model, net, 16)
    assert aside["best"] <= aside["proportional"] <= aside["equal count"] <= aside["equal area"]
    assert all(real[name] >= aside[name] for name in aside)
    assert aside["best"] <= aside["random"]
    starved = replace(model, dram_bytes_per_s=1e6)
    assert len(set(allocation._periods(starved, net, 16)[1].values())) == 1


def test_the_cards_arithmetic() -> None:
    assert allocation._ideal(accelerator()) == pytest.approx(allocation.MIX_RATIOS, abs=0.01)


def test_energies_add_up_and_shifts_are_cheapest() -> None:
    space = operators.load(SMALL)
    energy = search.energies(space)
    kinds = np.array([[space.definitions[name].kind for name in layer.operators] for layer in space.layers])
    for wanted in (1, 3):
        same = np.array([[space.definitions[n].expansion == wanted for n in layer.operators] for layer in space.layers])
        shift, adder, conv = (energy[same & (kinds == kind)] for kind in ("shift", "adder", "conv"))
        assert ((shift < adder) & (adder < conv)).all()
    design = np.array([layer.operators.index("adder_e3") for layer in space.layers])
    assert [space.layers[i].operators[c] for i, c in enumerate(search._as_convolutions(space, design))] == [
        "conv_e3"
    ] * 5


@pytest.mark.slow
def test_a_short_search_keeps_its_budget(cache) -> None:
    found = search.searched(search.Job(0, shared_epochs=3, own_epochs=4, evaluations=20))
    for name in (*search.AGENTS, search.CONTROL):
        assert found[name].energy_j <= found[search.CONV].energy_j / search.LESS * (1 + 1e-9)
        assert 0 < found[name].test <= 1
        assert found[name].as_conv_j >= found[name].energy_j
    assert found["random"].evaluations <= 20
    accuracies = pretraining.measured(pretraining.Job(3, 0, True))
    assert accuracies.shape == (pretraining.HYBRIDS,)
