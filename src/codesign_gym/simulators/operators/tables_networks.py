"""Measured latencies of whole networks of a space, from a file that the user supplies, and the sum that fits them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from codesign_gym.errors import BadConfig
from codesign_gym.simulators.hardware.calibration.sheet import read_sheet
from codesign_gym.simulators.operators.space import Designs, OperatorSpace
from codesign_gym.simulators.operators.tables import figures, refuse_repeated

#: Share of the measured networks that a fit is not shown.
HELD_OUT = 0.2
#: Ridge on the entries, relative to the number of networks: entries of choices that never occur stay finite.
RIDGE = 1e-6


@dataclass(frozen=True)
class Additive:
    """A table of operators whose sums fit measured networks.

    Attributes:
        latency_s: shape (layers, operators); what all networks have in common is charged to the first layer.
        mape: mean absolute error on networks held out, as a share of the measurement.
        spearman: rank correlation on them.
    """

    latency_s: NDArray[np.float64]
    mape: float
    spearman: float


def read_networks(path: Path, space: OperatorSpace, device: str) -> tuple[Designs, NDArray[np.float64]]:
    """Networks of a space and their latency in seconds, shapes (networks, layers) and (networks,).

    The file has a column ``arch``, the number of each layer's operator (:attr:`OperatorSpace.codes`) between spaces,
    and a column of milliseconds a device.

    Raises:
        BadConfig: naming the file, and the row that is no network of the space, repeats one or has no positive number.
    """
    sheet = read_sheet(path)
    sheet.require("arch", device)
    position = {str(code): name for code, name in enumerate(space.codes)}
    index = [
        {code: layer.operators.index(name) for code, name in position.items() if name in layer.operators}
        for layer in space.layers
    ]
    found = np.full((len(sheet), len(space)), -1, dtype=np.int64)
    for row, text in enumerate(sheet.texts("arch")):
        codes = text.split()
        if len(codes) == len(space):
            found[row] = [known.get(code, -1) for known, code in zip(index, codes, strict=True)]
    accepted = f"{len(space)} numbers below {len(space.codes)}"
    sheet.refuse(np.asarray((found < 0).any(-1)), "arch", accepted)
    names = sheet.texts("arch")
    refuse_repeated(sheet, np.unique(found, axis=0, return_inverse=True)[1].ravel(), "architecture", names)
    return found, figures(sheet, device, False, names) * 1e-3


def fit(space: OperatorSpace, designs: Designs, latency_s: NDArray[np.float64]) -> Additive:
    """Least squares of relative errors; the last fifth of the networks is held out to state the error.

    Raises:
        BadConfig: for fewer networks than the table has free entries.
    """
    free = int(space.allowed.sum()) - len(space) + 1
    known = int(len(designs) * (1 - HELD_OUT))
    if known < free:
        least = int(free / (1 - HELD_OUT)) + 1
        raise BadConfig(f"space {space.name!r}: {len(designs)} measured networks; accepted: {least} or more")
    chosen = np.zeros((len(designs), len(space), space.choices))
    np.put_along_axis(chosen, designs[:, :, None], 1.0, axis=2)
    inputs = chosen.reshape(len(designs), -1) / latency_s[:, None]
    gram = inputs[:known].T @ inputs[:known]
    gram += RIDGE * np.trace(gram) / len(gram) * np.eye(len(gram))
    table = np.linalg.solve(gram, inputs[:known].sum(0)).reshape(len(space), -1)
    table = np.where(space.allowed, table, np.nan)
    least = np.nanmin(table, axis=1, keepdims=True)
    table = np.nan_to_num(table - least)
    table[0, space.allowed[0]] += least.sum()
    predicted = table[np.arange(len(space)), designs[known:]].sum(-1)
    true = latency_s[known:]
    rank = float(spearmanr(predicted, true).statistic)
    return Additive(table, float(np.abs(predicted / true - 1).mean()), rank)
