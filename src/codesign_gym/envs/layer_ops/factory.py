"""A layer-operator core from plain options: the names and numbers that a user types."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field, ValidationError

from codesign_gym.catalog import attribute
from codesign_gym.envs.core import goal
from codesign_gym.envs.core.arguments import Only
from codesign_gym.envs.core.construct import DenseReward, Observer, TerminalReward
from codesign_gym.envs.core.designing import CONSTRUCTED, REFINED, DesignCore, Walk, design_core
from codesign_gym.envs.core.observers import DecisionObserver, choices_observer
from codesign_gym.envs.core.problem import Constraint, Objective
from codesign_gym.envs.core.refine import RefineCore
from codesign_gym.envs.layer_ops.costs import CellCosts, DesignCosts, ModelCosts, TableCosts
from codesign_gym.envs.layer_ops.problem import LayerOpsProblem
from codesign_gym.errors import BadConfig, CodesignError, UnknownName
from codesign_gym.simulators import operators
from codesign_gym.simulators.hardware import device as devices
from codesign_gym.simulators.hardware.model import Costs
from codesign_gym.simulators.operators.quality import Quality, TabulatedQuality, additive_quality
from codesign_gym.simulators.operators.space import OperatorSpace

#: Reward of a hundredth of quality or accuracy, times a hundred; HAQ's (Wang et al., CVPR 2019, section 3.4).
QUALITY_WEIGHT = 10.0
#: What weights and activations take where nothing is said, or the width nearest to it that the device has.
BITS = 8

#: What a quality of one's own must have.
PARTS = ("metric_name", "measured", "images", "reference", "losses", "exact", "score")

REWARDS: dict[str, Callable[[], TerminalReward | DenseReward]] = {"terminal": TerminalReward, "dense": DenseReward}
OBSERVERS: dict[str, Callable[[LayerOpsProblem], Observer]] = {"decisions": DecisionObserver, "rich": choices_observer}


class Options(Walk):
    """What can be chosen of a layer-operator environment; every field is plain data.

    Beside these fields there are those of :class:`~codesign_gym.envs.core.designing.Walk`.

    Attributes:
        space: id, YAML file or ``"package.module:attribute"`` of an operator space.
        device: id or YAML file; its model costs the operators. By default the one that the space names.
        bits: of weights and activations; by default 8, or the nearest that the device supports.
        cost_file: measured latencies (and energies) in place of the device: a CSV file of operators by name, of
            networks by their operators' numbers (to which a sum over layers is fitted), or of all cells.
        cost_column: which device of that file.
        quality: ``tabular`` (made up, a sum with a known optimum), ``table`` (measured accuracies of all designs),
            ``measured`` (on real images, with the weights of the space's supernet or of the teacher whose layers are
            replaced, trained in the first call), or
            ``"package.module:function"`` that returns a :class:`~codesign_gym.simulators.operators.quality.Quality`
            of the space and the seed, such as a supernet's measured accuracy.
        quality_file: the CSV file of ``table``; it also tells which cells the numbers in ``cost_file`` stand for.
        quality_column: which figure of that file, in per cent.
        budget: cost name to its limit, a share of the cost of the last operator everywhere or an amount with its
            unit: ``{"latency": 0.6, "size": "2 MB"}``.
        floor: hundredths of quality (percentage points of accuracy) that may be lost against the best (for a measured
            quality, the dearest) design; then the cost ``minimize`` is the objective.
        minimize: which cost, where a floor is given.
        objectives: cost name to the reward that its full amount takes away, as objectives beside the first.
        steps: moves of an episode of ``refine``.
        reward: of ``construct``: ``terminal``, or ``dense`` where scores and costs are sums over layers.
        observation: of ``construct``: ``decisions``, or ``rich`` where scores and costs are sums over layers.
        seed: of the made-up quality, or of the user's own.
    """

    space: str = "fbnet"
    device: str | None = None
    bits: int | None = Field(default=None, ge=1)
    cost_file: str | None = None
    cost_column: str | None = None
    quality: str = "tabular"
    quality_file: str | None = None
    quality_column: str | None = None
    budget: goal.Budget | None = None
    floor: float | None = Field(default=None, gt=0, le=100)
    minimize: Literal["latency", "energy", "size"] = "latency"
    objectives: Mapping[str, float] = Field(default_factory=dict)
    steps: int = Field(default=30, ge=1, le=10_000)
    reward: Literal["terminal", "dense"] = "terminal"
    observation: Literal["decisions", "rich"] = "decisions"
    seed: int = Field(default=0, ge=0)


#: Arguments that mean something only beside others.
ONLY = (
    REFINED,
    CONSTRUCTED,
    Only(("device",), lambda chosen: chosen["cost_file"] is None, "without a cost_file, which takes its place"),
    Only(("minimize",), lambda chosen: chosen["floor"] is not None, "with a floor"),
    Only(
        ("quality_file",),
        lambda chosen: chosen["quality"] == "table" or chosen["cost_file"] is not None,
        "with quality='table', or beside a cost_file of cells",
    ),
    Only(("quality_column",), lambda chosen: chosen["quality"] == "table", "with quality='table'"),
    Only(("seed",), lambda chosen: chosen["quality"] != "table", "with a quality other than 'table'"),
)


def build(options: Options, drawn: bool = False) -> DesignCore:
    """The core of an environment; whether it will be drawn makes no difference.

    Raises:
        UnknownName: for an id or name that does not exist, with the nearest.
        BadConfig: for an option out of bounds, and for tables that lack an operator or hold one twice.
        Infeasible: for budgets that no design meets, with the tightest and the least that is feasible.
    """
    problem = layer_ops_problem(options)
    core = design_core(problem, options)
    if isinstance(core, RefineCore):
        return core
    return replace(core, observer=OBSERVERS[options.observation](problem), reward=REWARDS[options.reward]())


def layer_ops_problem(options: Options) -> LayerOpsProblem:
    """The design problem alone; errors as in :func:`build`."""
    space = operators.load(options.space)
    quality = _quality(options, space)
    costs, prepared, source = _costs(options, space)
    dearest = np.array([[len(layer.operators) - 1 for layer in space.layers]])
    full = dict(zip(costs.names, costs.of(dearest)[0].tolist(), strict=True))
    terms = goal.shares(full)
    reference = quality.reference
    objective = Objective(quality.metric_name, QUALITY_WEIGHT, reference, worst=0.0)
    bounds = goal.limits(options.budget or {}, full, source)
    constraints = [Constraint(metric, limit) for metric, limit in bounds.items()]
    if options.floor is not None:
        constraints.append(Constraint(quality.metric_name, reference - options.floor / 100, reference))
        objective = terms[goal.metric_of("minimize", options.minimize, terms, source)]
    return LayerOpsProblem(
        operators=space,
        quality=quality,
        costs=costs,
        objectives=goal.objectives(objective, options.objectives, terms, source),
        constraints=tuple(constraints),
        prepared=prepared,
    )


def untabled(given: Mapping[str, object]) -> bool:
    """Whether options make a problem whose scores or costs are no sums over layers; what is wrong is told elsewhere."""
    if given.get("quality", "tabular") != "tabular":
        return True
    try:
        options = Options.model_validate(given)
        return not isinstance(_costs(options, operators.load(options.space))[0], TableCosts)
    except (CodesignError, ValidationError):
        return False


#: Costs, the error of those that are predicted, and who does not tell the others, for messages.
Told = tuple[DesignCosts, dict[str, float], str]


def _costs(options: Options, space: OperatorSpace) -> Told:
    """From the user's file, else from the device."""
    if options.cost_file is not None:
        return _filed(options, space, Path(options.cost_file).expanduser())
    if options.cost_column is not None:
        raise BadConfig(f"cost_column is {options.cost_column!r} without a cost_file; accepted: both or neither")
    device = devices.load(options.device or space.device)
    source = f"device {device.name!r} has no source for"
    bits = int(np.clip(BITS, device.min_bits, device.max_bits)) if options.bits is None else options.bits
    if getattr(device.model, "separable", False):
        costs = space.tabulate(device, bits)
        return TableCosts({name: np.asarray(getattr(costs, name)) for name in _told(costs)}), {}, source
    costs = space.cost(device, np.zeros((1, len(space)), dtype=np.int64), bits)
    return ModelCosts(space, device, bits, _told(costs)), {}, source


