"""Heat: two nodes, junction and case, as a linear network of thermal resistances and capacities.

    C_j dT_j/dt = P_j(T_j) - (T_j - T_c) / R_jc
    C_c dT_c/dt = P_c(T_j) + (T_j - T_c) / R_jc - (T_c - T_a) / R_ca

Power is affine in the junction's temperature, P(T) = p + s T: leakage grows with temperature, and a line through its
exponential is good to about a percent over the range of a running chip (Liu et al., "Accurate temperature-dependent
integrated circuit leakage power estimation is easy", DATE 2007). The network is then linear, and a step of constant
activity has a closed form: two decaying exponentials, whose integral is the energy. Splitting a step changes nothing.

Limits: one junction for all domains, no phase change and no fan that follows the temperature.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from codesign_gym.errors import BadConfig

Floats = NDArray[np.float64]


class Heated(NamedTuple):
    """The end of a thermal step."""

    temperature_c: Floats  # (..., 2) junction and case
    junction_k_s: Floats  # (...) integral of the junction's temperature (in degrees Celsius) over the step


def stacked(columns: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Columns that broadcast to shape (...) side by side, shape (..., columns)."""
    return np.stack(np.broadcast_arrays(*columns), axis=-1)


#: What a step is linear in, and what comes of it: rows and columns of :meth:`Thermal.response`.
INPUTS = ("junction_c", "case_c", "junction_w", "case_w")
OUTPUTS = ("junction_k", "case_k", "junction_k_s")


