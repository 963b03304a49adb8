"""CODEBench's joint problem: a network of a family and an accelerator of the template, scored as in the paper."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codesign_gym.envs.core.problem import Computed, Constraint, Metric, Objective, Values
from codesign_gym.envs.core.space import Designs, DesignSpace, Knob
from codesign_gym.simulators.hardware import device
from codesign_gym.simulators.hardware.accelbench.cost import AccelBench
from codesign_gym.simulators.hardware.accelbench.synthesis import KNOBS
from codesign_gym.training.studies.codebench.graphs import Accuracy, Family

#: Bits of a number in the template's lanes: 4 before the point and 16 behind it.
BITS = 20

#: Images that every design classifies: the largest batch of the template. AccelBench charges one batch, whatever its
#: size, for which a batch of one image is always best and the published limits are out of reach.
IMAGES = 512

METRICS = (
    Metric("accuracy", minimize=False),
    Metric("latency_s"),
    Metric("area_mm2"),
    Metric("dynamic_energy_j"),
    Metric("leakage_energy_j"),
)

#: CODEBench's score, the weighted sum of accuracy and of what is left of four limits (boshcode/run_boshcode.py).
OBJECTIVES = (
    Objective("accuracy", 0.2, 0.0, worst=0.0),
    *(
        Objective(metric, -weight / limit, limit, worst=limit)
        for metric, weight, limit in (
            ("latency_s", 0.2, 1.0),
            ("area_mm2", 0.1, 1000.0),
            ("dynamic_energy_j", 0.2, 10.0),
            ("leakage_energy_j", 0.3, 10.0),
        )
    ),
)

#: Designs costed at once: their temporaries stay in a core's cache.
BLOCK = 256


@dataclass(frozen=True, eq=False)
class CodesignProblem(Computed):
    """Choose a network, the array, the buffers, the memory and the batch; knobs in that order.

    Latency is that of layers which all overlap, as in AccelBench, for ``images`` in rounds of the batch (the last
    one whole, so that energies are, too).

    Attributes:
        family: the networks.
        accuracy: theirs.
        images: how many every design classifies; None for one batch, as AccelBench charges it.
        fixed: choices that are pinned, by the knob's name: one side of the design for one-sided searches.
    """

    family: Family
    accuracy: Accuracy
    images: int | None = IMAGES
    fixed: tuple[tuple[str, int], ...] = ()

    @cached_property
    def space(self) -> DesignSpace:
        """Five knobs of the network and ten of the accelerator."""
        fixed = dict(self.fixed)
        values = {**{f"network_{name}": values for name, values in self.family.fields.items()}, **KNOBS}
        return DesignSpace(
            tuple(
                Knob(name, tuple(options), fixed.get(name), ordered=name not in ("network_block", "memory"))
                for name, options in values.items()
            )
        )

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Accuracy on search images, then costs."""
        return METRICS

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """CODEBench's five terms."""
        return OBJECTIVES

    @property
    def constraints(self) -> tuple[Constraint, ...]:
        """None: the score says what is given up for what."""
        return ()

    @property
    def preparation(self) -> dict[str, float]:
        """Networks that were trained before any search."""
        return {"trained_networks": float(len(self.family.graphs))}

    def claim(self, design: NDArray[np.int64]) -> dict[str, float]:
        """Accuracy on test images."""
        return {"test_accuracy": float(self.accuracy.test[self.graph(design[None])[0]])}

    def graph(self, designs: Designs) -> NDArray[np.int64]:
        """The number of each design's network in its family, shape (batch,)."""
        sizes = tuple(len(values) for values in self.family.fields.values())
        return np.asarray(np.ravel_multi_index(tuple(designs[:, : len(sizes)].T), sizes), dtype=np.int64)

    def evaluate(self, designs: Designs) -> Values:
        """Metrics of shape (batch, 5)."""
        pieces = [self._costed(designs[start : start + BLOCK]) for start in range(0, len(designs), BLOCK)]
        return np.concatenate(pieces) if pieces else np.zeros((0, len(METRICS)))

    def _costed(self, designs: Designs) -> Values:
        graph, first = self.graph(designs), len(self.family.fields)
        knobs: dict[str, Any] = {  # (batch, 1) each
            name: np.array(values)[designs[:, first + i]][:, None] for i, (name, values) in enumerate(KNOBS.items())
        }
        batch = knobs.pop("batch")
        model = replace(self._template, **knobs)
        layers = self.family.layers.map(lambda column: column[graph])
        layers = replace(layers, batch=np.broadcast_to(batch, layers.op.shape))
        totals = model.cost(layers, np.full((1, 1, 2), BITS)).total()
        rounds = 1 if self.images is None else -(-self.images // batch[:, 0])
        latency_s = rounds * model.overlapped_cycles(totals) / model.clock_hz
        columns: tuple[Any, ...] = (
            self.accuracy.search[graph],
            latency_s,
            totals.area_mm2,
            rounds * totals.detail["dynamic_energy_j"],
            latency_s * model.leakage_w[:, 0],
        )
        return np.stack(columns, axis=-1)

    @cached_property
    def _template(self) -> AccelBench:
        model = device.load("accelbench-spring").model
        assert isinstance(model, AccelBench)
        return model
