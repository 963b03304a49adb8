"""A full factorial of accelerator configurations for one network, and the front among them, in a folder."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from codesign_gym.errors import BadConfig, UnknownName
from codesign_gym.simulators.hardware import device as devices
from codesign_gym.simulators.hardware.sweep import Factorial, Front, Workload, ends, factorial, pages, workload
from codesign_gym.simulators.networks import load
from codesign_gym.simulators.networks.onnx_import import InputShapes
from codesign_gym.storage import replacing, write_text
from codesign_gym.training import tables
from codesign_gym.training.costing import bits_of_rows

#: Values that one range may stand for.
MOST_VALUES = 1_000_000
#: Configurations kept for the plot, evenly spaced.
SAMPLE = 4000


@dataclass(frozen=True)
class Sweep:
    """What a sweep found.

    Attributes:
        front: configurations that none beats, a row each: knobs and metrics.
        sample: about 4000 of all configurations, likewise.
        summary: plain data: what was asked for, how much of it was evaluated, and how fast.
    """

    front: pd.DataFrame
    sample: pd.DataFrame
    summary: dict[str, Any]

    @property
    def complete(self) -> bool:
        """Whether all configurations were evaluated."""
        return bool(self.summary["evaluated"] == self.summary["configurations"])

    def save(self, folder: Path) -> None:
        """Write ``front.csv``, ``sample.csv``, ``front.png`` and ``sweep.json``."""
        from codesign_gym.training import plots

        for name, table in (("front", self.front), ("sample", self.sample)):
            with replacing(folder / f"{name}.csv") as aside:
                table.to_csv(aside, index=False)
        objectives = self.summary["objectives"]
        if len(self.front) and len(objectives) > 1:
            plots.trade_off(folder / "front.png", self.sample, self.front, objectives[1], objectives[0])
        write_text(folder / "sweep.json", json.dumps(self.summary, indent=2) + "\n")


def sweep(
    network: str,
    device: str,
    knobs: Sequence[str],
    console: Console,
    bits: str | None = None,
    objectives: Sequence[str] = (),
    input_shape: InputShapes | None = None,
) -> Sweep:
    """Cost a network on every combination of a device's parameters; Ctrl-C ends with what there is.

    Memory is bounded: configurations are made, costed and merged into the front a page at a time.

    Args:
        network: id, file or reference.
        device: id or file.
        knobs: each as :func:`parse_knob` reads it.
        console: for the progress bar.
        bits: see :func:`~codesign_gym.training.costing.bits_of_rows`.
        objectives: metrics to minimise together; by default latency with energy and area, or where the
            model knows neither with the resources that the sweep changes.
        input_shape: as :func:`~codesign_gym.simulators.networks.load` takes it.

    Raises:
        CodesignError: naming what is wrong with any of them.
    """
    target, table = devices.load(device), load(network, input_shape)
    asked = dict(map(parse_knob, knobs))
    if len(asked) < len(knobs):
        raise BadConfig("a knob is given twice; accepted: each once, its values joined by commas")
    plan = factorial(target, asked)
    work = workload(target, table.layers, bits_of_rows(bits, target, table))
    front = Front(_objectives(ends(target, work, plan), objectives))
    started = time.perf_counter()
    evaluated, sample = _run(target, work, plan, front, console)
    seconds = time.perf_counter() - started
    summary = {
        "network": network,
        "device": device,
        "bits": bits or str(target.max_bits),
        "knobs": list(knobs),
        "objectives": list(front.objectives),
        "configurations": plan.size,
        "evaluated": evaluated,
        "front": len(front),
        "seconds": seconds,
        "configurations_per_s": evaluated / seconds,
    }
    names = {name: values for name, values in asked.items() if any(isinstance(value, str) for value in values)}
    return Sweep(_table(front.columns, plan, names), _table(sample, plan, names), summary)


def _run(
    target: devices.Device, work: Workload, plan: Factorial, front: Front, console: Console
) -> tuple[int, dict[str, NDArray[Any]]]:
    """Fill the front; how many configurations were evaluated, and every so manieth of them."""
    stride, evaluated = math.ceil(plan.size / SAMPLE), 0
    kept: list[dict[str, NDArray[Any]]] = []
    bar = Progress(
        TextColumn("sweeping"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:,.0f} configurations/s, front {task.fields[front]}"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )
    with bar:
        task, started = bar.add_task("", total=plan.size, rate=0.0, front=0), time.perf_counter()
        try:
            for page in pages(target, work, plan):
                front.add(page)
                count = len(page["latency_s"])
                kept.append({name: column[-evaluated % stride :: stride] for name, column in page.items()})
                evaluated += count
                rate = evaluated / (time.perf_counter() - started)
                bar.update(task, completed=evaluated, rate=rate, front=len(front))
        except KeyboardInterrupt:
            pass  # the caller sees it by the count
    return evaluated, {name: np.concatenate([page[name] for page in kept]) for name in kept[0]} if kept else {}


def _objectives(metrics: Mapping[str, NDArray[Any]], asked: Sequence[str]) -> list[str]:
    for name in asked:
        if name not in metrics:
            raise UnknownName("objective", name, metrics)
    if asked:
        return list(dict.fromkeys(asked))
    sourced = [name for name in ("energy_j", "area_mm2") if name in metrics]
    spent = [name for name, (first, last) in metrics.items() if name != "latency_s" and first != last]
    return ["latency_s", *(sourced or spent)]


def _table(columns: Mapping[str, NDArray[Any]], plan: Factorial, names: Mapping[str, Sequence[Any]]) -> pd.DataFrame:
    """Columns as a table in which choices have their names."""
    table = pd.DataFrame(dict(columns))
    for knob in names.keys() & columns.keys():
        table[knob] = table[knob].map(dict(zip(plan.values[knob].tolist(), names[knob], strict=True)))
    return table


def report(found: Sweep, most: int = 12) -> tuple[str, list[str], list[list[str]]]:
    """Title, headings and rows of a readable table: at most so many configurations along the front."""
    asked, front = found.summary, found.front
    title = (
        f"{asked['network']} on {asked['device']}: {len(front)} of {asked['evaluated']:,d} configurations "
        f"({asked['configurations']:,d} in all, {asked['configurations_per_s']:,.0f} a second)"
    )
    shown = front.iloc[np.unique(np.linspace(0, len(front) - 1, most).round().astype(int))] if len(front) else front
    metrics = set(tables.COLUMNS)
    rows = [
        [tables.metric(name, value) if name in metrics else str(value) for name, value in row.items()]
        for row in shown.to_dict("records")
    ]
    return title, [tables.heading(name) for name in front.columns], rows


def parse_knob(text: str) -> tuple[str, list[Any]]:
    """Name and values of ``"rows=8:256:8"``, ``"clock_hz=2e8,1e9"`` or ``"dataflow=os,ws"``.

    Values are joined by commas. ``first:last:step`` stands for a range with both ends, and
    ``first:last:*factor`` for a geometric one.

    Raises:
        BadConfig: if it is none of these.
    """
    name, equals, values = text.partition("=")
    if not (name and equals and values):
        raise BadConfig(f"--knob {text!r}: accepted: name=value,value,... or name=first:last:step")
    found = [value for part in values.split(",") for value in _values(part, f"--knob {text!r}")]
    return name, list(dict.fromkeys(found))


def _values(part: str, where: str) -> list[Any]:
    if ":" not in part:
        return [_value(part)]
    first, last, *step = part.split(":")
    ratio = bool(step) and step[0].startswith("*")
    numbers: list[Any] = [
        _value(number) for number in (first, last, *(number.removeprefix("*") for number in step or ["1"]))
    ]
    if len(numbers) != 3 or any(isinstance(number, str) or not math.isfinite(number) for number in numbers):
        raise BadConfig(f"{where}: {part!r}; accepted: first:last:step or first:last:*factor, all numbers")
    low, high, by = numbers
    if not low <= high or (by <= 1 or low <= 0 if ratio else by <= 0):
        raise BadConfig(f"{where}: {part!r} never reaches its end; accepted: first <= last, step > 0 or factor > 1")
    span = math.log(high / low) / math.log(by) if ratio else (high - low) / by
    if span >= MOST_VALUES:
        raise BadConfig(f"{where}: {part!r} has {span:.3g} values; accepted: at most {MOST_VALUES}")
    return [low * by**i if ratio else low + i * by for i in range(math.floor(span + 1e-9) + 1)]


def _value(text: str) -> int | float | str:
    """A number where it reads as one, else a name."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
