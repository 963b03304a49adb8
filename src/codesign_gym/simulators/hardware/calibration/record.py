"""What a device file says about its calibration: errors, error bars, and the range that the data covered."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import FiniteFloat, model_validator

from codesign_gym.records import Record
from codesign_gym.simulators.networks.layers import Layers, Op

Range = tuple[int, int]  # least and largest value that was measured


class ErrorBar(Record):
    """The 95 % interval of a fitted constant; without ends where the data do not determine it."""

    low: FiniteFloat | None = None
    high: FiniteFloat | None = None


class Agreement(Record):
    """Predictions beside one measured quantity: before the fit, after it, and on rows that the fit had not seen.

    Errors are mean absolute ones in percent of the measurement; a rank correlation is None where it is not defined.
    """

    before_mape_percent: float
    mape_percent: float
    cross_validated_mape_percent: float
    before_spearman: float | None
    spearman: float | None
    cross_validated_spearman: float | None


class Ranges(Record):
    """The layers that were measured, alone or inside networks, each for its whole batch.

    Attributes:
        elements: of a layer's input, output and weights together.
        macs, weight_bits, activation_bits: of a layer that multiplies; None where no such layer was measured.
        operators: names of :class:`Op`, in lower case.
    """

    macs: Range | None = None
    elements: Range
    weight_bits: Range | None = None
    activation_bits: Range | None = None
    operators: tuple[str, ...]

    def outside(self, layers: Layers, bits: NDArray[np.integer[Any]]) -> list[tuple[int, str]]:
        """Rows that nothing like was measured, as (row, what is beyond), in the order of rows.

        Args:
            layers: columns of shape (layers,), with the batch they run at.
            bits: shape (layers, 2), weight and activation bitwidths.
        """
        return sorted(self._beyond(layers, bits))

    def _beyond(self, layers: Layers, bits: NDArray[np.integer[Any]]) -> Iterator[tuple[int, str]]:
        for name, (label, column, counted) in quantities(layers, bits).items():
            measured: Range | None = getattr(self, name)
            if measured is None:
                continue  # no row multiplied: then no row of these operators does
            low, high = measured
            for row in np.flatnonzero(counted & ((column < low) | (column > high))):
                yield int(row), f"{column[row]:.3g} {label}, beyond the calibrated {low:.3g} to {high:.3g}"
        known = [Op[name.upper()] for name in self.operators]
        for row in np.flatnonzero((layers.valid == 1) & ~np.isin(layers.op, known)):
            name = Op(layers.op[row]).name.lower()
            yield int(row), f"operator {name}, beyond the calibrated {', '.join(self.operators)}"


class Calibration(Record):
    """The calibration of a device file, as ``codesign-gym calibrate`` writes it.

    Attributes:
        data: name of the file of measurements.
        sha256: that file's fingerprint.
        rows: measurements in it.
        cross_validation: how rows were kept aside.
        errors: quantity (``latency_s``, ``energy_j``) to how well it is met.
        fitted: fitted constant to its error bar.
        ranges: what was measured; predictions beyond it are extrapolations.
    """

    data: str
    sha256: str
    rows: int
    cross_validation: str
    errors: dict[str, Agreement]
    fitted: dict[str, ErrorBar]
    ranges: Ranges

    @model_validator(mode="after")
    def _known_operators(self) -> Self:
        for name in self.ranges.operators:
            if name.upper() not in Op.__members__:
                raise ValueError(f"operator {name!r} in ranges; accepted: {', '.join(Op.__members__).lower()}")
        return self

    def summary(self) -> list[str]:
        """Lines for a reader."""
        errors = [
            f"{quantity}: MAPE {error.cross_validated_mape_percent:.3g} % cross-validated, "
            f"{error.mape_percent:.3g} % on the rows themselves ({error.before_mape_percent:.3g} % before)"
            for quantity, error in self.errors.items()
        ]
        ranges = [
            f"{name} {value[0]:.3g} to {value[1]:.3g}"
            for name in ("macs", "elements", "weight_bits", "activation_bits")
            if (value := getattr(self.ranges, name)) is not None
        ]
        bars = [
            f"{name} not identifiable" if bar.low is None else f"{name} {bar.low:.4g} to {bar.high:.4g}"
            for name, bar in self.fitted.items()
        ]
        return [
            f"calibrated on {self.rows} rows of {self.data} (sha256 {self.sha256[:12]}), {self.cross_validation}",
            *errors,
            f"95 % intervals: {', '.join(bars)}",
            f"calibrated range of a layer: {', '.join(ranges)}; operators {', '.join(self.ranges.operators)}",
            "outside that range its figures are extrapolations",
        ]


def quantities(
    layers: Layers, bits: NDArray[np.integer[Any]]
) -> dict[str, tuple[str, NDArray[np.integer[Any]], NDArray[np.bool_]]]:
    """Field of :class:`Ranges` to its label, its values in a step and the rows that count, of shape (..., layers)."""
    layers = layers.one_step()
    multiplies, exists = np.asarray(layers.multiplies), np.asarray(layers.valid == 1)
    elements = layers.in_elements + layers.out_elements + layers.weights
    return {
        "macs": ("MACs", np.asarray(layers.macs), multiplies),
        "elements": ("elements", np.asarray(elements), exists),
        "weight_bits": ("weight bits", bits[..., 0], multiplies),
        "activation_bits": ("activation bits", bits[..., 1], multiplies),
    }


def covered(layers: Layers, bits: NDArray[np.integer[Any]]) -> Ranges:
    """The ranges of layers, columns of shape (..., layers), and bits of shape (..., layers, 2)."""
    spans = {
        name: (int(column[counted].min()), int(column[counted].max()))
        for name, (_, column, counted) in quantities(layers, bits).items()
        if counted.any()
    }
    operators = [Op(op).name.lower() for op in np.unique(np.asarray(layers.op)[layers.valid == 1])]
    return Ranges.model_validate({**spans, "operators": operators})
