"""A Jetson TX2 over its GPU and memory clocks: latency of a network that was left out, power of its rails, best clocks.

A network's own three coefficients (operations, bytes, launches) come from three of its points; the exponent by which
they overlap is the device's, and is fitted to other networks. Power was measured for one network over the GPU's
clock: its constants are fitted without the clock that they are judged by.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import nnls

from codesign_gym.simulators.dvfs import Soc, Work, load
from codesign_gym.simulators.dvfs.fit import Rail, Sweep, fit_overlap, fit_rail, fit_work
from codesign_gym.simulators.hardware.verification.check import Bar, Check, NotRun, TableAbsent, check, complete_table

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

GRID, RAILS = "jetson_tx2_dvfs/tx2_latency_gpu_x_emc_grid.csv", "jetson_tx2_dvfs/tx2_vgg19_gpu_freq_sweep.csv"
GRID_COLUMNS = ("model", "gpu_freq_hz", "emc_freq_hz", "latency_ms_raw")
RAIL_COLUMNS = ("gpu_freq_hz", "emc_freq_mhz", "latency_ms_per_image", "gpu_temp_c")
#: Rails (mW) of each domain: the memory's controller and fabric are on the rail of the rest of the chip.
RAILS_OF = {"cpu": ("VDD_SYS_CPU",), "gpu": ("VDD_SYS_GPU",), "memory": ("VDD_SYS_DDR", "VDD_SYS_SOC")}
BOARD = "VDD_IN"
#: Points below which five constants of a rail are not fitted without a clock: with fewer, what is left out is beyond.
LEAST_CLOCKS = 10
POWER_BAR = Bar(mape_percent=5.0)
#: Of the memory's power at no traffic, what is assumed to leak; the rest is its clock.
MEMORY_LEAKAGE = 0.5


@dataclass(frozen=True, eq=False)
class Network:
    """One network's latencies at one setting of the board, and the points its own coefficients are fitted to."""

    sweep: Sweep
    measured: Ints

    @property
    def unmeasured(self) -> Ints:
        """The points that are predicted."""
        return np.setdiff1d(np.arange(len(self.sweep.latency_s)), self.measured)


def verify(folder: Path) -> list[Check | NotRun]:
    """Latency over both clocks, over the GPU's alone, power of GPU and board, and where their energy is least."""
    found: list[Check | NotRun] = []
    for table, checks in {GRID: latency, RAILS: power}.items():
        try:
            found += checks(folder)
        except TableAbsent as absent:
            found.append(NotRun("", table, str(absent)))
    return found


def latency(folder: Path) -> list[Check | NotRun]:
    """Checks of the latency table."""
    table = complete_table(folder, GRID, GRID_COLUMNS, texts=("model",), measured=GRID_COLUMNS[1:])
    soc = _device(table["gpu_freq_hz"], table["emc_freq_hz"])
    keys = [column for column in ("model", "set") if column in table]
    rows = [rows for _, rows in table.groupby(keys) if len(rows) > 3]
    grids = [_network(soc, one) for one in rows if one["emc_freq_hz"].nunique() > 1]
    sweeps = [_network(soc, one) for one in rows if one["emc_freq_hz"].nunique() == 1]
    unseen = "latency over GPU x memory clock, network left out, s"
    both, lines = "latency over GPU x memory clock, s", "latency over GPU clock, s"
    bar = Bar(mape_percent=3.0)
    checks: list[Check | NotRun] = []
    if grids:
        checks.append(_checked(both, [soc] * len(grids), grids, bar, "exponent as shipped"))
    else:
        checks.append(NotRun(both, GRID, "no network at more than one memory clock"))
    if len(grids) > 1:
        others = [fit_overlap(soc, [other.sweep for other in grids if other is not one]) for one in grids]
        checks.append(_checked(unseen, others, grids, bar, "exponent fitted to the other networks"))
    else:
        checks.append(NotRun(unseen, GRID, "no other network to fit the exponent to"))
    if sweeps:
        note = "exponent as shipped; the memory's clock was not held in these runs, so no bar"
        checks.append(_checked(lines, [soc] * len(sweeps), sweeps, Bar(), note))
    return checks


def power(folder: Path) -> list[Check | NotRun]:
    """Checks of the table of rails."""
    rails = [f"{rail}_mw" for names in RAILS_OF.values() for rail in names]
    columns = [*RAIL_COLUMNS, *rails, f"{BOARD}_mw"]
    table = complete_table(folder, RAILS, tuple(columns), measured=(*RAIL_COLUMNS, f"{BOARD}_mw"))
    table = table.sort_values("gpu_freq_hz")
    soc = _device(table["gpu_freq_hz"], 1e6 * table["emc_freq_mhz"])
    found: list[Check | NotRun] = []
    keys = [column for column in ("model", "batch") if column in table]
    for name, rows in table.groupby(keys) if keys else [("", table)]:
        label = " ".join(map(str, name if isinstance(name, tuple) else (name,)))
        if rows["gpu_freq_hz"].nunique() > 3:
            found += _rails(soc, rows, label)
        else:
            found.append(NotRun(f"power, {label}", RAILS, "at most three GPU clocks"))
    return found


