"""The design problem: a cell and the engine that runs it, chosen together under the board's DSPs and block RAMs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product

import numpy as np
from numpy.typing import NDArray

from codesign_gym.envs.core.designing import DesignCore, Walk, design_core
from codesign_gym.envs.core.outlook import Completion
from codesign_gym.envs.core.problem import Computed, Constraint, Metric, Objective, Values
from codesign_gym.envs.core.separable import Table
from codesign_gym.envs.core.space import Designs, DesignSpace, Knob
from codesign_gym.simulators.hardware import device
from codesign_gym.simulators.hardware.fpga_engine import FpgaEngine
from codesign_gym.simulators.hardware.model import Costs
from codesign_gym.simulators.networks.layers import Layers
from codesign_gym.training.studies.three_phase_gp.cells import Cell, accuracy, stacked, work

DEVICE = "fpga-ultra96"
BITS = 8
#: Height and width at which work is counted; accuracy is that of the 8x8 images themselves. At 8x8 no layer would have
#: positions for an engine to be parallel over.
PIXELS = 64

#: What a user asks for, and the reference point of hypervolumes: 9 of 10 right, 2,000 images a second, 4 W.
ACCURACY, LATENCY_S, POWER_W = 0.9, 0.5e-3, 4.0

DEPTHS, KERNELS = (1, 2, 3), (3, 5)
LANES = (4, 8, 16, 32, 64)
ENGINE_KNOBS = (
    Knob("pf", LANES),
    Knob("pc", LANES),
    Knob("pv", (1, 2, 4, 8)),
    Knob("input_buffer_bytes", (32768, 262144)),
    Knob("weight_buffer_bytes", (32768, 262144)),
)
NETWORK_KNOBS = 3


@dataclass(frozen=True, eq=False)
class EngineCodesign(Computed):
    """Width, depth and kernel of a network on digits; filters, channels, positions and buffers of an engine.

    Accuracy is measured (the mean of some trainings, on search images), cost computed by the engine's model.

    Attributes:
        engine: its limits and what is not a knob.
        widths: to choose from.
        layers: of every network, (networks, rows), in the order of width, depth, kernel.
        search, test: their accuracy, (networks,).
    """

    engine: FpgaEngine
    widths: tuple[int, ...]
    layers: Layers
    search: NDArray[np.float64]
    test: NDArray[np.float64]

    @cached_property
    def space(self) -> DesignSpace:
        """Three knobs of the network, five of the engine; all ordered from least to most."""
        cell = (Knob("width", self.widths), Knob("depth", DEPTHS), Knob("kernel", KERNELS))
        return DesignSpace((*cell, *ENGINE_KNOBS))

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Accuracy, latency of an image, power of the board, and what the engine takes of it."""
        return (
            Metric("accuracy", minimize=False),
            Metric("latency_s"),
            Metric("power_w"),
            Metric("dsp"),
            Metric("bram"),
        )

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """Each in shares of the way from the reference point to perfection."""
        return (
            Objective("accuracy", 1.0 / (1.0 - ACCURACY), ACCURACY, ACCURACY),
            Objective("latency_s", -1.0 / LATENCY_S, LATENCY_S, LATENCY_S),
            Objective("power_w", -1.0 / POWER_W, POWER_W, POWER_W),
        )

    @property
    def constraints(self) -> tuple[Constraint, ...]:
        """DSPs and block RAMs; LUTs go with DSPs, of which the board has fewer."""
        return tuple(Constraint(name, float(self.engine.limits[name])) for name in ("dsp", "bram"))

    @cached_property
    def outlook(self) -> Completion:
        """Usages rise with every knob: a half-built design uses least with the lowest choices."""
        least = np.zeros((len(self.constraints), len(self.space)), dtype=np.int64)
        return Completion(self._used, least, self.space.sizes)

    def evaluate(self, designs: Designs) -> Values:
        """Metrics (batch, metrics) of designs (batch, knobs)."""
        nets = self.network(designs)
        costs = self._costs(designs, self.layers.map(lambda rows: rows[nets])).total()
        made = costs.resources
        return np.stack([self.search[nets], costs.latency_s, made["power_w"], made["dsp"], made["bram"]], axis=-1)

    def claim(self, design: NDArray[np.int64]) -> dict[str, float]:
        """Accuracy on test images."""
        return {"test_accuracy": float(self.test[self.network(design[None])][0])}

    def _used(self, designs: Designs) -> Table:
        """Shares of the limits, (batch, constraints); one row of layers will do, for resources hang on none."""
        made = self._costs(designs, self.layers.map(lambda rows: rows[:1, :1])).resources
        return np.stack([made[bound.metric] / bound.limit for bound in self.constraints], axis=-1)

    def _costs(self, designs: Designs, layers: Layers) -> Costs:
        """Of designs (batch, knobs) on their layers, (batch, rows)."""
        chosen = {
            knob.name: np.asarray(knob.values, dtype=np.float64).take(column, mode="clip")[:, None]
            for knob, column in zip(ENGINE_KNOBS, designs[:, NETWORK_KNOBS:].T, strict=True)
        }
        return replace(self.engine, **chosen).cost(layers, np.full((1, 1, 2), BITS))

    def network(self, designs: Designs) -> NDArray[np.int64]:
        """Which network each design (batch, knobs) holds, shape (batch,)."""
        sizes = (len(self.widths), len(DEPTHS), len(KERNELS))
        return np.asarray(np.ravel_multi_index(tuple(designs[:, :NETWORK_KNOBS].T), sizes))


def problem_of(widths: tuple[int, ...], trainings: int) -> EngineCodesign:
    """The problem over networks of some widths; trains those that are not in the cache."""
    engine = device.load(DEVICE).model
    assert isinstance(engine, FpgaEngine)
    cells = [Cell(*chosen) for chosen in product(widths, DEPTHS, KERNELS)]
    measured = [accuracy(cell, trainings) for cell in cells]
    return EngineCodesign(
        engine=engine,
        widths=widths,
        layers=stacked([work(cell, PIXELS) for cell in cells]),
        search=np.array([one["search"] for one in measured]),
        test=np.array([one["test"] for one in measured]),
    )


def core_of(problem: EngineCodesign) -> DesignCore:
    """The environment that all agents are compared in: knob by knob, only what the board has room for."""
    return design_core(problem, Walk(enforcement="mask"))
