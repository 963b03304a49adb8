"""A V100 over its core clock: time, power and the best clock of an application from three measured clocks.

An application's own coefficients come from three of its clocks; the others are predicted. The device's constants are
once those that ship, fitted to 20 applications, and once fitted without the application that they are judged by.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from codesign_gym.simulators.dvfs import Soc, load
from codesign_gym.simulators.dvfs.clocks import ClockTable
from codesign_gym.simulators.dvfs.fit import (
    Powered,
    Sweep,
    board_power,
    fit_board,
    fit_fabric,
    fit_intensity,
    fit_work,
)
from codesign_gym.simulators.hardware.verification.check import Bar, Check, NotRun, check, complete_table

Floats = NDArray[np.float64]

TABLE = "nv-dvfs/v100_dvfs_real.csv.gz"
#: One launch of one kernel on one input.
APPLICATION = ("benchmark", "kernel", "argNo", "memory_frequency")
COLUMNS = (*APPLICATION, "core_frequency", "time", "average_power")
#: Clocks, MHz, at which an application is measured: one in the flat of the voltage, one at its knee, the highest.
MEASURED_MHZ = (600.0, 945.0, 1380.0)
BASELINE_MHZ = 945.0
#: The memory's clock is fixed, so launches cannot be told from bytes.
PARTS = ("operations", "bytes", "traffic")
#: Applications below which the device's constants are not fitted, and groups left out together.
LEAST_APPLICATIONS, FOLDS = 10, 7

TIME, POWER, ENERGY = "time, s", "board power, W", "energy at the predicted best clock, J"
BARS = {TIME: Bar(mape_percent=8.0), POWER: Bar(mape_percent=8.0), ENERGY: Bar(mape_percent=2.0)}


@dataclass(frozen=True, eq=False)
class Application:
    """One application's measurements, (clocks,) each, in the order of the clock."""

    sweep: Sweep
    power_w: Floats
    measured: NDArray[np.int64]  # (3,) points that its own coefficients are fitted to
    baseline: int  # the point that a constant 945 MHz takes


@dataclass(frozen=True, eq=False)
class Predicted:
    """Predictions of some applications, beside what was measured."""

    time_s: tuple[Floats, Floats]  # (unmeasured points,) each
    power_w: tuple[Floats, Floats]
    energy_j: tuple[Floats, Floats]  # (applications,) at the predicted best clock, and the least there is
    baseline_j: Floats  # (applications,) at 945 MHz


def verify(folder: Path) -> list[Check | NotRun]:
    """Unmeasured clocks of every application, with the constants that ship and with constants that never saw it."""
    table = complete_table(
        folder, TABLE, COLUMNS, texts=("benchmark", "kernel", "argNo"), measured=COLUMNS[len(APPLICATION) :]
    )
    soc = load("v100").with_clocks("gpu", 1e6 * table["core_frequency"].to_numpy(np.float64))
    found = [_application(soc, rows) for _, rows in table.groupby(list(APPLICATION)) if _enough(rows)]
    if not found:
        reason = f"no application at more than {len(MEASURED_MHZ)} core clocks"
        return [NotRun(quantity, TABLE, reason) for quantity in BARS]
    shipped = [predict(soc, application) for application in found]
    checks: list[Check | NotRun] = [*_checks(shipped, "constants as shipped")]
    if len(found) < LEAST_APPLICATIONS:
        reason = f"{len(found)} applications; at least {LEAST_APPLICATIONS} to fit the device's constants without one"
        return checks + [NotRun(f"{quantity}, application left out", TABLE, reason) for quantity in BARS]
    return [*checks, *_checks(left_out(soc, found), "application left out", "constants fitted without it and others")]


