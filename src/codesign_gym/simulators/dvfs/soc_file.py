"""The file of a device whose clocks can be set: every number with its unit and where it comes from.

A source that begins with "Assumed" marks every number that names it as such; :attr:`Soc.assumed` lists them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, FiniteFloat

from codesign_gym.catalog import Catalog
from codesign_gym.errors import BadConfig, UnknownName, suggestion
from codesign_gym.records import Record, read_record
from codesign_gym.simulators.dvfs.clocks import ClockTable
from codesign_gym.simulators.dvfs.domain import DOMAINS, RUNNING, Domain, IdleState
from codesign_gym.simulators.dvfs.soc import Soc
from codesign_gym.simulators.dvfs.thermal import Thermal

CATALOG = Catalog(kind="soc", folder="socs")


class Number(Record):
    """A number, its unit, and the key of its source."""

    value: FiniteFloat
    unit: str
    source: str


class Column(Record):
    """A number a clock, from the slowest clock to the fastest."""

    values: tuple[FiniteFloat, ...]
    unit: str
    source: str


class DomainFile(Record):
    """A clock domain; see :class:`Domain` and :class:`ClockTable`."""

    clock_hz: Column
    voltage_v: Column
    effective_hz: Column | None = None
    fabric_hz: Column | None = None
    per_cycle: Number
    capacitance_f: Number
    idle_activity: Number
    leakage_a: Number
    leakage_per_k: Number
    transition_s: Number
    transition_j: Number
    junction_share: Number
    throttled_hz: Number


class ThermalFile(Record):
    """The thermal network; see :class:`Thermal`."""

    junction_j_per_k: Number
    case_j_per_k: Number
    junction_case_k_per_w: Number
    case_ambient_k_per_w: Number
    engage_c: Number
    release_c: Number


class IdleFile(Record):
    """An idle state; see :class:`IdleState`. It gates the ``domains`` it names, or all."""

    domains: tuple[Literal["cpu", "gpu", "memory"], ...] = ("cpu", "gpu", "memory")
    clock_share: Number
    leakage_share: Number
    wake_s: Number
    residency_s: Number


class SocFile(Record):
    """The content of ``configs/socs/<id>.yaml``; ``sources`` names each origin once."""

    title: str
    sources: dict[str, str]
    domains: dict[Literal["cpu", "gpu", "memory"], DomainFile]
    overlap: Number
    launches_per_s: Number | None = None
    fabric_bytes_per_cycle: Number | None = None
    rest_w: Number
    rest_share: Number
    reference_c: Number
    thermal: ThermalFile
    idle_states: dict[str, IdleFile] = Field(default_factory=dict)


#: What a number of each field is in, and the least and the most it may be.
FIELDS: dict[str, tuple[str, float, float]] = {
    "clock_hz": ("Hz", 0, np.inf),
    "voltage_v": ("V", 0, np.inf),
    "effective_hz": ("Hz", 0, np.inf),
    "fabric_hz": ("Hz", 0, np.inf),
    "throttled_hz": ("Hz", 0, np.inf),
    "capacitance_f": ("F", 0, np.inf),
    "idle_activity": ("1", 0, 1),
    "leakage_a": ("A", 0, np.inf),
    "leakage_per_k": ("1/K", 0, 0.02),  # beyond, the line would have leakage vanish within the range of chips
    "transition_s": ("s", 0, np.inf),
    "transition_j": ("J", 0, np.inf),
    "junction_share": ("1", 0, 1),
    "overlap": ("1", 1, 64),
    "launches_per_s": ("1/s", 1e-9, np.inf),
    "fabric_bytes_per_cycle": ("B/cycle", 1e-9, np.inf),
    "rest_w": ("W", 0, np.inf),
    "rest_share": ("1", 0, 1),
    "reference_c": ("degC", 0, 150),
    "junction_j_per_k": ("J/K", 0, np.inf),
    "case_j_per_k": ("J/K", 0, np.inf),
    "junction_case_k_per_w": ("K/W", 0, np.inf),
    "case_ambient_k_per_w": ("K/W", 0, np.inf),
    "engage_c": ("degC", 0, 200),
    "release_c": ("degC", 0, 200),
    "clock_share": ("1", 0, 1),
    "leakage_share": ("1", 0, 1),
    "wake_s": ("s", 0, np.inf),
    "residency_s": ("s", 0, np.inf),
}
PER_CYCLE = {"cpu": "launch/cycle", "gpu": "op/cycle", "memory": "B/cycle"}


def load(name: str, factors: Mapping[str, float] | None = None) -> Soc:
    """The device of an id, a YAML path, or ``"module:attribute"``.

    Args:
        name: which device.
        factors: for sensitivity sweeps, what numbers of the file are multiplied by, by their paths (see
            :attr:`Soc.assumed`).

    Raises:
        UnknownName: with the nearest id or path.
        BadConfig: naming the file, the field and what it accepts.
    """
    found = CATALOG.locate(name)
    if isinstance(found, Soc) and not factors:
        return found
    content = read(name)
    for path, factor in (factors or {}).items():
        content = scaled(content, path, factor)
    return build(content, name)


def read(name: str) -> SocFile:
    """The file behind an id or a YAML path; errors as in :func:`load`."""
    found = CATALOG.locate(name)
    if not isinstance(found, Path):
        raise BadConfig(f"soc {name!r} is a {type(found).__name__}; expected a Soc or the path of a YAML file")
    return read_record(SocFile, found)


def scaled(content: SocFile, path: str, factor: float) -> SocFile:
    """The file with one number (or every number of one column) multiplied, as for a sensitivity sweep.

    Args:
        content: the file.
        path: ``"domains.gpu.capacitance_f"``, one of :func:`numbers`.
        factor: what it is multiplied by.

    Raises:
        UnknownName: for a path that the file does not have.
    """
    known = dict(numbers(content))
    if path not in known:
        raise UnknownName("number of the soc", path, known)
    data = content.model_dump()
    *parents, last = path.split(".")
    entry: Any = data
    for key in parents:
        entry = entry[key]
    key = "value" if "value" in entry[last] else "values"
    entry[last][key] = np.multiply(entry[last][key], factor).tolist()
    return SocFile.model_validate(data)


def numbers(content: Record, prefix: str = "") -> Iterator[tuple[str, Number | Column]]:
    """Every number of the file with its path."""
    for name in type(content).model_fields:
        entry = getattr(content, name)
        nested = entry.items() if isinstance(entry, dict) else [(None, entry)]
        for key, part in nested:
            path = f"{prefix}{name}" if key is None else f"{prefix}{name}.{key}"
            if isinstance(part, Number | Column):
                yield path, part
            elif isinstance(part, Record):
                yield from numbers(part, f"{path}.")


def build(content: SocFile, where: str) -> Soc:
    """The device of a file's content.

    Raises:
        BadConfig: naming ``where``, the field and what it accepts.
    """
    _check(content, where)
    if not {"gpu", "memory"} <= set(content.domains):
        raise BadConfig(f"{where}: field 'domains' has {', '.join(content.domains)}; accepted: at least gpu and memory")
    if "cpu" not in content.domains and content.launches_per_s is None:
        raise BadConfig(f"{where}: field 'launches_per_s' is missing; accepted: a number where there is no cpu domain")
    if content.domains["gpu"].fabric_hz is not None and content.fabric_bytes_per_cycle is None:
        raise BadConfig(f"{where}: field 'fabric_bytes_per_cycle' is missing; accepted: a number beside fabric_hz")
    names = [name for name in DOMAINS if name in content.domains]
    try:
        domains = tuple(_domain(name, content.domains[name]) for name in names)
        thermal = Thermal(**{name: number.value for name, number in _values(content.thermal).items()})
    except BadConfig as error:
        raise BadConfig(f"{where}: {error}") from None
    asked = [content.domains[name].throttled_hz.value for name in names]
    caps = tuple(_cap(where, domain, hz) for domain, hz in zip(domains, asked, strict=True))
    everywhere = np.ones(len(names))
    states = [IdleState(RUNNING, everywhere, everywhere, 0.0, 0.0)]
    for name, idle in content.idle_states.items():
        states.append(_idle_state(name, idle, names))
        if states[-1].residency_s < states[-2].residency_s:
            raise BadConfig(
                f"{where}: field 'idle_states.{name}.residency_s' is {states[-1].residency_s:g}; accepted: at least "
                f"that of {states[-2].name!r}, {states[-2].residency_s:g}, for states become deeper"
            )
    sources = {path: content.sources[number.source] for path, number in numbers(content)}
    soc = Soc(
        name=where,
        title=content.title,
        domains=domains,
        overlap=content.overlap.value,
        launches_per_s=content.launches_per_s.value if content.launches_per_s else np.inf,
        fabric_bytes_per_cycle=content.fabric_bytes_per_cycle.value if content.fabric_bytes_per_cycle else np.inf,
        rest_w=content.rest_w.value,
        rest_share=content.rest_share.value,
        reference_c=content.reference_c.value,
        thermal=thermal,
        throttled_index=caps,
        idle_states=tuple(states),
        assumed=tuple(path for path, source in sources.items() if source.startswith("Assumed")),
        sources=sources,
    )
    if not thermal.stable(soc.feedback_w_per_k):
        raise BadConfig(
            f"{where}: field 'leakage_per_k': leakage grows by {soc.feedback_w_per_k.sum():.3g} W/K, more than the"
            " thermal network carries off; accepted: less leakage, or smaller thermal resistances"
        )
    return soc


def _values(record: Record) -> dict[str, Number]:
    return {name: getattr(record, name) for name in type(record).model_fields}


def _domain(name: str, content: DomainFile) -> Domain:
    columns = {
        field: np.array(column.values)
        for field in ("clock_hz", "voltage_v", "effective_hz", "fabric_hz")
        if (column := getattr(content, field)) is not None
    }
    plain = {
        field: number.value
        for field, number in _values(content).items()
        if isinstance(number, Number) and field != "throttled_hz"
    }
    return Domain(clocks=ClockTable(name, **columns), **plain)


def _cap(where: str, domain: Domain, hz: float) -> int:
    """The step nearest to the highest clock under throttling, which lies within the table's."""
    name, clock_hz = domain.clocks.name, domain.clocks.clock_hz
    if not clock_hz[0] <= hz <= clock_hz[-1]:
        raise BadConfig(
            f"{where}: field 'domains.{name}.throttled_hz' is {hz:g}; accepted: {clock_hz[0]:g} to {clock_hz[-1]:g}, "
            "as its clocks are"
        )
    return int(domain.clocks.nearest(hz))