def _told(costs: Costs) -> tuple[str, ...]:
    """What a device's model knows of."""
    return ("latency_s", *(("energy_j",) if costs.energy_j is not None else ()), "size_bytes")


def _filed(options: Options, space: OperatorSpace, path: Path) -> Told:
    """A file of operators tells their names; one of networks numbers the operators, as the space says."""
    from codesign_gym.simulators.hardware.calibration.sheet import read_sheet
    from codesign_gym.simulators.operators.tables import is_of_operators, read_operators
    from codesign_gym.simulators.operators.tables_cells import read_cells
    from codesign_gym.simulators.operators.tables_networks import fit, read_networks

    sizes = {"size_bytes": space.size_bytes(options.bits or BITS)}
    if is_of_operators(path):
        energy = "energy_mJ" if options.cost_column is None else f"{options.cost_column}_energy"
        source = f"cost_file {str(path)!r} has no column {energy!r}, which would tell"
        return TableCosts({**read_operators(path, space, options.cost_column), **sizes}), {}, source
    if options.cost_column is None:
        columns = ", ".join(read_sheet(path).frame.columns)
        raise BadConfig(f"cost_file {str(path)!r} needs the option cost_column, one of its columns: {columns}")
    source = f"cost_file {str(path)!r} tells the latency of whole designs (column {options.cost_column!r}), and no"
    if space.codes:
        found = fit(space, *read_networks(path, space, options.cost_column))
        errors = {"latency_mape": found.mape, "latency_spearman": found.spearman}
        return TableCosts({"latency_s": found.latency_s, **sizes}), errors, source
    named = None if options.quality_file is None else Path(options.quality_file).expanduser()
    latency_s = read_cells(path, space, options.cost_column, 1e-3, named)
    return CellCosts({"latency_s": latency_s}, TableCosts(sizes)), {}, source