@dataclass(frozen=True)
class Thermal:
    """Capacities, resistances and the thresholds of throttling.

    Attributes:
        junction_j_per_k: heat capacity of the chip.
        case_j_per_k: heat capacity of heat sink and board.
        junction_case_k_per_w: resistance between the two.
        case_ambient_k_per_w: resistance from the case to the air.
        engage_c: junction temperature at which throttling begins.
        release_c: junction temperature at which it ends, below ``engage_c``.

    Raises:
        BadConfig: naming the field that is not positive, or thresholds in the wrong order.
    """

    junction_j_per_k: float
    case_j_per_k: float
    junction_case_k_per_w: float
    case_ambient_k_per_w: float
    engage_c: float
    release_c: float

    def __post_init__(self) -> None:
        for field in fields(self)[:4]:
            value = getattr(self, field.name)
            if not (np.isfinite(value) and value > 0):
                raise BadConfig(f"thermal: field {field.name!r} is {value:g}; accepted: a positive number")
        if not self.release_c < self.engage_c:
            raise BadConfig(
                f"thermal: field 'release_c' is {self.release_c:g}; accepted: below engage_c, {self.engage_c:g}"
            )

    def initial(self, ambient_c: ArrayLike) -> Floats:
        """Both nodes at the temperature of the air, shape (..., 2)."""
        return stacked([np.asarray(ambient_c, dtype=np.float64)] * 2)

    def throttled(self, was: ArrayLike, junction_c: ArrayLike) -> NDArray[np.bool_]:
        """Whether the device throttles now, shape (...): between the thresholds it does what it did."""
        junction = np.asarray(junction_c)
        return np.asarray((junction >= self.engage_c) | (np.asarray(was, dtype=bool) & (junction > self.release_c)))

    def stable(self, slope_w_per_k: ArrayLike) -> NDArray[np.bool_]:
        """Whether leakage that grows by so much, (..., 2) into junction and case, can be carried off for good."""
        junction, case = np.moveaxis(np.asarray(slope_w_per_k, dtype=np.float64), -1, 0)
        inner, outer = 1 / self.junction_case_k_per_w, 1 / self.case_ambient_k_per_w
        return np.asarray((inner - junction) * (inner + outer) > inner * (inner + case))

    def step(
        self, temperature_c: Floats, power_w: Floats, slope_w_per_k: Floats, ambient_c: ArrayLike, seconds: ArrayLike
    ) -> Heated:
        """The network's exact state after ``seconds`` of constant activity.

        Args:
            temperature_c: (..., 2) junction and case.
            power_w: (..., 2) heat into the two at a junction of 0 degrees Celsius.
            slope_w_per_k: (..., 2) how much more per kelvin of the junction; see :meth:`stable`.
            ambient_c: (...).
            seconds: (...), 0 or more.
        """
        junction_c, case_c = temperature_c[..., 0], temperature_c[..., 1]
        case_w = power_w[..., 1] + np.asarray(ambient_c, dtype=np.float64) / self.case_ambient_k_per_w
        inputs = (junction_c, case_c, power_w[..., 0], case_w)
        response = self.response(slope_w_per_k, seconds)
        grown_junction, grown_case, area = (
            np.asarray(sum(row * value for row, value in zip(response[:, output], inputs, strict=True)))
            for output in range(len(OUTPUTS))
        )
        return Heated(bounded(stacked([grown_junction, grown_case]), temperature_c, ambient_c), area)

    def response(self, slope_w_per_k: Floats, seconds: ArrayLike) -> Floats:
        """What each of :data:`INPUTS` adds to each of :data:`OUTPUTS` in a step, shape (4, 3, ...).

        The air acts as heat into the case: its temperature over the resistance between the two.

        With x the temperatures, g the heating rates (K/s) of junction and case, and A the network's matrix:

            x(t) - x(0) = G x + H g,    integral of x = H x + S g    with G = exp(A t) - 1, H = G / A, S = (H - t) / A

        Args:
            slope_w_per_k: (..., 2) as in :meth:`step`.
            seconds: (...), 0 or more.
        """
        inner, outer = 1 / self.junction_case_k_per_w, 1 / self.case_ambient_k_per_w
        # A = ((a, b), (c, d)), whose off-diagonal is positive: two real, negative rates.
        a = (slope_w_per_k[..., 0] - inner) / self.junction_j_per_k
        b = inner / self.junction_j_per_k
        c = (slope_w_per_k[..., 1] + inner) / self.case_j_per_k
        d = -(inner + outer) / self.case_j_per_k
        split = np.sqrt((a - d) ** 2 + 4 * b * c)
        slow, fast = (a + d + split) / 2, (a + d - split) / 2
        determinant = a * d - b * c
        # exp(A t) - 1 = grown_slow (A - fast) - grown_fast (A - slow), each over ``split``: exact for short steps, too.
        time = np.asarray(seconds, dtype=np.float64)
        grown_slow, grown_fast = np.expm1(slow * time) / split, np.expm1(fast * time) / split
        of_matrix, of_identity = grown_slow - grown_fast, grown_fast * slow - grown_slow * fast
        g_jj, g_jc, g_cj, g_cc = of_matrix * a + of_identity, of_matrix * b, of_matrix * c, of_matrix * d + of_identity
        h_jj, h_jc = (d * g_jj - b * g_cj) / determinant, (d * g_jc - b * g_cc) / determinant
        h_cj, h_cc = (a * g_cj - c * g_jj) / determinant, (a * g_cc - c * g_jc) / determinant
        s_jj, s_jc = (d * (h_jj - time) - b * h_cj) / determinant, (d * h_jc - b * (h_cc - time)) / determinant
        junction, case = 1 / self.junction_j_per_k, 1 / self.case_j_per_k
        rows = (
            (g_jj, g_cj, h_jj),
            (g_jc, g_cc, h_jc),
            (h_jj * junction, h_cj * junction, s_jj * junction),
            (h_jc * case, h_cc * case, s_jc * case),
        )
        return np.stack([np.stack(np.broadcast_arrays(*row)) for row in rows])


def bounded(grown_k: Floats, temperature_c: Floats, ambient_c: ArrayLike) -> Floats:
    """Temperatures (..., nodes) after they have grown, no lower than the coldest before: rounding must not break it."""
    coldest = np.minimum(np.minimum(temperature_c[..., 0], temperature_c[..., 1]), ambient_c)
    after = temperature_c + grown_k
    return np.asarray(np.maximum(after, coldest[..., None], out=after))
