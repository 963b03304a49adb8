"""Mapping-v0: mappings against the models that run them, limits of half-built mappings, mappings outside limits."""

from __future__ import annotations

from contextlib import nullcontext
from itertools import product
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from codesign_gym.envs.core.problem import feasible, score
from codesign_gym.envs.core.sampling import legal_designs
from codesign_gym.envs.mapping.factory import Options, build, mapping_problem
from codesign_gym.envs.mapping.mapper import mappers
from codesign_gym.envs.mapping.problem import MappingProblem
from codesign_gym.errors import BadConfig, CodesignError, Infeasible, UnknownName
from codesign_gym.simulators import networks
from codesign_gym.simulators.hardware import device as devices
from codesign_gym.simulators.hardware.chunked.mappings import mapping_table
from codesign_gym.simulators.hardware.loopnest.mapping import Mapping
from codesign_gym.simulators.hardware.stonne.tiles import loops
from codesign_gym.simulators.networks.layers import Network
from codesign_gym.training.cli import app

#: No shrinking: a problem's text is long, and a seed says enough.
quick = settings(max_examples=8, deadline=None, derandomize=True, phases=[Phase.generate])
seeds = st.integers(0, 10**6)
CONV, FC = "features.6", "classifier.4"
MAERI = mapping_problem(Options(layers=[CONV, FC], tiles="passes"))
NEST = mapping_problem(Options(layers=[CONV], device="gemmini-like"))
NASA = mapping_problem(
    Options(network="alexnet", layers=[CONV, "classifier.6"], device="nasa-chunked", objective="energy-delay")
)
PROBLEMS = {"maeri": MAERI, "loopnest": NEST, "chunked": NASA}


def row(name: str) -> Any:
    network = networks.load("alexnet")
    return network.rows(np.array([layer == name for layer in network.layer_names])).layers


def fitting(problem: MappingProblem, seed: int, batch: int) -> np.ndarray:
    keys = np.random.default_rng(seed).random((batch, len(problem.space), problem.space.choices))
    return legal_designs(problem, keys)


def metrics(problem: MappingProblem, designs: np.ndarray) -> dict[str, np.ndarray]:
    return dict(zip((m.name for m in problem.metrics), problem.evaluate(designs).T, strict=True))


@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
@quick
@given(seed=seeds)
def test_masked_mappings_fit_and_none_is_lost(problem: MappingProblem, seed: int) -> None:
    designs = fitting(problem, seed, 8)
    assert feasible(problem, problem.evaluate(designs)).all()
    keys = np.zeros((*designs.shape, problem.space.choices))
    np.put_along_axis(keys, designs[:, :, None], 1.0, axis=-1)
    np.testing.assert_array_equal(legal_designs(problem, keys), designs)


@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
@quick
@given(seed=seeds, share=st.floats(0, 1))
def test_no_completion_takes_less_than_what_can_be_reached(problem: MappingProblem, seed: int, share: float) -> None:
    generator = np.random.default_rng(seed)
    designs = problem.space.sample(generator, 300)
    for mapper, part in zip(problem.mappers, problem.parts, strict=True):
        rest = designs[:, part]
        decided = round(share * rest.shape[1])
        rest[:, :decided] = rest[0, :decided]
        bound = mapper.reach(rest[:1], np.array([decided]))
        assert (mapper.occupancy(rest) >= bound * (1 - 1e-12)).all()
        if decided == rest.shape[1]:
            assert mapper.occupancy(rest[:1]) == bound


@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
@quick
@given(seed=seeds)
def test_a_batch_is_its_mappings_one_by_one(problem: MappingProblem, seed: int) -> None:
    generator = np.random.default_rng(seed)
    designs = np.concatenate([fitting(problem, seed, 4), problem.space.sample(generator, 4)])
    found, order = problem.evaluate(designs), generator.permutation(8)
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found, np.concatenate([problem.evaluate(each[None]) for each in designs]))
    np.testing.assert_array_equal(found[order], problem.evaluate(designs[order]))


