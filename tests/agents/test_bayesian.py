from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from search_samples import Engine, core_of, everything, regret, run, volume

from codesign_gym.agents import interface
from codesign_gym.agents.baselines.random import Random
from codesign_gym.agents.baselines.sampling import sample
from codesign_gym.agents.bayesian.acquisition import front_improvement
from codesign_gym.agents.bayesian.agent import Bayesian
from codesign_gym.agents.bayesian.surfaces import Features, fit, modelled, window
from codesign_gym.agents.bayesian.three_phase import ThreePhase, additions, spread
from codesign_gym.agents.interface import Agent
from codesign_gym.envs.core.problem import Constraint, Objective, feasible, reference_point, rewards, score
from codesign_gym.errors import BadConfig, UnknownName
from codesign_gym.pareto import hypervolume

PROBLEM = Engine()
CHEAP = Bayesian(start=16, batch=2, samples=8, pool=32, climbs=1, rounds=2)
THREE_PHASE = ThreePhase(samples=16, batch=12, population=20, generations=6)
AGENTS: dict[str, Agent] = {
    "score": CHEAP,
    "hypervolume": replace(CHEAP, improves="hypervolume"),
    "three-phase": THREE_PHASE,
}


@pytest.mark.parametrize(
    ("name", "agent"),
    [
        ("bayesian", Bayesian()),
        ("bayesian-multi", Bayesian("hypervolume", samples=32)),
        ("three-phase-gp", ThreePhase()),
    ],
)
def test_a_file_builds_the_agent_with_its_defaults(name: str, agent: Agent) -> None:
    assert interface.build(interface.read(name)) == agent


def test_bad_fields_are_refused() -> None:
    with pytest.raises(UnknownName, match="did you mean 'score'"):
        Bayesian(improves="scores")
    with pytest.raises(BadConfig, match="bayesian: field 'batch' is 0"):
        Bayesian(batch=0)
    with pytest.raises(BadConfig, match="three-phase-gp: field 'samples' is 1"):
        ThreePhase(samples=1)


def test_hypervolumes_ask_for_a_reference_point_before_anything_is_spent() -> None:
    vague = Engine(objectives=(Objective("error", -1.0, 0.5), Objective("latency", -0.01, 50.0)))
    with pytest.raises(BadConfig, match="'error' states no worst value"):
        run(AGENTS["hypervolume"], core_of(vague), 20)


@pytest.mark.parametrize("agent", AGENTS.values(), ids=AGENTS)
def test_the_grant_is_spent_and_a_seed_fixes_every_proposal(agent: Agent) -> None:
    core, state, threads = core_of(PROBLEM), torch.get_rng_state(), torch.get_num_threads()
    first = run(agent, core, 18, 1, proposals=18)
    resumed = run(agent, core, 18, 1, known=first)
    assert first.evaluations == 18
    assert (first.known_metrics[:, 2] <= 16).all()
    np.testing.assert_array_equal(resumed.designs, first.designs)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads


def test_the_hypervolume_of_one_objective_is_its_score() -> None:
    alone = Engine(objectives=(Objective("error", -1.0, 0.5, worst=0.35),))
    found = run(AGENTS["hypervolume"], core_of(alone), 24, 1)
    assert found.evaluations == 24
    assert found.known_metrics[16:, 0].mean() < found.known_metrics[:16, 0].mean()


def test_constraints_that_no_mask_keeps_are_learnt() -> None:
    tight = Engine(constraints=(Constraint("multipliers", 4.0),))
    recorder = run(replace(CHEAP, start=24, batch=4), core_of(tight, "none"), 28, proposals=28)
    kept = feasible(tight, recorder.known_metrics)
    assert kept[:24].mean() < 0.7
    assert kept[24:].mean() > kept[:24].mean()


def test_what_is_proposed_scores_higher_than_three_quarters_of_random_designs() -> None:
    ahead = []
    for seed in range(3):
        scores = score(
            PROBLEM, run(replace(CHEAP, start=24, batch=4), core_of(PROBLEM), 28, seed, proposals=28).known_metrics
        )
        ahead.append(scores[24:].mean() - np.quantile(scores[:24], 0.75))
    assert np.median(ahead) > 0


@pytest.mark.slow
def test_the_score_is_better_than_that_of_random_search() -> None:
    core = core_of(PROBLEM)
    ours, random = (
        [regret(PROBLEM, run(agent, core, 40, seed, proposals=40)) for seed in range(5)]
        for agent in (replace(CHEAP, batch=12), Random())
    )
    assert np.median(ours) < np.median(random)


@pytest.mark.parametrize(
    "agent",
    [replace(CHEAP, improves="hypervolume", start=24, batch=4), THREE_PHASE],
    ids=["hypervolume", "three-phase"],
)
def test_the_front_is_larger_than_that_of_random_search(agent: Agent) -> None:
    core = core_of(PROBLEM)
    ours, random = (
        [volume(PROBLEM, run(one, core, 28, seed, proposals=28).known_metrics) for seed in range(2)]
        for one in (agent, Random())
    )
    assert np.mean(ours) > np.mean(random)


#: The third and the fourth say the same of multipliers in other words: what there is to trade off is unchanged.
FOUR = Engine(
    objectives=(
        *PROBLEM.objectives,
        Objective("multipliers", -0.05, 16.0, worst=16.0),
        Objective("multipliers", -0.10, 16.0, worst=20.0),
    )
)