def _idle_state(name: str, content: IdleFile, domains: Sequence[str]) -> IdleState:
    gated = np.array([domain in content.domains for domain in domains])
    clock_share, leakage_share = (
        np.where(gated, share.value, 1.0) for share in (content.clock_share, content.leakage_share)
    )
    return IdleState(name, clock_share, leakage_share, content.wake_s.value, content.residency_s.value)


def _check(content: SocFile, where: str) -> None:
    """Units, bounds and sources of every number."""
    for path, number in numbers(content):
        *parents, field = path.split(".")
        unit, least, most = (PER_CYCLE[parents[-1]], 1e-30, np.inf) if field == "per_cycle" else FIELDS[field]
        if number.unit != unit:
            raise BadConfig(f"{where}: field '{path}.unit' is {number.unit!r}; accepted: {unit!r}")
        if number.source not in content.sources:
            nearest = suggestion(number.source, content.sources)
            raise BadConfig(f"{where}: field '{path}.source' is {number.source!r}{nearest}")
        values = number.values if isinstance(number, Column) else (number.value,)
        bad = [value for value in values if not least <= value <= most]
        if bad:
            accepted = f"{least:g} to {most:g}" if np.isfinite(most) else f"{least:g} or more"
            raise BadConfig(f"{where}: field {path!r} is {bad[0]:g}; accepted: {accepted}")
