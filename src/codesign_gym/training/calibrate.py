"""A device's free constants fitted to a user's own measurements: the new device file, tables and plots."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain, count
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from codesign_gym.errors import BadConfig
from codesign_gym.simulators import dvfs
from codesign_gym.simulators.hardware import device as devices
from codesign_gym.simulators.hardware.calibration.constants import chosen_constants, real_constants
from codesign_gym.simulators.hardware.calibration.data import Measurements, read_measurements
from codesign_gym.simulators.hardware.calibration.fit import Fitted, Shown, exercised, fit, problem
from codesign_gym.simulators.hardware.calibration.record import Agreement, Calibration, covered
from codesign_gym.simulators.hardware.device import Device, DeviceFile
from codesign_gym.simulators.hardware.verification.check import Bar, Check, check
from codesign_gym.storage import replacing

LAYER_FOLDS = 5  # for layers; networks are kept aside one at a time
MOST_FOLDS = 20
MOVED = 1e-3  # relative change below which a constant that the data do not determine stays as it was
POOR_PERCENT = 25.0  # error of unseen rows beyond which a fit is told to be poor
NOT_MEASURED = re.compile(r"\b(assumed|fitted)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Calibrated:
    """What a calibration found.

    Attributes:
        old, new: the device file before and after.
        data: the measurements.
        fitted: constants, error bars and predictions.
        kept: constants that would have been fitted, had any row depended on them.
    """

    old: DeviceFile
    new: DeviceFile
    data: Measurements
    fitted: Fitted
    kept: tuple[str, ...] = ()


def calibrate(
    device: str, measurements: Path, free: Sequence[str], folds: int | None, seed: int, shown: Shown[Any]
) -> Calibrated:
    """Fit a device's free constants.

    Args:
        device: id or YAML file.
        measurements: a CSV file; see :mod:`codesign_gym.simulators.hardware.calibration.data`.
        free: constants to fit; without any, those that the device file marks ``free: true``, else those
            whose source says that they are assumed or fitted; of them those that any measurement depends on.
        folds: parts kept aside in turn; by default 5, and for networks one a network up to 20.
        seed: of folds and starts.
        shown: wraps the searches in a progress bar.

    Raises:
        CodesignError: naming what is wrong with the device, the measurements or the constants.
    """
    content, path = devices.read(device)
    target = devices.load(device)
    names = list(free) or _default_free(target, content, path)
    chosen_constants(target.model, names)  # says what is misspelt before measurements are read
    data = read_measurements(measurements, target.batch, target.max_bits)
    refuse_bits(target, data)
    moving = names if free else exercised(target.model, names, data)
    if not moving:
        raise BadConfig(f"{measurements}: no row depends on {', '.join(names)}; name other constants with --free")
    constants = chosen_constants(target.model, moving)
    if absent := [constant.name for constant in constants if constant.name not in content.parameters]:
        raise BadConfig(
            f"{path}: free constant {absent[0]!r} is not among its parameters; add it, with a unit and a source"
        )
    parts = folds or (MOST_FOLDS if data.whole.all() else LAYER_FOLDS)
    fitted = fit(problem(target.model, constants, data), parts, seed, shown)
    kept = tuple(name for name in names if name not in moving)
    found = Calibrated(content, _renewed(content, data, fitted), data, fitted, kept)
    warnings = (*fitted.warnings, *_poor(found, real_constants(target.model)))
    return replace(found, fitted=replace(fitted, warnings=warnings))


def _poor(found: Calibrated, known: Iterable[str]) -> list[str]:
    """What to try where the rows that the fit had not seen are still far off."""
    others = [name for name in known if name in found.old.parameters and name not in found.fitted.bars]
    hint = f"--free {','.join([*found.fitted.bars, *others])} frees what the device file takes as given, too"
    form = "every constant is free: the model's form does not describe these rows; a table of them is a device, too"
    off = {quantity: error.cross_validated_mape_percent for quantity, error in _errors(found).items()}
    return [
        f"{quantity} of rows not seen is still {percent:.3g} % off; {hint if others else form}"
        for quantity, percent in off.items()
        if percent > POOR_PERCENT
    ]


def write(found: Calibrated, device: str, out: Path) -> None:
    """Write the new device file, once it is known to load.

    Raises:
        BadConfig: if ``out`` is not named as a YAML file, or is the device file itself.
        StorageError: if it cannot be written.
    """
    content = found.new
    if content.table is not None:
        _, path = devices.read(device)
        moved = os.path.relpath(path.parent / content.table.file, out.parent)
        content = content.model_copy(update={"table": content.table.model_copy(update={"file": moved})})
    plain = content.model_dump(mode="json", exclude_defaults=True)
    with replacing(out) as aside:
        text = yaml.safe_dump(plain, sort_keys=False, width=120, default_flow_style=None, allow_unicode=True)
        aside.write_text(text, encoding="utf-8")
        devices.load(str(aside))


def check_asked(device: str, out: Path, force: bool) -> None:
    """Raise for what is no device to fit or no file to write, before anything is computed."""
    if device not in devices.CATALOG.names() and device in dvfs.CATALOG.names():
        raise BadConfig(
            f"{device!r} is a system on a chip, and calibrate fits cost models (codesign-gym list devices); "
            "docs/your-soc.md fits a chip, from Python"
        )
    if out.suffix not in (".yaml", ".yml"):
        raise BadConfig(f"--out {str(out)!r}: accepted: a name that ends in .yaml")
    if out.is_dir() or (out.exists() and out.samefile(devices.read(device)[1])):
        what = "a folder" if out.is_dir() else "the device file itself"
        raise BadConfig(f"--out {str(out)!r} is {what}; accepted: another file")
    if out.exists() and not force:
        raise BadConfig(f"--out {str(out)!r} is there already; accepted: another name, or --force to replace it")


def _default_free(target: Device, content: DeviceFile, path: Path) -> list[str]:
    real = real_constants(target.model)
    marked = [name for name, quantity in content.parameters.items() if quantity.free]
    told = [
        name
        for name, quantity in content.parameters.items()
        if name in real and NOT_MEASURED.search(f"{quantity.source} {content.sources[quantity.source]}")
    ]
    if not (marked or told):
        raise BadConfig(
            f"{path}: no constant is marked 'free: true' or has a source that says assumed or fitted; name some with "
            f"--free (known: {', '.join(real) or 'none, this model has no real constants'})"
        )
    return marked or told


def refuse_bits(target: Device, data: Measurements) -> None:
    """Raise for a measurement at a bitwidth that the device does not have."""
    outside = ((data.bits < target.min_bits) | (data.bits > target.max_bits)).any((1, 2))
    if outside.any():
        first = int(np.argmax(outside))
        bits = "/".join(map(str, data.bits[first, 0]))
        raise BadConfig(
            f"{data.sheet.row(first)}: weight and activation bits are {bits}; the device has {target.min_bits} to "
            f"{target.max_bits}"
        )


def _renewed(content: DeviceFile, data: Measurements, fitted: Fitted) -> DeviceFile:
    """The device file with fitted constants, their source and the calibration; a constant left as it was keeps its."""
    old = {name: quantity.value for name, quantity in content.parameters.items()}
    changed = {
        name: value
        for name, value in fitted.values.items()
        if fitted.bars[name].low is not None or abs(value - float(old[name])) > MOVED * abs(value)
    }
    kept = {quantity.source for name, quantity in content.parameters.items() if name not in changed}
    key = next(k for k in chain(["calibration"], (f"calibration{i}" for i in count(2))) if k not in kept)
    parameters = {
        name: quantity.model_copy(update={"value": changed[name], "source": key}) if name in changed else quantity
        for name, quantity in content.parameters.items()
    }
    told = f"Fitted by codesign-gym calibrate to {len(data)} rows of {data.sheet.path.name}; see the field calibration"
    used = {quantity.source for quantity in parameters.values()} | {content.table.source if content.table else ""}
    sources = {name: text for name, text in (content.sources | {key: told}).items() if name in used}
    return content.model_copy(
        update={
            "title": f"{content.title.partition(', calibrated on ')[0]}, calibrated on {data.sheet.path.name}",
            "sources": sources,
            "parameters": parameters,
            "calibration": _calibration(data, fitted),
        }
    )


def _calibration(data: Measurements, fitted: Fitted) -> Calibration:
    groups = len(np.unique(data.groups))
    kind = "networks" if data.whole.all() else "layer shapes" if not data.whole.any() else "layer shapes and networks"
    one = kind == "networks" and fitted.folds == groups
    return Calibration(
        data=data.sheet.path.name,
        sha256=data.sheet.sha256,
        rows=len(data),
        cross_validation=f"leaving out one of {groups} networks" if one else f"{fitted.folds} folds of {groups} {kind}",
        errors={quantity: _agreement(data, fitted, quantity) for quantity in data.measured},
        fitted=fitted.bars,
        ranges=covered(data.layers, data.bits),
    )


def _agreement(data: Measurements, fitted: Fitted, quantity: str) -> Agreement:
    before, after, unseen = (
        check(quantity, data.sheet.path.name, predicted[quantity], data.measured[quantity], Bar())
        for predicted in (fitted.before, fitted.after, fitted.unseen)
    )
    return Agreement(
        before_mape_percent=_rounded(before.mape_percent) or 0.0,
        mape_percent=_rounded(after.mape_percent) or 0.0,
        cross_validated_mape_percent=_rounded(unseen.mape_percent) or 0.0,
        before_spearman=_rounded(before.spearman),
        spearman=_rounded(after.spearman),
        cross_validated_spearman=_rounded(unseen.spearman),
    )


def _rounded(value: float) -> float | None:
    return None if np.isnan(value) else float(f"{value:.4g}")


ERRORS = ("quantity", "rows", "MAPE before", "after", "cross-validated", "Spearman before", "after", "cross-validated")
CONSTANTS = ("constant", "unit", "before", "after", "95 % interval")


def error_rows(found: Calibrated) -> list[list[str]]:
    """A row a quantity, under :data:`ERRORS`."""
    return [
        [
            quantity,
            str(len(found.data)),
            *(f"{value:.3g} %" for value in _mapes(error)),
            *("" if value is None else f"{value:.4f}" for value in _ranks(error)),
        ]
        for quantity, error in _errors(found).items()
    ]


def constant_rows(found: Calibrated) -> list[list[str]]:
    """A row a fitted constant, under :data:`CONSTANTS`."""
    return [
        [
            row["constant"],
            row["unit"],
            f"{row['before']:.4g}",
            f"{row['after']:.4g}",
            "not identifiable" if row["low"] is None else f"{row['low']:.4g} to {row['high']:.4g}",
        ]
        for row in _constants(found)
    ]


def as_dict(found: Calibrated, out: Path) -> dict[str, Any]:
    """Plain data for ``--json``."""
    return {
        "out": str(out),
        "rows": len(found.data),
        "errors": {quantity: error.model_dump() for quantity, error in _errors(found).items()},
        "constants": _constants(found),
        "kept": list(found.kept),
        "warnings": list(found.fitted.warnings),
    }


def plot(found: Calibrated, path: Path) -> None:
    """Predicted over measured: before, after, and for rows that the fit had not seen; a PNG."""
    from codesign_gym.training import plots

    panels = {}
    for quantity, measured in found.data.measured.items():
        for stage, predicted in (
            ("before", found.fitted.before),
            ("after", found.fitted.after),
            ("cross-validated", found.fitted.unseen),
        ):
            made: Check = check(quantity, "", predicted[quantity], measured, Bar())
            panels[f"{quantity}, {stage}\nMAPE {made.mape_percent:.3g} %"] = (measured, predicted[quantity])
    plots.agreement(path, panels)


def _errors(found: Calibrated) -> dict[str, Agreement]:
    return {} if found.new.calibration is None else found.new.calibration.errors


def _mapes(error: Agreement) -> tuple[float, float, float]:
    return error.before_mape_percent, error.mape_percent, error.cross_validated_mape_percent


def _ranks(error: Agreement) -> tuple[float | None, float | None, float | None]:
    return error.before_spearman, error.spearman, error.cross_validated_spearman


def _constants(found: Calibrated) -> list[dict[str, Any]]:
    return [
        {
            "constant": name,
            "unit": found.new.parameters[name].unit,
            "before": found.old.parameters[name].value,
            "after": found.new.parameters[name].value,
            "low": bar.low,
            "high": bar.high,
        }
        for name, bar in found.fitted.bars.items()
    ]
