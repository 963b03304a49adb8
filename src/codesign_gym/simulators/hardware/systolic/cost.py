"""A systolic array with three buffers and one memory: SCALE-Sim's counts, and a roofline over them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from array_api_compat import array_namespace
from pydantic import BeforeValidator, Field

from codesign_gym.simulators.hardware.asked import checked, checked_lowered, remembered
from codesign_gym.simulators.hardware.model import Costs, PositionIn, Unit, of_hardware, real
from codesign_gym.simulators.hardware.rounding import EXACT, Rounding
from codesign_gym.simulators.hardware.systolic.form import DATAFLOWS, Folds, Product, fold, lower, select
from codesign_gym.simulators.networks.layers import Array, Layers

#: How words are counted, by name in files: see :class:`Systolic`.
COUNTINGS = ("physical", "scale-sim")
PHYSICAL, SCALE_SIM = range(2)


@remembered
def _lowered(layers: Layers) -> Product:
    return lower(np, layers, np.float64)


@dataclass(frozen=True)
class Systolic:
    """Latency and traffic of a systolic array, layer after layer.

    Samajdar et al., "A Systematic Methodology for Characterizing Scalability of DNN Accelerators using
    SCALE-Sim", ISPASS 2020, and SCALE-Sim v3 (github.com/scalesim-project/SCALE-Sim), whose cycles,
    utilisations and SRAM words this closed form gives exactly; ``form`` has the equations.
    A grouped or depthwise convolution is a product per group, one after another; a MATMUL row a product
    per head and image, whose second operand is an activation.

    A layer takes ``max(cycles / clock, DRAM bytes / bandwidth)``. Half of each buffer holds what is
    worked on while the other half is filled. From DRAM come:

    * each operand once if it is smaller than half its buffer, else as often as the array reads it, which
      is what SCALE-Sim does with most operands that do not fit (the rest depends on its replay order,
      of which there is no closed form) and an upper bound for the others;
    * the outputs once, and with weights or inputs stationary the partial sums of all row folds.

    Words of operands and outputs have the layer's bitwidths, partial sums ``partial_sum_bits``.

    ``counting`` chooses between ``physical`` and ``scale-sim`` words and utilisations. SCALE-Sim counts
    R + C output words more in every output-stationary fold; spends C - 1 cycles more in a fold, for its
    compute utilisation alone, when weights or inputs are stationary; prints one cycle too few; and
    writes every partial sum to DRAM without ever reading it back. Physically, partial sums that fit half
    of their buffer stay there and others are written and read.

    Limits: one level of buffers and one memory; the fill before the first fold is free; words are packed
    at any bitwidth; no energy or area, for which SCALE-Sim has no figures of its own. Any parameter
    but ``counting`` may be an array that broadcasts against the leading axes, ``dataflow`` one of positions
    in ``DATAFLOWS``. The array API throughout, so NumPy and torch both work, and ``torch.compile`` makes one
    kernel of it (``rounding`` given: it does not find a method's default). Counts are exact below 2**53.
    """

    separable: ClassVar[bool] = True

    clock_hz: Annotated[float, Unit("Hz"), Field(gt=0)]
    rows: Annotated[int, Unit("PE"), Field(gt=0)]
    columns: Annotated[int, Unit("PE"), Field(gt=0)]
    dataflow: Annotated[int, Unit("name"), BeforeValidator(PositionIn(DATAFLOWS)), Field(ge=0, lt=len(DATAFLOWS))]
    ifmap_sram_bytes: Annotated[float, Unit("B"), Field(gt=0)]
    filter_sram_bytes: Annotated[float, Unit("B"), Field(gt=0)]
    ofmap_sram_bytes: Annotated[float, Unit("B"), Field(gt=0)]
    dram_bytes_per_s: Annotated[float, Unit("B/s"), Field(gt=0)]
    partial_sum_bits: Annotated[int, Unit("bit"), Field(gt=0)]
    counting: Annotated[int, Unit("name"), BeforeValidator(PositionIn(COUNTINGS)), Field(ge=0, lt=len(COUNTINGS))]

    @checked
    def cost(self, layers: Layers, bits: Array, rounding: Rounding = EXACT) -> Costs:
        """Costs of shape (..., layers); see :class:`~codesign_gym.simulators.hardware.model.CostModel`.

        Args:
            layers: columns of shape (..., layers).
            bits: shape (..., layers, 2), weight and activation bitwidths.
            rounding: exact, or relaxed for gradients in bitwidths and the array's parameters.
        """
        bits = real(bits)
        if isinstance(bits, np.ndarray) and bits.dtype == np.float64:
            return self._form(_lowered(layers), bits, rounding)
        return self._form(lower(array_namespace(bits), layers, bits.dtype), bits, rounding)

    @checked_lowered("m")
    def cost_of(self, product: Product, bits: Array, rounding: Rounding = EXACT) -> Costs:
        """The same of rows lowered beforehand, for a network that is costed again and again.

        Args:
            product: columns of shape (..., layers), from :func:`~codesign_gym.simulators.hardware.systolic.form.lower`.
            bits: shape (..., layers, 2), of the same floating-point type.
            rounding: as in :meth:`cost`.
        """
        return self._form(product, bits, rounding)

    def _form(self, product: Product, bits: Array, rounding: Rounding) -> Costs:
        word_bytes = bits / 8
        weight_bytes, activation_bytes = word_bytes[..., 0], word_bytes[..., 1]
        filter_bytes = activation_bytes + product.stored * (weight_bytes - activation_bytes)
        count = product.count * product.steps + 0 * weight_bytes  # of the designs' shape, as cycles and words then are
        filters, outputs = product.n * product.k, count * product.m * product.n
        folds = fold(product._replace(count=count), self.rows, self.columns, self.dataflow, rounding)

        fits = rounding.exceeds(self.ifmap_sram_bytes / 2, product.inputs * activation_bytes)
        ifmap_words = folds.ifmap_words + fits * (count * product.inputs - folds.ifmap_words)
        fits = rounding.exceeds(self.filter_sram_bytes / 2, filters * filter_bytes)
        filter_words = folds.filter_words + fits * (count * filters - folds.filter_words)
        partial_words = self._partial_sums(folds, outputs, rounding)
        operand_bytes = ifmap_words * activation_bytes + filter_words * filter_bytes
        dram_bytes = operand_bytes + partial_words * (self.partial_sum_bits / 8) + outputs * activation_bytes
        return Costs(
            rounding.maximum(folds.cycles / self.clock_hz, dram_bytes / self.dram_bytes_per_s),
            product.count * filters * product.stored * weight_bytes,
            detail={
                "cycles": folds.cycles,
                "mac_slots": folds.cycles * (self.rows * self.columns),
                "ifmap_sram_words": folds.ifmap_words,
                "filter_sram_words": folds.filter_words,
                "ofmap_sram_words": self._written(folds, count),
                "ifmap_dram_words": ifmap_words,
                "filter_dram_words": filter_words,
                "ofmap_dram_words": partial_words + outputs,
                "dram_bytes": dram_bytes,
            },
            resources={
                "mac_units": of_hardware(self.rows * self.columns),
                "sram_bytes": of_hardware(self.ifmap_sram_bytes + self.filter_sram_bytes + self.ofmap_sram_bytes),
            },
        )

    def _partial_sums(self, folds: Folds, outputs: Array, rounding: Rounding) -> Array:
        """Words of partial sums between the array and DRAM, from all row folds but the last."""
        words = (folds.row_folds - 1) * (outputs * select(self.dataflow, 0, 1, 1))
        if self.counting == SCALE_SIM:
            return words
        column_fold_bytes = folds.streamed * (self.columns * self.partial_sum_bits / 8)
        return words * 2 * rounding.exceeds(column_fold_bytes, self.ofmap_sram_bytes / 2)

    def _written(self, folds: Folds, count: Array) -> Array:
        """Output words into their buffer."""
        if self.counting == PHYSICAL:
            return folds.ofmap_words
        drained = (self.rows + self.columns) * select(self.dataflow, 1, 0, 0)
        return folds.ofmap_words + count * drained * folds.folds

    def utilisation(self, layers: Layers, bits: Array) -> dict[str, Array]:
        """Shares of the array that work, shape (..., layers), as SCALE-Sim reports them.

        ``mapping`` is over folds, ``compute`` over the cycles of a fold, ``overall`` over all cycles of
        the compute part. Rows that multiply nothing have those of a product of one by one.
        """
        product = lower(array_namespace(bits), layers, real(bits).dtype)
        folds = fold(product, self.rows, self.columns, self.dataflow, EXACT)
        units, quirk = self.rows * self.columns, int(self.counting == SCALE_SIM)
        mapped = folds.mapped / (folds.folds * units)
        skew = quirk * select(self.dataflow, 0, 1, 1) * (self.columns - 1)
        return {
            "mapping": mapped,
            "compute": mapped * folds.streamed / (folds.fold_cycles + skew),
            "overall": product.m * product.n * product.k / (units * (folds.folds * folds.fold_cycles - quirk)),
        }
