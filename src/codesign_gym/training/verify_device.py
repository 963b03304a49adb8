"""A device of one's own beside the measurements it was calibrated on, or others, and networks beside its range."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from codesign_gym.errors import BadConfig
from codesign_gym.simulators.hardware import device as devices
from codesign_gym.simulators.hardware.calibration.data import Measurements, read_measurements
from codesign_gym.simulators.hardware.calibration.fit import Problem
from codesign_gym.simulators.hardware.device import Device
from codesign_gym.simulators.hardware.verification.check import Bar, Check, NotRun, check
from codesign_gym.training.calibrate import refuse_bits
from codesign_gym.training.costing import layer_costs
from codesign_gym.training.verify import Verified

#: How far the error on the rows of the calibration may lie above the one that the file states, relatively: constants
#: are written to a few digits, and those that moved less than a thousandth are left as they were.
MARGIN = 0.01


@dataclass(frozen=True)
class Trusted:
    """What may be trusted of a device.

    Attributes:
        verified: its predictions beside measurements.
        told: lines on its calibration, as ``show`` has them.
        outside: network to what lies beyond the calibration in it, a line a kind; empty where nothing does.
    """

    verified: Verified
    told: list[str]
    outside: dict[str, list[str]]

    def lines(self) -> list[str]:
        """For a reader: the calibration, and a line a network."""
        return [f"{self.verified.model}: {line}" for line in self.told] + [
            f"{network} on {self.verified.model}: " + (_few(doubts) if doubts else "within the calibrated range")
            for network, doubts in self.outside.items()
        ]

    def as_dict(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return {"device": self.verified.model, "calibration": self.told, "outside_calibration": self.outside}


def verify_device(name: str, measurements: Path | None, networks: Sequence[str]) -> Trusted:
    """A device's predictions beside measurements, and what of some networks lies beyond its calibration.

    Args:
        name: id or file.
        measurements: a CSV file as ``calibrate`` reads it; by default the one that the device was calibrated on,
            where it lies beside the device file.
        networks: ids or files.

    Raises:
        BadConfig: if a network is to be judged by a device that was not calibrated, or what is wrong with a file.
        CodesignError: naming what is wrong with the device, the measurements or a network.
    """
    target = devices.load(name)
    if networks and target.calibration is None:
        raise BadConfig(f"device {name!r} is not calibrated: it has no range that --network could lie outside")
    outside = {network: layer_costs(network, name)[2] for network in networks}
    return Trusted(Verified(name, tuple(_checks(target, measurements))), target.summary(), outside)


def _checks(target: Device, measurements: Path | None) -> list[Check | NotRun]:
    calibration = target.calibration
    if measurements is None:
        if calibration is None:
            return [NotRun("", "", "not calibrated; accepted: --measurements FILE, or a device that calibrate wrote")]
        measurements = devices.read(target.name)[1].parent / calibration.data
        if not measurements.is_file():
            return [NotRun("", calibration.data, f"{measurements} is absent; give it, or others, by --measurements")]
    data = read_measurements(measurements, target.batch, target.max_bits)
    refuse_bits(target, data)
    predicted = Problem(target.model, (), data).predict({})
    bars = dict.fromkeys(data.measured, Bar())
    note = "not the measurements of a calibration"
    if calibration is not None and data.sheet.sha256 == calibration.sha256:
        errors = calibration.errors
        bars = {
            q: Bar(mape_percent=float(f"{(1 + MARGIN) * errors[q].mape_percent + 1e-3:.3g}")) for q in data.measured
        }
        note = "the rows of the calibration, whose error the device file states"
    elif calibration is not None:
        note = f"other rows than those of the calibration, {_beyond(target, data)} of them outside its range"
    return [
        check(quantity, measurements.name, predicted[quantity], measured, bars[quantity], note=note)
        for quantity, measured in data.measured.items()
    ]


def _beyond(target: Device, data: Measurements) -> int:
    """How many measurements lie outside the calibrated range, by any of their layers."""
    assert target.calibration is not None
    flat = data.layers.map(lambda column: column.reshape(-1))
    rows = [row for row, _ in target.calibration.ranges.outside(flat, data.bits.reshape(-1, 2))]
    return len(np.unique(np.array(rows, dtype=np.int64) // data.layers.op.shape[1]))


def _few(doubts: Sequence[str]) -> str:
    more = f"; and {len(doubts) - 1} more, see cost" if len(doubts) > 1 else ""
    return f"outside the calibration: {doubts[0]}{more}"