@quick
@given(seed=seeds)
def test_maeri_runs_the_tiles_that_are_chosen(seed: int) -> None:
    designs = fitting(MAERI, seed, 3)
    found = metrics(MAERI, designs)
    model = devices.load("maeri-128").model
    latency_s = energy = psums = 0.0
    for mapper, part, name in zip(MAERI.mappers, MAERI.parts, (CONV, FC), strict=True):
        tiles, extents = mapper.tiled(designs[:, part]), loops(row(name))
        costs = model.at(row(name), np.full((1, 2), 8), tiles)  # refuses tiles that do not fit
        latency_s = latency_s + costs.latency_s
        energy = energy + costs.detail["energy_stonne_units"]
        folds = np.ceil(extents.r / tiles.r) * np.ceil(extents.s / tiles.s) * np.ceil(extents.c / tiles.c)
        psums = psums + extents.neurons * folds
    np.testing.assert_allclose(found["latency_s"], latency_s, rtol=1e-12)
    np.testing.assert_allclose(found["energy_stonne_units"], energy, rtol=1e-12)
    np.testing.assert_array_equal(found["psums"], psums)


@quick
@given(seed=seeds)
def test_maeri_takes_what_its_model_says(seed: int) -> None:
    """A mapping fits if and only if the model does not refuse it."""
    mapper, part = MAERI.mappers[0], MAERI.parts[0]
    for choices in MAERI.space.sample(np.random.default_rng(seed), 4)[:, part]:
        fits = mapper.occupancy(choices[None])[0] <= 1
        with nullcontext() if fits else pytest.raises(BadConfig, match="more than there are"):
            mapper.cost(choices[None])


