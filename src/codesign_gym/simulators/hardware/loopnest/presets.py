"""Gemmini as a family of machines: the array's side and the sizes of its two memories.

Genc et al., "Gemmini: Enabling Systematic Deep-Learning Architecture Evaluation via Full-Stack
Integration", DAC 2021: weights stay in a square array of multipliers, partial sums in an accumulator,
weights and inputs in a scratchpad.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from codesign_gym.simulators.hardware.loopnest.machine import Machine
from codesign_gym.simulators.networks.layers import Array

#: Energies in 40 nm that DOSA (Hong et al., MICRO 2023; github.com/ucb-bar/dosa, energy_model.py) read off
#: Accelergy: a multiply-accumulate, and a word of each memory; in SRAM a constant and a part per KiB. None is
#: fitted here. Over 3,000 of DOSA's machines and mappings they meet Timeloop's energy to 0.034 % on average;
#: a least-squares fit of the seven, cross-validated in five folds, to 0.019 %, each within 1.5 % of these.
MAC_J = 0.5608e-12
REGISTER_J = 0.48746172e-12
ACCUMULATOR_J, ACCUMULATOR_J_PER_KIB = 1.94e-12, 0.1005e-12  # of 32 bits; KiB of one column
SCRATCHPAD_J, SCRATCHPAD_J_PER_KIB = 0.49e-12, 0.02513e-12  # of 8 bits
DRAM_J = 100e-12  # of 8 bits

#: DOSA's machine for Timeloop (the same repository, arch.yaml): words of DRAM, of the scratchpad per side of
#: the array, and of one column of the accumulator in a cycle; words of a DRAM burst.
DRAM_WORDS, SCRATCHPAD_WORDS, ACCUMULATOR_WORDS, BURST_WORDS = 8, 2, 2, 64
WORD, SUM = 8, 32  # bits

#: The ASIC's clock in Genc et al., DAC 2021.
CLOCK_HZ = 1.0e9
KIB = 1024


def gemmini(side: Array, scratchpad_bytes: Array, accumulator_bytes: Array) -> Machine:
    """The Gemmini that DOSA sampled with Timeloop.

    Args:
        side: multipliers along each side of the array: output channels along columns, input channels along rows.
        scratchpad_bytes: for weights and inputs, as a whole.
        accumulator_bytes: of one of the ``side`` columns.
    """
    column_j, scratchpad_j = _accumulator_j_per_bit(accumulator_bytes), _scratchpad_j_per_bit(scratchpad_bytes)
    absent = {f"{level}_{tensor}_{what}": 0.0 for level, tensor in _ABSENT for what in _QUANTITIES}
    return Machine(
        clock_hz=CLOCK_HZ,
        mac_j=MAC_J,
        partial_sum_bits=SUM,
        output_bits=WORD,
        l0_bytes=1,
        l0_weight_bytes=1,
        l0_bits_per_cycle=2 * WORD,
        l0_columns=1,
        l0_column_loops="K",
        l0_rows=1,
        l0_row_loops="C",
        l0_weight_read_j_per_bit=REGISTER_J / WORD,
        l0_weight_write_j_per_bit=REGISTER_J / WORD,
        l1_bytes=accumulator_bytes,
        l1_output_bytes=accumulator_bytes,
        l1_bits_per_cycle=ACCUMULATOR_WORDS * SUM,
        l1_columns=1,
        l1_column_loops="K",
        l1_rows=side,
        l1_row_loops="C",
        l1_output_read_j_per_bit=column_j,
        l1_output_write_j_per_bit=column_j,
        l2_bytes=scratchpad_bytes,
        l2_weight_bytes=scratchpad_bytes,
        l2_input_bytes=scratchpad_bytes,
        l2_bits_per_cycle=SCRATCHPAD_WORDS * side * WORD,
        l2_columns=side,
        l2_column_loops="K",
        l2_rows=1,
        l2_row_loops="C",
        l2_weight_read_j_per_bit=scratchpad_j,
        l2_weight_write_j_per_bit=scratchpad_j,
        l2_input_read_j_per_bit=scratchpad_j,
        l2_input_write_j_per_bit=scratchpad_j,
        dram_bits_per_cycle=DRAM_WORDS * WORD,
        dram_burst_bits=BURST_WORDS * WORD,
        dram_read_j_per_bit=DRAM_J / WORD,
        dram_write_j_per_bit=DRAM_J / WORD,
        **absent,
    )


def resized(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """A Gemmini's parameters with what follows from its sizes: energies per bit, and the scratchpad's width.

    Args:
        parameters: by the names of :class:`Machine`; ``l1_bytes`` (one column of the accumulator), ``l2_bytes`` (the
            scratchpad) and ``l2_columns`` are read, and may be arrays.
    """
    accumulator_j = _accumulator_j_per_bit(parameters["l1_bytes"])
    scratchpad_j = _scratchpad_j_per_bit(parameters["l2_bytes"])
    return {
        **parameters,
        **{f"l1_output_{access}_j_per_bit": accumulator_j for access in ("read", "write")},
        **{f"l2_{tensor}_{access}_j_per_bit": scratchpad_j for tensor, access in _SCRATCHPAD},
        "l2_bits_per_cycle": SCRATCHPAD_WORDS * parameters["l2_columns"] * WORD,
    }


def _accumulator_j_per_bit(column_bytes: Array) -> Array:
    return (ACCUMULATOR_J + ACCUMULATOR_J_PER_KIB * column_bytes / KIB) / SUM


def _scratchpad_j_per_bit(scratchpad_bytes: Array) -> Array:
    return (SCRATCHPAD_J + SCRATCHPAD_J_PER_KIB * scratchpad_bytes / KIB) / WORD


_SCRATCHPAD = tuple((tensor, access) for tensor in ("weight", "input") for access in ("read", "write"))

#: What each level lets pass by.
_ABSENT = (("l0", "input"), ("l0", "output"), ("l1", "weight"), ("l1", "input"), ("l2", "output"))
_QUANTITIES = ("bytes", "read_j_per_bit", "write_j_per_bit")