def predict(soc: Soc, application: Application) -> Predicted:
    """One application's unmeasured clocks, and its best one, from its three measured clocks."""
    index, latency_s, known = application.sweep.index, application.sweep.latency_s, application.measured
    work = fit_work(soc, application.sweep.at(known))
    intensity = fit_intensity(soc, work, index[known], application.power_w[known], soc.reference_c)
    time_s, power_w = soc.latency_s(work, index), board_power(soc, work, intensity, index)
    rest = np.setdiff1d(np.arange(len(index)), known)
    energy_j = latency_s * application.power_w
    return Predicted(
        (time_s[rest], latency_s[rest]),
        (power_w[rest], application.power_w[rest]),
        (energy_j[[np.argmin(time_s * power_w)]], energy_j.min(keepdims=True)),
        energy_j[[application.baseline]],
    )


def left_out(soc: Soc, applications: list[Application]) -> list[Predicted]:
    """Predictions with the fabric, voltage and constant power of a device fitted to other applications."""
    fold = np.random.default_rng(0).permutation(len(applications)) % FOLDS
    predicted = []
    for group in range(FOLDS):
        others = [application for application, held in zip(applications, fold == group, strict=True) if not held]
        refitted = refit(soc, others)
        held_out = [application for application, held in zip(applications, fold == group, strict=True) if held]
        predicted += [predict(refitted, application) for application in held_out]
    return predicted


def refit(soc: Soc, applications: list[Application]) -> Soc:
    """The device with its fitted constants fitted to these applications alone."""
    gpu = soc.domain("gpu").clocks
    floor_v = float(gpu.voltage_v.min())
    blank = soc.with_domain("gpu", clocks=ClockTable("gpu", gpu.clock_hz, np.full(len(gpu), floor_v)))
    timed = fit_fabric(blank, [application.sweep for application in applications])
    measured = [
        Powered(fit_work(timed, application.sweep), application.sweep.index, application.power_w)
        for application in applications
    ]
    return fit_board(timed, measured, floor_v)


def _enough(rows: pd.DataFrame) -> bool:
    return int(rows["core_frequency"].nunique()) > len(MEASURED_MHZ)


def _application(soc: Soc, rows: pd.DataFrame) -> Application:
    mean = rows.groupby("core_frequency")[["time", "average_power"]].mean()
    clock_mhz = mean.index.to_numpy(np.float64)
    index = soc.index(gpu=1e6 * clock_mhz, memory=1e6 * float(rows["memory_frequency"].iloc[0]))
    return Application(
        Sweep(index, 1e-3 * mean["time"].to_numpy(np.float64), PARTS),
        mean["average_power"].to_numpy(np.float64),
        _measured(clock_mhz),
        int(np.abs(clock_mhz - BASELINE_MHZ).argmin()),
    )


def _measured(clock_mhz: Floats) -> NDArray[np.int64]:
    """Three different points, the nearest that there are to the clocks to measure at."""
    chosen: list[int] = []
    for wanted in MEASURED_MHZ:
        by_distance = np.abs(clock_mhz - wanted).argsort(kind="stable")
        chosen.append(next(int(point) for point in by_distance if point not in chosen))
    return np.array(sorted(chosen), dtype=np.int64)


def _checks(predicted: list[Predicted], how: str, note: str = "") -> list[Check]:
    least_j = np.concatenate([one.energy_j[1] for one in predicted])
    regret = 100 * (np.concatenate([one.baseline_j for one in predicted]) / least_j - 1).mean()
    pairs = {
        TIME: [one.time_s for one in predicted],
        POWER: [one.power_w for one in predicted],
        ENERGY: [one.energy_j for one in predicted],
    }
    peers = {ENERGY: f"always {BASELINE_MHZ:g} MHz: {regret:.2g} %"}
    notes = {ENERGY: "MAPE is the regret against the least energy measured"}
    return [
        check(
            f"{quantity}, {how}",
            TABLE,
            np.concatenate([ours for ours, _ in pair]),
            np.concatenate([theirs for _, theirs in pair]),
            BARS[quantity],
            peer=peers.get(quantity, ""),
            note="; ".join(filter(None, (note, notes.get(quantity, "unmeasured clocks alone")))),
        )
        for quantity, pair in pairs.items()
    ]
