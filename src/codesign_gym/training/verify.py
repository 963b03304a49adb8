"""Every cost model against the reference tables that a folder holds: a table, a plot a model, a verdict."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from codesign_gym.catalog import attribute
from codesign_gym.errors import CodesignError, StorageError, UnknownName
from codesign_gym.simulators.hardware.device import MISTAKES
from codesign_gym.simulators.hardware.verification import VERIFIERS
from codesign_gym.simulators.hardware.verification.check import Check, NotRun, TableAbsent, Verifier

REFERENCES_VARIABLE = "CODESIGN_GYM_REFERENCES"


@dataclass(frozen=True)
class Damaged:
    """A table that is there and cannot be read: a failure of its own, which does not keep the others from running."""

    reason: str
    quantity: str = ""
    table: str = ""
    passed: bool = False


Found = Check | NotRun | Damaged


@dataclass(frozen=True)
class Verified:
    """A model's checks, or the reason why there are none."""

    model: str
    checks: tuple[Found, ...]

    @property
    def passed(self) -> bool:
        """Whether every check that ran met its bar, and every table could be read."""
        return all(found.passed for found in self.checks if not isinstance(found, NotRun))


def references_folder(folder: Path | None) -> Path:
    """The folder given, else ``$CODESIGN_GYM_REFERENCES``, else ``../shared/data``.

    Raises:
        StorageError: if it is not a folder.
    """
    found = folder or Path(os.environ.get(REFERENCES_VARIABLE) or "../shared/data")
    if not found.is_dir():
        raise StorageError(
            f"no folder of reference tables at {str(found)!r}; name one with --references or ${REFERENCES_VARIABLE}"
        )
    return found


def folder_for(models: Sequence[str], folder: Path | None) -> Path:
    """The folder for some models, or all; those that read no table need none.

    Raises:
        UnknownName: for a model without a verifier.
        StorageError: as :func:`references_folder`.
    """
    known(models)
    needless = bool(models) and folder is None and set(models) <= set(WITHOUT_TABLES)
    return Path() if needless else references_folder(folder)


def known(models: Sequence[str]) -> list[str]:
    """The models named, or all.

    Raises:
        UnknownName: for a model without a verifier.
    """
    for model in models:
        if model not in VERIFIERS:
            raise UnknownName("model to verify", model, VERIFIERS)
    return list(models or VERIFIERS)


