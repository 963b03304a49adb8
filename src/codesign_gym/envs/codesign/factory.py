"""A co-design core from plain options: the names and numbers that a user types."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from pydantic import Field

from codesign_gym.catalog import attribute
from codesign_gym.envs.accelerator import limits
from codesign_gym.envs.accelerator.costing import COSTINGS, per_layer
from codesign_gym.envs.accelerator.template import Template
from codesign_gym.envs.accelerator.template import load as load_template
from codesign_gym.envs.codesign.problem import CoDesignProblem, Quality
from codesign_gym.envs.codesign.quality import TabularQuality
from codesign_gym.envs.core import goal
from codesign_gym.envs.core.arguments import Only, amount
from codesign_gym.envs.core.designing import REFINED, DesignCore, Walk, design_core
from codesign_gym.envs.core.enforcement import Unrepaired
from codesign_gym.envs.core.problem import Constraint, Objective
from codesign_gym.errors import BadConfig, UnknownName
from codesign_gym.simulators import operators
from codesign_gym.simulators.operators.space import OperatorSpace

#: Score of a full quality (an accuracy of 1) beside the template's terms, which share 1 among them or less.
QUALITY_WEIGHT = 2.0


class Options(Walk):
    """What can be chosen of a co-design environment; every field is plain data.

    Beside these fields there are those of :class:`~codesign_gym.envs.core.designing.Walk`.

    Attributes:
        template: id or YAML file of the accelerator's knobs; one whose model searches no mappings (``one_by_one``).
        space: id or YAML file of the operators to choose among; none that shifts or adds.
        device: a device of the same model in place of the template's, such as another board.
        bits: bitwidths to choose from, ascending; by default 4, 6 and 8 where the device takes them, else its own.
        quality: ``measured`` (a supernet trained here, quantized), ``tabular`` (a made-up sum), or
            ``"package.module:function"``, called with the space's name, the space, the bitwidths and the seed.
        weights: of the score's terms by cost or metric (``latency`` or ``latency_s``), over the defaults; 0 leaves a
            term out.
        budget: limits over the template's: ``latency`` or ``energy`` to a share of what the dearest network needs on
            the device's own design, or to an amount with its unit (``"5 ms"``); or a metric's name to an amount in its
            unit; null lifts one.
        floor: the least quality, as a share of that of the dearest operators at the highest bitwidths; None for none.
        steps: moves of an episode of ``refine``.
        enforcement: ``mask`` (bounds on the hardware), ``price``, both, or ``none``.
        seed: of a made-up quality.
    """

    template: str = "bismo"
    space: str = "digits-supernet"
    device: str | None = None
    bits: Sequence[int] | None = None
    quality: str = "measured"
    weights: dict[str, float] = Field(default_factory=dict)
    budget: goal.Budget = Field(default_factory=dict)
    floor: float | None = Field(default=None, gt=0, lt=1)
    steps: int = Field(default=30, ge=1, le=10_000)
    enforcement: Unrepaired = "mask+price"
    seed: int = Field(default=0, ge=0)


#: Arguments that mean something only beside others.
ONLY = (
    REFINED,
    Only(("seed",), lambda chosen: chosen["quality"] != "measured", "with quality='tabular' or one of your own"),
)


def build(options: Options, drawn: bool = False) -> DesignCore:
    """The core of an environment; whether it will be drawn makes no difference.

    Raises:
        UnknownName: for an id or name that does not exist, with the nearest.
        BadConfig: for an option out of bounds.
        Infeasible: for limits that no design keeps, with the tightest.
    """
    return design_core(codesign_problem(options), options)


def codesign_problem(options: Options) -> CoDesignProblem:
    """The design problem alone; errors as in :func:`build`."""
    template, space = load_template(options.template, options.device), operators.load(options.space)
    if template.file.one_by_one:
        raise BadConfig(
            f"template {options.template!r} searches a mapping for every layer and accelerator, which takes too long "
            "where both vary; accepted: a template without one_by_one, such as bismo, fpga-engine or codebench"
        )
    if space.multiplication_free:
        raise BadConfig(
            f"space {options.space!r} has layers that shift or add, for which no template has hardware; accepted: a "
            "space of convolutions, such as digits-supernet, fashion-supernet, fbnet or lightnas"
        )
    bit_values = _bit_values(options.bits, template)
    quality = _quality(options, space, bit_values)
    dearest = np.array([[len(layer.operators) - 1 for layer in space.layers]])
    best = float(quality.score(dearest, np.full((1, len(space), 2), bit_values[-1]))[0])
    own = _own_metrics(template, space, dearest, bit_values[-1])
    return CoDesignProblem(
        template=template,
        operators=space,
        bit_values=bit_values,
        quality=quality,
        objectives=_objectives(template, quality, options.weights, best, own),
        constraints=_constraints(template, quality, options, best, own),
    )


def _measured(name: str, space: OperatorSpace, bit_values: tuple[int, ...], seed: int) -> Quality:
    from codesign_gym.simulators.supernets.precise import PreciseSupernet

    return PreciseSupernet.of(name, bit_values[-1])


def _tabular(name: str, space: OperatorSpace, bit_values: tuple[int, ...], seed: int) -> Quality:
    return TabularQuality.drawn(space, bit_values, seed)


#: Ways to tell how good networks are.
QUALITIES: Mapping[str, Callable[[str, OperatorSpace, tuple[int, ...], int], Quality]] = {
    "measured": _measured,
    "tabular": _tabular,
}


def _quality(options: Options, space: OperatorSpace, bit_values: tuple[int, ...]) -> Quality:
    if ":" in options.quality:
        found: Quality = attribute(options.quality)(options.space, space, bit_values, options.seed)
        return found
    if options.quality not in QUALITIES:
        raise UnknownName("quality", options.quality, QUALITIES)
    return QUALITIES[options.quality](options.space, space, bit_values, options.seed)


def _bit_values(bits: Sequence[int] | None, template: Template) -> tuple[int, ...]:
    lowest, highest = template.device.min_bits, template.device.max_bits
    if bits is None:
        return tuple(b for b in (4, 6, 8) if lowest <= b <= highest) or (highest,)
    values = tuple(int(b) for b in bits)
    if not values or list(values) != sorted(set(values)) or not lowest <= values[0] <= values[-1] <= highest:
        raise BadConfig(
            f"bits is {list(bits)}; accepted: ascending bitwidths from {lowest} to {highest}, which device "
            f"{template.device.name!r} supports"
        )
    return values


def _own_metrics(template: Template, space: OperatorSpace, design: np.ndarray, bits: int) -> dict[str, float]:
    """Metrics of the device's own design that runs the dearest network."""
    device, costing = template.device, COSTINGS[template.file.costing]
    costs = space.cost(device, design, bits)
    found = costing.network(device.model, {name: np.asarray(column) for name, column in per_layer(costs).items()})
    own = {name: float(column[0]) for name, column in found.items()}
    return own | {name: float(column) for name, column in costing.hardware(device.model).items()}