def _quality(options: Options, space: OperatorSpace) -> Quality:
    if ":" in options.quality:
        found = attribute(options.quality)
        made: Quality = found(space, options.seed) if callable(found) else found
        if absent := [part for part in PARTS if part not in dir(made)]:
            raise BadConfig(f"quality {options.quality!r} makes a {type(made).__name__} without {', '.join(absent)}")
        return made
    if options.quality not in QUALITIES:
        raise UnknownName("quality", options.quality, QUALITIES)
    return QUALITIES[options.quality](options, space)


def _tabular(options: Options, space: OperatorSpace) -> Quality:
    return additive_quality(space, options.seed)


def _table(options: Options, space: OperatorSpace) -> Quality:
    from codesign_gym.simulators.operators.tables_cells import read_accuracies

    if options.quality_file is None or options.quality_column is None:
        raise BadConfig("quality 'table' needs the options quality_file and quality_column")
    return TabulatedQuality(read_accuracies(Path(options.quality_file).expanduser(), space, options.quality_column))


def _measured(options: Options, space: OperatorSpace) -> Quality:
    found: Quality = attribute(space.measured)(space, options.seed)
    return found


#: Ways to say how good a design is, by name.
QUALITIES: dict[str, Callable[[Options, OperatorSpace], Quality]] = {
    "tabular": _tabular,
    "table": _table,
    "measured": _measured,
}