def verify(folder: Path, models: Sequence[str], console: Console) -> list[Verified]:
    """Run the verifiers of the models named, or of all.

    Args:
        folder: of reference tables.
        models: names, by default all.
        console: for the progress bar, which is drawn on a terminal alone.

    Raises:
        UnknownName: for a model without a verifier.
    """
    names = known(models)
    bar = Progress(
        TextColumn("verifying {task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    verified = []
    with bar:
        task = bar.add_task("", total=len(names))
        for name in names:
            bar.update(task, description=name)
            verified.append(Verified(name, _checks(name, folder)))
            bar.advance(task)
    return verified


def ran(verified: Sequence[Verified]) -> bool:
    """Whether any table was compared or could not be read, or nothing that reads tables was asked for."""
    counted = [model for model in verified if model.model not in WITHOUT_TABLES] or verified
    return any(not isinstance(found, NotRun) for model in counted for found in model.checks)


#: Verifiers that read no table: they run whatever the folder holds.
WITHOUT_TABLES = ("relaxation",)

#: What to do where nothing was compared.
NOTHING = (
    f"nothing was verified: the tables are not there; give the folder that holds them by --references or "
    f"${REFERENCES_VARIABLE}, or verify another model"
)


def _checks(name: str, folder: Path) -> tuple[Found, ...]:
    verifier: Verifier = attribute(VERIFIERS[name])
    try:
        return tuple(verifier(folder))
    except TableAbsent as absent:
        return (NotRun("", "", str(absent)),)
    except CodesignError as damaged:
        return (Damaged(str(damaged)),)
    except MISTAKES as error:  # cells that are not what their columns say, in one of many ways
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        return (Damaged(f"its tables hold what cannot be compared: {reason}"),)


#: Relative differences that come from the order of operations on floats alone.
FLOATS = 1e-9

HEADINGS = ("model", "table", "quantity", "rows", "exact", "MAPE", "Spearman", "asked for", "verdict")


def notes(verified: Sequence[Verified]) -> list[str]:
    """A line for every check of which there is more to say: why it did not run, what a peer reaches, rows left out."""
    return [
        f"{', '.join(part for part in (model.model, found.quantity) if part)}: {said}"
        for model in verified
        for found in model.checks
        if (said := _said(found))
    ]


def _said(found: Found) -> str:
    if not isinstance(found, Check):
        return f"{_verdict(found)}: {found.reason}"
    return "; ".join(part for part in (f"peer: {found.peer}" if found.peer else "", found.note) if part)


def rows(verified: Sequence[Verified]) -> list[tuple[Any, ...]]:
    """One readable row a check, under :data:`HEADINGS`."""
    return [
        (
            model.model,
            _short(found.table),
            found.quantity,
            found.rows,
            f"{100 * found.exact_share:.1f} %{_loosely(found)}",
            f"{found.mape_percent:.3g} %",
            _number(found.spearman, "{:.4f}"),
            _bar(found),
            _verdict(found),
        )
        if isinstance(found, Check)
        else (model.model, _short(found.table), found.quantity, *[""] * 5, _verdict(found))
        for model in verified
        for found in model.checks
    ]


def as_dict(verified: Sequence[Verified]) -> dict[str, Any]:
    """Plain data for ``--json``."""
    return {
        "passed": ran(verified) and all(model.passed for model in verified),
        "checks": [_plain(model.model, found) for model in verified for found in model.checks],
    }


def _plain(model: str, found: Found) -> dict[str, Any]:
    """The same fields whether a check ran or not, null where there is nothing to say."""
    told: dict[str, Any] = {"model": model, "quantity": found.quantity, "table": found.table}
    if not isinstance(found, Check):
        absent = dict.fromkeys(("rows", "exact_share", "mape_percent", "spearman", "bar", "peer"))
        return told | absent | {"passed": None if isinstance(found, NotRun) else False, "note": found.reason}
    return told | {
        "rows": found.rows,
        "exact_share": found.exact_share,
        "mape_percent": found.mape_percent if math.isfinite(found.mape_percent) else None,
        "spearman": None if math.isnan(found.spearman) else found.spearman,
        "bar": {name: value for name, value in vars(found.bar).items() if value is not None},
        "peer": found.peer,
        "passed": found.passed,
        "note": found.note,
    }


def plot(verified: Sequence[Verified], folder: Path) -> list[Path]:
    """Predicted against reference, a PNG a model that has something to draw; returns their paths."""
    from codesign_gym.training import plots

    drawn = {folder / f"{Path(model.model).stem}.png": _drawn(model) for model in verified if _drawn(model)}
    for path, checks in drawn.items():
        titles = [f"{found.quantity}\nMAPE {found.mape_percent:.3g} %" for found in checks]
        pairs = [(found.reference, found.predicted) for found in checks]
        plots.agreement(path, dict(zip(titles, pairs, strict=True)))
    return list(drawn)


def _drawn(model: Verified) -> list[Check]:
    return [found for found in model.checks if isinstance(found, Check) and found.rows > 1]


def _verdict(found: Found) -> str:
    if isinstance(found, NotRun):
        return "not run"
    if isinstance(found, Check) and found.passed and not _bar(found):
        return "no bar"
    return "pass" if found.passed else "FAIL"


def _short(table: str) -> str:
    """A table's file without folder and suffixes."""
    return Path(table).name.split(".")[0]


def _bar(found: Check) -> str:
    bar = found.bar
    asked = [
        f"exact {100 * bar.exact_share:g} %{_loosely(found)}" if bar.exact_share is not None else "",
        f"MAPE {bar.mape_percent:g} %" if bar.mape_percent is not None else "",
        f"Spearman {bar.spearman:g}" if bar.spearman is not None else "",
    ]
    return ", ".join(part for part in asked if part)


def _loosely(found: Check) -> str:
    """What counts as exact, where that is more than floats differ by: a table's digits, a step of a clock."""
    return f" within {100 * found.bar.tolerance:.2g} %" if found.bar.tolerance > FLOATS else ""


def _number(value: float, form: str) -> str:
    return "" if math.isnan(value) else form.format(value)