def test_divisors_divide_and_passes_are_every_number_of_them() -> None:
    extents = loops(row(CONV))
    for tiles in ("divisors", "passes"):
        mapper = mapping_problem(Options(layers=[CONV], tiles=tiles)).mappers[0]
        for name, values in mapper.values.items():
            extent = int(getattr(extents, name)[0])
            if tiles == "divisors":
                assert set(values) == {size for size in range(1, min(extent, 128) + 1) if extent % size == 0}
            else:
                every = {-(-extent // size) for size in range(1, min(extent, 128) + 1)}
                assert [-(-extent // size) for size in values] == sorted(every, reverse=True)


@quick
@given(seed=seeds)
def test_a_loop_nest_machine_runs_the_mappings_that_are_chosen(seed: int) -> None:
    designs = fitting(NEST, seed, 3)
    mapper, model = NEST.mappers[0], devices.load("gemmini-like").model
    mapping = mapper.mapping(designs)
    table = row(CONV).map(lambda column: column[:, None])
    at = Mapping(*(array[None] for array in (mapping.temporal, mapping.spatial, mapping.order)))
    costs = model.at(table, np.full((1, 1, 2), 8), at)  # refuses mappings that do not fit
    found = metrics(NEST, designs)
    np.testing.assert_allclose(found["latency_s"], costs.latency_s[0], rtol=1e-12)
    np.testing.assert_allclose(found["energy_j"], costs.energy_j[0], rtol=1e-12)


def test_nasas_candidates_are_all_there() -> None:
    """The best of all combinations is the best valid candidate of the mapper's own table."""
    model = devices.load("nasa-chunked").model
    table = mapping_table(model, row(CONV), np.full((1, 2), 8))
    whole = model.conv_buffer_bytes + model.shift_buffer_bytes + model.adder_buffer_bytes
    fits = table.valid & (table.buffer_bytes <= whole)
    mapper = NASA.mappers[0]
    edp = np.where(mapper.taken <= 1, mapper.latency_s * mapper.energy_j, np.inf)
    assert np.isfinite(edp).sum() == fits.sum() > 10
    assert edp.min() == np.where(fits, table.latency_s * table.energy_j, np.inf).min()


@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
def test_what_does_not_fit_costs_what_the_default_does(problem: MappingProblem) -> None:
    designs = problem.space.sample(np.random.default_rng(0), 400)
    found, default = problem.evaluate(designs), problem.evaluate(problem.default[None])[0]
    nothing = np.ones(len(designs), dtype=bool)
    for mapper, part in zip(problem.mappers, problem.parts, strict=True):
        nothing &= mapper.occupancy(designs[:, part]) > 1
    assert nothing.any()
    np.testing.assert_allclose(found[nothing, :-1], np.tile(default[:-1], (nothing.sum(), 1)), rtol=1e-12)
    assert (found[nothing, -1] > 1).all()
    assert default[-1] == 1.0
    assert default[-2] == 0.0


@pytest.mark.parametrize(
    ("objective", "parts"), [("latency", [0]), ("energy", [1]), ("energy-delay", [0, 1]), ("psums", [2])]
)
def test_the_score_is_how_often_the_default_is_halved(objective: str, parts: list[int]) -> None:
    problem = mapping_problem(Options(layers=[CONV], objective=objective))
    found = problem.evaluate(np.concatenate([problem.default[None], fitting(problem, 0, 5)]))
    sought = found[:, parts].prod(-1)
    np.testing.assert_allclose(found[:, -2], np.log2(sought[0] / sought), rtol=1e-9, atol=1e-12)


def test_several_objectives_are_gains_of_their_own() -> None:
    """Those of latency and energy add up to that of their product."""
    both = mapping_problem(Options(layers=[CONV], objective=["latency", "energy"]))
    product_of_both = mapping_problem(Options(layers=[CONV], objective="energy-delay"))
    designs = fitting(both, 1, 6)
    assert [o.metric for o in both.objectives] == ["log2_gain_latency", "log2_gain_energy"]
    gains = score(product_of_both, product_of_both.evaluate(designs))
    np.testing.assert_allclose(score(both, both.evaluate(designs)), gains, rtol=1e-9, atol=1e-12)


def test_a_mapping_is_given_by_name() -> None:
    """Bifrost's tuned conv 3, as inferred from its cycles: a whole window, twelve channels."""
    design = MAERI.design({CONV: {"T_R": 3, "T_S": 3, "T_C": 12}})
    layer = mapping_problem(Options(layers=[CONV])).evaluate(
        mapping_problem(Options(layers=[CONV])).design({CONV: {"T_R": 3, "T_S": 3, "T_C": 12}})[None]
    )
    assert layer[0, 0] * 500e6 == pytest.approx(8.84e6, rel=0.01)
    assert MAERI.evaluate(design[None])[0, -1] == 1.0


MISTAKES: dict[str, tuple[MappingProblem, dict[str, Any], str]] = {
    "a layer": (MAERI, {"features.5": {}}, "did you mean 'features.6'"),
    "a knob": (MAERI, {CONV: {"T_Q": 2}}, "unknown knob of layer 'features.6' 'T_Q'"),
    "a tile": (MAERI, {CONV: {"T_R": 4}}, "T_R is 4; accepted: .1, 2, 3"),
    "too many multipliers": (MAERI, {CONV: {"T_C": 64, "T_K": 64}}, r"takes 32.5 times what the machine has"),
    "a level": (NEST, {CONV: {"factor0": "l3"}}, "factor0 is 'l3'; accepted"),
    "a buffer": (NEST, {CONV: {"factor0": "l0", "factor1": "l0"}}, "times what the machine has"),
}


@pytest.mark.parametrize(("problem", "mapping", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_mapping_outside_limits_is_one_line(problem: MappingProblem, mapping: dict[str, Any], message: str) -> None:
    with pytest.raises(CodesignError, match=message) as caught:
        problem.design(mapping)
    assert "\n" not in str(caught.value)


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "layer": ({"layers": ["features.1"]}, "unknown layer of 'alexnet' that multiplies 'features.1'"),
    "no layer": ({"layers": []}, "accepted: one layer or more"),
    "a layer twice": ({"layers": [CONV, CONV]}, "each once"),
    "device": ({"device": "bitfusion"}, "of model 'bitfusion'; mappings are chosen for: chunked, loopnest, maeri"),
    "unknown device": ({"device": "maeri-64"}, "did you mean 'maeri-"),
    "bits": ({"bits": 9}, "bits is 9; device 'maeri-128' accepts: 1 to 8"),
    "objective": ({"device": "gemmini-like", "objective": "psums", "layers": [CONV]}, "unknown objective 'psums'"),
    "no objective": ({"objective": []}, "accepted: one of latency, energy, energy-delay, psums or more, each once"),
    "an objective twice": ({"objective": ["energy", "energy"]}, "each once"),
    "preferences": ({"preferences": "sampled", "layers": [CONV]}, "there is one objective, log2_gain_latency"),
}


@pytest.mark.parametrize(("options", "message"), BAD.values(), ids=BAD)
def test_a_bad_option_is_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(CodesignError, match=message) as caught:
        build(Options.model_validate(options))
    assert "\n" not in str(caught.value)


def test_a_layer_that_no_mapping_fits_is_named() -> None:
    message = (
        r"mapping of layer 'classifier\.1' fits .* takes 3\.2\d+ times its 110592 bytes of global buffer .* 'resnet18'"
    )
    with pytest.raises(Infeasible, match=message):
        mapping_problem(Options(network="alexnet", layers=[CONV, "classifier.1"], device="nasa-chunked"))


@pytest.mark.parametrize("device", ["gemmini-like", "maeri-128", "nasa-chunked"])
def test_a_recurrence_takes_its_mapping_at_every_step(device: str) -> None:
    steps = networks.load("lstm-medium").weighted().rows(np.array([1]))
    one = Network("one step", steps.layer_names, steps.layers.one_step())
    costs = []
    for network in (steps, one):
        _, (mapper,) = mappers(device, network, 8, "divisors")
        costs.append(mapper.cost(mapper.least[None]))
    for name, column in costs[0].items():
        np.testing.assert_allclose(column, 35 * costs[1][name], rtol=1e-12, err_msg=name)


def test_layers_add_up() -> None:
    alone = [mapping_problem(Options(layers=[name], tiles="passes")) for name in (CONV, FC)]
    designs = fitting(MAERI, 3, 4)
    parts = [problem.evaluate(designs[:, part]) for problem, part in zip(alone, MAERI.parts, strict=True)]
    np.testing.assert_allclose(MAERI.evaluate(designs)[:, :3], parts[0][:, :3] + parts[1][:, :3], rtol=1e-12)


def test_a_mask_in_the_environment_is_the_brute_force() -> None:
    """Fully connected: two tiles, all pairs of which can be tried."""
    env = gym.make("codesign/Mapping-v0", layers=[FC])
    _, info = env.reset(seed=0)
    problem = env.unwrapped.core.problem
    sizes = [len(knob.values) for knob in problem.space.knobs]
    fits = {pair: problem.mappers[0].occupancy(np.array([pair]))[0] <= 1 for pair in product(*map(range, sizes))}
    first = [any(fits[i, j] for j in range(sizes[1])) for i in range(sizes[0])]
    np.testing.assert_array_equal(info["action_mask"][: sizes[0]], first)
    _, _, _, _, info = env.step(sizes[0] - 2)
    np.testing.assert_array_equal(info["action_mask"][: sizes[1]], [fits[sizes[0] - 2, j] for j in range(sizes[1])])


@pytest.mark.parametrize("agent", ["random", "evolutionary", "ppo"])
def test_it_is_trained_on_from_the_command_line(tmp_path: Path, agent: str) -> None:
    arguments = f"train --env codesign/Mapping-v0 --agent {agent} --evaluations 30 --seed 3 --run {tmp_path / agent}"
    ran = CliRunner().invoke(app, [*arguments.split(), "--option", f"layers=[{CONV}]"])
    assert ran.exit_code == 0, ran.output
    assert (tmp_path / agent / "result.json").is_file()


def test_an_unknown_argument_names_the_nearest() -> None:
    with pytest.raises((BadConfig, UnknownName), match="did you mean 'objective'"):
        gym.make("codesign/Mapping-v0", objectif="latency")


def test_every_machine_has_a_network_that_fits_by_default() -> None:
    for device in ("maeri-128", "simba-like", "nasa-chunked"):
        problem = mapping_problem(Options(device=device))
        assert (problem.outlook.usage(problem.default[None]) <= 1).all()


def test_what_the_message_recommends_fits() -> None:
    mapping_problem(Options(network="vgg16", device="gemmini-like"))
    with pytest.raises(Infeasible, match="network 'resnet18' or device 'gemmini-like'"):
        mapping_problem(Options(network="vgg16", device="nasa-chunked"))