def refit(soc: Soc, work: Work, index: Ints, rows: pd.DataFrame) -> Soc:
    """The device with the power of every domain and of the rest of the board fitted to rows of the table."""
    activity = soc.activity(work, index)
    column = {name: position for position, name in enumerate(soc.names)}
    busy = {name: _watts(rows, names) for name, names in RAILS_OF.items()}
    temperature_c = rows["gpu_temp_c"].to_numpy(np.float64)
    gpu = Rail(index, activity[:, column["gpu"]], busy["gpu"], _watts(rows, RAILS_OF["gpu"], "idle_"), temperature_c)
    soc = fit_rail(soc, "gpu", gpu, float(soc.domain("gpu").clocks.voltage_v.min()))

    memory = soc.domain("memory")
    still_w, moving_w = _affine(activity[:, column["memory"]], busy["memory"])
    voltage_v, clock_hz = memory.clocks.voltage_v[-1], memory.clocks.clock_hz[-1]
    tree_w, warm = still_w * (1 - MEMORY_LEAKAGE), 1 + memory.leakage_per_k * (temperature_c.mean() - soc.reference_c)
    soc = soc.with_domain(
        "memory",
        capacitance_f=(tree_w + moving_w) / (voltage_v**2 * clock_hz),
        idle_activity=tree_w / (tree_w + moving_w),
        leakage_a=MEMORY_LEAKAGE * still_w / (voltage_v * warm),
    )
    switching = soc.with_domain("cpu", leakage_a=0.0).power_w(index, activity, temperature_c)[:, column["cpu"]]
    cpu = soc.domain("cpu")
    warm = 1 + cpu.leakage_per_k * (temperature_c.mean() - soc.reference_c)
    leakage_a = max(0.0, float((busy["cpu"] - switching).mean()) / (cpu.clocks.voltage_v[-1] * warm))
    soc = soc.with_domain("cpu", leakage_a=leakage_a)

    domains_w = np.sum(list(busy.values()), axis=0)
    rest_w, rest_share = _affine(domains_w, _watts(rows, (BOARD,)) - domains_w)
    return replace(soc, rest_w=rest_w, rest_share=rest_share)


def _rails(soc: Soc, rows: pd.DataFrame, label: str) -> list[Check | NotRun]:
    clock_hz = rows["gpu_freq_hz"].to_numpy(np.float64)
    index = _index(soc, rows["gpu_freq_hz"], 1e6 * rows["emc_freq_mhz"])
    latency_s = 1e-3 * rows["latency_ms_per_image"].to_numpy(np.float64)
    known = _spread(clock_hz)
    work = fit_work(soc, Sweep(index, latency_s, ("operations", "bytes")).at(known))
    activity = soc.activity(work, index)
    measured = {"GPU rail": _watts(rows, RAILS_OF["gpu"]), "board": _watts(rows, (BOARD,))}
    shipped = _powers(soc, activity * _intensity(soc, activity[known], index[known], rows.iloc[known]), index, rows)
    rest, time_s = np.setdiff1d(np.arange(len(rows)), known), soc.latency_s(work, index)
    found: list[Check | NotRun] = []
    for name, watts in shipped.items():
        note = "constants as shipped; three clocks fit the network's own coefficients and intensities"
        quantity = f"{name} power, {label}, W"
        found.append(check(quantity, RAILS, watts[rest], measured[name][rest], POWER_BAR, note=note))
        found.append(_least(name, label, clock_hz, watts * time_s, measured[name] * latency_s))
    if len(rows) < LEAST_CLOCKS:
        reason = f"{len(rows)} clocks; at least {LEAST_CLOCKS} to fit the rails without one"
        return [*found, NotRun(f"power, {label}, clock left out", RAILS, reason)]
    unseen = {name: np.empty(len(rows)) for name in measured}
    for point in range(len(rows)):
        others = np.arange(len(rows)) != point
        fitted = refit(soc, work, index[others], rows[others])
        for name, watts in _powers(fitted, activity[[point]], index[[point]], rows.iloc[[point]]).items():
            unseen[name][point] = watts[0]
    for name, watts in unseen.items():
        quantity = f"{name} power, {label}, clock left out, W"
        found.append(check(quantity, RAILS, watts, measured[name], POWER_BAR, note="fitted to other clocks"))
        found.append(_least(name, f"{label}, clock left out", clock_hz, watts * time_s, measured[name] * latency_s))
    return found


