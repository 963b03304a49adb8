"""The clocks that a domain can be set to, and the voltage each of them needs."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from codesign_gym.errors import BadConfig

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ClockTable:
    """The steps of one clock domain, from the slowest to the fastest.

    Attributes:
        name: the domain's.
        clock_hz: shape (steps,), ascending: what software asks for.
        voltage_v: shape (steps,), never falling.
        effective_hz: shape (steps,), never falling: what the domain then runs at, where measurement
            shows another clock than the one asked for; by default ``clock_hz``.
        fabric_hz: shape (steps,), never falling: clock of the on-chip fabric that follows this domain;
            by default infinite, a fabric that never limits.

    Raises:
        BadConfig: naming the table, the field, the step and what is accepted.
    """

    name: str
    clock_hz: Floats
    voltage_v: Floats
    effective_hz: Floats | None = None
    fabric_hz: Floats | None = None

    def __post_init__(self) -> None:
        clock_hz = self._column("clock_hz", self.clock_hz)
        late = np.flatnonzero(np.diff(clock_hz) <= 0)
        if late.size:
            step = int(late[0]) + 1
            raise self._error(
                "clock_hz",
                f"is out of order at step {step}, {clock_hz[step]:g} after {clock_hz[step - 1]:g}",
                "ascending",
            )
        columns = {"clock_hz": clock_hz, "voltage_v": self._column("voltage_v", self.voltage_v)}
        columns["effective_hz"] = (
            clock_hz if self.effective_hz is None else self._column("effective_hz", self.effective_hz)
        )
        if self.fabric_hz is not None:
            columns["fabric_hz"] = self._column("fabric_hz", self.fabric_hz)
        for field, values in columns.items():
            if len(values) != len(clock_hz):
                raise self._error(field, f"has {len(values)} values for {len(clock_hz)} clocks", "one a clock")
            falls = np.flatnonzero(np.diff(values) < 0)
            if falls.size:
                step = int(falls[0]) + 1
                raise self._error(
                    field, f"falls at step {step}, {values[step]:g} after {values[step - 1]:g}", "not falling"
                )
            object.__setattr__(self, field, values)

    def __len__(self) -> int:
        return len(self.clock_hz)

    @property
    def running_hz(self) -> Floats:
        """What the domain runs at, shape (steps,)."""
        return self.clock_hz if self.effective_hz is None else self.effective_hz

    def nearest(self, clock_hz: ArrayLike) -> NDArray[np.int64]:
        """Positions of the clocks nearest to those given, in their shape."""
        distance = np.abs(np.asarray(clock_hz, dtype=np.float64)[..., None] - self.clock_hz)
        return np.asarray(distance.argmin(-1), dtype=np.int64)

    def at(self, clock_hz: ArrayLike) -> ClockTable:
        """The same domain with other steps, sorted and unique, in place of its own.

        Voltages and the ratios of effective and fabric clock to the clock asked for lie on the lines between the
        known steps; beyond the first and the last they stay as they are there.
        """
        steps = np.unique(np.asarray(clock_hz, dtype=np.float64))

        def moved(values: Floats | None) -> Floats | None:
            if values is None:
                return None
            return np.maximum.accumulate(steps * np.interp(steps, self.clock_hz, values / self.clock_hz))

        return replace(
            self,
            clock_hz=steps,
            voltage_v=np.interp(steps, self.clock_hz, self.voltage_v),
            effective_hz=moved(self.effective_hz),
            fabric_hz=moved(self.fabric_hz),
        )

    def _column(self, field: str, values: ArrayLike) -> Floats:
        column = np.array(values, dtype=np.float64)
        if column.ndim != 1 or not column.size:
            raise self._error(field, f"has shape {column.shape}", "a list of one or more numbers")
        bad = np.flatnonzero(~(np.isfinite(column) & (column > 0)))
        if bad.size:
            raise self._error(field, f"is {column[bad[0]]:g} at step {bad[0]}", "positive numbers")
        column.setflags(write=False)
        return column

    def _error(self, field: str, found: str, accepted: str) -> BadConfig:
        return BadConfig(f"clock table {self.name!r}: field {field!r} {found}; accepted: {accepted}")
