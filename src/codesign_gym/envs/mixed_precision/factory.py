"""A mixed-precision core from plain options: the names and numbers that a user types."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from codesign_gym.catalog import attribute
from codesign_gym.envs.core import goal
from codesign_gym.envs.core.actions import view
from codesign_gym.envs.core.arguments import Arguments, Only
from codesign_gym.envs.core.construct import ConstructCore, DenseReward, TerminalReward
from codesign_gym.envs.core.designing import Weights, preferences_on
from codesign_gym.envs.core.enforcement import enforcement as enforcement_of
from codesign_gym.envs.core.problem import Constraint, Objective
from codesign_gym.envs.core.separable import Table
from codesign_gym.envs.mixed_precision.observers import OBSERVERS
from codesign_gym.envs.mixed_precision.problem import Judge, MixedPrecisionProblem, Scorer
from codesign_gym.errors import BadConfig, UnknownName
from codesign_gym.simulators.hardware import cells
from codesign_gym.simulators.hardware import device as devices
from codesign_gym.simulators.networks.layers import Network

REWARDS = {"terminal": TerminalReward, "dense": DenseReward}

#: HAQ's reward is 0.1 for every percentage point of accuracy (Wang et al., CVPR 2019, section 3.4).
ACCURACY_WEIGHT = 10.0


class Options(Arguments):
    """What can be chosen of a mixed-precision environment; every field is plain data.

    Attributes:
        network: id, YAML file, or ``"package.module:build"``.
        device: id or YAML file.
        data: ``"package.module:loaders"`` where the network's file names none.
        budget: cost name to its limit, a share of the cost at the highest bitwidth or an amount
            with its unit: ``{"latency": 0.6, "size": "20 kB"}``.
        floor: percentage points of accuracy that may be lost against the highest bitwidth; then the
            cost ``minimize`` is the objective.
        minimize: which cost, where a floor is given.
        objectives: cost name to the reward that its full amount takes away, as objectives beside the first.
        preferences: ``fixed`` weights on the objectives, or ``sampled``: drawn for every episode and shown to the
            agent, which takes two objectives or more.
        loss_limit: predicted loss, in nats, that stands for the floor; by default learned from measured
            designs. Devices are compared at an equal floor by giving them the same.
        accuracy: ``measured``, ``surrogate``, ``sensitivity`` or ``tabular``.
        bits: lowest and highest bitwidth.
        pinned: layers that keep the highest bitwidth: ``ends`` or ``none``.
        enforcement: ``project``, ``mask``, ``price``, ``none``, or several joined by ``+``.
        reward: ``terminal`` or ``dense``.
        observation: ``haq`` or ``rich``.
        action: ``discrete``, ``multidiscrete`` or ``box``.
        fine_tune: steps of training that a design gets before it is measured.
        samples: designs measured to fit the surrogate, or to learn which predicted loss meets a floor.
        seed: of the tabular twin's sensitivities and of those samples.
    """

    network: str = "digits-cnn"
    device: str = "bitfusion"
    data: str | None = None
    budget: goal.Budget | None = None
    floor: float | None = None
    minimize: Literal["latency", "energy", "size"] = "latency"
    objectives: Mapping[str, float] = Field(default_factory=dict)
    preferences: Weights = "fixed"
    loss_limit: float | None = Field(default=None, gt=0)
    accuracy: str = "measured"
    bits: Sequence[int] = (2, 8)
    pinned: str = "ends"
    enforcement: str = "project"
    reward: str = "terminal"
    observation: str = "haq"
    action: str = "discrete"
    fine_tune: int = Field(default=0, ge=0)
    samples: int = Field(default=48, ge=2)  # the ends of the range at least
    seed: int = Field(default=0, ge=0)


#: Arguments that mean something only beside others.
ONLY = (
    Only(("minimize", "loss_limit"), lambda chosen: chosen["floor"] is not None, "with a floor"),
    Only(("data", "fine_tune"), lambda chosen: chosen["accuracy"] != "tabular", "where accuracy is measured"),
    Only(
        ("samples",),
        lambda chosen: chosen["accuracy"] not in ("measured", "tabular") or chosen["floor"] is not None,
        "with a floor, or with accuracy='surrogate' or 'sensitivity'",
    ),
    Only(
        ("seed",),
        lambda chosen: chosen["accuracy"] != "measured",
        "with accuracy='tabular', 'surrogate' or 'sensitivity'",
    ),
)


@dataclass(frozen=True)
class Score:
    """How designs are scored, and what predicts it.

    Attributes:
        network: the whole network; rows without weights cost something on some devices.
        scorer: the score itself.
        sensitivities: predicted loss of every knob at every bitwidth, (layers, 2, bitwidths).
        judge: what may be claimed of a design.
        real: what measures, where ``scorer`` only predicts.
        prepared: designs that were measured so far.
        per_loss: what a unit of predicted loss takes off the score, or adds to it where less is better.
    """

    network: Network
    scorer: Scorer
    sensitivities: NDArray[np.float64]
    judge: Judge | None = None
    real: Scorer | None = None
    prepared: int = 0
    per_loss: float = 1.0

    @cached_property
    def weighted(self) -> Network:
        """The layers that have bitwidths."""
        return self.network.weighted()


def build(options: Options, drawn: bool = False) -> ConstructCore:
    """The core of an environment.

    Raises:
        UnknownName: for an id or name that does not exist, with the nearest.
        BadConfig: for an option out of bounds.
        Infeasible: for budgets that no design meets, with the least that is feasible.
        UnsupportedNetwork: for a network without a layer that can be quantized.
    """
    problem = mixed_precision_problem(options)
    return ConstructCore(
        problem=problem,
        observer=_named("observation", OBSERVERS, options.observation)(problem),
        reward=_named("reward", REWARDS, options.reward)(),
        enforcement=enforcement_of(options.enforcement),
        actions=view(options.action, (problem.space.choices,)),
        preferences=preferences_on(problem, options.preferences),
    )


def mixed_precision_problem(options: Options) -> MixedPrecisionProblem:
    """The design problem alone; errors as in :func:`build`."""
    device = devices.load(options.device)
    bit_values = _bit_values(options.bits, device)
    score = _named("accuracy", SCORES, options.accuracy)(options, bit_values)
    table = cells.tabulate(device, score.network.layers, bit_values)
    costs = {
        metric: np.asarray(column)
        for metric, column in (
            ("latency_s", table.latency_s),
            ("energy_j", table.energy_j),
            ("size_bytes", table.size_bytes),
        )
        if column is not None
    }
    pinned = _pinned(options.pinned, len(score.weighted))
    goal_of = _budgeted if options.floor is None else _floored
    aim = goal_of(options, score, bit_values, pinned, costs)
    return MixedPrecisionProblem(
        network=score.weighted,
        bit_values=bit_values,
        pinned=pinned,
        costs=costs,
        sensitivities=score.sensitivities,
        scorer=aim.scorer,
        objectives=goal.objectives(aim.objective, options.objectives, goal.shares(_full(costs)), _source(options)),
        constraints=aim.constraints,
        loss_limit=aim.loss_limit,
        score_per_loss=score.per_loss,
        judge=score.judge,
        real=score.real,
        prepared=score.prepared + aim.prepared,
    )


@dataclass(frozen=True)
class _Aim:
    """What to improve within which bounds, how it is scored, and the predicted loss that stands for a floor."""

    objective: Objective
    constraints: tuple[Constraint, ...]
    scorer: Scorer
    loss_limit: float | None = None
    prepared: int = 0


def _budgeted(
    options: Options, score: Score, bit_values: tuple[int, ...], pinned: frozenset[int], costs: Mapping[str, Table]
) -> _Aim:
    """The best score within budgets."""
    name, reference = score.scorer.metric_name, _uniform(score.scorer, score, bit_values[-1])
    if name == "accuracy":
        objective = Objective(name, ACCURACY_WEIGHT, reference, worst=0.0)
    else:
        objective = Objective(name, -1.0, reference, worst=_uniform(score.scorer, score, bit_values[0]))
    bounds = goal.limits(options.budget or {}, _full(costs), _source(options))
    constraints = tuple(Constraint(metric, limit) for metric, limit in bounds.items())
    return _Aim(objective, constraints, score.scorer)


def _floored(
    options: Options, score: Score, bit_values: tuple[int, ...], pinned: frozenset[int], costs: Mapping[str, Table]
) -> _Aim:
    """The least cost above an accuracy floor.

    Which predicted loss keeps the floor is learned from measured designs on the front of this very
    cost and the predicted loss: of designs with equal predicted loss, optimised ones measure worse
    than random ones.
    """
    from codesign_gym.simulators.accuracy.monotone import PredictedByLoss

    if options.budget:
        raise BadConfig("give a budget or a floor, not both: one of accuracy and cost is bounded, the other improved")
    real = score.real or score.scorer
    if not real.measured:
        raise BadConfig(f"accuracy {options.accuracy!r} measures nothing that a floor could bound")
    if options.floor is None or not 0 < options.floor <= 100:
        raise BadConfig(f"floor is {options.floor!r}; accepted: percentage points in (0, 100]")
    metric = goal.metric_of("minimize", options.minimize, costs, _source(options))
    reference, objective = _uniform(real, score, bit_values[-1]), goal.shares(_full(costs))[metric]
    floor = Constraint("accuracy", reference - options.floor / 100, reference)
    bits = _front(costs[metric] / objective.reference, score.sensitivities, pinned, options.samples) + bit_values[0]
    curve = PredictedByLoss.fit(bits, real.score(bits), score.sensitivities, bit_values)
    scorer = curve if isinstance(score.scorer, PredictedByLoss) else score.scorer
    limit = options.loss_limit or curve.largest_loss(floor.limit)
    return _Aim(objective, (floor,), scorer, limit, options.samples)


def _source(options: Options) -> str:
    """Who would have to tell a cost, and does not, for a message."""
    return f"device {options.device!r} has no source for"


def _front(cost: Table, rises: Table, pinned: frozenset[int], samples: int) -> NDArray[np.int64]:
    """Choice indices (samples, layers, 2) of designs that no other beats in cost and predicted loss together.

    Each minimises cost plus a weight times loss, layer by layer, for weights from one end to the other.
    """
    loss = rises[:, 0, :, None] + rises[:, 1, None, :]
    weights = np.geomspace(1e-2, 1e4, samples)[:, None, None, None] / max(float(loss.max()), 1e-12)
    joint = (cost + weights * loss).reshape(samples, len(cost), -1).argmin(-1)
    designs = np.stack(np.unravel_index(joint, cost.shape[1:]), axis=-1)
    designs[:, list(pinned)] = cost.shape[1] - 1
    return np.asarray(designs, dtype=np.int64)


def _uniform(scorer: Scorer, score: Score, bits: int) -> float:
    """The score of one bitwidth everywhere."""
    return float(scorer.score(np.full((1, len(score.weighted), 2), bits))[0])


def _full(costs: Mapping[str, Table]) -> dict[str, float]:
    """Costs of the highest bitwidth everywhere."""
    return {metric: float(table[:, -1, -1].sum()) for metric, table in costs.items()}


def _measured(options: Options, bit_values: tuple[int, ...]) -> Score:
    found = _real(options, bit_values)
    return Score(found.network, found.scorer, found.rises, found.judge, None, found.prepared, found.per_loss)


def _surrogate(options: Options, bit_values: tuple[int, ...]) -> Score:
    from codesign_gym.simulators.accuracy.scorers import PredictedAccuracy
    from codesign_gym.simulators.accuracy.surrogate import Surrogate

    found = _real(options, bit_values)
    bits, accuracy = _sample(options, found.quantized, bit_values)
    surrogate = Surrogate.fit(bits, accuracy, found.rises, bit_values, options.seed)
    predicted, prepared = PredictedAccuracy(surrogate), found.prepared + options.samples
    return Score(found.network, predicted, found.rises, found.judge, found.scorer, prepared, found.per_loss)


def _sensitivity(options: Options, bit_values: tuple[int, ...]) -> Score:
    from codesign_gym.simulators.accuracy.monotone import PredictedByLoss

    found = _real(options, bit_values)
    predicted = PredictedByLoss.fit(*_sample(options, found.quantized, bit_values), found.rises, bit_values)
    prepared = found.prepared + options.samples
    return Score(found.network, predicted, found.rises, found.judge, found.scorer, prepared, found.per_loss)


def _tabular(options: Options, bit_values: tuple[int, ...]) -> Score:
    from codesign_gym.simulators.accuracy.scorers import AdditiveLoss
    from codesign_gym.simulators.accuracy.twin import lognormal_sensitivities
    from codesign_gym.simulators.networks import load

    network = load(options.network)
    table = lognormal_sensitivities(int(network.layers.weighted.sum()), bit_values, options.seed)
    return Score(network, AdditiveLoss(table, bit_values[0]), table)


#: Ways to score a design; a user's own is ``"module:attribute"``, called with (options, bit_values).
SCORES: dict[str, Callable[[Options, tuple[int, ...]], Score]] = {
    "measured": _measured,
    "surrogate": _surrogate,
    "sensitivity": _sensitivity,
    "tabular": _tabular,
}


def quantized_network(options: Options) -> Any:
    """The really trained network of the options, ready to be measured at any bitwidths, with the disk memo."""
    from codesign_gym.simulators.accuracy.finetune import FineTune
    from codesign_gym.simulators.accuracy.memo import Memo
    from codesign_gym.simulators.accuracy.quantized import Quantization, QuantizedNetwork
    from codesign_gym.simulators.accuracy.trained import load

    tuning = FineTune(steps=options.fine_tune) if options.fine_tune else None
    return QuantizedNetwork(load(options.network, options.data), Quantization(fine_tune=tuning), Memo.default())


@dataclass(frozen=True)
class _Real:
    """A really trained network, ready to be measured, and its sensitivities."""

    network: Network
    quantized: Any
    scorer: Scorer
    rises: NDArray[np.float64]
    judge: Judge
    prepared: int
    per_loss: float


def _real(options: Options, bit_values: tuple[int, ...]) -> _Real:
    from codesign_gym.simulators.accuracy.claims import TestAccuracy
    from codesign_gym.simulators.accuracy.scorers import MeasuredAccuracy
    from codesign_gym.simulators.accuracy.sensitivity import accuracy_per_nat, resolved, sensitivities

    quantized = quantized_network(options)
    return _Real(
        network=quantized.trained.network,
        quantized=quantized,
        scorer=MeasuredAccuracy(quantized),
        rises=resolved(sensitivities(quantized, bit_values)),
        judge=TestAccuracy(quantized, bit_values[-1]),
        prepared=1 + 2 * quantized.layers * (len(bit_values) - 1),
        per_loss=accuracy_per_nat(quantized, bit_values) if options.objectives else 1.0,
    )


def _sample(
    options: Options, quantized: Any, bit_values: tuple[int, ...]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Designs spread from coarse to fine, measured on the search split.

    Each is drawn around a centre of its own; designs whose knobs are all drawn over the whole range
    would nearly all be ruined by their few lowest bitwidths.
    """
    generator = np.random.default_rng(options.seed)
    centre = generator.uniform(bit_values[0], bit_values[-1], size=(options.samples, 1, 1))
    noise = generator.normal(0.0, 1.5, size=(options.samples, quantized.layers, 2))
    bits = np.clip(np.rint(centre + noise), bit_values[0], bit_values[-1]).astype(np.int64)
    bits[0], bits[1] = bit_values[0], bit_values[-1]  # the ends, so that nothing lies outside what was seen
    return bits, np.asarray(quantized.accuracy(bits))


def _bit_values(bits: Sequence[int], device: devices.Device) -> tuple[int, ...]:
    low, high = (int(bits[0]), int(bits[-1])) if len(bits) == 2 else (0, 0)
    if not device.min_bits <= low < high <= device.max_bits:
        raise BadConfig(
            f"bits is {list(bits)}; accepted: lowest and highest bitwidth between {device.min_bits} and "
            f"{device.max_bits}, which device {device.name!r} supports"
        )
    return tuple(range(low, high + 1))


def _pinned(name: str, layers: int) -> frozenset[int]:
    choices = {"ends": frozenset({0, layers - 1}), "none": frozenset[int]()}
    if name not in choices:
        raise UnknownName("pinned", name, choices)
    return choices[name]


def _named(kind: str, table: Mapping[str, Any], name: str) -> Any:
    if ":" in name:
        return attribute(name)
    if name not in table:
        raise UnknownName(kind, name, table)
    return table[name]
