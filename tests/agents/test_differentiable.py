from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from baseline_samples import Blind, TableProblem, opposed, optimum, run, table_problem
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign_gym.agents.baselines.milp import solve
from codesign_gym.agents.differentiable.gumbel import Gumbel
from codesign_gym.agents.differentiable.lightnas import LightNas
from codesign_gym.agents.differentiable.mixture import Mixture, Subject, subject
from codesign_gym.agents.differentiable.search import Epoch, Schedule, epochs
from codesign_gym.agents.interface import Task, build, read, search
from codesign_gym.agents.recorder import Limits, Recorder
from codesign_gym.envs.core.actions import view
from codesign_gym.envs.core.construct import ConstructCore, TerminalReward
from codesign_gym.envs.core.enforcement import enforcement, within
from codesign_gym.envs.core.problem import Constraint
from codesign_gym.envs.core.relaxed import Predicted, Relaxed, tables_relaxed
from codesign_gym.envs.core.separable import Separable
from codesign_gym.errors import BadConfig, UnknownName

AGENTS = {"gumbel": Gumbel, "lightnas": LightNas}
PROBLEMS = {
    "unconstrained": table_problem(1, constraints=0),
    "budget": table_problem(2),
    "budgets": table_problem(3, constraints=3),
    "one-slot": table_problem(4, groups=7, slots=1, choices=4),
    "opposed": opposed(5),
}
shapes = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 99),
        "groups": st.integers(1, 3),
        "slots": st.integers(1, 2),
        "choices": st.integers(2, 3),
        "constraints": st.integers(0, 2),
        "pinned": st.booleans(),
    }
)


def mixture(problem: TableProblem, seed: int) -> torch.Tensor:
    """Random probabilities over what is allowed, shape (1, knobs, choices)."""
    weights = np.random.default_rng(seed).random(problem.space.allowed.shape) * problem.space.allowed
    return torch.as_tensor(weights / weights.sum(-1, keepdims=True))[None]


def probability(problem: TableProblem, probabilities: torch.Tensor, designs: np.ndarray) -> np.ndarray:
    """Of each of the designs (batch, knobs) under independent choices, shape (batch,)."""
    return probabilities[0].numpy()[np.arange(len(problem.space)), designs].prod(-1)


@settings(deadline=None, derandomize=True, max_examples=25)
@given(shapes, st.integers(0, 99))
def test_tables_give_the_expectation_over_all_designs(shape: dict[str, int], seed: int) -> None:
    problem = table_problem(**shape)
    relaxed, probabilities = tables_relaxed(problem.separable, problem.constraints), mixture(problem, seed)
    designs = problem.space.enumerate(0, problem.space.size)
    chance, metrics = probability(problem, probabilities, designs), problem.evaluate(designs)
    assert float(relaxed.loss(probabilities)[0]) == pytest.approx(chance @ metrics[:, 0])
    for row, bound in enumerate(problem.constraints):
        expected = chance @ metrics[:, 1 + row]
        assert float(relaxed.metric(bound.metric, probabilities)[0]) == pytest.approx(expected)


def test_metrics_are_told_in_their_own_unit() -> None:
    problem = table_problem(2)
    bound = Constraint("accuracy", limit=0.8, reference=0.9)
    relaxed, probabilities = tables_relaxed(problem.separable, (bound,)), mixture(problem, 0)
    share = tables_relaxed(problem.separable, problem.constraints).metric("use0", probabilities)
    torch.testing.assert_close(bound.usage(relaxed.metric("accuracy", probabilities)), share)
    with pytest.raises(UnknownName, match="accuracy"):
        relaxed.metric("acuracy", probabilities)


def test_gradients_are_those_of_finite_differences() -> None:
    problem = table_problem(3, slots=2)
    relaxed = tables_relaxed(problem.separable, problem.constraints)
    probabilities = mixture(problem, 1).requires_grad_()
    assert torch.autograd.gradcheck(lambda p: relaxed.loss(p) * relaxed.metric("use0", p), probabilities)