def _powers(soc: Soc, activity: Floats, index: Ints, rows: pd.DataFrame) -> dict[str, Floats]:
    watts = soc.power_w(index, activity, rows["gpu_temp_c"].to_numpy(np.float64))
    return {"GPU rail": watts[:, soc.rails.index("gpu")], "board": watts.sum(-1)}


def _intensity(soc: Soc, activity: Floats, index: Ints, rows: pd.DataFrame) -> Floats:
    """How much each domain switches while busy, (domains,), relative to the network the device was fitted to."""
    temperature_c = rows["gpu_temp_c"].to_numpy(np.float64)
    measured_w = np.stack([_watts(rows, RAILS_OF[name]) for name in soc.names], -1)
    idle_w = soc.power_w(index, 0 * activity, temperature_c)[:, :-1]
    nominal_w = (soc.power_w(index, activity, temperature_c)[:, :-1] - idle_w).sum(0)
    found = (measured_w - idle_w).sum(0) / np.maximum(nominal_w, 1e-12)
    return np.where(nominal_w > 0.05 * measured_w.sum(0), np.maximum(found, 0.0), 1.0)  # too little to tell: as it is


def _least(name: str, label: str, clock_hz: Floats, energy_j: Floats, reference_j: Floats) -> Check:
    """The clock of least energy, exact where it is within one step of the measured one."""
    best = int(reference_j.argmin())
    around = clock_hz[max(best - 1, 0) : best + 2]
    step = float(np.abs(around / clock_hz[best] - 1).max()) + 1e-6
    return check(
        f"GPU clock of least {name} energy, {label}, Hz",
        RAILS,
        [clock_hz[energy_j.argmin()]],
        [clock_hz[best]],
        Bar(exact_share=1.0, tolerance=step),
        note="exact: within one step",
    )


def _checked(quantity: str, socs: list[Soc], networks: list[Network], bar: Bar, note: str) -> Check:
    predicted, reference = [], []
    for soc, network in zip(socs, networks, strict=True):
        work = fit_work(soc, network.sweep.at(network.measured))
        predicted.append(soc.latency_s(work, network.sweep.index[network.unmeasured]))
        reference.append(network.sweep.latency_s[network.unmeasured])
    note = f"{note}; three points of each network fit its own coefficients"
    return check(quantity, GRID, np.concatenate(predicted), np.concatenate(reference), bar, note=note)


def _device(gpu_hz: pd.Series, memory_hz: pd.Series) -> Soc:
    """The device at exactly the clocks measured."""
    return load("jetson-tx2").with_clocks("gpu", gpu_hz.to_numpy()).with_clocks("memory", memory_hz.to_numpy())


def _network(soc: Soc, rows: pd.DataFrame) -> Network:
    gpu, memory = rows["gpu_freq_hz"].to_numpy(np.float64), rows["emc_freq_hz"].to_numpy(np.float64)
    index = _index(soc, rows["gpu_freq_hz"], rows["emc_freq_hz"])
    latency_s = 1e-3 * rows["latency_ms_raw"].to_numpy(np.float64)
    if len(np.unique(memory)) == 1:
        return Network(Sweep(index, latency_s, ("operations", "bytes")), _spread(gpu))
    return Network(Sweep(index, latency_s), _corners(gpu, memory))


def _index(soc: Soc, gpu_hz: pd.Series, memory_hz: pd.Series) -> Ints:
    return soc.index(gpu=gpu_hz.to_numpy(np.float64), memory=memory_hz.to_numpy(np.float64))


def _corners(gpu_hz: Floats, memory_hz: Floats) -> Ints:
    """Three points: the slowest GPU, and the fastest with the slowest and the fastest memory."""
    wanted: list[Callable[[], Ints]] = [
        lambda: np.lexsort((-memory_hz, gpu_hz)),
        lambda: np.lexsort((memory_hz, -gpu_hz)),
        lambda: np.lexsort((-memory_hz, -gpu_hz)),
    ]
    return np.unique([order()[0] for order in wanted])


def _spread(gpu_hz: Floats) -> Ints:
    """Three points: the slowest, the middle and the fastest GPU clock."""
    order = gpu_hz.argsort(kind="stable")
    return np.unique(order[[0, len(order) // 2, -1]])


def _watts(rows: pd.DataFrame, rails: tuple[str, ...], prefix: str = "") -> Floats:
    columns = [f"{prefix}{rail}_mw" for rail in rails]
    if not set(columns) <= set(rows.columns):
        return np.full(len(rows), np.nan)
    return np.asarray(1e-3 * rows[columns].to_numpy(np.float64).sum(-1))


def _affine(x: Floats, y: Floats) -> tuple[float, float]:
    """The line through (x, y) with no negative coefficient, by relative error: its value at 0 and its slope."""
    constant, slope = nnls(np.stack([np.ones_like(x), x], -1) / y[:, None], np.ones(len(y)))[0]
    return float(constant), float(slope)