def _objectives(
    template: Template, quality: Quality, weights: Mapping[str, float], best: float, own: Mapping[str, float]
) -> tuple[Objective, ...]:
    """The quality against that of the dearest network, and the template's terms as shares of their references."""
    terms = {quality.metric_name: (QUALITY_WEIGHT, best, 0.0)}  # weight per unit, reference, worst
    for term in limits.objectives(template, own):
        terms[term.metric] = (term.weight, term.reference, term.reference)
    for name, weight in weights.items():
        metric = goal.metric_of("weights", name, terms, f"template {template.name!r} has no term of")
        weight = amount(f"weights {name!r}", weight, "0 or more", zero=True)
        _, reference, worst = terms[metric]
        terms[metric] = (weight if metric == quality.metric_name else -weight / reference, reference, worst)
    kept = tuple(Objective(name, *term) for name, term in terms.items() if term[0] != 0)
    if not kept:
        raise BadConfig(f"weights is {dict(weights)}; accepted: at least one above 0")
    return kept


def _constraints(
    template: Template, quality: Quality, options: Options, best: float, own: Mapping[str, float]
) -> tuple[Constraint, ...]:
    """The template's limits, the user's budget over them, and the floor."""
    floor = () if options.floor is None else (Constraint(quality.metric_name, options.floor * best, best),)
    return (*limits.constraints(template, options.budget, own), *floor)