def test_of_four_objectives_every_design_improves_another_scalarisation() -> None:
    designs = sample(core_of(FOUR), np.random.default_rng(0), 24)
    surfaces = fit(FOUR, designs, FOUR.evaluate(designs))
    acquisitions = front_improvement(FOUR, surfaces, designs, 8, seed=3)
    x = surfaces.features(designs[:6])[:, None]
    with torch.no_grad():
        first, second = (next(acquisitions)(x).numpy() for _ in range(2))
        again = next(front_improvement(FOUR, surfaces, designs, 8, seed=3))(x).numpy()
    assert not np.array_equal(np.argsort(first), np.argsort(second))
    np.testing.assert_array_equal(first, again)


def test_the_front_of_four_objectives_is_larger_than_that_of_random_search() -> None:
    core, agent = core_of(FOUR), replace(CHEAP, improves="hypervolume", start=24, batch=6)
    ours, random = (
        [volume(FOUR, run(one, core, 36, seed, proposals=36).known_metrics) for seed in range(2)]
        for one in (agent, Random())
    )
    assert np.mean(ours) > np.mean(random)


def test_the_first_phase_leaves_a_small_grant_room_for_the_others() -> None:
    sized = (replace(THREE_PHASE, samples=samples, batch=8, population=8, generations=2) for samples in (60, 12))
    first, second = (run(agent, core_of(PROBLEM), 20, proposals=20) for agent in sized)
    np.testing.assert_array_equal(first.designs, second.designs)


def test_features_are_ranks_of_ordered_free_knobs_and_names_of_others() -> None:
    features = Features(PROBLEM.space)
    assert features.categorical == [0]
    found = features(np.array([[3, 0, 5, 1, 1, 2]]))
    assert found.tolist() == [[3.0, 0.0, 1.0, 0.2, 0.4]]  # the pinned knob has no column


def test_surfaces_predict_what_they_have_not_seen() -> None:
    core, generator = core_of(PROBLEM), np.random.default_rng(0)
    known, asked = sample(core, generator, 120), sample(core, generator, 300)
    surfaces = fit(PROBLEM, known, PROBLEM.evaluate(known))
    assert dict(zip(surfaces.names, surfaces.logs, strict=True)) == {"error": False, "latency": True}
    predicted, true = surfaces.predict(PROBLEM, asked), PROBLEM.evaluate(asked)
    for guess, value in zip(predicted[:, :2].T, (true[:, 0], true[:, 1]), strict=True):
        assert np.corrcoef(guess, value)[0, 1] > 0.9
    assert (predicted[:, 1] > 0).all()
    assert (predicted[:, 2] == 0).all()  # no design exceeded the limit: nothing of it is taken to be used


def test_a_metric_that_is_the_same_everywhere_is_not_modelled() -> None:
    designs = np.array([[0, 0, 0, 1, 0, 0], [0, 0, 0, 1, 1, 0], [0, 0, 0, 1, 0, 1]])
    surfaces = fit(PROBLEM, designs, PROBLEM.evaluate(designs))
    assert np.isfinite(surfaces.constants).tolist() == [True, False]
    np.testing.assert_allclose(surfaces.predict(PROBLEM, designs)[:, 0], PROBLEM.evaluate(designs)[:, 0])
    assert fit(PROBLEM, designs[:1], PROBLEM.evaluate(designs[:1])).model is None


def test_a_constraint_is_modelled_once_it_is_exceeded() -> None:
    values = np.array([[0.1, 10.0, 16.0], [0.2, 10.0, 8.0]])
    assert modelled(PROBLEM, values) == ["error", "latency"]
    values[0, 2] = 17.0
    assert modelled(PROBLEM, values) == ["error", "latency", "multipliers"]


def test_a_window_holds_the_best_and_the_latest() -> None:
    values = np.column_stack([np.linspace(0.0, 1.0, 50), np.full(50, 10.0), np.full(50, 8.0)])
    assert window(PROBLEM, values, 60).tolist() == list(range(50))
    assert window(PROBLEM, values, 10).tolist() == [0, 1, 2, 3, 4, 45, 46, 47, 48, 49]


def test_additions_are_greedy_in_hypervolume_and_filled_up_by_score() -> None:
    everyone = everything(PROBLEM)
    known, offered = everyone[:40], everyone[np.random.default_rng(0).permutation(len(everyone))[:200]]
    chosen = additions(PROBLEM, known, offered, 6)
    assert len(chosen) == len(set(chosen)) == 6

    def of(rows: np.ndarray) -> float:
        return hypervolume(-rewards(PROBLEM, rows), -reference_point(PROBLEM))

    gains = [of(np.concatenate([known, offered[[row]]])) for row in range(len(offered))]
    assert gains[chosen[0]] == max(gains)
    assert of(np.concatenate([known, offered[chosen]])) > gains[chosen[0]]
    assert len(additions(PROBLEM, everyone, offered, 6)) == 6  # nothing adds to the whole space's front


def test_the_first_phase_spreads_its_samples() -> None:
    core = core_of(PROBLEM)

    def nearest(designs: np.ndarray) -> float:
        apart = (designs[:, None] != designs).sum(-1) + 100 * np.eye(len(designs))
        return float(apart.min(1).mean())

    far = spread(core, np.random.default_rng(0), 30)
    assert len(np.unique(far, axis=0)) == 30
    assert (PROBLEM.evaluate(far)[:, 2] <= 16).all()
    assert nearest(far) > nearest(sample(core, np.random.default_rng(0), 30))
