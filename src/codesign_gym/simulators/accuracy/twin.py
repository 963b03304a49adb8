"""A tabular twin of a network: its quantization loss is a known sum, so that optima are exact."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def lognormal_sensitivities(
    layers: int, bit_values: Sequence[int], seed: int, sigma: float = 1.0
) -> NDArray[np.float64]:
    """Loss of every knob at every bitwidth: ``s * 4 ** -bits`` with ``s`` lognormal.

    Uniform quantization noise falls by a factor of four in power with every bit; how much the network
    minds it differs from knob to knob by ``s = exp(sigma * standard normal)``.

    Args:
        layers: number of layers; each has a weight and an activation knob.
        bit_values: bitwidths.
        seed: seed of the draw of ``s``.
        sigma: spread of ``s``; it decides how far the optimum lies from uniform bitwidths.

    Returns:
        Shape (layers, 2, len(bit_values)).
    """
    scale = np.random.default_rng(seed).lognormal(0.0, sigma, size=(layers, 2, 1))
    return np.asarray(scale * 4.0 ** -np.asarray(bit_values, dtype=np.float64))
