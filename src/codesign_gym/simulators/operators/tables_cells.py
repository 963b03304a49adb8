"""Measured figures of every cell of a space of cells, such as NAS-Bench-201, from files that the user supplies."""

from __future__ import annotations

import re
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from codesign_gym.errors import BadConfig
from codesign_gym.simulators.hardware.calibration.sheet import Sheet, read_sheet
from codesign_gym.simulators.operators.space import Designs, OperatorSpace
from codesign_gym.simulators.operators.tables import figures, listed, refuse_repeated

#: Columns that number architectures, and columns that write them out.
NUMBERS = ("index", "nb201_index", "arch_idx")
TEXTS = ("arch_str", "arch")
#: Designs of a space whose every design may be in a file.
LARGEST = 10**6


def read_cells(
    path: Path, space: OperatorSpace, column: str, unit: float, named: Path | None = None
) -> NDArray[np.float64]:
    """A figure of every design of a space.

    The file has a row for every cell, with its architecture as in NAS-Bench-201,
    ``|op~0|+|op~0|op~1|+|op~0|op~1|op~2|``, or its number in another file that has both.

    Args:
        path: a CSV file, which may be compressed (``.gz``).
        space: whose designs.
        column: which figure.
        unit: what one of the file's units is here: 1e-3 for milliseconds.
        named: the file that tells which architecture has which number.

    Returns:
        Shape (operators,) * layers, to be indexed by designs.

    Raises:
        BadConfig: naming the file and the row or cell that is missing, repeated, or no positive number.
    """
    sheet = read_sheet(path)
    names = sheet.texts(_first(sheet, (*TEXTS, *NUMBERS)))
    return _placed(sheet, figures(sheet, column, False, names) * unit, space, named)


def read_accuracies(path: Path, space: OperatorSpace, column: str) -> NDArray[np.float64]:
    """An accuracy of every design of a space, from 0 to 1, of a column in per cent; else as :func:`read_cells`.

    Raises:
        BadConfig: also for a row below 0 or above 100 per cent.
    """
    sheet = read_sheet(path)
    percent = figures(sheet, column, True, sheet.texts(_first(sheet, (*TEXTS, *NUMBERS))))
    sheet.refuse(percent > 100, column, "0 to 100 per cent")
    return _placed(sheet, percent * 0.01, space, None)


def written(space: OperatorSpace, design: NDArray[np.int64]) -> str:
    """A design of shape (layers,) as NAS-Bench-201 writes it."""
    nodes: dict[str, list[str]] = {}
    for layer, operator in zip(space.layers, design, strict=True):
        node, _, source = layer.name.partition("<-")
        nodes.setdefault(node, []).append(f"{layer.operators[operator]}~{source}")
    return "+".join(f"|{'|'.join(edges)}|" for edges in nodes.values())


def _placed(sheet: Sheet, values: NDArray[np.float64], space: OperatorSpace, named: Path | None) -> NDArray[np.float64]:
    """Values of a sheet's rows, shape (rows,), by design, shape (operators,) * layers."""
    sizes = tuple(len(layer.operators) for layer in space.layers)
    if prod(sizes) > LARGEST:
        raise BadConfig(
            f"space {space.name!r} has {prod(sizes):.3g} designs; accepted in a table of all: {LARGEST} at most"
        )
    designs = _designs(sheet, space) if _first(sheet, TEXTS) else _numbered(sheet, space, named)
    place = np.ravel_multi_index(tuple(designs.T), sizes)
    refuse_repeated(sheet, place, "architecture", sheet.texts(_first(sheet, (*TEXTS, *NUMBERS))))
    dense = np.full(prod(sizes), np.nan)
    dense[place] = values
    missing = np.flatnonzero(np.isnan(dense))
    if missing.size:
        absent = listed([written(space, design) for design in np.stack(np.unravel_index(missing, sizes), axis=-1)])
        raise BadConfig(f"{sheet.path}: {missing.size} of {len(dense)} cells are missing: {absent}")
    return dense.reshape(sizes)


def _designs(sheet: Sheet, space: OperatorSpace) -> Designs:
    """The architectures that a sheet writes out, shape (rows, layers)."""
    column = _first(sheet, TEXTS)
    texts = sheet.texts(column)
    sources = [layer.name.partition("<-")[2] for layer in space.layers]
    number = {(source, name): i for source in set(sources) for i, name in enumerate(space.layers[0].operators)}
    found = np.full((len(texts), len(space)), -1, dtype=np.int64)
    for row, text in enumerate(texts):
        edges = re.findall(r"\|([^|~]+)~(\d+)", text)
        if [source for _, source in edges] == sources:
            found[row] = [number.get((source, name), -1) for name, source in edges]
    sheet.refuse(
        np.asarray((found < 0).any(-1)),
        column,
        f"an architecture such as {written(space, np.zeros(len(space), np.int64))}",
    )
    return found


def _numbered(sheet: Sheet, space: OperatorSpace, named: Path | None) -> Designs:
    """The architectures of a sheet that numbers them, by a sheet that has numbers and architectures."""
    if named is None:
        raise BadConfig(
            f"{sheet.path}: no column {' or '.join(TEXTS)}; accepted: beside a file that numbers architectures"
        )
    key = read_sheet(named)
    numbers, designs = _numbers(key), _designs(key, space)
    refuse_repeated(key, numbers, "number")
    order = np.argsort(numbers)
    asked = _numbers(sheet)
    place = np.minimum(np.searchsorted(numbers[order], asked), len(order) - 1)
    sheet.refuse(numbers[order][place] != asked, _first(sheet, NUMBERS), f"a number of {named}")
    return designs[order[place]]


def _numbers(sheet: Sheet) -> NDArray[np.int64]:
    column = _first(sheet, NUMBERS)
    if not column:
        raise BadConfig(f"{sheet.path}: no column {' or '.join(NUMBERS)}; it has {', '.join(sheet.frame.columns)}")
    return sheet.real(column, zero=True).astype(np.int64)


def _first(sheet: Sheet, columns: tuple[str, ...]) -> str:
    return next((column for column in columns if sheet.has(column)), "")
