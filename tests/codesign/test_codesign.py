"""Operators, bitwidths and accelerator knobs chosen together."""

from __future__ import annotations

from dataclasses import replace
from functools import cache as remembered
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codesign_gym.envs.codesign.factory import Options, build, codesign_problem
from codesign_gym.envs.core.problem import feasible, reference_point, rewards, score
from codesign_gym.envs.core.sampling import legal_designs
from codesign_gym.errors import BadConfig, CodesignError, Infeasible, UnknownName
from codesign_gym.pareto import hypervolume
from codesign_gym.records import parse
from codesign_gym.simulators.networks.torch_import import from_torch

TEMPLATES = {"bismo": (2, 4, 8), "fpga-engine": (8,), "codebench": None}
seeds = st.integers(0, 10_000)


@remembered
def problem_of(template: str = "bismo"):
    return codesign_problem(Options(template=template, bits=TEMPLATES[template], quality="tabular"))


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_batch_costs_what_its_designs_cost_one_by_one(template: str) -> None:
    """The reference: each design as a network of its own, on a device with its own numbers."""
    problem = problem_of(template)
    designs = problem.space.sample(np.random.default_rng(0), 12)
    found = problem.costs(designs)
    hardware, operators, bits = problem.parts(designs)
    for row in range(len(designs)):
        ((_, model),) = problem.template.models(hardware[[row]])
        images = int(problem.template.images(hardware)[row, 0])
        index = problem.operators.index(operators[[row]])[0]
        searched = problem.operators.step > 0
        widths = np.where(searched[:, None], bits[row][problem.operators.layer], problem.bit_values[-1])
        layers = problem.operators.gathered(index)
        costs = model.cost(replace(layers, batch=layers.batch * images), widths)
        if template == "codebench":
            continue  # its layers overlap: the sums that it is made of are compared below
        assert found["latency_s"][row] == pytest.approx(float(costs.latency_s.sum()) / images, rel=1e-12)
    one_by_one = [problem.evaluate(designs[[row]])[0] for row in range(len(designs))]
    np.testing.assert_allclose(problem.evaluate(designs), one_by_one, rtol=1e-12)


@given(seeds)
def test_masks_keep_the_board_and_nothing_else(seed: int) -> None:
    problem = problem_of("bismo")
    keys = np.random.default_rng(seed).random((8, len(problem.space), problem.space.choices))
    metrics = problem.evaluate(legal_designs(problem, keys))
    assert feasible(problem, metrics).all()


@given(seeds)
def test_narrower_bits_are_never_slower_nor_better(seed: int) -> None:
    problem = problem_of("bismo")
    design = problem.space.sample(np.random.default_rng(seed), 1)
    knobs = [i for i, knob in enumerate(problem.space.knobs) if knob.name.endswith("_bits")]
    narrow, wide = design.copy(), design.copy()
    narrow[:, knobs], wide[:, knobs] = 0, len(problem.bit_values) - 1
    (quality, latency_s, *_), (best, slowest_s, *_) = problem.evaluate(np.concatenate([narrow, wide]))
    assert quality < best
    assert latency_s <= slowest_s


def test_the_dearest_network_on_the_devices_own_design_earns_nothing() -> None:
    problem = problem_of("bismo")
    own = {"dm": 8, "dn": 8, "dk": 256, "buffer_words": 1024}
    design = np.array([[len(knob.values) - 1 for knob in problem.space.knobs]])
    design[0, : len(own)] = problem.template.design(own)
    np.testing.assert_allclose(rewards(problem, problem.evaluate(design))[0], 0.0, atol=1e-12)