def test_a_predictor_answers_for_its_metric_alone() -> None:
    problem = table_problem(3, constraints=2)
    base = tables_relaxed(problem.separable, problem.constraints)
    probabilities = mixture(problem, 1)
    relaxed = Predicted(base, {"use1": lambda p: p.sum((1, 2))})
    assert float(relaxed.metric("use1", probabilities)[0]) == pytest.approx(len(problem.space))
    torch.testing.assert_close(relaxed.metric("use0", probabilities), base.metric("use0", probabilities))
    torch.testing.assert_close(relaxed.loss(probabilities), base.loss(probabilities))


def test_samples_are_distributions_over_what_is_allowed() -> None:
    allowed = table_problem(1, choices=4).space.allowed
    drawn = Mixture.even(allowed, 0)
    soft, hard = drawn.soft(0.7), drawn.hard(0.7)
    for sample in (soft, hard):
        torch.testing.assert_close(sample.sum(-1), torch.ones(sample.shape[:-1]))
        assert (sample[0].detach().numpy()[~allowed] == 0).all()
    assert set(np.unique(hard.detach().numpy().round(6))) == {0.0, 1.0}
    often = torch.stack([drawn.hard(1.0)[0] for _ in range(2000)]).mean(0).detach().numpy()
    np.testing.assert_allclose(often[allowed], drawn.probabilities[allowed], atol=0.05)


@pytest.mark.parametrize("name", AGENTS)
def test_a_file_builds_the_agent_with_its_defaults(name: str) -> None:
    assert build(read(name)) == AGENTS[name]()


@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
@pytest.mark.parametrize("name", AGENTS)
@pytest.mark.parametrize("evaluations", [1, 5, 60])
def test_grants_are_kept_and_designs_allowed(name: str, problem: TableProblem, evaluations: int) -> None:
    recorder = run(AGENTS[name](), problem, evaluations)
    assert 1 <= recorder.evaluations <= evaluations
    assert recorder.proposals <= recorder.limits.proposals
    tried = np.stack(recorder.designs)
    assert problem.space.allowed[np.arange(len(problem.space)), tried].all()


@pytest.mark.parametrize("name", AGENTS)
def test_a_seed_fixes_every_proposal(name: str) -> None:
    first, again, other = (run(AGENTS[name](), PROBLEMS["budget"], 40, seed=seed) for seed in (7, 7, 8))
    np.testing.assert_array_equal(first.designs, again.designs)
    assert [d.tolist() for d in first.designs] != [d.tolist() for d in other.designs]


@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
def test_lightnas_ends_near_the_optimum_and_keeps_the_limits(problem: TableProblem) -> None:
    recorder = run(LightNas(), problem, evaluations=300)
    assert recorder.best is not None
    assert within(recorder.best[1][1:])
    assert recorder.best[1][0] <= 1.1 * optimum(problem)


def long(seed: int, limit: float) -> tuple[Separable, Subject]:
    """Twenty layers of five operators, dearer ones better, within a share of the dearest's use."""
    generator = np.random.default_rng(seed)
    size = generator.lognormal(0.0, 0.4, (20, 1)) * np.arange(5) * generator.uniform(0.9, 1.1, (20, 5))
    gain = generator.lognormal(0.0, 0.4, (20, 1)) * np.arange(5) ** 0.5 * generator.uniform(0.9, 1.1, (20, 5))
    size = size + 0.2 * size.max(1, keepdims=True)
    loss = (gain.max(1, keepdims=True) - gain) / gain.max(1).sum() * 4
    tables = Separable(loss, size[None] / (limit * size.max(1).sum()), np.ones((20, 5), dtype=bool))
    bounds = (Constraint("latency_s", 1.0),)
    return tables, Subject(tables_relaxed(tables, bounds), bounds, tables.allowed)


def last(agent: Gumbel | LightNas, known: Subject, steps: int = 12, seed: int = 0) -> Epoch:
    *_, found = epochs(agent, known, Schedule(agent.epochs, steps, agent.epochs), seed)
    return found


