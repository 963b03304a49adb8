"""What two operands cost in off-chip traffic when each has a buffer."""

from __future__ import annotations

from codesign_gym.simulators.hardware.rounding import Rounding
from codesign_gym.simulators.networks.layers import Array


def passing_bits(staying: Array, passing: Array, buffer: Array, rounding: Rounding) -> Array:
    """Bits read of two operands of which one stays, a buffer's part after another, while all of the other passes.

    ``staying + passing * ceil(staying / buffer)``, all arguments in bits. Sums are finished on chip.
    """
    return staying + passing * rounding.ceil_div(staying, buffer)


def operand_bits(inputs: Array, weights: Array, input_buffer: Array, weight_buffer: Array, rounding: Rounding) -> Array:
    """Bits read of both operands in the better loop order: both once where one of them fits its buffer."""
    return rounding.minimum(
        passing_bits(weights, inputs, weight_buffer, rounding),
        passing_bits(inputs, weights, input_buffer, rounding),
    )
