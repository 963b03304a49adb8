"""Convolutions measured on an NVIDIA T4 in 4 and 8 bits (HAWQ-V3's kernels) against a roofline, shipped and fitted.

A data sheet's roofline is a bound that kernels miss by a factor. Fitted are the two peaks and the launch, without the
layer shape that is judged.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from codesign_gym.errors import StorageError
from codesign_gym.simulators.hardware import device
from codesign_gym.simulators.hardware.roofline import Roofline
from codesign_gym.simulators.hardware.verification.check import Bar, Check, NotRun, TableAbsent, check, complete_table
from codesign_gym.simulators.hardware.verification.refit import FOLDS, Floats, unseen
from codesign_gym.simulators.networks.layers import Op, network

TABLE = "hawq/t4_conv_kernel_latency.csv"
MEASURED = "latency_us"
NEEDED, STRIDE = ("op", "data", "data_dtype", "weight"), "stride"  # which dense kernels have not
TEXTS = (*NEEDED, STRIDE)
#: Axes of images and of height in a convolution's data, by a word in its operator's name.
LAYOUTS = {"nhwc": (0, 1), "hwnc": (2, 0)}
DENSE = "dense"
WIDTHS = {"int4": 4, "uint4": 4, "int8": 8, "uint8": 8}
FREE = ("ops_per_s_4", "ops_per_s_8", "launch_s")
#: Constants from which fits start, and shapes below which they are not judged without their own.
GUESS = np.array([1e14, 5e13, 5e-6])
LEAST_SHAPES = 8


def verify(folder: Path) -> list[Check | NotRun]:
    """Microseconds of a kernel, by the data sheet and by three constants fitted to other layer shapes."""
    table = complete_table(folder, TABLE, (MEASURED, *NEEDED), texts=TEXTS, measured=(MEASURED,))
    layout = table["op"].map(_layout)
    strided = table.reindex(columns=[STRIDE])[STRIDE].notna()
    known = table["data_dtype"].isin(WIDTHS) & ((layout == DENSE) | (layout.notna() & strided))
    if not known.any():
        raise TableAbsent(f"{folder / TABLE}: no dense kernel of 4 or 8 bits, and no convolution with a stride")
    left_out = f"; {(~known).sum()} other rows left out" if not known.all() else ""
    where = str(folder / TABLE)
    rows, bits = zip(*(_layer(row, f"{where}: row {number}") for number, row in table[known].iterrows()), strict=True)
    layers = network("kernels", list(rows), [str(row) for row in range(len(rows))]).layers
    widths = np.repeat(np.array(bits)[:, None], 2, axis=-1)
    reference = table.loc[known, MEASURED].to_numpy(np.float64)
    found = device.load("nvidia-t4")
    assert isinstance(found.model, Roofline)
    roofline = found.model

    def predict(constants: Floats) -> Floats:
        fitted = replace(roofline, **dict(zip(FREE, constants.tolist(), strict=True)))
        return np.asarray(1e6 * fitted.cost(layers, widths).latency_s)

    shipped = 1e6 * np.asarray(roofline.cost(layers, widths).latency_s)
    note = "the data sheet's peaks: a bound, so no bar" + left_out
    checks: list[Check | NotRun] = [check("kernel, us", TABLE, shipped, reference, Bar(), note=note)]
    shape: NDArray[np.int64] = pd.factorize(np.array([str(row) for row in rows]))[0]
    if shape.max() + 1 < LEAST_SHAPES:
        reason = f"{shape.max() + 1} layer shapes; cross-validation needs {LEAST_SHAPES}"
        return [*checks, NotRun("kernel, us, cross-validated", TABLE, reason)]
    note = f"{', '.join(FREE)} fitted to other layer shapes, {FOLDS} folds{left_out}"
    predicted = unseen(GUESS, predict, reference, shape)
    return [*checks, check("kernel, us, cross-validated", TABLE, predicted, reference, Bar(), note=note)]


def _layout(op: str) -> str | None:
    """How a kernel's data lie, of what is understood."""
    if op.startswith(DENSE):
        return DENSE
    return next((layout for layout in LAYOUTS if op.startswith("conv2d") and layout in op.lower()), None)


def _layer(row: pd.Series, where: str) -> tuple[dict[str, int], int]:
    """The layer of a kernel, whose data are padded already, and its bitwidth.

    Raises:
        StorageError: for a cell that is no list of the sizes that such a kernel has.
    """
    width, layout = WIDTHS[row["data_dtype"]], _layout(row["op"])
    if layout is None or layout == DENSE:
        (batch, inputs), (outputs, _) = _sizes(row, "data", 2, where), _sizes(row, "weight", 2, where)
        return {"op": Op.LINEAR, "batch": batch, "in_channels": inputs, "out_channels": outputs}, width
    data, (kernel, _, filters, channels) = _sizes(row, "data", 4, where), _sizes(row, "weight", 4, where)
    batch, height = (data[axis] for axis in LAYOUTS[layout])
    stride, _ = _sizes(row, STRIDE, 2, where)
    out = (height - kernel) // stride + 1
    sizes = {"in_height": height, "in_width": height, "out_height": out, "out_width": out}
    channels_of = {"in_channels": channels, "out_channels": filters}
    square = {"kernel_height": kernel, "kernel_width": kernel, "stride": stride, "batch": batch}
    return {"op": Op.CONV, **channels_of, **square, **sizes}, width


def _sizes(row: pd.Series, column: str, count: int, where: str) -> list[int]:
    """The ``count`` positive integers of a cell such as ``[8, 512]``."""
    text = str(row[column])
    sizes = [int(size) for size in re.findall(r"\d+", text)]
    if not re.fullmatch(r"\[\d{1,9}(, *\d{1,9})*\]", text) or len(sizes) != count or min(sizes) == 0:
        raise StorageError(f"{where}: {column} is {text!r}; accepted: {count} positive integers, as [8, 512]")
    return sizes
