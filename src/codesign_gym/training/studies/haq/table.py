"""Part (d): HAQ's released latency table, in closed form."""

from __future__ import annotations

import numpy as np

from codesign_gym.simulators.hardware import device
from codesign_gym.simulators.networks import load
from codesign_gym.training.studies.part import Part
from codesign_gym.training.studies.study import Claim

#: Sum of the released MobileNetV2 table at 8 bits, in cycles, and its ratios at uniform bitwidths with both
#: ends at 8 (github.com/mit-han-lab/haq, lib/simulator; summed by us).
TABLE_CYCLES = 39.62e6
TABLE_RATIOS = {7: 0.835, 6: 0.683, 5: 0.544, 4: 0.418, 3: 0.307, 2: 0.210}


def run() -> Part:
    """The closed form's total and ratios against the table's."""
    layers = load("mobilenetv2-imagenet100").weighted().layers
    cloud = device.load("haq-cloud")

    def cycles(bits: int) -> float:
        chosen = np.full((len(layers.op), 2), bits, dtype=np.int64)
        chosen[[0, -1]] = 8
        return float(cloud.cost(layers, chosen).total().detail["cycles"])

    full = cycles(8)
    off = {bits: cycles(bits) / full - ratio for bits, ratio in TABLE_RATIOS.items()}
    worst = max(off.values(), key=abs)
    return Part(
        (
            Claim(
                "(d) haq-cloud: MobileNetV2 at 8 bits within 1 % of the released table",
                f"{TABLE_CYCLES / 1e6:.2f} M cycles",
                f"{full / 1e6:.2f} M cycles",
                f"{100 * (full / TABLE_CYCLES - 1):+.2f} %",
                abs(full / TABLE_CYCLES - 1) <= 0.01,
                by="closed form, no seeds",
            ),
            Claim(
                "(d) uniform-bitwidth ratios within .01 of the table's",
                " ".join(f"{b}b {r:.3f}" for b, r in TABLE_RATIOS.items()),
                " ".join(f"{b}b {r + off[b]:.3f}" for b, r in TABLE_RATIOS.items()),
                f"{worst:+.4f}",
                abs(worst) <= 0.01,
                by=f"worst of {len(off)} ratios, no seeds",
            ),
        )
    )
