"""An accelerator core from plain options: the names and numbers that a user types."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from codesign_gym.envs.accelerator import limits
from codesign_gym.envs.accelerator.costing import COSTINGS
from codesign_gym.envs.accelerator.problem import AcceleratorProblem
from codesign_gym.envs.accelerator.sums import network_sums, summed
from codesign_gym.envs.accelerator.template import Template, load
from codesign_gym.envs.core import goal
from codesign_gym.envs.core.arguments import amount
from codesign_gym.envs.core.designing import REFINED, DesignCore, Walk, design_core
from codesign_gym.envs.core.enforcement import Unrepaired
from codesign_gym.errors import BadConfig, UnknownName
from codesign_gym.simulators import networks
from codesign_gym.simulators.hardware.sweep import Workload, workload


class Options(Walk):
    """What can be chosen of an accelerator environment; every field is plain data.

    Beside these fields there are those of :class:`~codesign_gym.envs.core.designing.Walk`.

    Attributes:
        template: id or YAML file of a template: which knobs of which device are chosen.
        network: the network (id, file or reference), or several, each with its weight in latency and energy.
        device: a device of the same model in place of the template's, such as another board.
        bits: of weights and activations; by default the highest that the device supports.
        budget: limits over the template's: ``latency``, ``energy`` or ``area`` to a share of the device's own or an
            amount with its unit (``"5 ms"``, ``"30 mm2"``), or a metric's name to an amount in its unit or with one;
            null lifts one.
        enforcement: ``mask`` (bounds on the hardware), ``price``, both, or ``none``.
    """

    template: str = "codebench"
    network: str | dict[str, float] = "resnet18"
    device: str | None = None
    bits: int | None = Field(default=None, ge=1)
    budget: goal.Budget = Field(default_factory=dict)
    enforcement: Unrepaired = "mask+price"


#: Arguments that mean something only beside others.
ONLY = (REFINED,)


def build(options: Options, drawn: bool = False) -> DesignCore:
    """The core of an environment; whether it will be drawn makes no difference.

    Raises:
        UnknownName: for an id or name that does not exist, with the nearest.
        BadConfig: for an option out of bounds.
        Infeasible: for limits that no design keeps, with the tightest.
    """
    return design_core(accelerator_problem(options), options)


def accelerator_problem(options: Options) -> AcceleratorProblem:
    """The design problem alone; errors as in :func:`build`."""
    template = load(options.template, options.device)
    if template.file.costing not in COSTINGS:
        raise BadConfig(
            f"{options.template}: field 'costing': {UnknownName('costing', template.file.costing, COSTINGS)}"
        )
    weighted = options.network if isinstance(options.network, dict) else {options.network: 1.0}
    for name, weight in weighted.items():
        amount(f"weight of network {name!r}", weight)
    if not weighted:
        raise BadConfig("network is {}; accepted: a network, or several with their weights")
    works = tuple((weight, _work(template, name, options.bits)) for name, weight in weighted.items())
    own = _own_metrics(template, works)
    return AcceleratorProblem(
        template=template,
        networks=tuple((weight, network_sums(template, work)) for weight, work in works),
        objectives=limits.objectives(template, own),
        constraints=limits.constraints(template, options.budget, own),
    )


def _work(template: Template, name: str, bits: int | None) -> Workload:
    """A network's distinct rows at one precision."""
    lowest, highest = template.device.min_bits, template.device.max_bits
    width = highest if bits is None else bits
    if not lowest <= width <= highest:
        raise BadConfig(f"bits is {width}; device {template.device.name!r} accepts: {lowest} to {highest}")
    layers = networks.load(name).layers
    return workload(template.device, layers, np.full((len(layers.op), 2), width))


def _own_metrics(template: Template, works: tuple[tuple[float, Workload], ...]) -> dict[str, float]:
    """Metrics of the device's own design, for a batch of its own."""
    device, costing = template.device, COSTINGS[template.file.costing]
    images = np.array([device.batch])
    total: dict[str, float] = {}
    for weight, work in works:
        for name, column in costing.network(device.model, summed(device.model, work, images)).items():
            total[name] = total.get(name, 0.0) + weight * float(column) / device.batch
    total |= {name: float(column) for name, column in costing.hardware(device.model).items()}
    for name in template.file.metrics:
        if name not in total:
            raise BadConfig(f"template {template.name!r}: {UnknownName('metric', name, total)}")
    return total