def test_objectives_span_a_front() -> None:
    problem = problem_of("fpga-engine")
    designs = problem.space.sample(np.random.default_rng(0), 200)
    metrics = problem.evaluate(designs)
    assert [o.metric for o in problem.objectives] == ["quality", "latency_s", "energy_j"]
    np.testing.assert_allclose(score(problem, metrics), rewards(problem, metrics).sum(-1))
    volume = hypervolume(-rewards(problem, metrics), -reference_point(problem))
    assert volume > hypervolume(-rewards(problem, metrics[:20]), -reference_point(problem)) > 0


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"template": "bismoo"}, UnknownName, "did you mean 'bismo'"),
        ({"space": "fbnett"}, UnknownName, "did you mean 'fbnet'"),
        ({"quality": "tabulr"}, UnknownName, "did you mean 'tabular'"),
        ({"template": "loopnest"}, BadConfig, "accepted: a template without one_by_one"),
        ({"space": "nasa-add-all"}, BadConfig, "layers that shift or add, for which no template has"),
        ({"bits": (8, 4)}, BadConfig, "ascending bitwidths from 1 to 8"),
        ({"bits": (4, 16)}, BadConfig, "ascending bitwidths from 1 to 8"),
        ({"weights": {"latncy": 1.0}}, UnknownName, "did you mean 'latency'"),
        ({"weights": {"latency_s": -1.0}}, BadConfig, "weights 'latency_s' is -1.0"),
        ({"weights": {"latency_s": 0, "quality": 0}}, BadConfig, "at least one above 0"),
        ({"budget": {"latencys": 1.0}}, UnknownName, "did you mean 'latency_s'"),
        ({"budget": {"lut": -1.0}}, BadConfig, "budget 'lut' is -1.0"),
        ({"budget": {"latency": 1e-6}}, Infeasible, "none keeps latency_s within"),
        ({"budget": {"latency_s": 1e-12}}, Infeasible, "tried that keep lut"),
        ({"budget": {"lut": 10.0}}, Infeasible, "no design keeps lut within 10; the least that any design needs is"),
        ({"floor": 0.9, "budget": {"latency": 0.025}}, Infeasible, "together; the nearest uses"),
        ({"preferences": "sampled", "weights": {"latency_s": 0}}, BadConfig, "there is one objective"),
        ({"mode": "rebuild"}, BadConfig, "field 'mode' is 'rebuild'"),
        ({"floor": 1.0}, BadConfig, "field 'floor' is 1.0: Input should be less than 1"),
        ({"budget": {"latency": "5 kg"}}, BadConfig, "or a positive amount in s, ms, us, ns"),
    ],
)
def test_what_cannot_be_built_is_told(options: dict, kind: type[CodesignError], words: str) -> None:
    given_options = {"quality": "tabular", **options}
    with pytest.raises(kind) as error:
        build(parse(Options, given_options, "codesign/CoDesign-v0"))
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_operators_and_precision_are_measured_together(cache: Path) -> None:
    """More bits and the reference's own operators measure what the reference does; too few ruin it."""
    env = gym.make("codesign/CoDesign-v0", bits=(2, 8)).unwrapped
    problem = env.core.problem
    wide = np.array([[len(knob.values) - 1 for knob in problem.space.knobs]])
    wide[0, : len(problem.template.space)] = 0
    narrow = wide.copy()
    narrow[:, [i for i, knob in enumerate(problem.space.knobs) if knob.name.endswith("_bits")]] = 0
    (best, *_), (worst, *_) = problem.evaluate(np.concatenate([wide, narrow]))
    assert best > 0.85
    assert worst < best - 0.2
    (design,) = problem.parts(problem.space.sample(np.random.default_rng(1), 1))[1]
    candidate = problem.quality._candidate(design)  # its rows are not traced, so they are compared with those that are
    traced = from_torch(candidate.module, candidate.splits.input_shape, "traced").weighted()
    assert candidate.network.layer_names == traced.layer_names
    np.testing.assert_array_equal(candidate.network.macs, traced.macs)
    claim = problem.claim(wide[0])
    assert claim["test_change_points"] == 0
    assert claim["test_accuracy"] > 0.85
    assert problem.measured
    assert problem.standard_error(problem.evaluate(wide))[0] > 0