@pytest.mark.parametrize("limit", [0.4, 0.6])
def test_one_run_of_lightnas_meets_a_target_with_a_multiplier_above_zero(limit: float) -> None:
    tables, known = long(1, limit)
    found = last(LightNas(), known)
    assert abs(found.usage[0] - 1) <= 0.02
    assert found.multipliers[0] > 0
    best = float(tables.totals(solve(tables, max(float(found.usage[0]) * (1 + 1e-6), 1.0)))[0])
    assert best * (1 - 1e-6) <= found.loss <= best + 0.05 * tables.loss.max(1).sum()


def test_a_fixed_multiplier_goes_where_it_leads_whatever_the_target() -> None:
    agent = LightNas(multiplier=1.0, multiplier_rate=0.0, settling=0)
    off = []
    for limit in (0.3, 0.6):
        # The same weight on what is used, told in shares of another limit.
        found = last(replace(agent, multiplier=2.0 * limit), long(1, limit)[1])
        assert found.multipliers[0] == pytest.approx(2.0 * limit)
        off.append(abs(found.usage[0] - 1))
    assert max(off) > 0.05


def test_a_limit_that_does_not_bind_leaves_the_multiplier_at_zero() -> None:
    tables, known = long(2, 1.5)
    found = last(LightNas(), known)
    assert found.multipliers[0] == 0
    assert found.loss <= 0.02 * tables.loss.max(1).sum()


def test_a_larger_exponent_makes_fbnets_search_use_less() -> None:
    tables, known = long(3, 0.5)
    found = [last(Gumbel(beta=beta), known, steps=6) for beta in (0.6, 8.0, 48.0)]
    assert found[0].usage[0] > found[2].usage[0]
    assert found[0].loss < found[2].loss
    for epoch in found:  # on the front: nothing that uses as little loses much less
        slack = Separable(tables.loss, tables.usage / max(float(epoch.usage[0]) * (1 + 1e-6), 1e-9), tables.allowed)
        best = float(slack.totals(solve(slack))[0])
        assert epoch.loss <= best + 0.02 * tables.loss.max(1).sum()


def test_steps_are_charged_and_the_multiplier_is_logged() -> None:
    problem = table_problem(2)
    recorder, logged = Recorder(problem, Limits(40, 200)), list[Mapping[str, float]]()
    core = ConstructCore(
        recorder, Blind(), TerminalReward(), enforcement("none"), view("discrete", (problem.space.choices,))
    )
    search(LightNas(), Task(core, recorder, 0, log=logged.append))
    assert 0.8 * 200 <= recorder.proposals <= 200
    assert recorder.evaluations <= 40
    assert {"search/loss", "search/multiplier/use0", "search/usage/use0"} <= set(logged[0])
    assert max(scalars["search/multiplier/use0"] for scalars in logged) > 0


@dataclass(frozen=True, eq=False)
class Untabled(TableProblem):
    """A problem whose losses are not known to be sums."""

    own: Relaxed | None = None

    @property
    def separable(self) -> None:  # type: ignore[override]
        return None

    @property
    def relaxed(self) -> Relaxed | None:
        return self.own


def test_what_can_not_be_relaxed_is_refused_in_one_line() -> None:
    base = table_problem(2)
    with pytest.raises(BadConfig, match="gradients or that are sums"):
        subject(Untabled(base.tables, base.space))


def test_a_relaxation_of_its_own_takes_the_place_of_tables() -> None:
    base = table_problem(2)
    relaxed = tables_relaxed(base.separable, base.constraints)
    assert subject(Untabled(base.tables, base.space, own=relaxed)).relaxed is relaxed


@pytest.mark.parametrize(
    ("agent", "fields"),
    [
        (Gumbel, {"cooling": 1.5}),
        (Gumbel, {"beta": -1.0}),
        (Gumbel, {"epochs": 0}),
        (LightNas, {"multiplier_rate": -0.1}),
        (LightNas, {"coolest": 0.0}),
        (LightNas, {"samples": -1}),
    ],
)
def test_fields_out_of_range_are_named(agent: type[Gumbel] | type[LightNas], fields: dict[str, float]) -> None:
    with pytest.raises(BadConfig, match=next(iter(fields))):
        agent(**fields)
