from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
import torch
from baseline_samples import TableProblem, optimum, run, table_problem
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign_gym.agents import interface
from codesign_gym.agents.surrogate_gradient.boshcode import Boshcode, log_regret
from codesign_gym.agents.surrogate_gradient.encoding import Encoding
from codesign_gym.agents.surrogate_gradient.input_search import OPTIMIZERS, AdaHessian, Sgd
from codesign_gym.agents.surrogate_gradient.surrogate import Shape, Surrogate
from codesign_gym.envs.core.space import DesignSpace, Knob
from codesign_gym.errors import BadConfig, UnknownName

SPACE = DesignSpace(
    (
        Knob("size", (1, 2, 4, 8)),
        Knob("kind", ("a", "b", "c"), ordered=False),
        Knob("fixed", (1, 2, 3), pinned=1),
        Knob("flag", (0, 1), ordered=False),
    )
)
ENCODING = Encoding(SPACE)
QUICK = Shape(first_epochs=30, epochs=10)


def all_designs(space: DesignSpace) -> np.ndarray:
    return space.enumerate(0, space.size)


def test_points_are_unit_steps_for_ordered_knobs_and_one_hot_for_others() -> None:
    assert ENCODING.features == 1 + 3 + 0 + 1
    assert ENCODING.points(np.array([[0, 0, 1, 0], [3, 2, 1, 1]])).tolist() == [[0, 1, 0, 0, 0], [1, 0, 0, 1, 1]]
    spaced = ENCODING.points(np.array([[k, 0, 1, 0] for k in range(4)]))[:, 0]
    assert np.allclose(spaced, [0, 1 / 3, 2 / 3, 1])


@settings(derandomize=True, deadline=None, max_examples=25)
@given(st.lists(st.floats(0, 1), min_size=5, max_size=5))
def test_designs_come_in_the_order_of_their_distance_all_of_them_once(coordinates: list[float]) -> None:
    point = np.array(coordinates)
    listed = np.array(list(ENCODING.nearest(point)))
    everything = all_designs(SPACE)
    assert sorted(map(tuple, listed)) == sorted(map(tuple, everything))
    distances = ((ENCODING.points(listed) - point) ** 2).sum(1)
    assert (np.diff(distances) >= -1e-12).all()


def test_a_design_is_its_own_nearest_and_a_known_one_gives_way() -> None:
    for design in all_designs(SPACE):
        point = ENCODING.points(design[None])[0]
        assert (next(ENCODING.nearest(point)) == design).all()
        found = ENCODING.nearest_new(point, {design.tobytes()})
        assert found is not None
        assert (found != design).any()
    assert ENCODING.nearest_new(point, {row.tobytes() for row in all_designs(SPACE)}) is None


def test_the_surrogate_learns_and_doubts_where_it_has_no_data() -> None:
    generator = np.random.default_rng(0)
    points = generator.random((200, 4)) * 0.5
    losses = np.sin(4 * points[:, 0]) + points[:, 1]
    losses = (losses - losses.mean()) / losses.std()
    surrogate = Surrogate(4, Shape(), 0)
    surrogate.fit(points[:150], losses[:150])
    told = surrogate.predict(points[150:])
    assert np.corrcoef(told.mean, losses[150:])[0, 1] > 0.95
    assert not surrogate.predict(points[:150]).outside.any()
    far = surrogate.predict(np.full((1, 4), 1.0))
    assert far.outside.all()
    assert far.epistemic[0] > told.epistemic.mean()
    assert (told.aleatoric > 0).all()


def test_equal_seeds_give_equal_surrogates_whatever_others_drew() -> None:
    points, losses = np.random.default_rng(0).random((30, 3)), np.linspace(-1, 1, 30)
    answers = []
    for noise in (0, 5):
        torch.rand(noise)
        surrogate = Surrogate(3, QUICK, 7)
        surrogate.fit(points, losses)
        torch.rand(noise)
        surrogate.fit(points, losses)
        answers.append(surrogate.predict(points).mean)
    assert (answers[0] == answers[1]).all()


