"""Calibration: what a piece of work asks for, and a device's own constants, from measured sweeps over clocks.

The work of one network or application is a few coefficients, fitted to a few clocks of it alone; the device's
constants are shared by everything that runs on it. With the norm's exponent p known, t^p is linear in the p-th powers
of the coefficients, so the first is a non-negative least squares problem without starting values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import least_squares, nnls

from codesign_gym.simulators.dvfs.clocks import ClockTable
from codesign_gym.simulators.dvfs.soc import Soc
from codesign_gym.simulators.dvfs.work import Work

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

UNIT = Work(1.0, 1.0, 1.0, 1.0)  # type: ignore[arg-type]


@dataclass(frozen=True, eq=False)
class Sweep:
    """One piece of work, measured at some clocks."""

    index: Ints  # (points, domains)
    latency_s: Floats  # (points,)
    #: Parts of the work to look for: two domains whose clocks do not vary cannot be told apart.
    parts: tuple[str, ...] = ("operations", "bytes", "launches", "traffic")

    def at(self, points: Ints) -> Sweep:
        """The sweep at some of its points."""
        return replace(self, index=self.index[points], latency_s=self.latency_s[points])


def fit_work(soc: Soc, sweep: Sweep) -> Work:
    """The work, shape (), whose latencies are nearest to those measured, relatively."""
    _, solution = _powers(soc, sweep)
    return Work(*(solution ** (1 / soc.overlap)))


def _powers(soc: Soc, sweep: Sweep) -> tuple[Floats, Floats]:
    """The p-th powers of the predicted over the measured latencies, (points,), and of the work's columns, (4,)."""
    powers = (soc.parts_s(UNIT, sweep.index) / sweep.latency_s[:, None]) ** soc.overlap
    scale = powers.max(0)
    used = (scale > 0) & np.array([field.name in sweep.parts for field in fields(Work)])
    solution = np.zeros(len(scale))
    solution[used] = nnls(powers[:, used] / scale[used], np.ones(len(powers)))[0] / scale[used]
    return powers @ solution, solution


def fit_intensity(soc: Soc, work: Work, index: Ints, power_w: Floats, temperature_c: ArrayLike) -> Floats:
    """How much each domain switches while busy, relative to the device's nominal work, from the board's power.

    Args:
        soc: the device.
        work: shape ().
        index: (points, domains).
        power_w: (points,) of the board.
        temperature_c: (points,) or one number, of the junction.

    Returns:
        Shape (domains,), to be multiplied by :meth:`Soc.activity`.
    """
    activity = soc.activity(work, index)
    idle = soc.power_w(index, np.zeros_like(activity), temperature_c).sum(-1)
    alone = activity[:, None, :] * np.eye(len(soc.domains))
    added = soc.power_w(index[:, None, :], alone, np.asarray(temperature_c)[..., None]).sum(-1) - idle[:, None]
    return np.asarray(nnls(added / power_w[:, None], np.maximum(power_w - idle, 0.0) / power_w)[0])


def voltages(clock_hz: Floats, floor_v: float, knee_hz: float, per_ghz2: float) -> Floats:
    """A voltage that stays at its floor up to a knee and grows with the square of the clock beyond it."""
    return floor_v * (1 + per_ghz2 * np.maximum(0.0, (clock_hz - knee_hz) / 1e9) ** 2)


def fit_overlap(soc: Soc, sweeps: Sequence[Sweep]) -> Soc:
    """The device with the exponent that suits the sweeps, each with its own work."""

    def residuals(parameters: Floats) -> Floats:
        trial = replace(soc, overlap=float(parameters[0]))
        return np.concatenate([_misfit(trial, sweep) for sweep in sweeps])

    return replace(soc, overlap=float(least_squares(residuals, [2.0], bounds=(1.0, 16.0), diff_step=1e-4).x[0]))


def fit_fabric(soc: Soc, sweeps: Sequence[Sweep]) -> Soc:
    """The device with the fabric's clock at every step of the gpu, and the gpu's own clock at its lowest step.

    The fabric's clock has no scale of its own: it equals the gpu's at the middle of its steps.
    """
    table = soc.domain("gpu").clocks
    middle = len(table) // 2

    def device(parameters: Floats) -> Soc:
        rises = np.concatenate([[0.0], np.cumsum(np.exp(parameters[1:]))])
        fabric = table.clock_hz[middle] * np.exp(rises - rises[middle])
        effective = np.concatenate([table.clock_hz[:1] * np.exp(parameters[0]), table.clock_hz[1:]])
        return soc.with_domain("gpu", clocks=replace(table, effective_hz=effective, fabric_hz=fabric))

    def residuals(parameters: Floats) -> Floats:
        trial = device(parameters)
        return np.concatenate([*(_misfit(trial, sweep) for sweep in sweeps), 1e-3 * parameters])

    start = np.concatenate([[-0.1], np.log(np.diff(np.log(table.clock_hz)))])
    bounds = ([-2.0, *[-9.0] * (len(table) - 1)], [0.0, *[1.0] * (len(table) - 1)])
    return device(least_squares(residuals, start, bounds=bounds, ftol=1e-4, xtol=1e-3).x)


