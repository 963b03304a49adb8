"""How much each knob hurts alone: per-layer sensitivities, and the sum that predicts a whole design from them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from codesign_gym.errors import BadConfig
from codesign_gym.simulators.accuracy.quantized import QuantizedNetwork


def sensitivities(quantized: QuantizedNetwork, bit_values: Sequence[int]) -> np.ndarray:
    """Rise of the cross-entropy on the search split when one knob is lowered and all others are at the most bits.

    Rises below zero are taken for noise and set to 0; where fewer bits measured a smaller rise than
    more bits, they get the larger one, so that a rise never falls as bits are taken away.

    Args:
        quantized: measures the designs; its memo keeps them.
        bit_values: k different bitwidths, in any order; the largest is what all other knobs have.

    Returns:
        Shape (layers, 2, k), in nats: weight and input knobs, at each of ``bit_values``.

    Raises:
        BadConfig: if ``bit_values`` is empty, repeats one, or holds one that is not accepted.
        StorageError: if the memo cannot be read or written.
    """
    values = _values(bit_values)
    base = quantized.loss(np.full((quantized.layers, 2), values.max()))
    rises = quantized.loss(_lowered(quantized.layers, values)) - base  # (knobs, k)
    down = np.argsort(-values)
    monotone = np.empty_like(rises)
    monotone[:, down] = np.maximum.accumulate(np.maximum(rises[:, down], 0), axis=1)
    table: np.ndarray = monotone.reshape(quantized.layers, 2, len(values))
    return table


def accuracy_per_nat(quantized: QuantizedNetwork, bit_values: Sequence[int]) -> float:
    """Accuracy that a nat of cross-entropy costs, by least squares through 0 over the designs of :func:`sensitivities`.

    A coarse rate of exchange, for weighing predicted losses against costs: on digits-cnn it is 0.27 of the images a
    nat, where 48 whole designs from coarse to fine come to 0.48. Where no design loses accuracy it is 1, the first
    order of exp(-loss), the geometric mean of the right classes' probabilities.

    Args, errors: those of :func:`sensitivities`, after which nothing is measured anew.
    """
    values = _values(bit_values)
    finest, designs = np.full((quantized.layers, 2), values.max()), _lowered(quantized.layers, values)
    rises = quantized.loss(designs) - quantized.loss(finest)
    lost = quantized.accuracy(finest) - quantized.accuracy(designs)
    slope = float((rises * lost).sum() / max(float((rises**2).sum()), 1e-12))
    return slope if slope > 0 else 1.0


def _lowered(layers: int, values: np.ndarray) -> np.ndarray:
    """Designs in which one knob takes each of k bitwidths and all others the highest, (2 * layers, k, layers, 2)."""
    knobs = 2 * layers
    designs = np.full((knobs, len(values), knobs), values.max())
    knob = np.arange(knobs)
    designs[knob, :, knob] = values
    return designs.reshape(knobs, len(values), layers, 2)


#: Nats; a smaller rise is not resolved by a search split of about a thousand images.
RESOLUTION = 1e-3


def resolved(rises: np.ndarray) -> np.ndarray:
    """Sensitivities with what the images could not resolve extrapolated.

    The power of quantization noise falls by a factor of four with every bit, and so does the rise of
    the loss where it is small (Hessian-based analyses, e.g. Dong et al., HAWQ, 2019). Without this,
    noise would rank the bitwidths of every knob that hardly matters.

    Args:
        rises: shape (layers, 2, k) at ascending bitwidths, of :func:`sensitivities`.

    Returns:
        The same shape; rises below :data:`RESOLUTION` replaced by a fourth of that at one bit fewer
        (at most the resolution).
    """
    found = np.array(rises, dtype=float)
    found[..., 0] = np.maximum(found[..., 0], RESOLUTION)
    for column in range(1, found.shape[-1]):
        guess = np.minimum(found[..., column - 1] / 4, RESOLUTION)
        found[..., column] = np.where(found[..., column] < RESOLUTION, guess, found[..., column])
    return found


def additive(rises: np.ndarray, bit_values: Sequence[int], bits: np.ndarray) -> np.ndarray:
    """Predicted rise of the cross-entropy of whole designs: the sum over their knobs.

    Args:
        rises: shape (layers, 2, k), of :func:`sensitivities`.
        bit_values: the k bitwidths of its last axis.
        bits: shape (..., layers, 2), each one of ``bit_values``.

    Returns:
        Shape (...), in nats.

    Raises:
        BadConfig: if a bitwidth is not one of ``bit_values``, or the shapes do not fit.
    """
    values, designs = _values(bit_values), np.asarray(bits)
    if rises.shape[-1] != len(values) or designs.shape[-2:] != rises.shape[:2]:
        raise BadConfig(
            f"bits have shape {designs.shape} and there are {len(values)} bit_values; the sensitivities have shape "
            f"{rises.shape}"
        )
    if not (known := np.isin(designs, values)).all():
        raise BadConfig(f"a bitwidth is {designs[~known].flat[0]}; accepted: {', '.join(map(str, values))}")
    order = np.argsort(values)
    place = order[np.searchsorted(values, designs, sorter=order)]  # (..., layers, 2)
    layer, knob = np.indices(designs.shape[-2:])
    total: np.ndarray = rises[layer, knob, place].sum(axis=(-2, -1))
    return total


def _values(bit_values: Sequence[int]) -> np.ndarray:
    values = np.asarray(bit_values)
    if values.ndim != 1 or len(values) == 0 or len(np.unique(values)) != len(values):
        raise BadConfig(f"bit_values is {list(bit_values)}; accepted: different bitwidths, at least one")
    return values