@pytest.mark.parametrize("optimizer", [AdaHessian(iterations=200), Sgd(iterations=200)])
def test_input_search_finds_the_minimum_inside_the_trust_region_and_never_leaves_it(optimizer) -> None:
    lowest, curvature = torch.tensor([0.3, 0.9]), torch.tensor([1.0, 5.0])

    def bound(points: torch.Tensor) -> torch.Tensor:
        assert ((points >= low - 1e-6) & (points <= high + 1e-6)).all()
        return (curvature * (points - lowest) ** 2).sum(-1)

    start = torch.tensor([[0.2, 0.5], [0.6, 0.8]])
    low, high = start - 0.2, start + 0.2
    end = optimizer.descend(bound, start, low, high, torch.Generator().manual_seed(0))
    assert torch.allclose(end, torch.tensor([[0.3, 0.7], [0.4, 0.9]]), atol=0.02)


def test_the_second_order_does_not_care_for_scale_where_the_first_order_does() -> None:
    def moved(optimizer, scale: float) -> torch.Tensor:
        start = torch.full((1, 2), 0.5)

        def bound(points: torch.Tensor) -> torch.Tensor:
            return scale * ((points - 0.7) ** 2).sum(-1)

        return optimizer.descend(bound, start, start - 0.5, start + 0.5, torch.Generator().manual_seed(0))

    assert torch.allclose(moved(AdaHessian(iterations=20), 1.0), moved(AdaHessian(iterations=20), 0.1), atol=1e-2)
    steep, flat = (moved(Sgd(iterations=20), scale) for scale in (1.0, 0.001))
    assert (steep - flat).abs().max() > 0.1


def test_regret_ranks_like_scores_and_puts_designs_beyond_a_limit_last() -> None:
    problem = table_problem(3)
    metrics = problem.evaluate(all_designs(problem.space))
    losses = log_regret(problem, metrics)
    met = metrics[:, 1] <= 1
    assert met.any()
    assert not met.all()
    assert losses[~met].min() >= losses[met].max()
    order = np.argsort(metrics[met, 0])
    assert (np.diff(losses[met][order]) >= 0).all()
    assert losses.std() == pytest.approx(1.0)


@pytest.mark.parametrize("optimizer", sorted(OPTIMIZERS))
def test_the_agent_never_repeats_itself_and_finds_the_optimum_of_a_small_space(optimizer: str) -> None:
    problem = table_problem(1, groups=3, slots=1, choices=3, pinned=False)
    recorder = run(Boshcode(optimizer=optimizer, initial=8, pool=50, surrogate=QUICK), problem, 27, means="none")
    assert recorder.evaluations == problem.space.size
    assert recorder.proposals == recorder.evaluations
    assert recorder.best is not None
    assert recorder.best[1][0] == pytest.approx(optimum(problem))


def test_equal_seeds_propose_the_same_and_the_grant_is_kept() -> None:
    problem: TableProblem = table_problem(2, groups=4, slots=2, choices=4)
    runs = [run(Boshcode(initial=6, surrogate=QUICK), problem, 15, seed=seed) for seed in (4, 4, 5)]
    designs = [np.stack(recorder.designs).tolist() for recorder in runs]
    assert designs[0] == designs[1] != designs[2]
    assert runs[0].evaluations <= 15


def test_it_stops_when_nothing_gets_better() -> None:
    problem = table_problem(2, groups=4, slots=2, choices=4)
    patient = Boshcode(initial=4, patience=1, noise_patience=0, uncertain=0.0, diverse=0.0, surrogate=QUICK)
    assert run(patient, problem, 10_000).evaluations < 200


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"optimizer": "adam"}, "unknown optimizer 'adam'"),
        ({"trust": 0.0}, "'trust' is 0.0"),
        ({"initial": 1}, "'initial' is 1"),
        ({"surrogate": {"hiden": 3}}, "surrogate"),
    ],
)
def test_bad_fields_are_named(fields, line: str) -> None:
    with pytest.raises((BadConfig, UnknownName), match=line):
        Boshcode(**fields)


@pytest.mark.parametrize("name", ["boshcode", "boshcode-sgd"])
def test_the_shipped_files_are_agents(name: str) -> None:
    agent = interface.build(interface.read(name))
    assert isinstance(agent, Boshcode)
    assert len(list(islice(ENCODING.nearest(np.zeros(5)), 3))) == 3