def _misfit(soc: Soc, sweep: Sweep) -> Floats:
    return np.log(_powers(soc, sweep)[0]) / soc.overlap


@dataclass(frozen=True, eq=False)
class Powered:
    """One piece of work, its board's power measured at some clocks."""

    work: Work  # shape ()
    index: Ints  # (points, domains)
    power_w: Floats  # (points,)


def fit_board(soc: Soc, measured: Sequence[Powered], floor_v: float) -> Soc:
    """The device with the gpu's voltage curve, its idle switching and the board's constant, from board power alone.

    Every piece of work has its own intensities (:func:`fit_intensity`), so the capacitances stay as they are. Power is
    taken at the reference temperature.
    """
    gpu = soc.domain("gpu")
    clock_hz = gpu.clocks.clock_hz

    def device(parameters: Floats) -> Soc:
        knee_ghz, per_ghz2, rest_w, idle = parameters
        clocks = replace(gpu.clocks, voltage_v=voltages(clock_hz, floor_v, 1e9 * knee_ghz, per_ghz2))
        return replace(soc.with_domain("gpu", clocks=clocks, idle_activity=float(idle)), rest_w=float(rest_w))

    def residuals(parameters: Floats) -> Floats:
        trial = device(parameters)
        return np.concatenate([_power_misfit(trial, powered) for powered in measured])

    bounds = ([0.0, 0.0, 0.0, 0.0], [clock_hz[-1] / 1e9, 9.0, min(powered.power_w.min() for powered in measured), 0.5])
    start = [clock_hz.mean() / 1e9, 1.0, bounds[1][2] / 2, 0.05]
    return device(least_squares(residuals, start, bounds=bounds, diff_step=1e-3, max_nfev=60).x)


def board_power(soc: Soc, work: Work, intensity: Floats, index: Ints) -> Floats:
    """The board's power at the reference temperature, shape (points,)."""
    return np.asarray(soc.power_w(index, soc.activity(work, index) * intensity, soc.reference_c).sum(-1))


def _power_misfit(soc: Soc, powered: Powered) -> Floats:
    intensity = fit_intensity(soc, powered.work, powered.index, powered.power_w, soc.reference_c)
    return np.log(board_power(soc, powered.work, intensity, powered.index) / powered.power_w)


@dataclass(frozen=True, eq=False)
class Rail:
    """A domain's own rail, measured busy and idle at some clocks."""

    index: Ints  # (points, domains)
    activity: Floats  # (points,) of the domain while busy
    busy_w: Floats  # (points,)
    idle_w: Floats  # (points,) NaN where not measured
    temperature_c: Floats  # (points,)


#: Weight of the idle power's relative error beside the busy one's: idle was measured on a warm device, at times.
IDLE_WEIGHT = 0.1


def fit_rail(soc: Soc, name: str, rail: Rail, floor_v: float) -> Soc:
    """The device with one domain's capacitance, idle switching, leakage and voltage curve, from its own rail."""
    domain = soc.domain(name)
    column = soc.names.index(name)
    clock_hz = domain.clocks.clock_hz
    activity = np.zeros((len(rail.activity), len(soc.domains)))
    activity[:, column] = rail.activity
    idle_known = np.isfinite(rail.idle_w)

    def device(parameters: Floats) -> Soc:
        leakage_a, capacitance_nf, idle, knee_ghz, per_ghz2 = parameters
        curve = ClockTable(name, clock_hz, voltages(clock_hz, floor_v, 1e9 * knee_ghz, per_ghz2))
        return soc.with_domain(
            name,
            clocks=replace(domain.clocks, voltage_v=curve.voltage_v),
            leakage_a=float(leakage_a),
            capacitance_f=1e-9 * float(capacitance_nf),
            idle_activity=float(idle),
        )

    def residuals(parameters: Floats) -> Floats:
        trial = device(parameters)
        busy = np.log(trial.power_w(rail.index, activity, rail.temperature_c)[:, column] / rail.busy_w)
        idle = np.log(trial.power_w(rail.index, 0 * activity, rail.temperature_c)[:, column] / rail.idle_w)
        return np.concatenate([busy, IDLE_WEIGHT * idle[idle_known]])

    switched_nf = 1e9 * float(np.median(rail.busy_w / clock_hz[rail.index[:, column]])) / floor_v**2
    start = [rail.busy_w.min() / (4 * floor_v), switched_nf, 0.1, clock_hz.mean() / 1e9, 0.5]
    bounds = ([0.0, 0.0, 0.0, 0.0, 0.0], [np.inf, np.inf, 0.9, clock_hz[-1] / 1e9, 9.0])
    return device(least_squares(residuals, start, bounds=bounds, x_scale=np.maximum(start, 0.1)).x)
